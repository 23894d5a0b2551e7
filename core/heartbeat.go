package core

import (
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/loop"
)

const (
	// beatEvery is how often a loop shows that it is alive.
	beatEvery = 500 * time.Millisecond
	// beatStale is how old the sign of another loop may be for a heartbeat to be sent: one turn, and half of one for a busy machine.
	beatStale = 750 * time.Millisecond
	// heartbeatLife is how long after a heartbeat the rules of `spanwire intercept add --fail-open` go on redirecting (two seconds), and a
	// little more.
	heartbeatLife = 2200 * time.Millisecond
)

// heart sends the heartbeats: a datagram to the port of the transparent listener at the loopback address of each family, which the rules see
// go by and nobody receives. They come from the loops themselves, so that connections find their way past when one hangs: each loop
// leaves a sign of life in its turn, and the first one sends while all others' are fresh.
type heart struct {
	fds     [2]int // noFD for a family that the host has not got
	stopped atomic.Bool
	beats   []beat
}

// beat is a loop's part.
type beat struct {
	h     *heart
	w     *worker
	timer loop.Timer
	at    atomic.Int64 // monotonic ns of the last turn
}

// datagram is what is sent; its content means nothing.
var datagram = [...]byte{0}

// newHeart opens the sockets. The loops' turns begin with start.
func newHeart(e *Engine, port uint16) *heart {
	h := &heart{beats: make([]beat, len(e.workers))}
	for i, a := range [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		h.fds[i] = openDatagram(netip.AddrPortFrom(a, port))
	}
	for i, w := range e.workers {
		h.beats[i].h, h.beats[i].w = h, w
	}
	return h
}

// openDatagram returns a socket that sends to ap; noFD when the host has no such address.
func openDatagram(ap netip.AddrPort) int {
	family, sa := sockaddrOf(ap)
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return noFD
	}
	if err := unix.Connect(fd, sa); err != nil {
		closeFD(fd)
		return noFD
	}
	return fd
}

// start begins a loop's turns; by the goroutine that starts the loop, before it runs.
func (b *beat) start() { b.Expire() }

// Expire is a loop's turn.
func (b *beat) Expire() {
	now := b.w.loop.Now()
	b.at.Store(now)
	if b == &b.h.beats[0] {
		b.h.send(now)
	}
	b.w.loop.SetTimer(&b.timer, beatEvery, b)
}

// send sends a heartbeat of each family, unless a loop hangs.
func (h *heart) send(now int64) {
	if h.stopped.Load() {
		return
	}
	for i := range h.beats {
		if now-h.beats[i].at.Load() > int64(beatStale) {
			return
		}
	}
	for _, fd := range h.fds {
		if fd == noFD {
			continue
		}
		if _, errno := send(fd, datagram[:]); errno == unix.ECONNREFUSED {
			_, _ = send(fd, datagram[:]) // that was what became of the one before, for nobody listens; this one is sent
		}
	}
}

// stop sends no more heartbeats.
func (h *heart) stop() { h.stopped.Store(true) }

// close closes the sockets, once no loop runs.
func (h *heart) close() {
	for i, fd := range h.fds {
		if fd != noFD {
			closeFD(fd)
			h.fds[i] = noFD
		}
	}
}
