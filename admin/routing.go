package admin

import "github.com/spanwire/spanwire/core"

// appendRoutes appends what became of route values.
func appendRoutes(e *encoder, st *core.Stats) {
	e.family("spanwire_routes_total", "counter", "Outbound requests with a route value, by what became of them.")
	for h := core.RouteTaken; h < core.NumRouteHows; h++ {
		e.uint(st.Routes[h], "how", h.String())
	}
	e.family("spanwire_route_values_total", "counter", "Route values that inbound requests brought, outbound requests got, or nobody can read.")
	e.uint(st.RouteValues.Remembered, "what", "remembered")
	e.uint(st.RouteValues.Recalled, "what", "recalled")
	e.uint(st.RouteValues.Malformed, "what", "malformed")
	e.family("spanwire_route_moves_total", "counter", "Upstream connections replaced, for a request with another route.")
	e.uint(st.RouteMoves)
}
