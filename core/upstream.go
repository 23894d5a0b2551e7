package core

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
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
)

// upstream is where an explicit listener leads. Loops read its addresses; its own goroutine looks the name up.
type upstream struct {
	name  string // host:port as configured
	host  string
	port  uint16
	addrs atomic.Pointer[[]netip.AddrPort]
	ask   chan struct{} // a dial failed: look again
	fixed bool          // the host is an address
}

// newUpstream parses hostport, which has been checked.
func newUpstream(hostport string) *upstream {
	host, portText, _ := net.SplitHostPort(hostport)
	port, _ := strconv.ParseUint(portText, 10, 16)
	u := &upstream{name: hostport, host: host, port: uint16(port), ask: make(chan struct{}, 1)}
	if a, err := netip.ParseAddr(host); err == nil {
		u.fixed = true
		u.addrs.Store(&[]netip.AddrPort{netip.AddrPortFrom(a.Unmap(), u.port)})
	}
	return u
}

// addresses returns what the name resolved to last; empty when it never did.
func (u *upstream) addresses() []netip.AddrPort {
	if p := u.addrs.Load(); p != nil {
		return *p
	}
	return nil
}

// is reports whether one of the addresses is ap, or ap is a wildcard and the address is loopback with its port.
func (u *upstream) is(ap netip.AddrPort) bool {
	for _, a := range u.addresses() {
		if a == ap || (a.Port() == ap.Port() && ap.Addr().IsUnspecified() && (a.Addr().IsLoopback() || a.Addr().IsUnspecified())) {
			return true
		}
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

// keepResolved is the goroutine that looks the name up until ctx ends.
func (u *upstream) keepResolved(ctx context.Context, log *slog.Logger, t *Throttle) {
	tick := time.NewTicker(resolveEvery)
	defer tick.Stop()
	for {
		if err := u.resolve(ctx); err != nil && ctx.Err() == nil {
			t.Log(log, slog.LevelWarn, "upstream name does not resolve", "upstream", u.name, "error", err)
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
