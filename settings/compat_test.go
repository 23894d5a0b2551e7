package settings

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestNetrameshDeployment sets what a deployment of Netramesh sets.
func TestNetrameshDeployment(t *testing.T) {
	l, err := load(t, []string{"--service-name", "shop"}, []string{"NETRA_LOGGER_LEVEL=fatal", "NETRA_PORT=15956",
		"NETRA_PPROF_PORT=15957",
		"NETRA_PROMETHEUS_PORT=15958", "NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=7000", "NETRA_HTTP_PORTS=80, 8080",
		"NETRA_HTTP_REQUEST_ID_HEADER_NAME=X-Id",
		"NETRA_HTTP_X_SOURCE_HEADER_NAME=X-From", "NETRA_HTTP_X_SOURCE_VALUE=shop", "NETRA_HTTP_TRACING_IGNORED_PATHS=/health,/ping",
		"NETRA_HTTP_TRACING_FOLD_PATHS=/u/[0-9]+;/u/{id};/[a-zA-Z0-9]{24};", "HTTP_HEADER_TAG_MAP=x-user:user,x-shop:shop",
		"HTTP_COOKIE_TAG_MAP=u:user",
		"JAEGER_AGENT_HOST=agent", "JAEGER_SAMPLER_TYPE=const", "JAEGER_SAMPLER_PARAM=1", "JAEGER_TAGS=zone=${ZONE:a},dc=${DC:b}",
		"ZONE=z",
		"NETRA_HTTP_ROUTING_ENABLED=true", "NETRA_HTTP_ROUTING_HEADER_NAME=X-R", "NETRA_HTTP_ROUTING_COOKIE_ENABLED=true",
		"NETRA_ROUTING_CONTEXT_EXPIRATION_MILLISECONDS=6000"}, "")
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	type want = []string
	for name, pair := range map[string][2]any{
		"listen": {c.Listen, ":15956"}, "admin": {c.Admin, "127.0.0.1:15957"}, "metrics": {c.Metrics, ":15958"},
		"any path": {c.MetricsAnyPath, true},
		"join":     {c.JoinTTL, 7 * time.Second}, "ports": {c.HTTPPorts, []uint16{80, 8080}}, "id": {c.RequestIDHeader, "X-Id"},
		"source": {c.XSourceHeader + ": " + c.XSourceValue, "X-From: shop"}, "ignored": {c.IgnorePaths, want{"/health", "/ping"}},
		"fold": {c.FoldPaths, want{"/u/[0-9]+=>/u/{id}", "/[a-zA-Z0-9]{24}"}}, "headers": {c.TagHeaders, want{"x-user:user",
			"x-shop:shop"}},
		"cookies": {c.TagCookies, want{"u:user"}}, "endpoint": {c.JaegerEndpoint, "udp://agent:6831"}, "exporters": {c.Exporters,
			want{"jaeger"}},
		"sampler": {c.Sampler.String(), "always"}, "resource": {c.Resource, []Pair{{"zone", "z"}, {"dc", "b"}}},
		"level": {c.LogLevel.String(), "ERROR"},
	} {
		if diff := cmp.Diff(pair[1], pair[0]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if !c.Route || c.RouteHeader != "X-R" || c.RouteCookie != "X-Route" || c.RouteTTL != 6*time.Second || len(c.RouteAllow) != 4 {
		t.Errorf("routing: %v %q %q %v %q", c.Route, c.RouteHeader, c.RouteCookie, c.RouteTTL, c.RouteAllow)
	}
	if len(l.Warnings) > 0 {
		t.Errorf("warnings %q", l.Warnings)
	}
}

// TestTagMapsOfNetramesh: what Netramesh takes starts here, too.
func TestTagMapsOfNetramesh(t *testing.T) {
	const want = " skipped: want NAME:tag, without blanks and in ASCII"
	l, err := named(t, nil, []string{"HTTP_HEADER_TAG_MAP=X-User: user, a:b ,:x,y:,bad name:tag,z:тег,plain", "HTTP_COOKIE_TAG_MAP=s[x]:tag,u:user"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"X-User:user", "a:b"}, {"u:user"}}, [][]string{l.Config.TagHeaders, l.Config.TagCookies}); diff != "" {
		t.Error(diff)
	}
	for _, w := range []string{
		`HTTP_HEADER_TAG_MAP: ":x"` + want, `HTTP_HEADER_TAG_MAP: "y:"` + want, `HTTP_HEADER_TAG_MAP: "bad name:tag"` + want,
		`HTTP_HEADER_TAG_MAP: "z:тег"` + want, `HTTP_HEADER_TAG_MAP: "plain"` + want, `HTTP_COOKIE_TAG_MAP: "s[x]:tag"` + want,
	} {
		if !slices.Contains(l.Warnings, w) {
			t.Errorf("warnings %q lack %q", l.Warnings, w)
		}
	}
}

// TestLimitsOfOthers: what stands for "for ever" elsewhere is the longest there is, and a zero that stands for the default is one by its own type.
func TestLimitsOfOthers(t *testing.T) {
	for environ, want := range map[string]string{
		"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=100000000": "24h0m0s",
		"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=86400000":  "24h0m0s",
		"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=+0":        "24h0m0s",
		"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=-5":        "24h0m0s",
		"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=86399999":  "23h59m59.999s",
	} {
		l, err := named(t, nil, []string{environ}, "")
		if err != nil {
			t.Errorf("%s: %v", environ, err)
			continue
		}
		if got := l.Config.JoinTTL.String(); got != want {
			t.Errorf("%s: %s, want %s", environ, got, want)
		}
	}
	for environ, fine := range map[string]bool{
		"JAEGER_REPORTER_MAX_QUEUE_SIZE=0": true, "JAEGER_REPORTER_MAX_QUEUE_SIZE=0ms": false,
		"JAEGER_REPORTER_FLUSH_INTERVAL=0": true, "JAEGER_REPORTER_FLUSH_INTERVAL=00s": true, "JAEGER_REPORTER_FLUSH_INTERVAL=0x": false,
	} {
		l, err := named(t, nil, []string{environ}, "")
		if (err == nil) != fine {
			t.Errorf("%s: %v", environ, err)
		}
		if err == nil && (l.Config.ExportQueue != 32768 || l.Config.ExportInterval != time.Second) {
			t.Errorf("%s: a queue of %d, %v", environ, l.Config.ExportQueue, l.Config.ExportInterval)
		}
	}
}
