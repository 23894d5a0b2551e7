package core

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// end is one side of a session that is played.
type end struct {
	fd      int
	rest    []byte // what is to be said
	queue   []byte // of it, what the kernel has not taken yet
	said    []byte // what it has taken
	heard   []byte
	deaf    bool  // it does not read
	shut    bool  // it has half-closed
	closed  bool  // it has left: closed, or reset
	reset   bool  // by a reset
	heardIt error // errHeardEnd or the error that ended its reading
	lost    error // of writing
}

// errHeardEnd says that a side has read the end of the stream.
var errHeardEnd = errors.New("end of stream")

// write writes what waits.
func (e *end) write() bool {
	if len(e.queue) == 0 || e.closed || e.lost != nil {
		return false
	}
	n, errno := send(e.fd, e.queue)
	if errno != 0 {
		if errno != unix.EAGAIN {
			e.lost = errno
			return true
		}
		return false
	}
	e.said = append(e.said, e.queue[:n]...)
	e.queue = e.queue[n:]
	if len(e.queue) == 0 && e.shut {
		shutdownFD(e.fd)
	}
	return n > 0
}

// read reads once.
func (e *end) read(buf []byte) bool {
	if e.closed || e.heardIt != nil {
		return false
	}
	n, errno := recv(e.fd, buf)
	switch {
	case errno == unix.EAGAIN:
		return false
	case errno != 0:
		e.heardIt = errno
	case n == 0:
		e.heardIt = errHeardEnd
	default:
		e.heard = append(e.heard, buf[:n]...)
	}
	return true
}

// holdings is what the engine and the process hold, to be the same before a session and after it.
type holdings struct {
	fd        int // the lowest descriptor that is free
	exchanges int
	buffers   int
	requests  uint64
	connects  uint64
	dropped   uint64
	altered   uint64
	// unaccounted is how many bytes are held, or lost, as the verification counts.
	unaccounted uint64
}

// hold looks at what is held now.
func (p *player) hold() (h holdings) {
	h.fd = lowestFree()
	h.exchanges, h.buffers = p.w.nFree, len(p.w.buffers)
	st := p.w.snapshot()
	for _, side := range st.Requests {
		for _, n := range side {
			h.requests += n
		}
	}
	for d, v := range st.Verified {
		h.altered += v.Altered
		h.unaccounted += st.Bytes[d] - v.Verified - v.Undelivered
	}
	h.connects, h.dropped = st.ConnectSpans, st.RingDropped
	return h
}

// lowestFree is the number that the next descriptor would have: a leak below raises it.
func lowestFree() int {
	fd, err := unix.Dup(0)
	if err != nil {
		return -1
	}
	closeFD(fd)
	return fd
}

// released checks that nothing is left of the session.
func (p *player) released() error {
	now := p.hold()
	st := &p.w.stats
	switch {
	case st.Sessions[0]+st.Sessions[1] != 0:
		return fmt.Errorf("%d sessions are open", st.Sessions)
	case st.PendingBytes != 0:
		return fmt.Errorf("%d bytes are pending", st.PendingBytes)
	case p.w.load.Load() != 0 || p.w.listed.Load() != 0:
		return fmt.Errorf("the load is %d, listed %d", p.w.load.Load(), p.w.listed.Load())
	case now.fd > p.before.fd:
		return fmt.Errorf("a descriptor was left open: %d is free, before it was %d", now.fd, p.before.fd)
	case now.exchanges < p.before.exchanges:
		return fmt.Errorf("%d free exchanges, before %d", now.exchanges, p.before.exchanges)
	case now.buffers < p.before.buffers && p.knobs&knobNarrow == 0: // a buffer that a slow receiver took piece by piece is left to the collector
		return fmt.Errorf("%d free buffers, before %d", now.buffers, p.before.buffers)
	case now.altered != 0:
		return fmt.Errorf("%d bytes were altered, says the engine", now.altered)
	case now.unaccounted != 0:
		return fmt.Errorf("%d bytes were received and are neither verified nor undelivered", now.unaccounted)
	case p.shared.JoinStats(0).Live != 0:
		return errors.New("a request is in flight in the join table")
	}
	p.before.requests = now.requests - p.before.requests
	p.before.connects = now.connects - p.before.connects
	p.before.dropped = now.dropped - p.before.dropped
	return nil
}
