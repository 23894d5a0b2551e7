package settings

import (
	"time"

	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/trace"
)

func routeRows() []Setting {
	return []Setting{
		{
			Name: "route", Section: SectionRouting, form: boolean,
			Help:       "send outbound requests where their route value says, HOST=OTHER[:PORT],…",
			Allowed:    "true or false",
			compatible: []compatible{netraSwitch("NETRA_HTTP_ROUTING_ENABLED")},
			set:        one(parseSwitch, func(c *Config, v bool) { c.Route = v }),
		},
		{
			Name: "route-header", Section: SectionRouting, Value: "NAME",
			Help:       "header that bears the route value",
			Allowed:    "the name of a header",
			compatible: []compatible{plain("NETRA_HTTP_ROUTING_HEADER_NAME")},
			fixed:      []string{trace.DefaultRouteHeader},
			set:        one(parseToken, func(c *Config, v string) { c.RouteHeader = v }),
		},
		{
			Name: "route-cookie", Section: SectionRouting, Value: "NAME",
			Help:       "cookie that bears the route value, and beats the header",
			Allowed:    "the name of a cookie",
			compatible: []compatible{netraRouteCookie()},
			set:        one(parseToken, func(c *Config, v string) { c.RouteCookie = v }),
		},
		{
			Name: "route-ttl", Section: SectionRouting, Value: "DURATION",
			Help:       "how long an inbound request's route value is remembered after its last use",
			Allowed:    "a duration from 1ms to 24h, such as 5s",
			compatible: []compatible{netraExpiration("NETRA_ROUTING_CONTEXT_EXPIRATION_MILLISECONDS")},
			fixed:      []string{route.DefaultTTL.String()},
			set:        one(duration(time.Millisecond, 24*time.Hour), func(c *Config, v time.Duration) { c.RouteTTL = v }),
		},
		{
			Name: "route-allow", Section: SectionRouting, Value: "CIDR|HOST", form: repeated,
			Help:    "where routes may lead; *.DOMAIN for all names below",
			Allowed: "a CIDR, an IP address, a host name or *.DOMAIN",
			fixed:   route.DefaultAllow(),
			set:     each(parseRouteAllow, func(c *Config, v []string) { c.RouteAllow = v }),
		},
	}
}

// parseRouteAllow reads an entry of --route-allow and returns it as it came.
func parseRouteAllow(s string) (string, error) {
	if _, err := route.ParseAllow([]string{s}); err != nil {
		return "", errNot
	}
	return s, nil
}
