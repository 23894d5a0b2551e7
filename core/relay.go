package core

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

const (
	// readMin is the size of a session's first reads; every full read doubles it, up to readMax. One large scratch buffer per loop
	// halves the CPU of bulk transfers against 16 KiB reads.
	readMin = 64 << 10
	readMax = 1 << 20
	// readTight is the size of reads while a worker holds more than pendingBudget bytes for slow receivers.
	readTight     = 16 << 10
	pendingBudget = 32 << 20
	// turnBytes is what one direction may move before others get their turn.
	turnBytes = 1 << 20
)

// pump moves bytes in direction d for as long as the source has some, the destination takes them, and the turn lasts.
func (s *session) pump(d parsers.Direction) {
	f, src := &s.flows[d], &s.socks[d]
	budget := s.w.turn
	for src.readable && len(f.pending) == 0 && !f.eof && !(d == parsers.ClientToServer && s.parked()) {
		if budget <= 0 {
			s.w.again.push(s)
			return
		}
		buf := s.w.scratch[:s.readSize(f)]
		n, errno := recv(int(src.fd), buf)
		if n <= 0 {
			s.readEnded(d, errno)
			return
		}
		if s.check != nil {
			s.check.Received(int(d), buf[:n])
		}
		s.w.flip.one(d, buf[:n])
		budget -= n
		if n < len(buf) {
			// Nothing is left in the queue, unless the edge spoke of more than data: FIN may have shared it, and a read stops
			// short at urgent data (tcp_recvmsg).
			src.readable = src.drain
		} else if f.limit < s.w.most && len(buf) == int(f.limit) {
			f.limit = min(2*f.limit, s.w.most)
		}
		s.received[d] += uint64(n)
		s.w.stats.Bytes[d] += uint64(n)
		s.relay(d, buf[:n])
		if d == parsers.ClientToServer {
			s.w.loop.ExpectAnswer()
		}
		if s.phase == phaseClosed || s.parked() && s.tryMove() {
			return
		}
	}
}

// readSize is how much to read at once from the source of f.
func (s *session) readSize(f *flow) int32 {
	switch {
	case s.w.stats.PendingBytes > pendingBudget:
		return min(readTight, f.limit)
	case len(f.kept) > 0:
		return min(readMin, f.limit) // it is appended to what is kept
	}
	return f.limit
}

// readEnded handles what a read other than of data means.
func (s *session) readEnded(d parsers.Direction, errno syscall.Errno) {
	switch {
	case errno == unix.EAGAIN:
		s.socks[d].readable, s.socks[d].drain = false, false
	case errno == 0:
		s.endOfStream(d)
	case s.phase == phaseFailing:
		s.endFailed()
	case d == parsers.ClientToServer:
		s.abort(span.FailureClientReset)
	default:
		s.serverReset()
	}
}

// relay takes what was read: a parser is shown it, unless the session is opaque, and it goes on.
func (s *session) relay(d parsers.Direction, b []byte) {
	switch {
	case s.flows[d].broken && s.phase == phaseEnding:
		if s.check != nil {
			s.check.Discard(int(d))
		}
	case s.opaque:
		s.forward(d, b)
	case s.stream == nil && d == parsers.ServerToClient:
		s.turnOpaque(parsers.ReasonServerFirst)
		s.forward(d, b)
	default:
		s.observe(d, b)
	}
}

// forward writes b to the destination of d, behind what waits to go there.
func (s *session) forward(d parsers.Direction, b []byte) {
	if d == parsers.ClientToServer && s.parked() {
		s.park(len(s.detour.legs)-1, b)
		return
	}
	s.forwardNow(d, b)
}

// forwardNow writes b to the destination of d, or keeps what it does not take.
func (s *session) forwardNow(d parsers.Direction, b []byte) {
	f, dst := &s.flows[d], s.dst(d)
	if len(b) == 0 || f.broken || s.phase == phaseClosed {
		s.unsent(d, len(b))
		return
	}
	if len(f.pending) == 0 && dst.writable {
		n, ok := s.write(d, b)
		if !ok || n == len(b) {
			return
		}
		b = b[n:]
	}
	s.keepPending(f, b)
}

// forwardTwo writes a, then b, in one call: a backend must not see an edited head apart from what was read with it.
func (s *session) forwardTwo(d parsers.Direction, a, b []byte) {
	f, dst := &s.flows[d], s.dst(d)
	if len(a) == 0 || len(b) == 0 || len(f.pending) > 0 || !dst.writable || f.broken ||
		d == parsers.ClientToServer && s.parked() {
		s.forward(d, a)
		s.forward(d, b)
		return
	}
	n, errno := s.w.gather.send(int(dst.fd), a, b)
	if errno != 0 && errno != unix.EAGAIN {
		s.writeFailed(d, errno)
		return
	}
	if s.check != nil {
		s.check.Sent(int(d), a[:min(n, len(a))])
		s.check.Sent(int(d), b[:max(n-len(a), 0)])
	}
	if n < len(a) {
		s.keepPending(f, a[n:])
		n = len(a)
	}
	if n < len(a)+len(b) {
		dst.writable = len(f.pending) == 0
		s.forward(d, b[n-len(a):])
	}
}

// write sends b until the kernel refuses. ok is false when the destination failed; then the session has been told. A short write is
// tried again, so that EAGAIN arms the next edge.
func (s *session) write(d parsers.Direction, b []byte) (n int, ok bool) {
	dst := s.dst(d)
	for n < len(b) {
		m, errno := send(int(dst.fd), b[n:])
		if errno == unix.EAGAIN {
			dst.writable = false
			return n, true
		}
		if errno != 0 {
			s.writeFailed(d, errno)
			return n, false
		}
		if s.check != nil {
			s.check.Sent(int(d), b[n:n+m])
		}
		n += m
	}
	return n, true
}

// flush writes what is pending in direction d, passes FIN on when that was the last, and goes on reading the source.
func (s *session) flush(d parsers.Direction) {
	f := &s.flows[d]
	n, ok := s.write(d, f.pending)
	if !ok {
		return
	}
	s.took(f, n)
	if f.pending != nil || s.parked() && s.tryMove() {
		return
	}
	s.passEnd(d)
	if s.phase != phaseClosed {
		s.pump(d)
	}
}

// writeFailed handles an error on writing to the destination of d. A server that takes nothing more may still have an answer in
// flight (an early 413, then a reset): that is delivered first. A client that is gone ends the session.
func (s *session) writeFailed(d parsers.Direction, errno syscall.Errno) {
	if d == parsers.ServerToClient {
		s.abort(s.clientGone())
		return
	}
	if s.outlives() {
		s.leave()
		return
	}
	s.reset = s.reset || errno != unix.EPIPE // EPIPE: the reset came after its FIN, and all it had to say is complete
	k := &s.socks[server]
	k.readable, k.drain = true, true
	if s.phase != phaseEnding {
		s.startEnding()
	}
}

// clientGone names the failure of a client that has reset.
func (s *session) clientGone() span.Failure {
	if s.flows[parsers.ClientToServer].eof {
		return span.FailureClientClosed // it had closed, not half-closed
	}
	return span.FailureClientReset
}

// keepPending keeps b until the destination takes it.
func (s *session) keepPending(f *flow, b []byte) {
	if f.pending == nil {
		f.pending = s.w.getBuffer(len(b))
	}
	f.pending = append(f.pending, b...)
	s.w.stats.PendingBytes += int64(len(b))
}

// took notes that the destination has taken the first n bytes of what is pending.
func (s *session) took(f *flow, n int) {
	if n == len(f.pending) {
		s.freePending(f)
		return
	}
	s.w.stats.PendingBytes -= int64(n)
	f.pending = f.pending[n:] // moving up to 1 MiB for each bit that a slow receiver takes would cost more than the lost front
}

// freePending lets the pending bytes of f go.
func (s *session) freePending(f *flow) {
	s.w.stats.PendingBytes -= int64(len(f.pending))
	s.w.putBuffer(f.pending)
	f.pending = nil
}
