package core

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/loop"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/parsers"
)

// phase is where a session stands in its life.
type phase uint8

const (
	phaseDialing  phase = iota // the server is not connected yet; what the client sends is parsed and kept
	phaseFailing               // the dial failed; waiting a moment for a request to blame it on
	phaseRelaying              // bytes flow
	phaseEnding                // the server is gone by a reset; what it sent is being delivered, then the client is reset
	phaseClosed
)

// String returns the name of the phase.
func (p phase) String() string {
	return [...]string{"dialing", "failing", "relaying", "ending", "closed"}[p]
}

// The two ends of a session, as indexes. A flow's direction is also the index of its source, and its destination is the other one.
const (
	client = int(parsers.ClientToServer)
	server = int(parsers.ServerToClient)
)

// noFD marks a socket that is not open.
const noFD = -1

// socket is one end of a session. readable and writable are ours: an edge sets them, a short or refused call clears them.
type socket struct {
	s        *session
	fd       int32
	readable bool
	writable bool
	drain    bool // an edge spoke of FIN, error or urgent data: a short read does not mean that the queue is empty
	failed   bool // an edge spoke of an error
}

// flow is one direction of a session.
type flow struct {
	// pending holds bytes that were read but that the destination has not taken; while there are any, the source is not read.
	pending []byte
	// kept holds the end of the stream so far that the parser asked to see again; its first `sent` bytes have gone on.
	kept  []byte
	sent  int32
	limit int32 // how much to read at once
	eof   bool  // the source has sent FIN
	shut  bool  // and it has been passed on
	// broken: the destination takes nothing more; what still comes is read and thrown away, so that the source is never stuck.
	broken bool
}

// session is one client connection and its one upstream connection. It belongs to one worker for life.
//
// Memory: this struct and its parser (under 1 KiB) while nothing is in flight; no buffer. At most one read (readMax) per direction
// in pending, an incomplete head (64 KiB by the parsers' limit, plus one read) per direction in kept.
//
// The fields stand by use: with hundreds of connections a session is in no near cache when its turn comes, and an ordinary turn needs the
// first four cache lines only.
type session struct {
	// First line.
	w      *worker
	socks  [2]socket
	stream parsers.Stream // nil while sniffing and when opaque
	parser uint8          // row of the table that stream came from
	phase  phase
	opaque bool
	kind   span.Kind
	queued bool           // in worker.again
	reset  bool           // the server is known to have reset, though bytes of it may still be in the queue
	why    parsers.Reason // why it is opaque
	cause  span.Failure   // what a truncated message is to be blamed on

	flows [2]flow // second and third line

	// Fourth line.
	exchanges exchangeQueue
	received  [2]uint64
	check     *verify.Session // nil: nothing is verified
	heldSince int64           // when the head that is being held began; 0 = none is held

	// The rest: begin, end and trouble.
	timer  loop.Timer
	opened int64 // monotonic ns

	peer span.Endpoint // the client
	dest span.Endpoint // where it goes

	up        *upstream     // explicit: the upstream's names; nil under redirection
	next      uint16        // how many addresses of it have been tried; an answer of DNS has fewer than 2^16
	zone      uint32        // interface of a link-local destination
	retryIn   time.Duration // the pause before the next try to dial; 0 = nothing was lacking
	lack      Refusal       // what was
	dialUntil int64         // monotonic ns
	lastOut   int           // phaseEnding: unsent bytes when last looked

	detour *detour // outbound with routing: where it leads; nil until a request has a route

	asked string // for the record: the server name that the client asked for

	drainSeen  uint64 // while the engine drains: bytes received in all when last looked
	drainSince int64  // and the monotonic time since which that has not changed

	prevSession, nextSession *session // the worker's list of open sessions
}

// dst returns the socket that direction d writes to.
func (s *session) dst(d parsers.Direction) *socket { return &s.socks[1-d] }

// Ready takes an edge. Loop goroutine only, as everything here.
func (k *socket) Ready(ev loop.Events) {
	if ev&(loop.PeerClosed|loop.Failed|unix.EPOLLPRI) != 0 {
		k.drain = true
		k.failed = k.failed || ev&loop.Failed != 0
	}
	if ev&(loop.Readable|loop.PeerClosed|loop.Failed) != 0 {
		k.readable = true
	}
	if ev&loop.Writable != 0 {
		k.writable = true
	}
	k.s.turn(k)
}

// turn does what an edge on k allows.
func (s *session) turn(k *socket) {
	isServer := k == &s.socks[server]
	switch s.phase {
	case phaseDialing:
		if !isServer {
			if k.writable && len(s.flows[server].pending) > 0 {
				s.flush(parsers.ServerToClient) // from an upstream connection before this one
			}
			if s.phase != phaseDialing {
				return
			}
			s.pump(parsers.ClientToServer)
			if s.phase == phaseDialing && len(s.flows[client].pending) > 0 && s.socks[server].fd != noFD {
				s.tryDialed()
			}
			if k.failed && s.phase == phaseDialing {
				s.noticeFailure(parsers.ClientToServer)
			}
			return
		}
		s.tryDialed()
		if s.phase == phaseRelaying && k.readable {
			s.pump(parsers.ServerToClient) // the server's first bytes can share the edge that ends the connect
		}
	case phaseFailing:
		s.failingTurn()
	case phaseRelaying, phaseEnding:
		in, out := parsers.ClientToServer, parsers.ServerToClient
		if isServer {
			in, out = out, in
		}
		if k.writable && len(s.flows[out].pending) > 0 {
			s.flush(out)
		}
		if s.phase != phaseClosed && k.readable {
			s.pump(in)
		}
		if k.failed && s.phase != phaseClosed {
			s.noticeFailure(in)
		}
	case phaseClosed:
		// A stale event of the batch in which the session was closed.
	}
}

// noticeFailure looks for the reset of a source that is not being read, because its destination is slow or because it has ended: no
// read will tell.
func (s *session) noticeFailure(d parsers.Direction) {
	k, f := &s.socks[d], &s.flows[d]
	k.failed = false
	if len(f.pending) == 0 && !f.eof && !(d == parsers.ClientToServer && s.parked()) || k.fd == noFD {
		return
	}
	errno, err := unix.GetsockoptInt(int(k.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return
	}
	if d == parsers.ClientToServer {
		s.abort(s.clientGone())
		return
	}
	if s.outlives() {
		s.leave()
		return
	}
	// The kernel tells an error once; the end of the queue will look like a FIN. EPIPE: there was one before the reset.
	s.reset = s.reset || unix.Errno(errno) != unix.EPIPE
	if s.phase == phaseRelaying {
		s.startEnding()
	}
}

// Expire is the session's alarm; what it means depends on the phase.
func (s *session) Expire() {
	switch s.phase {
	case phaseDialing:
		s.dialAlarm()
	case phaseFailing:
		s.endFailed()
	case phaseRelaying:
		s.releaseHead()
	case phaseEnding:
		s.awaitDelivery()
	case phaseClosed:
		panic("BUG: alarm of a closed session")
	}
}

// endOfStream handles FIN from the source of d: what was held goes on, the parser hears of it, and FIN crosses over once all is
// flushed. The other direction lives on.
func (s *session) endOfStream(d parsers.Direction) {
	f := &s.flows[d]
	s.socks[d].readable = false
	if d == parsers.ServerToClient && s.w.routing && s.detour != nil {
		if s.outlives() {
			s.leave()
			return
		}
		if s.parked() {
			s.flows[parsers.ClientToServer].broken = true // what came behind the legs must not follow what came before them
		}
		s.dropLegs()
		s.w.again.push(s) // the client is read again
	}
	f.eof = true
	if s.phase == phaseFailing {
		s.endFailed()
		return
	}
	if d == parsers.ServerToClient && s.reset {
		f.eof = false
		s.serverReset()
		return
	}
	if d == parsers.ServerToClient {
		s.cause = span.FailureServerClosed
		if s.flows[parsers.ClientToServer].eof {
			s.cause = span.FailureClientClosed // it left first; the server only followed
		}
	} else {
		s.cause = span.FailureClientClosed
	}
	s.observeEnd(d, true)
	if s.phase == phaseClosed {
		return
	}
	if d == parsers.ServerToClient {
		s.endExchanges(s.cause)
	}
	s.passEnd(d)
}

// passEnd sends FIN on once everything before it has been taken, and closes the session when both directions are done.
func (s *session) passEnd(d parsers.Direction) {
	f := &s.flows[d]
	if !f.eof || f.shut || len(f.pending) > 0 || s.phase == phaseDialing || s.phase == phaseClosed {
		return
	}
	f.shut = true
	if s.check != nil && !f.broken {
		s.check.Ended(int(d))
	}
	if !f.broken && !s.flows[1-d].shut { // else close sends it
		shutdownFD(int(s.dst(d).fd))
	}
	if s.phase == phaseEnding {
		s.awaitDelivery()
		return
	}
	if s.flows[1-d].shut {
		s.close(false, span.FailureServerClosed)
	}
}

// serverReset handles the end of an upstream connection by a reset, or by an error on writing to it: the client gets what the
// server has sent, then a reset. FIN would make a body that ends with the connection look complete.
func (s *session) serverReset() {
	if s.outlives() {
		s.leave()
		return
	}
	f := &s.flows[parsers.ServerToClient]
	if !f.eof {
		f.eof = true
		s.cause = span.FailureServerReset
		s.observeEnd(parsers.ServerToClient, false)
		s.endExchanges(span.FailureServerReset)
	}
	if s.phase == phaseEnding {
		s.awaitDelivery()
	} else {
		s.startEnding()
	}
}

// startEnding turns to delivering what is left for the client.
func (s *session) startEnding() {
	s.phase = phaseEnding
	s.dropOutgoing()
	s.lastOut = -1
	s.heldSince = 0
	s.dialUntil = s.w.loop.Now() + int64(endingMax)
	s.awaitDelivery()
}

// dropOutgoing gives up what could not be written to the server, and reads the client from now on only to throw it away: a client
// that is stuck in a write would otherwise never come to read.
func (s *session) dropOutgoing() {
	f := &s.flows[parsers.ClientToServer]
	f.broken = true
	s.giveUpPending(f)
	s.dropLegs()
	s.w.putBuffer(f.kept)
	f.kept, f.sent = nil, 0
	s.w.again.push(s)
}

const (
	// endingStep is how often the delivery of the last bytes is looked at.
	endingStep = 5 * time.Millisecond
	// endingIdle bounds the wait while nothing moves, endingMax the whole: a client that does not read would not have got these bytes from
	// the server itself beyond its own receive buffer.
	endingIdle = 2 * time.Second
	endingMax  = 30 * time.Second
)

// awaitDelivery resets the client once the kernel has handed over everything (SIOCOUTQ = 0), or nothing has moved for too long.
// While the server may still have bytes for the client (after a failed write), it waits for their end too.
func (s *session) awaitDelivery() {
	f := &s.flows[parsers.ServerToClient]
	now := s.w.loop.Now()
	left := len(f.pending) + unsentBytes(int(s.socks[client].fd))
	if f.eof && left == 0 {
		s.close(true, s.cause)
		return
	}
	if left != s.lastOut {
		s.lastOut = left
		s.heldSince = now
	}
	if now-s.heldSince > int64(endingIdle) || now > s.dialUntil {
		s.close(true, s.cause)
		return
	}
	s.w.loop.SetTimer(&s.timer, endingStep, s)
}

// abort ends both sides with a reset, at once.
func (s *session) abort(cause span.Failure) {
	s.cause = cause
	s.observeEnd(parsers.ClientToServer, false)
	if s.phase != phaseClosed {
		s.observeEnd(parsers.ServerToClient, false)
	}
	if s.phase != phaseClosed {
		s.close(true, cause)
	}
}

// close ends the session: spans that are open end with cause, sockets are closed (or reset), buffers returned.
func (s *session) close(reset bool, cause span.Failure) {
	if s.phase == phaseClosed {
		panic("BUG: session closed twice")
	}
	s.endExchanges(cause)
	w := s.w
	w.loop.StopTimer(&s.timer)
	s.dropLegs()
	s.detour = nil
	for i := range s.socks {
		if fd := int(s.socks[i].fd); fd != noFD {
			w.loop.Forget(fd)
			if reset {
				resetFD(fd)
			} else {
				closeFD(fd)
			}
			s.socks[i].fd = noFD
		}
		f := &s.flows[i]
		s.freePending(f)
		w.putBuffer(f.kept)
		f.kept = nil
	}
	s.logSession()
	s.endCheck()
	s.phase = phaseClosed
	w.forgetSession(s)
}

// logSession writes the record of a session that yielded no spans: bytes, duration, peers; never payload.
func (s *session) logSession() {
	if !s.opaque || !s.w.debug() {
		return
	}
	args := []any{
		"side", s.kind.String(), "reason", s.why.String(), "client", s.peer.AddrPort().String(), "server", s.dest.AddrPort().String(),
		"to_server_bytes", s.received[parsers.ClientToServer], "to_client_bytes", s.received[parsers.ServerToClient],
		"duration", time.Duration(s.w.loop.Now() - s.opened),
	}
	if s.asked != "" {
		args = append(args, "server_name", s.asked)
	}
	s.w.e.cfg.Log.Debug("session", args...)
}
