package main

import (
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/settings"
)

// verifyRules says which header lines the settings let the engine insert and delete; nil: nothing is to be verified.
func verifyRules(c *settings.Config) *verify.Rules {
	switch {
	case !c.Verify:
		return nil
	case c.Disabled:
		return verify.NewRules(nil)
	}
	n := verify.Names{RequestID: c.RequestIDHeader, TraceResponse: c.TraceResponseHeader}
	if c.XSourceValue != "" {
		n.XSource = c.XSourceHeader
	}
	if c.Route {
		n.Route = c.RouteHeader
	}
	return verify.NewRules(&n)
}
