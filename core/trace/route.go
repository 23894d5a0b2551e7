package trace

import (
	"bytes"
	"strings"

	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/span"
)

// DefaultRouteHeader bears route values, as Netramesh has it.
const DefaultRouteHeader = "X-Route"

// setRoute takes the settings of routing. Without Routes it is off, and its names must be allowed all the same.
func (s *Shared) setRoute(c *Config) error {
	name := c.RouteHeader
	if name == "" {
		name = DefaultRouteHeader
	}
	if err := checkWritable("route-header", name); err != nil {
		return err
	}
	if c.RouteCookie != "" && !isToken(c.RouteCookie) {
		return refused("route-cookie", c.RouteCookie, "must be the name of a cookie")
	}
	if c.Routes == nil {
		return nil
	}
	low := strings.ToLower(name)
	if s.headers.get(low) != nil {
		return refused("route-header", name, "must differ from the other headers that are read")
	}
	s.headers.add(low, headRoute)
	s.ours = append(s.ours, low)
	s.routes, s.routeLine, s.routeCookie = c.Routes, name+": ", c.RouteCookie
	if s.routeCookie != "" {
		s.headers.add("cookie", headCookie)
	}
	return nil
}

// Routes returns what the loops share about routes; nil when routing is off.
func (s *Shared) Routes() *route.Routes { return s.routes }

// RouteStats counts route values, by what became of them.
type RouteStats struct {
	Remembered uint64 // of inbound requests
	Recalled   uint64 // outbound requests that got the value of their inbound request
	Malformed  uint64 // of either
}

// route reads the request's route value: the cookie's before the header's. An inbound one is remembered under the request's id; an outbound request without
// one gets the value remembered under its id. It returns the value to write into the head, nil when there is none to write, and leaves an outbound
// request's value in e.
func (t *Tracer) route(a *Active, r *Request, id []byte, e *Edit) (write *route.Value) {
	text, has := t.routeText(r)
	var v *route.Value
	if has {
		if v = t.routes.Parse(text); v == nil {
			t.Stats.Routes.Malformed++
		}
	}
	if r.Kind == span.Server {
		if v != nil && joinable(id) {
			t.Stats.Routes.Remembered++
			a.route = t.s.routes.Table.Remember(id, v, r.Mono)
		}
		return nil
	}
	if !has && joinable(id) {
		if v = t.s.routes.Table.Recall(id, r.Mono); v != nil {
			t.Stats.Routes.Recalled++
		}
	}
	e.Route = v
	if t.seen.has(headRoute) {
		return nil // what the application forwards goes as it is
	}
	return v
}

// routeText returns the request's own value.
func (t *Tracer) routeText(r *Request) (text []byte, has bool) {
	if t.s.routeCookie != "" {
		for _, line := range t.seen.cookies {
			for v := line.In(r.Data); len(v) > 0; {
				var pair []byte
				pair, v, _ = bytes.Cut(v, semicolon)
				// Only the first "=" ends the name: the value has some of its own.
				if name, value, ok := bytes.Cut(pair, equals); ok && string(bytes.TrimSpace(name)) == t.s.routeCookie {
					return bytes.Trim(bytes.TrimSpace(value), `"`), true
				}
			}
		}
	}
	if t.seen.has(headRoute) {
		return t.value(headRoute, r), true
	}
	return nil, false
}
