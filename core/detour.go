package core

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// RouteHow says what became of an outbound request that bears a route value.
type RouteHow uint8

// The values of RouteHow.
const (
	// RouteTaken: it went where the value says.
	RouteTaken RouteHow = iota
	// RouteUnmatched: no pair of the value is about its Host.
	RouteUnmatched
	// RouteRefused: the route leads where none may; the request went to its original destination.
	RouteRefused
	// RouteLate: the beginning of its head had gone on already, so the rest followed.
	RouteLate
	// NumRouteHows is the number of values of RouteHow.
	NumRouteHows
)

// String returns the value of the label `how` of spanwire_routes_total.
func (h RouteHow) String() string {
	return [NumRouteHows]string{"routed", "unmatched", "refused", "late"}[h]
}

// detour is what a session that has met a route knows beside the rest. Its upstream connection is to the target of the last request that was
// sent on it; a request for another target moves it there, once all requests before have been answered. What the client sends meanwhile is one
// read at most: it waits in legs, and the client is not read.
type detour struct {
	at    *route.Target    // where the upstream connection leads; nil: the original destination
	addrs []netip.AddrPort // of at
	gone  bool             // that connection has ended, or never stood, and a leg waits to be told its addresses
	legs  []leg            // what waits, in order
	ask   *route.Target    // whose addresses have been asked for
	home  span.Endpoint    // the original destination of a redirected connection
	zone  uint32           // and its interface
}

// leg is a run of requests for one target.
type leg struct {
	to       *route.Target // nil: the original destination
	first    *exchange     // its first request; valid while the session is not opaque
	ready    bool          // all requests before it have been answered
	requests uint64
	bytes    []byte // as they are to be sent; from the worker's buffers
}

// last returns where the last request seen goes.
func (d *detour) last() *route.Target {
	if n := len(d.legs); n > 0 {
		return d.legs[n-1].to
	}
	return d.at
}

// parked reports whether bytes wait for another upstream connection; then the client is not read.
func (s *session) parked() bool {
	return s.w.routing && s.detour != nil && len(s.detour.legs) > 0
}

// away reports whether the upstream connection leads to a route's target.
func (s *session) away() bool { return s.w.routing && s.detour != nil && s.detour.at != nil }

// addresses returns where the upstream connection may be dialled; nil: at the original destination.
func (s *session) addresses() []netip.AddrPort {
	switch {
	case s.away():
		return s.detour.addrs
	case s.up != nil:
		return s.up.addresses()
	}
	return nil
}

// chooseRoute finds out where a request of an outbound session goes, and begins a leg there when that is elsewhere than the last one. It is
// called between Begin and the edits of the head.
func (s *session) chooseRoute(x *exchange, data []byte, sent int, ev *parsers.Event, v *route.Value) {
	w := s.w
	var to *route.Target
	if v != nil {
		if to = v.Find(ev.Head.Authority.In(data)); to == nil {
			w.stats.Routes[RouteUnmatched]++
		}
	}
	d := s.detour
	if d == nil {
		if to == nil {
			return
		}
		d = &detour{home: s.dest, zone: s.zone}
		s.detour = d
	}
	switch {
	case to == d.last() && len(d.legs) > 0:
		d.legs[len(d.legs)-1].requests++
	case to == d.last():
		if to != nil {
			w.stats.Routes[RouteTaken]++
			tagRoute(x, to)
		}
	case int(ev.Head.Range.Lo) < sent:
		w.stats.Routes[RouteLate]++
	default:
		w.build.takeTo(data, int(ev.Head.Range.Lo))
		w.cuts = append(w.cuts, len(w.build.out))
		d.legs = append(d.legs, leg{to: to, first: x, requests: 1})
	}
}

// routeTag is the tag that names where a route led.
const routeTag = "spanwire.route"

// tagRoute names on a span where its request goes.
func tagRoute(x *exchange, to *route.Target) {
	if x.Rec.IsSampled() {
		x.Rec.AddTag(routeTag, to.Label())
	}
}

// sendLegs sends what worker.build and data[:to] hold: what stands before the first cut to the upstream connection, the rest to its legs.
func (s *session) sendLegs(data []byte, to int) {
	w, b := s.w, &s.w.build
	b.takeTo(data, to)
	cuts, end := w.cuts, len(b.out)
	for i := len(cuts) - 1; i >= 0; i-- {
		cuts[i], end = end, cuts[i] // from here on the ends of the legs
	}
	before := b.out[:end]
	for i, hi := range cuts {
		s.park(i, b.out[end:hi])
		end = hi
	}
	w.cuts = cuts[:0]
	s.forwardNow(parsers.ClientToServer, before)
	b.done()
}

// park appends b to the i-th leg, or to the last when there are fewer: those that an opaque session had were put together.
func (s *session) park(i int, b []byte) {
	d := s.detour
	if len(d.legs) == 0 || len(b) == 0 {
		return
	}
	l := &d.legs[min(i, len(d.legs)-1)]
	if l.bytes == nil {
		l.bytes = s.w.getBuffer(len(b))
	}
	l.bytes = append(l.bytes, b...)
	s.w.stats.PendingBytes += int64(len(b))
}

// settle puts the legs of a session that turns opaque together: whose answers are whose will not be known any more. If nothing before them
// is in flight they may still move, as one, else they follow what went before.
func (d *detour) settle(head *exchange) {
	if len(d.legs) == 0 {
		return
	}
	l := &d.legs[0]
	l.ready = l.ready || l.first == head
	if !l.ready {
		l.to = d.at
	}
	for i := range d.legs[1:] {
		l.bytes = append(l.bytes, d.legs[1+i].bytes...)
		l.requests += d.legs[1+i].requests
	}
	clear(d.legs[1:])
	d.legs = d.legs[:1]
}

// take removes the first leg.
func (d *detour) take() leg {
	l := d.legs[0]
	n := copy(d.legs, d.legs[1:])
	d.legs[n] = leg{}
	d.legs = d.legs[:n]
	return l
}

// tryMove lets the legs go that can. It reports whether the upstream connection has been replaced, or the session has ended. It must not be called while
// a read is being handled.
func (s *session) tryMove() bool {
	d := s.detour
	if d == nil || len(d.legs) == 0 {
		return false
	}
	for len(d.legs) > 0 {
		if s.phase == phaseClosed || s.phase == phaseEnding {
			return true
		}
		l := &d.legs[0]
		l.ready = l.ready || !s.opaque && s.exchanges.head == l.first
		a, known := s.routeAnswer(l)
		switch {
		case !known:
			return false
		case l.to == d.at && !d.gone:
			s.passLeg()
			continue
		case !l.ready, !d.gone && s.phase == phaseRelaying && len(s.flows[client].pending) > 0:
			return false
		case !s.opaque && s.answeredEarly(l.first):
			s.turnOpaque(parsers.ReasonUnsolicited)
			continue
		}
		s.move(a)
		return true
	}
	if s.socks[client].readable {
		s.w.again.push(s)
	}
	return false
}

// routeAnswer finds the addresses of a leg's target; known is false while they are being looked up. A leg that may not go there goes to the original
// destination.
func (s *session) routeAnswer(l *leg) (a *route.Answer, known bool) {
	if l.to == nil {
		return nil, true
	}
	a = l.to.Answer()
	if a == nil {
		s.askRoute(l.to)
		return nil, false
	}
	if a.Refused {
		w := s.w
		w.stats.Routes[RouteRefused] += l.requests
		w.e.throttles.route.Log(w.e.cfg.Log, slog.LevelWarn, "route refused, the request goes to its original destination",
			"route", l.to.Name, "allowed", "see --route-allow")
		l.to, a = nil, nil
	}
	return a, true
}

// askRoute has the addresses of t looked up, off the loop. A session that waits for them without an upstream connection has a timer.
func (s *session) askRoute(t *route.Target) {
	d, w := s.detour, s.w
	if s.phase == phaseFailing {
		s.leave()
	}
	if d.ask == t {
		return
	}
	d.ask = t
	t.Ask(func() {
		_ = w.loop.Post(func() {
			if s.detour == d && d.ask == t {
				d.ask = nil
				s.tryMove()
			}
		})
	})
}

// answeredEarly reports whether the server at hand has begun to answer x, which was not sent to it.
func (s *session) answeredEarly(x *exchange) bool {
	return len(s.flows[server].kept) > 0 || x.Rec.Status != 0 || x.responded
}

// passLeg sends the first leg on the connection that stands.
func (s *session) passLeg() {
	l := s.detour.take()
	if l.to != nil {
		s.w.stats.Routes[RouteTaken] += l.requests
	}
	s.w.stats.PendingBytes -= int64(len(l.bytes))
	s.forwardNow(parsers.ClientToServer, l.bytes)
	s.w.putBuffer(l.bytes)
}

// move closes the upstream connection, on which nothing is in flight, and dials where the first leg goes. a is nil for the original
// destination; without addresses the name did not resolve, and that is a dial that fails.
func (s *session) move(a *route.Answer) {
	d, w := s.detour, s.w
	l := d.take()
	w.stats.RouteMoves++
	w.loop.StopTimer(&s.timer)
	s.dropServer()
	f := &s.flows[client]
	s.giveUpPending(f)
	f.pending, f.broken = l.bytes, false
	d.at, d.addrs, d.gone = l.to, nil, false
	s.zone = d.zone
	if a != nil {
		w.stats.Routes[RouteTaken] += l.requests
		d.addrs, s.zone = a.Addrs, 0
	} else if s.up == nil {
		s.dest = d.home
	}
	s.reset, s.cause = false, span.FailureNone
	s.next, s.retryIn = 0, 0
	s.phase = phaseDialing
	s.dialUntil = w.loop.Now() + int64(w.e.cfg.DialTimeout)
	s.dial()
}

// outlives reports whether the session goes on without its upstream connection: nothing is in flight there, and what the client has sent waits
// for another.
func (s *session) outlives() bool {
	if !s.parked() || s.detour.gone {
		return false
	}
	l := &s.detour.legs[0]
	return l.ready || !s.opaque && s.exchanges.head == l.first && !s.answeredEarly(l.first)
}

// leave gives the upstream connection up while a leg waits. It may be called in the middle of anything: what follows is left to the next turn.
func (s *session) leave() {
	d, w := s.detour, s.w
	d.gone = true
	d.legs[0].ready = true
	w.loop.StopTimer(&s.timer)
	s.dropServer()
	s.giveUpPending(&s.flows[client])
	s.flows[client].broken = false
	s.phase = phaseDialing
	s.lack = RefusedUnresolved
	s.dialUntil = w.loop.Now() + int64(w.e.cfg.DialTimeout)
	w.loop.SetTimer(&s.timer, w.e.cfg.DialTimeout, s)
	w.again.push(s)
}

// dropLegs gives up what waits.
func (s *session) dropLegs() {
	if s.detour == nil {
		return
	}
	for i := range s.detour.legs {
		l := &s.detour.legs[i]
		s.w.stats.PendingBytes -= int64(len(l.bytes))
		if len(s.flows[client].pending) == 0 { // else those are sent first, and then nothing more
			s.unsent(parsers.ClientToServer, len(l.bytes))
		}
		s.w.putBuffer(l.bytes)
		*l = leg{}
	}
	s.detour.legs = s.detour.legs[:0]
}

// noteDestination tells the spans of the requests that go to the upstream connection at hand where that leads: when they began, it was another.
func (s *session) noteDestination() {
	d := s.detour
	for x := s.exchanges.head; x != nil && !(len(d.legs) > 0 && d.legs[0].first == x); x = x.next {
		x.Rec.Server = s.dest
		if d.at != nil {
			tagRoute(x, d.at)
		}
	}
}

// ownAddresses returns a function that reports whether a connection to an address would arrive at a listener of this process.
func (e *Engine) ownAddresses() func(netip.AddrPort) bool {
	var local []netip.Addr
	if nets, err := net.InterfaceAddrs(); err == nil { // loopback is known without it
		for _, n := range nets {
			if p, err := netip.ParsePrefix(n.String()); err == nil {
				local = append(local, p.Addr())
			}
		}
	}
	return func(ap netip.AddrPort) bool {
		for _, l := range e.listeners {
			if l.addr.Port() != ap.Port() {
				continue
			}
			if ap.Addr() == l.addr.Addr() || l.addr.Addr().IsUnspecified() && (ap.Addr().IsLoopback() || slices.Contains(local, ap.Addr())) {
				return true
			}
		}
		return false
	}
}
