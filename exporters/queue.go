package exporters

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// batch is an encoded batch on its way to a receiver.
type batch struct {
	buf      []byte // from the pool, or of the payload's own size
	payload  []byte // what is sent: buf or a part of it
	spans    int
	attempts int
	pauses   int // queue.pauses when it was taken
}

// queue holds the batches of one exporter, bounded by spans and bytes; the oldest goes when it is full. The drain pushes, senders take
// and give back. What is taken counts towards the bounds but cannot be dropped.
type queue struct {
	maxSpans, maxBytes     int
	backoffMin, backoffMax time.Duration
	pool                   *pool

	mu       sync.Mutex
	changed  sync.Cond
	waiting  []batch      // oldest first
	spans    atomic.Int64 // waiting and taken; written under the lock, read anywhere
	bytes    int          // waiting and taken
	taken    int          // batches
	failures int          // attempts that failed since the last that did not
	until    time.Time
	pauses   int // pauses begun so far
	pause    *time.Timer
	closing  bool // no more pushes: takers return when all is done
	closed   bool // the end: takers return at once
}

// newQueue returns an empty queue with the bounds of cfg.
func newQueue(cfg *Config, p *pool) *queue {
	q := &queue{maxSpans: cfg.QueueSpans, maxBytes: cfg.QueueBytes, backoffMin: cfg.backoffMin, backoffMax: cfg.backoffMax, pool: p}
	q.changed.L = &q.mu
	return q
}

// push adds b and returns how many spans had to go for it.
func (q *queue) push(b batch) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 {
		b = q.pool.shrink(b) // it will wait: hold no more than it needs
	}
	q.waiting = append(q.waiting, b)
	q.spans.Add(int64(b.spans))
	q.bytes += len(b.payload)
	for (int(q.spans.Load()) > q.maxSpans || q.bytes > q.maxBytes) && len(q.waiting) > 0 {
		dropped += q.dropOldestLocked()
	}
	q.changed.Signal()
	return dropped
}

// room reports whether one more span may be held beside the `open` ones of the batch that is being filled.
func (q *queue) room(open int) bool { return int(q.spans.Load())+open < q.maxSpans }

// makeRoom drops the oldest waiting batch and returns its spans, 0 when none waits.
func (q *queue) makeRoom() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return 0
	}
	return q.dropOldestLocked()
}

// dropOldestLocked drops the oldest waiting batch and returns its spans. The lock is held.
func (q *queue) dropOldestLocked() int {
	b := q.waiting[0]
	q.popLocked()
	q.spans.Add(-int64(b.spans))
	q.bytes -= len(b.payload)
	q.pool.put(b.buf)
	return b.spans
}

// popLocked removes the oldest waiting batch. The lock is held.
func (q *queue) popLocked() {
	q.waiting[0] = batch{}
	q.waiting = q.waiting[1:]
	if len(q.waiting) == 0 {
		q.waiting = nil // a backlog that is gone leaves nothing behind
	}
}

// take waits for a batch that may be sent now. After a failure one sender at a time tries, and only when the pause is over. It
// reports false when there is nothing left to do.
func (q *queue) take() (batch, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		switch {
		case q.closed, q.closing && len(q.waiting) == 0 && q.taken == 0:
			q.changed.Broadcast()
			return batch{}, false
		case len(q.waiting) > 0 && (q.failures == 0 || q.taken == 0) && !time.Now().Before(q.until):
			b := q.waiting[0]
			q.popLocked()
			b.pauses = q.pauses
			q.taken++
			return b, true
		}
		q.changed.Wait()
	}
}

// done ends a batch that was taken: delivered or dropped. ok: the receiver answered sanely, so that the next attempts need no pause,
// unless one began while the batch was on its way.
func (q *queue) done(b batch, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken--
	q.spans.Add(-int64(b.spans))
	q.bytes -= len(b.payload)
	q.pool.put(b.buf)
	if ok && b.pauses == q.pauses {
		q.failures = 0 // a pause that another sender's failure has begun goes on
	}
	q.changed.Broadcast()
}

// giveBack returns a batch that was taken to the head of the queue; false: the queue is closed and takes nothing.
func (q *queue) giveBack(b batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.taken--
	q.waiting = append([]batch{b}, q.waiting...)
	q.changed.Broadcast()
	return true
}

// backOff starts a pause after a failed attempt: exponential with jitter, or what the receiver asked for if that is longer. While
// closing, the receiver's wish is not waited for: the end will not wait either.
func (q *queue) backOff(asked time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := q.backoffMax
	if q.failures < 20 { // beyond, the shift would overflow
		d = min(d, q.backoffMin<<q.failures)
	}
	q.failures++
	q.pauses++
	d = d/2 + rand.N(d/2+1)
	if !q.closing {
		d = max(d, asked)
	}
	until := time.Now().Add(d)
	if until.Before(q.until) {
		return // another batch's receiver asked for longer
	}
	q.until = until
	if q.pause == nil {
		q.pause = time.AfterFunc(d, q.resume)
	} else {
		q.pause.Reset(d)
	}
}

// resume wakes the takers at the end of a pause. The lock makes sure that none of them is between looking at the clock and waiting.
func (q *queue) resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.changed.Broadcast()
}

// finish makes takers return once everything is sent; a pause ends now.
func (q *queue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closing = true
	q.until = time.Time{}
	q.failures = min(q.failures, 1)
	q.changed.Broadcast()
}

// close makes takers return at once and returns how many spans were waiting; those are gone.
func (q *queue) close() (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for len(q.waiting) > 0 {
		dropped += q.dropOldestLocked()
	}
	if q.pause != nil {
		q.pause.Stop()
	}
	q.changed.Broadcast()
	return dropped
}

// held returns the spans in the queue, those being sent included.
func (q *queue) held() int { return int(q.spans.Load()) }

// idle reports whether a batch pushed now would be sent at once: nothing waits.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) == 0
}

// pool keeps a few batch buffers of one size. Nothing is held until the first span, nor after trim.
type pool struct {
	size int // capacity of a buffer

	mu   sync.Mutex
	free [][]byte
}

// maxFree bounds the buffers kept: what one exporter has in flight, one being filled, and one more.
const maxFree = 6

// get returns an empty buffer.
func (p *pool) get() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return make([]byte, 0, p.size)
	}
	b := p.free[n-1]
	p.free[n-1] = nil
	p.free = p.free[:n-1]
	return b
}

// put takes a buffer back; one of another size is left to the garbage collector.
func (p *pool) put(b []byte) {
	if cap(b) < p.size || cap(b) > 2*p.size {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < maxFree {
		p.free = append(p.free, b[:0])
	}
}

// shrink returns b in a buffer of its payload's size if its own is much larger.
func (p *pool) shrink(b batch) batch {
	if cap(b.buf)*4 <= len(b.payload)*5 {
		return b
	}
	own := make([]byte, len(b.payload))
	copy(own, b.payload)
	p.put(b.buf)
	b.buf, b.payload = own, own
	return b
}

// trim drops what is kept.
func (p *pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = nil
}
