package exporters

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// tlsAttempts is how often a batch is tried while no trusted connection can be made. A certificate may be in the middle of its
// renewal, so not once; but trust does not heal by waiting, so not for ever.
const tlsAttempts = 3

// lane is the way of spans to one exporter: the batch being filled (drain goroutine), the queue, and the senders.
type lane struct {
	name string
	*Exporter
	batchSpans, batchBytes int
	flushEvery             time.Duration
	pool                   *pool
	queue                  *queue
	fails                  failLog
	senders                sync.WaitGroup

	// The batch being filled; drain goroutine only, but for open.
	buf     []byte
	started time.Time    // its first span came after this
	open    atomic.Int64 // its spans; one writer, the drain

	exported atomic.Uint64
	dropped  [NumReasons]atomic.Uint64 // ReasonRingFull stays zero: the rings count it
}

// add encodes v, which came after since, into the current batch. Drain goroutine only.
func (l *lane) add(v *View, since time.Time) {
	if l.Encoder == nil {
		l.exported.Add(1)
		return
	}
	open := int(l.open.Load())
	if !l.queue.room(open) {
		l.drop(ReasonQueueFull, l.queue.makeRoom())
		if !l.queue.room(open) { // all is in flight or in this batch
			l.drop(ReasonQueueFull, 1)
			return
		}
	}
	if open == 0 {
		l.buf = l.Encoder.Begin(l.pool.get())
		l.started = since
	}
	before := len(l.buf)
	l.buf = l.Encoder.Append(l.buf, v)
	if len(l.buf)+maxFinishBytes > l.batchBytes && !l.split(v, before, open, since) {
		return
	}
	n := l.open.Add(1)
	if int(n) >= l.batchSpans {
		l.seal()
	}
}

// split is what add does when a span has made the batch too large: it sends what was there before (the first `before` bytes, of `open`
// spans) and starts another batch with the span. It reports false when the span alone is too large for the transport and was dropped.
func (l *lane) split(v *View, before, open int, since time.Time) bool {
	if open > 0 {
		l.buf = l.buf[:before]
		l.seal()
		l.buf = l.Encoder.Begin(l.pool.get())
		l.started = since
		l.buf = l.Encoder.Append(l.buf, v)
	}
	if !l.Datagram || len(l.buf)+maxFinishBytes <= l.batchBytes {
		return true
	}
	l.pool.put(l.buf)
	l.buf = nil
	l.drop(ReasonEncode, 1)
	return false
}

// seal ends the current batch, of at least one span, and queues it. Drain goroutine only.
func (l *lane) seal() {
	n := int(l.open.Load())
	payload := l.Encoder.Finish(l.buf, n)
	b := batch{buf: l.buf, payload: payload, spans: n}
	l.buf = nil
	// First into the queue, then out of the batch: in between spans are counted twice, never missed.
	lost := l.queue.push(b)
	l.open.Store(0)
	l.drop(ReasonQueueFull, lost)
}

// flush seals the current batch if it is old enough and a sender waits for it. While others wait in the queue it would not be sent any
// sooner, so it goes on filling. It returns when to look again, the zero time for "not because of this batch".
func (l *lane) flush(now time.Time, force bool) time.Time {
	if l.open.Load() == 0 {
		return time.Time{}
	}
	due := l.started.Add(l.flushEvery)
	switch {
	case force, !now.Before(due) && l.queue.idle():
		l.seal()
	case now.Before(due):
		return due
	}
	return time.Time{}
}

// drop counts n spans as dropped.
func (l *lane) drop(reason Reason, n int) {
	if n > 0 {
		l.dropped[reason].Add(uint64(n))
	}
}

// send is a sender goroutine: it takes batches until there is nothing left to do.
func (l *lane) send() {
	defer l.senders.Done()
	for {
		b, ok := l.queue.take()
		if !ok {
			return
		}
		b.attempts++
		l.settle(b, l.Sender.Send(b.payload, b.spans))
	}
}

// settle does what the result of sending b asks for. The counters move before the queue lets go of the spans, so that a span is
// counted twice for a moment rather than not at all.
func (l *lane) settle(b batch, res Result) {
	switch {
	case res.Outcome == Delivered:
		rejected := max(0, min(res.Rejected, b.spans))
		if res.Failure != FailNone {
			l.fails.failure(res.Failure, res.Err, rejected, true)
		}
		l.exported.Add(uint64(b.spans - rejected))
		l.drop(ReasonRejected, rejected)
		l.fails.success()
		l.queue.done(b, true)
	case res.Outcome == Refused, res.Outcome == RetryFew && b.attempts >= tlsAttempts:
		l.fails.failure(res.Failure, res.Err, b.spans, true)
		l.drop(res.Reason, b.spans)
		if res.Outcome == RetryFew {
			l.queue.backOff(0)
		}
		l.queue.done(b, res.Outcome == Refused)
	default:
		if !errors.Is(res.Err, errAborted) {
			l.fails.failure(res.Failure, res.Err, b.spans, false)
		}
		l.queue.backOff(res.RetryAfter)
		if !l.queue.giveBack(b) {
			l.drop(ReasonShutdown, b.spans)
			l.queue.done(b, false)
		}
	}
}

// String returns name and endpoint.
func (l *lane) String() string {
	if l.Endpoint == "" {
		return l.name
	}
	return fmt.Sprintf("%s %s", l.name, l.Endpoint)
}
