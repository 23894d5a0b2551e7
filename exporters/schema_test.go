package exporters

import (
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

func TestSchemas(t *testing.T) {
	none := func(*span.Record) {}
	for _, c := range []struct {
		name, schema string
		kind         span.Kind
		change       func(*span.Record)
		failed       bool
		want         map[string]string
	}{
		{"server", "otel", span.Server, none, false, map[string]string{
			"http.request.method": "GET", "url.path": "/api/Carts/17", "url.query": "page=2", "url.scheme": "http",
			"network.protocol.version": "1.1", "http.response.status_code": "200", "server.address": "cart.shop.svc", "server.port": "8080",
			"client.address": "10.1.2.3", "network.peer.address": "10.1.2.3", "network.peer.port": "41234", "user_agent.original": "curl/8.5.0",
			"http.request_id": "7b1f6c3e-7d2d-4d53-9d2d-111122223333", "http.request.size": "412", "http.response.size": "1733", "spanwire.ttfb_us": "11222",
		}},
		{"client", "otel", span.Client, none, false, map[string]string{
			"http.request.method": "GET", "url.path": "/api/Carts/17", "url.query": "page=2", "url.scheme": "http",
			"url.full":                 "http://cart.shop.svc:8080/api/Carts/17?page=2",
			"network.protocol.version": "1.1", "http.response.status_code": "200", "server.address": "cart.shop.svc", "server.port": "8080",
			"network.peer.address": "10.9.8.7", "network.peer.port": "8080", "user_agent.original": "curl/8.5.0",
			"http.request_id": "7b1f6c3e-7d2d-4d53-9d2d-111122223333", "http.request.size": "412", "http.response.size": "1733", "spanwire.ttfb_us": "11222",
		}},
		{"404 of a server is no error", "otel", span.Server, func(r *span.Record) { r.Status = 404 }, false, map[string]string{"http.response.status_code": "404"}},
		{"404 of a client is one", "otel", span.Client, func(r *span.Record) { r.Status = 404 }, true, map[string]string{"error.type": "404"}},
		{"503", "otel", span.Server, func(r *span.Record) { r.Status = 503 }, true, map[string]string{"error.type": "503"}},
		{"reset", "otel", span.Client, func(r *span.Record) { r.Failure = span.FailureServerReset }, true, map[string]string{"error.type": "server_reset"}},
		{"untracked is no error", "otel", span.Client, func(r *span.Record) { r.Failure = span.FailureOpaque }, false, map[string]string{"spanwire.untracked": "true"}},
		{"ambiguous", "otel", span.Client, func(r *span.Record) { r.Join = span.JoinAmbiguous }, false, map[string]string{"spanwire.join": "ambiguous"}},
		{"late", "zipkin", span.Client, func(r *span.Record) { r.Join = span.JoinLate }, false, map[string]string{"spanwire.join": "late"}},
		{"unknown method", "otel", span.Server, func(r *span.Record) { r.SetTextString(span.Method, "get") }, false,
			map[string]string{"http.request.method": "_OTHER", "http.request.method_original": "get"}},
		{"HTTP/1.0", "otel", span.Server, func(r *span.Record) { r.Minor = 0 }, false, map[string]string{"network.protocol.version": "1.0"}},
		{"IPv6 host", "otel", span.Server, func(r *span.Record) { r.SetTextString(span.Host, "[2001:db8::1]") }, false,
			map[string]string{"server.address": "2001:db8::1", "server.port": "8080"}},
		{"no host", "otel", span.Server, func(r *span.Record) { r.SetText(span.Host, nil) }, false, map[string]string{"server.address": "10.9.8.7"}},
		{"OPTIONS *", "otel", span.Client, func(r *span.Record) { r.SetTextString(span.Path, "*"); r.SetText(span.Query, nil) }, false,
			map[string]string{"url.full": "http://cart.shop.svc:8080"}},
		{"another protocol", "otel", span.Client, func(r *span.Record) { r.SetTextString(span.Protocol, "lines"); r.Status = 700 }, false,
			map[string]string{"network.protocol.name": "lines", "rpc.method": "GET", "spanwire.status": "700"}},
		{"an answer that says it failed", "otel", span.Client, func(r *span.Record) { r.SetTextString(span.Protocol, "lines"); r.Failure = span.FailureAnswered }, true,
			map[string]string{"error.type": "failed"}},
		{"own tag", "otel", span.Server, func(r *span.Record) { r.AddTag("tenant", []byte("a\xffb")) }, false, map[string]string{"tenant": "a\uFFFDb"}},
		{"unedited", "otel", span.Server, func(r *span.Record) { r.AddTag("spanwire.unedited", []byte("no_host")) }, false, map[string]string{"spanwire.unedited": "no_host"}},

		{"server", "zipkin", span.Server, none, false, map[string]string{
			"http.method": "GET", "http.path": "/api/Carts/17", "http.host": "cart.shop.svc:8080", "http.status_code": "200",
			"http.request_id": "7b1f6c3e-7d2d-4d53-9d2d-111122223333", "http.request.size": "412", "http.response.size": "1733", "spanwire.ttfb_us": "11222",
		}},
		{"error status", "zipkin", span.Server, func(r *span.Record) { r.Status = 500 }, true, map[string]string{"error": "500"}},
		{"failure", "zipkin", span.Client, func(r *span.Record) { r.Failure, r.Status = span.FailureRefused, 0 }, true, map[string]string{"error": "connection_refused"}},
		{"unedited", "zipkin", span.Client, func(r *span.Record) { r.AddTag("spanwire.unedited", []byte("no_host")) }, false, map[string]string{"spanwire.unedited": "no_host"}},

		{"server", "netra", span.Server, none, false, map[string]string{
			"remote_addr": "10.1.2.3:41234", "http.host": "cart.shop.svc:8080", "http.path": "/api/Carts/17?page=2", "http.method": "GET",
			"http.user_agent": "curl/8.5.0", "http.request_id": "7b1f6c3e-7d2d-4d53-9d2d-111122223333", "http.request_size": "12",
			"http.response_size": "1500", "http.status_code": "200",
		}},
		{"client", "netra", span.Client, none, false, map[string]string{"remote_addr": "10.9.8.7:8080"}},
		{"unedited", "netra", span.Client, func(r *span.Record) { r.AddTag("spanwire.unedited", []byte("no_host")) }, false, map[string]string{"spanwire.unedited": "no_host"}},
		{"no answer", "netra", span.Client, func(r *span.Record) { r.Failure, r.Status = span.FailureDialTimeout, 0 }, true,
			map[string]string{"http.response_size": "-1", "error": "true", "error.type": "dial_timeout", "timeout": "true"}},
	} {
		t.Run(c.schema+"/"+c.name, func(t *testing.T) {
			r := record(c.kind, 1)
			c.change(r)
			v, got := wantAttrs(r, c.schema)
			if v.failed != c.failed {
				t.Errorf("failed: %v", v.failed)
			}
			for k, want := range c.want {
				if got[k] != want {
					t.Errorf("%s = %q, want %q", k, got[k], want)
				}
			}
			if c.name == "server" || c.name == "client" && c.schema == "otel" { // whole
				if err := differ(got, c.want); err != nil {
					t.Error(err)
				}
			}
			if len(got) != v.n {
				t.Errorf("%d attributes of %d names", v.n, len(got))
			}
		})
	}
}

func TestEveryAttributeHasRoom(t *testing.T) {
	for _, schemaName := range []string{"otel", "zipkin", "netra"} {
		for kind := span.Server; kind <= span.Client; kind++ {
			r := record(kind, 1)
			r.SetTextString(span.Method, "odd")
			r.Join, r.Failure = span.JoinAmbiguous, span.FailureDialTimeout
			if v, _ := wantAttrs(r, schemaName); v.n > maxAttrs-span.MaxTags {
				t.Errorf("%s: %d attributes leave no room for %d tags in %d", schemaName, v.n, span.MaxTags, maxAttrs)
			}
		}
	}
}

func TestSplitHost(t *testing.T) {
	for _, c := range []struct {
		in, host string
		port     uint16
	}{
		{"", "", 0}, {"a", "a", 0}, {"a:80", "a", 80}, {"a:", "a:", 0}, {"a:0", "a:0", 0}, {"a:65536", "a:65536", 0}, {"a:8x", "a:8x", 0},
		{"[::1]", "::1", 0}, {"[::1]:8080", "::1", 8080}, {"[::1", "[::1", 0}, {"::1", "::1", 0}, {"[]", "", 0}, {":80", "", 80}, {"]:[", "]:[", 0},
	} {
		if host, port := splitHost([]byte(c.in)); string(host) != c.host || port != c.port {
			t.Errorf("%q: %q %d, want %q %d", c.in, host, port, c.host, c.port)
		}
	}
}
