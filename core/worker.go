package core

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/loop"
	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/parsers"
)

const (
	// anchorEvery is how often the wall clock is read anew; in between, wall time is anchor plus monotonic time. So long may spans begin by the
	// old time after the clock was set.
	anchorEvery = 10 * time.Second
	// freeExchanges is how many finished exchanges a worker keeps for reuse, 1.1 KiB each: more in flight at once come from the heap.
	freeExchanges = 256
	// freeSessions is how many closed sessions a worker keeps for reuse, half a KiB each.
	freeSessions = 128
	// freeBuffers and freeBufferMax bound the buffers a worker keeps for reuse: 8 of at most 256 KiB.
	freeBuffers   = 8
	freeBufferMax = 256 << 10
	// bufferMin is the smallest buffer: most incomplete heads fit.
	bufferMin = 4 << 10
)

// worker is all that one loop owns. Its fields but load are touched by the loop's goroutine only.
type worker struct {
	e       *Engine
	loop    *loop.Loop
	tracer  *trace.Tracer // nil when tracing is disabled
	routing bool          // outbound requests may have routes
	cuts    []int         // where legs begin in build.out, while a read is being handled
	answers bool          // the tracer wants to see the heads of responses
	ring    *ring.Ring[span.Record]
	checker *verify.Checker // nil: nothing is verified
	flip    flip

	// What finished requests are counted in or noted for beside that; nil when nobody asks.
	operations *operationTable
	statuses   *StatusCounts
	requests   *ring.Ring[span.Record]

	scratch []byte // what is being read
	build   builder
	out     parsers.Output
	req     trace.Request
	edit    trace.Edit
	gather  gather
	addr    address

	again againQueue
	turn  int   // turnBytes; tests shorten it
	most  int32 // readMax, which no read exceeds; tests shorten it

	sessions  *session // list of the open ones
	closed    *session // list of closed ones to use again, by nextSession
	nClosed   int
	exchanges *exchange
	nFree     int
	buffers   [][]byte

	anchorMono, anchorWall int64

	stats Stats
	load  atomic.Int64 // open sessions, read by whoever places a new one
	// listed is how many of them have come to the loop.
	listed atomic.Int64
	drain  drainer
	pulse  pulse
	done   chan struct{}
}

// newWorker makes a worker; run starts it.
func newWorker(e *Engine) (*worker, error) {
	l, err := loop.New(e.base, e.cfg.BusyPoll)
	if err != nil {
		return nil, err
	}
	w := &worker{e: e, loop: l, scratch: make([]byte, readMax), turn: turnBytes, most: readMax, done: make(chan struct{})}
	w.again.w, w.drain.w = w, w
	w.ring = ring.New[span.Record](e.cfg.RingSlots)
	if e.cfg.Verify != nil {
		w.checker = verify.NewChecker(e.cfg.Verify)
	}
	if !e.cfg.Disabled {
		w.prepareCounters()
		w.tracer = e.cfg.Trace.NewTracer()
		w.answers = e.cfg.Trace.ReadsAnswers()
		w.routing = e.cfg.Trace.Routes() != nil
	}
	return w, nil
}

// run is the goroutine of a loop. A loop that fails leaves its sessions and listeners to nobody, so the engine is said to have failed.
func (w *worker) run() {
	defer close(w.done)
	if err := w.loop.Run(); err != nil {
		select {
		case w.e.failed <- fmt.Errorf("event loop: %w", err):
		default: // another one has
		}
	}
}

// debug reports whether session records are wanted.
func (w *worker) debug() bool { return w.e.cfg.Log.Enabled(context.Background(), slog.LevelDebug) }

// wall converts a monotonic time of the loop to ns since the Unix epoch.
func (w *worker) wall(mono int64) int64 {
	if mono-w.anchorMono > int64(w.e.anchorEvery) || w.anchorWall == 0 {
		w.anchorMono, w.anchorWall = w.e.now()
	}
	return w.anchorWall + mono - w.anchorMono
}

// prepareCounters makes what the settings ask for.
func (w *worker) prepareCounters() {
	if w.e.operations != nil {
		w.operations = newOperationTable(w.e.operations)
	}
	if w.e.cfg.CountStatuses {
		w.statuses = new(StatusCounts)
	}
	if w.e.cfg.LogRequests {
		w.requests = ring.New[span.Record](w.e.cfg.RingSlots)
	}
}

// leave counts and notes a finished request, records its span and takes the exchange back.
func (w *worker) leave(x *exchange) {
	if w.operations != nil {
		w.operations.observe(&x.Active)
	}
	if w.statuses != nil {
		w.statuses.observe(&x.Rec)
	}
	if w.requests != nil {
		w.push(w.requests, &x.Rec)
	}
	w.record(&x.Rec)
	w.putExchange(x)
}

// record hands a finished span to the ring, if it is sampled; a full ring counts it as lost.
func (w *worker) record(r *span.Record) {
	if !r.IsSampled() {
		return
	}
	w.push(w.ring, r)
}

// push copies r into a ring; a full one counts it as lost.
func (w *worker) push(to *ring.Ring[span.Record], r *span.Record) {
	slot := to.Reserve()
	if slot == nil {
		return
	}
	r.CopyTo(slot)
	if to.Commit() {
		letDrain(to)
	}
}

// letDrain lets the ring's consumer run when it is filled by another quarter. Where it shares a processor with the loop it would otherwise wait for
// the end of the loop's time slice, by when the ring could be full; where it has one of its own this returns at once.
func letDrain(r *ring.Ring[span.Record]) {
	runtime.Gosched()
	if r.Len() > r.Cap()/4 {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
}

// getExchange returns an exchange ready for Begin.
func (w *worker) getExchange() *exchange {
	x := w.exchanges
	if x == nil {
		return new(exchange)
	}
	w.exchanges = x.next
	w.nFree--
	x.next, x.requested, x.responded = nil, false, false
	return x
}

// putExchange takes an exchange back.
func (w *worker) putExchange(x *exchange) {
	if w.nFree == freeExchanges {
		return
	}
	x.next = w.exchanges
	w.exchanges = x
	w.nFree++
}

// getBuffer returns an empty buffer with room for n bytes.
func (w *worker) getBuffer(n int) []byte {
	for i := len(w.buffers) - 1; i >= 0; i-- {
		if b := w.buffers[i]; cap(b) >= n {
			last := len(w.buffers) - 1
			w.buffers[i] = w.buffers[last]
			w.buffers[last] = nil
			w.buffers = w.buffers[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, max(n, bufferMin))
}

// putBuffer takes a buffer back; nil is allowed.
func (w *worker) putBuffer(b []byte) {
	if cap(b) < bufferMin || cap(b) > freeBufferMax || len(w.buffers) == freeBuffers {
		return
	}
	w.buffers = append(w.buffers, b[:0])
}

// getSession returns a session that is all zero but for its worker.
func (w *worker) getSession() *session {
	s := w.closed
	if s == nil {
		return &session{w: w}
	}
	w.closed = s.nextSession
	w.nClosed--
	*s = session{w: w}
	return s
}

// putSession takes a closed session back. It stays closed, for whoever still holds it in this turn; one that is queued is left to the
// garbage collector.
func (w *worker) putSession(s *session) {
	s.stream, s.up, s.prevSession, s.nextSession = nil, nil, nil, nil
	if s.queued || w.nClosed == freeSessions {
		return
	}
	s.nextSession = w.closed
	w.closed = s
	w.nClosed++
}

// addSession counts and lists a new session.
func (w *worker) addSession(s *session) {
	s.nextSession = w.sessions
	if w.sessions != nil {
		w.sessions.prevSession = s
	}
	w.sessions = s
	w.listed.Add(1)
	w.stats.Sessions[s.kind]++
	w.stats.SessionsTotal[s.kind]++
}

// forgetSession takes a closed session off the list.
func (w *worker) forgetSession(s *session) {
	if s.prevSession != nil {
		s.prevSession.nextSession = s.nextSession
	} else {
		w.sessions = s.nextSession
	}
	if s.nextSession != nil {
		s.nextSession.prevSession = s.prevSession
	}
	w.stats.Sessions[s.kind]--
	w.putSession(s)
	w.listed.Add(-1)
	w.load.Add(-1)
}

// snapshot returns the worker's counters. Loop goroutine only.
func (w *worker) snapshot() Stats {
	st := w.stats
	st.RingDropped, st.BusyPolls = w.ring.Dropped(), w.loop.BusyPolls()
	if w.checker != nil {
		st.Verified = w.checker.Counts
	}
	if w.tracer != nil {
		ts := &w.tracer.Stats
		st.Joins, st.BadContexts, st.Ignored, st.OtherNames = ts.Joins, ts.Invalid, ts.Ignored, ts.OtherOperations
		st.IDsTooLong, st.StatesDropped, st.TagsLost = ts.IDsTooLong, ts.StatesDropped, ts.TagsLost
		st.RouteValues = ts.Routes
	}
	return st
}

// closeSessions ends all sessions: what is in flight ends as cut off by the shutdown. Where something is, the session is reset: after a
// FIN a body that ends with its connection would look complete.
func (w *worker) closeSessions() {
	for w.sessions != nil {
		s := w.sessions
		s.cause = span.FailureShutdown
		cut := s.exchanges.head != nil || len(s.flows[client].pending) > 0 || len(s.flows[server].pending) > 0
		s.observeEnd(parsers.ClientToServer, false)
		if s.phase != phaseClosed {
			s.observeEnd(parsers.ServerToClient, false)
		}
		if s.phase != phaseClosed {
			s.close(cut, span.FailureShutdown)
		}
	}
}

// againQueue holds sessions that have more to do than one turn allows. It is worked off behind the events of the current wake-up.
type againQueue struct {
	w     *worker
	list  []*session
	timer loop.Timer
}

// Expire gives the queued sessions their turn. A timer brings them back rather than a posted function, for those that functions post are run
// before any socket is looked at again.
func (q *againQueue) Expire() { q.w.runAgain() }

// push has s pumped again, soon; once if it is queued already.
func (q *againQueue) push(s *session) {
	if s.queued {
		return
	}
	s.queued = true
	q.list = append(q.list, s)
	if len(q.list) == 1 {
		q.w.loop.SetTimer(&q.timer, 0, q)
	}
}

// runAgain gives every queued session another turn.
func (w *worker) runAgain() {
	n := len(w.again.list)
	for i := 0; i < n; i++ {
		s := w.again.list[i]
		s.queued = false
		if s.parked() {
			s.tryMove()
		}
		for d := parsers.ClientToServer; d <= parsers.ServerToClient; d++ {
			if s.phase == phaseRelaying || s.phase == phaseEnding {
				s.pump(d)
			}
		}
	}
	left := copy(w.again.list, w.again.list[n:])
	clear(w.again.list[left:])
	w.again.list = w.again.list[:left]
	if left > 0 {
		w.loop.SetTimer(&w.again.timer, 0, &w.again)
	}
}
