package core

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// resolveEvery is how often a name is looked up again, resolveTimeout how long one look-up may take, resolveGap how far apart look-ups after
	// failed dials stand.
	resolveEvery   = 30 * time.Second
	resolveTimeout = 5 * time.Second
	resolveGap     = time.Second
	// resolveStart is how long the start waits for the first answers: a name server that is near, or /etc/hosts, has answered by then.
	resolveStart = 200 * time.Millisecond
)

// upstream is where an explicit listener leads. Loops read its addresses; its own goroutine looks the name up.
type upstream struct {
	name  string // host:port as configured
	host  string
	port  uint16
	addrs atomic.Pointer[[]netip.AddrPort]
	ask   chan struct{} // a dial failed: look again
	fixed bool          // the host is an address
	// looked is closed once the name has been looked up for the first time, whatever came of it, and from the start if there is none.
	looked chan struct{}

	bound netip.AddrPort // the listener that leads here
	local []netip.Addr   // the host's addresses, when bound is a wildcard
}

// newUpstream parses hostport, which has been checked.
func newUpstream(hostport string) *upstream {
	host, portText, _ := net.SplitHostPort(hostport)
	port, _ := strconv.ParseUint(portText, 10, 16)
	u := &upstream{name: hostport, host: host, port: uint16(port), ask: make(chan struct{}, 1), looked: make(chan struct{})}
	if a, err := netip.ParseAddr(host); err == nil {
		u.fixed = true
		close(u.looked)
		u.addrs.Store(&[]netip.AddrPort{netip.AddrPortFrom(a.Unmap(), u.port)})
	}
	return u
}

// lookedUp reports whether the name has been looked up, be it in vain; true for the nil upstream of the transparent listener.
func (u *upstream) lookedUp() bool {
	if u == nil {
		return true
	}
	select {
	case <-u.looked:
		return true
	default:
		return false
	}
}

// addresses returns what the name resolved to last; empty when it never did.
func (u *upstream) addresses() []netip.AddrPort {
	if p := u.addrs.Load(); p != nil {
		return *p
	}
	return nil
}

// bind notes the address of the listener that leads to u.
func (u *upstream) bind(ap netip.AddrPort) {
	u.bound = ap
	if !ap.Addr().IsUnspecified() {
		return
	}
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return // loopback is known without it
	}
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			u.local = append(u.local, p.Addr())
		}
	}
}

// isSelf reports whether a connection to ap would arrive at the very listener that leads here.
func (u *upstream) isSelf(ap netip.AddrPort) bool {
	at, a := u.bound.Addr(), ap.Addr()
	switch {
	case ap.Port() != u.bound.Port():
		return false
	case a == at:
		return true
	case a.IsUnspecified():
		return at.IsLoopback() || at.IsUnspecified() // connect(2) takes it for loopback
	case at.IsUnspecified():
		return a.IsLoopback() || slices.Contains(u.local, a)
	}
	return false
}

// failed says that a dial failed, so that the name is looked up again soon. It never blocks.
func (u *upstream) failed() {
	if u.fixed {
		return
	}
	select {
	case u.ask <- struct{}{}:
	default:
	}
}

// resolve looks the name up once and keeps the old answer when that fails.
func (u *upstream) resolve(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.host)
	if err != nil {
		return err
	}
	addrs := make([]netip.AddrPort, 0, len(ips))
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), u.port))
	}
	u.addrs.Store(&addrs)
	return nil
}

// keepResolved is the goroutine that looks the name up, at once and each time the period is over or a dial has failed, until ctx ends.
func (u *upstream) keepResolved(ctx context.Context, every time.Duration, log *slog.Logger, t *Throttle) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for first := true; ; first = false {
		if err := u.resolve(ctx); err != nil && ctx.Err() == nil {
			t.Log(log, slog.LevelWarn, "upstream name does not resolve", "upstream", u.name, "error", err)
		}
		if first {
			close(u.looked)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(resolveGap):
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-u.ask:
		}
	}
}
