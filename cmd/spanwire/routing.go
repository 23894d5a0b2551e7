package main

import (
	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/settings"
)

// routes makes what routing needs; nil when it is off.
func routes(c *settings.Config) (*route.Routes, error) {
	if !c.Route || c.Disabled {
		return nil, nil
	}
	// Not nil: a list that was given empty allows nothing, as the settings show it.
	allow, err := route.ParseAllow(append([]string{}, c.RouteAllow...))
	if err != nil {
		return nil, usageError{err}
	}
	return route.New(allow, c.RouteTTL, 0), nil
}
