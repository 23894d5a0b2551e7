package core

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// failingWait is how long after a failed dial the client's request may still arrive, to be the span that the failure is told with.
const failingWait = 20 * time.Millisecond

// open makes a session of an accepted connection and dials at once, before any byte is looked at: server-first protocols never
// wait.
func (w *worker) open(a arrival) {
	s := w.getSession()
	s.kind, s.up, s.zone, s.opened = a.kind, a.up, a.zone, w.loop.Now()
	s.peer = span.EndpointFrom(a.peer)
	s.dest = span.EndpointFrom(a.dst)
	for i := range s.socks {
		s.socks[i] = socket{s: s, fd: noFD}
		s.flows[i].limit = min(readMin, w.most)
	}
	s.socks[client].fd, s.socks[client].writable = int32(a.fd), true
	w.addSession(s)
	s.beginCheck()
	if w.e.cfg.Disabled {
		s.setOpaque(parsers.ReasonDisabled)
	}
	if err := w.loop.AddSocket(a.fd, &s.socks[client]); err != nil {
		w.stats.Refused[RefusedDescriptors]++
		s.close(true, span.FailureNone)
		return
	}
	s.dialUntil = s.opened + int64(w.e.cfg.DialTimeout)
	s.dial()
}

// dial starts the connect to the next address. It ends in dialed, dialFailed, or an edge or alarm to wait for.
func (s *session) dial() {
	ap, ok := s.nextAddress()
	if !ok {
		s.dialFailed(RefusedUnresolved, span.FailureUnresolved)
		return
	}
	if !s.opaque && !s.away() && !s.w.e.parsesPort(ap.Port()) {
		s.setOpaque(parsers.ReasonPort)
	}
	if s.up != nil && !s.away() && s.up.isSelf(ap) {
		s.connectFailed(ErrSelfUpstream)
		return
	}
	fd, errno := s.w.addr.dialer(familyOf(ap))
	if errno == unix.EAFNOSUPPORT { // the kernel has no IPv6
		s.connectFailed(errno)
		return
	}
	if errno != 0 {
		s.dialLater(errno, RefusedDescriptors)
		return
	}
	errno = s.w.addr.connect(fd, ap, s.zone)
	if errno != 0 && errno != unix.EINPROGRESS {
		closeFD(fd)
		s.connectFailed(errno)
		return
	}
	s.socks[server].fd = int32(fd)
	if s.check != nil {
		s.check.Connected(client)
	}
	if err := s.w.loop.AddSocket(fd, &s.socks[server]); err != nil {
		s.dialLater(err, RefusedDescriptors)
		return
	}
	s.tryDialed()
	if s.phase == phaseDialing && !s.timer.Active() {
		s.w.loop.SetTimer(&s.timer, time.Duration(s.dialUntil-s.w.loop.Now()), s)
	}
	if s.phase == phaseRelaying {
		// A request that came with the connection: on a fast network it is there by now, and this saves a wake-up.
		s.socks[client].readable = true
		s.pump(parsers.ClientToServer)
	}
}

// nextAddress returns where to dial: the original destination, or the next address of the name of the upstream, or of a route.
func (s *session) nextAddress() (netip.AddrPort, bool) {
	if s.up == nil && !s.away() {
		return s.dest.AddrPort(), true
	}
	addrs := s.addresses()
	if int(s.next) >= len(addrs) {
		return netip.AddrPort{}, false
	}
	s.dest = span.EndpointFrom(addrs[s.next])
	return addrs[s.next], true
}

// tryDialed asks the kernel whether the connection stands, by sending what is pending, or nothing: EAGAIN means not yet
// (tcp_sendmsg waits for the handshake first), an error that it failed. An edge alone proves nothing: it may be a stale one of a
// descriptor number that was used again. On loopback the answer is yes right after connect(2), although that said EINPROGRESS.
func (s *session) tryDialed() {
	f := &s.flows[parsers.ClientToServer]
	n, errno := send(int(s.socks[server].fd), f.pending)
	switch errno {
	case 0:
		if s.check != nil {
			s.check.Sent(client, f.pending[:n])
		}
		s.took(f, n)
		s.dialed()
	case unix.EAGAIN:
	case unix.ECONNRESET, unix.EPIPE:
		// It stood, for a refusal is ECONNREFUSED, and has been reset since. What the server said comes first; the kernel tells the
		// error once, so the end of the queue will look like a FIN.
		s.reset = errno == unix.ECONNRESET
		s.dialed()
	default:
		s.dropServer()
		s.connectFailed(errno)
	}
}

// dropServer closes the upstream socket of a dial that failed.
func (s *session) dropServer() {
	k := &s.socks[server]
	if k.fd != noFD {
		s.w.loop.Forget(int(k.fd))
		closeFD(int(k.fd))
	}
	*k = socket{s: s, fd: noFD}
}

// dialed starts relaying.
func (s *session) dialed() {
	s.w.loop.StopTimer(&s.timer)
	s.phase = phaseRelaying
	s.socks[server].writable = true
	if s.opaque {
		s.endExchanges(span.FailureOpaque)
	}
	if s.w.routing && s.detour != nil {
		s.noteDestination()
	}
	c2s := parsers.ClientToServer
	if len(s.flows[c2s].pending) > 0 {
		s.flush(c2s)
		if s.phase == phaseClosed {
			return
		}
	}
	s.passEnd(c2s)
	if s.phase == phaseRelaying && s.heldSince != 0 {
		s.w.loop.SetTimer(&s.timer, holdIdle, s)
	}
	if s.phase == phaseRelaying && s.socks[client].readable {
		s.pump(c2s) // what came behind the first bytes while dialing
	}
}

// dialAlarm is the timer of the dialing phase: the next try after a back-off, or the dial timeout.
func (s *session) dialAlarm() {
	if s.w.loop.Now() >= s.dialUntil {
		waiting := s.socks[server].fd == noFD
		s.dropServer()
		if waiting {
			s.dialFailed(s.lack, span.FailureRefused)
		} else {
			s.dialFailed(RefusedDialTimeout, span.FailureDialTimeout)
		}
		return
	}
	s.dropServer()
	s.dial()
}

// dialLater tries again after a pause: what is missing, a descriptor or a local port, comes free as other connections end.
func (s *session) dialLater(cause error, what Refusal) {
	s.dropServer()
	w := s.w
	left := time.Duration(s.dialUntil - w.loop.Now())
	if left <= 0 {
		s.dialFailed(what, span.FailureRefused)
		return
	}
	s.lack = what
	s.retryIn = min(max(2*s.retryIn, backoffFirst), backoffMax)
	w.stats.Backoffs++
	w.e.throttles.dial.Log(w.e.cfg.Log, slog.LevelWarn, "out of resources, dialing pauses", "reason", what.String(),
		"upstream", s.dest.AddrPort().String(), "error", cause)
	w.loop.SetTimer(&s.timer, min(s.retryIn, left), s)
}

// connectFailed handles an error of connect(2): the next address, another try, or the end.
func (s *session) connectFailed(err error) {
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL) && !absent(s.dest.AddrPort().Addr()):
		s.dialLater(err, RefusedPorts)
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOMEM):
		s.dialLater(err, RefusedDescriptors)
	case int(s.next)+1 < len(s.addresses()):
		s.next++
		s.dial()
	case errors.Is(err, ErrSelfUpstream):
		s.dialFailed(RefusedSelf, span.FailureRefused)
	case errors.Is(err, unix.ETIMEDOUT):
		s.dialFailed(RefusedDialTimeout, span.FailureDialTimeout)
	default:
		s.dialFailed(RefusedDial, span.FailureRefused)
	}
}

// absent reports whether ip is a loopback address that the host does not have, as where IPv6 is switched off. connect(2) says EADDRNOTAVAIL then, as it
// does when local ports are lacking; bind(2) says that of the address alone.
func absent(ip netip.Addr) bool {
	if !ip.Is6() || !ip.IsLoopback() {
		return false
	}
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer closeFD(fd)
	return errors.Is(unix.Bind(fd, &unix.SockaddrInet6{Addr: ip.As16()}), unix.EADDRNOTAVAIL)
}

// dialFailed turns to telling the failure: as the span of the request if one has come or comes within a moment, else as a
// span of its own. Then the client is reset: it was accepted already, and a close would look like an empty answer.
func (s *session) dialFailed(why Refusal, f span.Failure) {
	w := s.w
	w.stats.Refused[why]++
	if s.up != nil && !s.away() {
		s.up.failed()
	}
	w.e.throttles.dial.Log(w.e.cfg.Log, slog.LevelWarn, "upstream not reached", "reason", why.String(),
		"side", s.kind.String(), "upstream", s.upstreamName())
	if s.outlives() {
		s.leave()
		return
	}
	s.giveUpPending(&s.flows[parsers.ClientToServer])
	if w.routing && s.detour != nil {
		s.dropLegs()
		s.noteDestination()
	}
	s.cause = f
	s.phase = phaseFailing
	s.flows[parsers.ClientToServer].broken = true
	w.loop.StopTimer(&s.timer)
	if s.failureTold() {
		s.endFailed()
		return
	}
	w.loop.SetTimer(&s.timer, failingWait, s)
	s.socks[client].readable = true // what came while dialing, if anything
	s.failingTurn()
}

// upstreamName is how logs call the destination.
func (s *session) upstreamName() string {
	if s.away() {
		return s.detour.at.Name
	}
	if s.up != nil {
		return s.up.name
	}
	return s.dest.AddrPort().String()
}

// failureTold reports that waiting for a request is over: one has come, or none can.
func (s *session) failureTold() bool {
	return s.exchanges.head != nil || s.opaque || s.flows[parsers.ClientToServer].eof
}

// failingTurn reads what the client has sent.
func (s *session) failingTurn() {
	s.pump(parsers.ClientToServer)
	if s.phase == phaseFailing && s.failureTold() {
		s.endFailed()
	}
}

// endFailed ends a session whose dial failed.
func (s *session) endFailed() {
	if s.exchanges.head == nil && !s.w.e.cfg.Disabled {
		s.recordConnect()
	}
	s.close(true, s.cause)
}

// recordConnect records the span of a dial that failed before any request came.
func (s *session) recordConnect() {
	w := s.w
	x := w.getExchange()
	r := &w.req
	s.describe(r)
	r.Data, r.Head, r.Protocol, r.Unedited = nil, nil, "", parsers.ReasonNone
	back := r.Mono - s.opened
	r.Mono, r.Wall = s.opened, r.Wall-back
	w.tracer.Connect(&x.Active, r)
	x.Rec.Failure = s.cause
	w.tracer.End(&x.Active, w.loop.Now())
	w.stats.ConnectSpans++
	w.record(&x.Rec)
	w.putExchange(x)
}
