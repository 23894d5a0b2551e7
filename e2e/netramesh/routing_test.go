package netramesh

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// routable lets routes lead to the loopback address, where the services of these tests are; by default they may not.
const routable = "SPANWIRE_ROUTE_ALLOW=127.0.0.0/8"

// routed is a sidecar whose application calls origin, and another service that a route may lead to.
type routed struct {
	s                  *sidecar
	agent              *agent
	other              string        // address
	in, origin, routed <-chan string // heads that the application, the origin and the other service saw
}

func newRouted(t *testing.T, env ...string) *routed {
	t.Helper()
	r := &routed{agent: newAgent(t)}
	var app, origin string
	app, r.in = answering(t, ok)
	origin, r.origin = answering(t, ok)
	r.other, r.routed = answering(t, ok)
	r.s = beside(t, r.agent, app, origin, append([]string{routable}, env...)...)
	return r
}

// call sends an inbound request with the header lines, then an outbound one to host under the same id, and returns the head that arrived and
// whether it arrived at the other service.
func (r *routed) call(t *testing.T, host string, header ...string) (head string, elsewhere bool) {
	t.Helper()
	id := fmt.Sprintf("X-Request-Id: r-%d", time.Now().UnixNano())
	get(t, r.s.Inbound, "/in", append(header, id)...)
	next(t, r.in)
	get(t, r.s.Outbound, "/out", "Host: "+host, id)
	select {
	case head = <-r.origin:
		return head, false
	case head = <-r.routed:
		return head, true
	case <-time.After(patience):
		t.Fatal("the call arrived nowhere")
		return "", false
	}
}

func TestRowRouting(t *testing.T) {
	t.Run("off", func(t *testing.T) {
		for _, env := range []string{"", "NETRA_HTTP_ROUTING_ENABLED=false", "NETRA_HTTP_ROUTING_ENABLED=0"} {
			r := newRouted(t, env)
			if head, elsewhere := r.call(t, "shop.test", "X-Route: shop.test="+r.other); elsewhere || len(values(head, "X-Route")) != 0 {
				t.Errorf("%q: routed (%v):\n%s", env, elsewhere, head)
			}
		}
	})
	t.Run("header", func(t *testing.T) {
		r := newRouted(t, "NETRA_HTTP_ROUTING_ENABLED=true")
		route := "a.test=b.test,shop.test=" + r.other
		head, elsewhere := r.call(t, "shop.test", "X-Route: "+route)
		if !elsewhere || value(t, head, "X-Route") != route || value(t, head, "Host") != "shop.test" {
			t.Errorf("routed: %v, with\n%s", elsewhere, head)
		}
		for name, c := range map[string]struct{ host, route string }{
			"no route":           {"shop.test", ""},
			"another host":       {"cart.test", "shop.test=" + r.other},
			"the port counts":    {"shop.test:8080", "shop.test=" + r.other},
			"malformed":          {"shop.test", "shop.test"},
			"malformed twice":    {"shop.test", "shop.test==" + r.other},
			"to itself":          {"shop.test", "shop.test=shop.test"},
			"a port out of band": {"shop.test", "shop.test=127.0.0.1:70000"},
		} {
			var header []string
			if c.route != "" {
				header = append(header, "X-Route: "+c.route)
			}
			if head, elsewhere := r.call(t, c.host, header...); elsewhere {
				t.Errorf("%s: routed:\n%s", name, head)
			}
		}
		if _, elsewhere := r.call(t, "shop.test:8080", "X-Route: shop.test:8080="+r.other); !elsewhere {
			t.Error("not routed by host and port")
		}
	})
	t.Run("names and cookie", func(t *testing.T) {
		r := newRouted(t, "NETRA_HTTP_ROUTING_ENABLED=true", "NETRA_HTTP_ROUTING_HEADER_NAME=X-Path",
			"NETRA_HTTP_ROUTING_COOKIE_ENABLED=true", "NETRA_HTTP_ROUTING_COOKIE_NAME=path")
		route := "shop.test=" + r.other
		head, elsewhere := r.call(t, "shop.test", "X-Path: "+route)
		if !elsewhere || value(t, head, "X-Path") != route {
			t.Errorf("by header: %v\n%s", elsewhere, head)
		}
		if _, elsewhere := r.call(t, "shop.test", "X-Path: shop.test=127.0.0.1:1", "Cookie: a=b; path="+route); !elsewhere {
			t.Error("the cookie does not beat the header")
		}
	})
	t.Run("cookie off", func(t *testing.T) {
		r := newRouted(t, "NETRA_HTTP_ROUTING_ENABLED=true")
		if _, elsewhere := r.call(t, "shop.test", "Cookie: X-Route=shop.test="+r.other); elsewhere {
			t.Error("routed by a cookie")
		}
	})
	for _, name := range []string{"NETRA_HTTP_ROUTING_ENABLED", "NETRA_HTTP_ROUTING_COOKIE_ENABLED"} {
		// Netramesh knows no yes but "true": whatever else says it was off there.
		for _, bad := range []string{"perhaps", "yes", "1", "TRUE"} {
			refusesToStart(t, []string{name + "=" + bad}, fmt.Sprintf("%s %q: want true or false", name, bad))
		}
	}
	for _, on := range []string{"", "NETRA_HTTP_ROUTING_ENABLED=true"} {
		for _, bad := range []string{"no header", "Host"} {
			refusesToStart(t, []string{on, "NETRA_HTTP_ROUTING_HEADER_NAME=" + bad}, "NETRA_HTTP_ROUTING_HEADER_NAME", fmt.Sprintf("%q: ", bad))
		}
		refusesToStart(t, []string{on, "NETRA_HTTP_ROUTING_COOKIE_ENABLED=" + strings.TrimPrefix(on, "NETRA_HTTP_ROUTING_ENABLED="),
			"NETRA_HTTP_ROUTING_COOKIE_NAME=a b"}, `NETRA_HTTP_ROUTING_COOKIE_NAME "a b"`)
	}
}

func TestRowRoutingContext(t *testing.T) {
	for _, c := range []struct {
		ms     string
		routed bool
	}{{"60000", true}, {"1", false}} {
		r := newRouted(t, "NETRA_HTTP_ROUTING_ENABLED=true", "NETRA_ROUTING_CONTEXT_EXPIRATION_MILLISECONDS="+c.ms)
		get(t, r.s.Inbound, "/in", "X-Request-Id: r", "X-Route: shop.test="+r.other)
		time.Sleep(20 * time.Millisecond) // the lifetime is real time
		get(t, r.s.Outbound, "/out", "X-Request-Id: r")
		var routed bool
		select {
		case <-r.origin:
		case <-r.routed:
			routed = true
		}
		if routed != c.routed {
			t.Errorf("%s ms: routed %v", c.ms, routed)
		}
	}
	refusesToStart(t, []string{"NETRA_ROUTING_CONTEXT_EXPIRATION_MILLISECONDS=soon"}, "NETRA_ROUTING_CONTEXT_EXPIRATION_MILLISECONDS", `"soon"`)
}

// Undone: a route may lead anywhere. By default it may not lead to this host, nor to the addresses that clouds hand out secrets at.
func TestDefect24RoutesAreAllowedByList(t *testing.T) {
	for name, c := range map[string]struct {
		allow  string
		routed bool
	}{"by default": {"", false}, "another network": {"SPANWIRE_ROUTE_ALLOW=10.0.0.0/8", false}, "listed": {routable, true}} {
		t.Run(name, func(t *testing.T) {
			r := newRouted(t, "NETRA_HTTP_ROUTING_ENABLED=true", "SPANWIRE_ROUTE_ALLOW=", c.allow)
			if _, elsewhere := r.call(t, "shop.test", "X-Route: shop.test="+r.other); elsewhere != c.routed {
				t.Errorf("routed: %v", elsewhere)
			}
			for _, forbidden := range []string{"169.254.169.254", "[fe80::1]:80", "[::ffff:169.254.169.254]:80"} {
				if _, elsewhere := r.call(t, "shop.test", "X-Route: shop.test="+forbidden); elsewhere {
					t.Errorf("routed by %s", forbidden)
				}
			}
		})
	}
}

// Undone: with routing on, a connection that begins with no request is dropped, or each request dials anew.
func TestDefect25RoutingBreaksNothing(t *testing.T) {
	t.Run("other protocols", func(t *testing.T) {
		origin := newService(t)
		s := beside(t, nil, "", origin.addr(), "NETRA_HTTP_ROUTING_ENABLED=true", routable)
		for _, first := range []string{"\x16\x03\x01\x00\x05hello", "get key\r\n", "\x00"} {
			client := dial(t, s.Outbound)
			client.send(first)
			server := origin.accept()
			if got := server.read(len(first)); got != first {
				t.Errorf("got %q", got)
			}
			server.send("answer")
			client.read(6)
		}
		client := dial(t, s.Outbound) // the server may speak first
		server := origin.accept()
		server.send("220 ready\r\n")
		client.read(11)
	})
	t.Run("one connection", func(t *testing.T) {
		origin, other := newService(t), newService(t)
		s := beside(t, nil, "", origin.addr(), "NETRA_HTTP_ROUTING_ENABLED=true", routable)
		client := dial(t, s.Outbound)
		var server *conn
		for i := range 3 {
			client.send("GET /" + fmt.Sprint(i) + " HTTP/1.1\r\nHost: shop.test\r\nX-Route: shop.test=" + other.addr() + "\r\n\r\n")
			if i == 0 {
				server = other.accept()
			}
			if head := server.head(); !strings.HasPrefix(head, "GET /"+fmt.Sprint(i)+" ") { // on the connection of the first
				t.Errorf("head %q", head)
			}
			server.send(ok)
			client.read(len(ok))
		}
	})
}
