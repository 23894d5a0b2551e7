package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/loop"
	"github.com/spanwire/spanwire/core/span"
)

const (
	// backlog asks for more than the kernel's usual limit (net.core.somaxconn), which then applies.
	backlog = 65535
	// acceptBatch is how many connections one turn accepts before others get theirs; the listener is level-triggered.
	acceptBatch = 64
	// backoffFirst and backoffMax are the pauses after running out of descriptors or ports; each lasts twice as long as the one before.
	backoffFirst = 20 * time.Millisecond
	backoffMax   = time.Second
)

// listener is a listening socket; one worker accepts from it.
type listener struct {
	w    *worker
	fd   int
	name string
	addr netip.AddrPort // as bound
	up   *upstream      // nil: transparent
	kind span.Kind      // of an explicit listener

	timer  loop.Timer
	pause  time.Duration
	closed bool
}

// listen binds addr ("host:port"; an empty host is every address, v4 and v6). What a relay needs of accepted sockets is set here: they
// inherit it.
func listen(addr string) (fd int, bound netip.AddrPort, err error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return noFD, bound, err
	}
	ap := tcp.AddrPort()
	wildcard := tcp.IP == nil
	if wildcard {
		ap = netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(tcp.Port))
	}
	ap = netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	fd, bound, err = bind(ap, wildcard)
	if wildcard && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		// A host without IPv6.
		fd, bound, err = bind(netip.AddrPortFrom(netip.IPv4Unspecified(), ap.Port()), false)
	}
	return fd, bound, err
}

// bind makes a listening socket on ap; dual opens a v6 wildcard to v4 as well.
func bind(ap netip.AddrPort, dual bool) (fd int, bound netip.AddrPort, err error) {
	family, sa := sockaddrOf(ap)
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return noFD, bound, err
	}
	defer func() {
		if err != nil {
			closeFD(fd)
			fd = noFD
		}
	}()
	if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fd, bound, err
	}
	if family == unix.AF_INET6 {
		only := 1
		if dual {
			only = 0
		}
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return fd, bound, err
		}
	}
	if err = setRelayOptions(fd); err != nil {
		return fd, bound, err
	}
	if err = unix.Bind(fd, sa); err != nil {
		return fd, bound, err
	}
	if err = unix.Listen(fd, backlog); err != nil {
		return fd, bound, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fd, bound, err
	}
	return fd, addrPortOf(name), nil
}

// Ready accepts what has come.
func (l *listener) Ready(loop.Events) {
	for range acceptBatch {
		fd, err := l.w.addr.accept(l.fd)
		switch err {
		case 0:
			l.pause = 0
			l.accepted(fd, l.w.addr.addrPort())
		case unix.EAGAIN:
			return
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			l.w.stats.Refused[RefusedDescriptors]++
			l.backOff(err)
			return
		default:
			// Errors of the network that were pending on the new connection (man 2 accept, Error handling).
			l.w.e.throttles.accept.Log(l.w.e.cfg.Log, slog.LevelWarn, "accept failed", "listener", l.addr.String(), "error", err)
		}
	}
}

// backOff stops accepting for a while: the connections wait in the kernel's queue.
func (l *listener) backOff(cause error) {
	if l.timer.Active() || l.closed {
		return
	}
	l.pause = min(max(2*l.pause, backoffFirst), backoffMax)
	l.w.stats.Backoffs++
	if err := l.w.loop.Pause(l.fd); err != nil {
		panic("BUG: pause of a listener: " + err.Error())
	}
	l.w.loop.SetTimer(&l.timer, l.pause, l)
	l.w.e.throttles.accept.Log(l.w.e.cfg.Log, slog.LevelWarn, "out of resources, accepting pauses",
		"listener", l.addr.String(), "error", cause, "pause", l.pause)
}

// openLater has the loop begin to accept once the upstream's name has been looked up: who comes before waits in the kernel's queue, and is not turned
// away for an answer that is on its way. It ends with ctx. Not for the loop's goroutine.
func (l *listener) openLater(ctx context.Context) {
	select {
	case <-l.up.looked:
		_ = l.w.loop.Post(l.Expire) // a loop that has ended accepts nothing
	case <-ctx.Done():
	}
}

// Expire goes on accepting after a back-off, or begins.
func (l *listener) Expire() {
	if l.closed {
		return
	}
	if err := l.w.loop.AddListener(l.fd, l); err != nil {
		l.w.loop.SetTimer(&l.timer, backoffMax, l)
	}
}

// close stops accepting for good. Loop goroutine only.
func (l *listener) close() {
	if l.closed {
		return
	}
	l.closed = true
	l.w.loop.StopTimer(&l.timer)
	l.w.loop.Forget(l.fd)
	closeFD(l.fd)
}

// accepted finds out where a new connection was going and places it on a loop.
func (l *listener) accepted(fd int, peer netip.AddrPort) {
	e := l.w.e
	a := arrival{fd: fd, peer: peer, kind: l.kind, up: l.up}
	if l.up == nil {
		ok := false
		if a, ok = l.findDestination(a); !ok {
			l.refuse(fd, RefusedSelf, peer)
			return
		}
	}
	w := e.place(l.w, a.kind)
	w.load.Add(1)
	if w == l.w {
		w.open(a)
		return
	}
	moved := a
	if err := w.loop.Post(func() { w.open(moved) }); err != nil {
		w.load.Add(-1)
		resetFD(fd)
	}
}

// arrival is an accepted connection on its way to its loop.
type arrival struct {
	fd   int
	peer netip.AddrPort
	dst  netip.AddrPort // redirected connections
	zone uint32
	kind span.Kind
	up   *upstream // explicit ones
}

// findDestination fills in the original destination; false when it is this sidecar itself.
func (l *listener) findDestination(a arrival) (arrival, bool) {
	name, err := unix.Getsockname(a.fd)
	if err != nil {
		return a, false
	}
	local := addrPortOf(name)
	dst, zone, ok := originalDestination(a.fd, local)
	if !ok || l.w.e.isOwn(dst, local) {
		return a, false
	}
	a.dst, a.zone, a.kind = dst, zone, sideOf(local.Addr(), dst.Addr())
	return a, true
}

// refuse resets a connection that cannot be relayed.
func (l *listener) refuse(fd int, why Refusal, peer netip.AddrPort) {
	l.w.stats.Refused[why]++
	resetFD(fd)
	l.w.e.throttles.refuse.Log(l.w.e.cfg.Log, slog.LevelWarn, "connection refused", "reason", why.String(),
		"listener", l.addr.String(), "client", peer.String())
}

// newListener binds an explicit or (up == nil) the transparent listener.
func newListener(w *worker, name, addr string, kind span.Kind, up *upstream) (*listener, error) {
	fd, bound, err := listen(addr)
	if err != nil {
		return nil, fmt.Errorf("listen %s: %w", strings.TrimSpace(addr), err)
	}
	l := &listener{w: w, fd: fd, name: name, addr: bound, kind: kind, up: up}
	if up == nil {
		return l, nil
	}
	up.bind(bound)
	if slices.ContainsFunc(up.addresses(), up.isSelf) {
		closeFD(fd)
		return nil, fmt.Errorf("listen %s, upstream %s: %w", addr, up.name, ErrSelfUpstream)
	}
	return l, nil
}
