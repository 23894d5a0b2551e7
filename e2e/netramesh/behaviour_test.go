package netramesh

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
)

// The tests of this file are the list "Behaviour that stays" in docs/netramesh.md.

func TestOperationNames(t *testing.T) {
	a := newAgent(t)
	app, _ := answering(t, ok)
	s := beside(t, a, app, app)
	get(t, s.Inbound, "/items/7?page=2")
	get(t, s.Outbound, "/items/7?page=2", "Host: shop.test:8080")
	all := a.spans(2)
	find(t, all, "server", "/items/7")
	find(t, all, "client", "shop.test:8080/items/7")
}

var uber = regexp.MustCompile(`^([0-9a-f]{1,32}):([0-9a-f]{1,16}):([0-9a-f]{1,16}):([0-9a-f])$`)

// jaegerContext is what an uber-trace-id says, without the zeros on the left.
type jaegerContext struct{ trace, span, parent, flags string }

func contextOf(t *testing.T, head string) jaegerContext {
	t.Helper()
	m := uber.FindStringSubmatch(value(t, head, "uber-trace-id"))
	if m == nil {
		t.Fatalf("no Jaeger context in\n%s", head)
	}
	return jaegerContext{trim(m[1]), trim(m[2]), trim(m[3]), m[4]}
}

func trim(hex string) string { return strings.TrimLeft(hex, "0") }

func TestContextHeader(t *testing.T) {
	app, heads := answering(t, ok)
	for _, c := range []struct {
		name, sent          string
		trace, parent, flag string // trace "": a new one
		spanFlags           int32
	}{
		{"new trace", "", "", "", "1", 1},
		{"64 bits", "463ac35c9f6413ad:a2fb4a1d1a96d312:0:1", "463ac35c9f6413ad", "a2fb4a1d1a96d312", "1", 1},
		{"128 bits", "463ac35c9f6413ad48485a3953bb6124:a2fb4a1d1a96d312:0:1", "463ac35c9f6413ad48485a3953bb6124", "a2fb4a1d1a96d312", "1", 1},
		{"trimmed zeros", "3ac35c9f6413ad:b4a1d1a96d312:f:1", "3ac35c9f6413ad", "b4a1d1a96d312", "1", 1},
		{"kept zeros", "003ac35c9f6413ad:000b4a1d1a96d312:000000000000000f:01", "3ac35c9f6413ad", "b4a1d1a96d312", "1", 1},
		{"debug", "463ac35c9f6413ad:a2fb4a1d1a96d312:0:3", "463ac35c9f6413ad", "a2fb4a1d1a96d312", "3", 3},
		{"not sampled", "463ac35c9f6413ad:a2fb4a1d1a96d312:0:0", "463ac35c9f6413ad", "a2fb4a1d1a96d312", "0", 0},
		{"broken", "463ac35c9f6413ad:zz:0:1", "", "", "1", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t)
			s := beside(t, a, app, "")
			var header []string
			if c.sent != "" {
				header = append(header, "Uber-Trace-Id: "+c.sent)
			}
			get(t, s.Inbound, "/", header...)
			got := contextOf(t, next(t, heads))
			if c.trace != "" && got.trace != c.trace || got.parent != c.parent || got.flags != c.flag {
				t.Errorf("towards the application: %+v", got)
			}
			if c.spanFlags == 0 {
				return
			}
			span := a.one()
			if span.Trace != got.trace || fmt.Sprintf("%x", span.ID) != got.span || span.Flags != c.spanFlags ||
				trim(fmt.Sprintf("%x", span.Parent)) != c.parent {
				t.Errorf("the span is %+v, the application saw %+v", span, got)
			}
		})
	}
}

func TestDebugID(t *testing.T) {
	app, heads := answering(t, ok)
	a := newAgent(t)
	s := beside(t, a, app, "", "JAEGER_SAMPLER_TYPE=const", "JAEGER_SAMPLER_PARAM=0")
	get(t, s.Inbound, "/")
	if got := contextOf(t, next(t, heads)); got.flags != "0" {
		t.Fatalf("sampled: %+v", got)
	}
	get(t, s.Inbound, "/", "jaeger-debug-id: look-here")
	head := next(t, heads)
	if got := contextOf(t, head); got.flags != "3" {
		t.Errorf("not forced: %+v", got)
	}
	if got := value(t, head, "jaeger-debug-id"); got != "look-here" {
		t.Errorf("the application sees %q", got)
	}
	if span := a.one(); span.Flags != 3 || span.Tags["jaeger-debug-id"] != "look-here" {
		t.Errorf("span %+v", span)
	}
}

func TestBaggagePassesThrough(t *testing.T) {
	app, heads := answering(t, ok)
	s := beside(t, nil, app, app)
	for _, addr := range []string{s.Inbound, s.Outbound} {
		get(t, addr, "/", "uberctx-user: ann%20b", "UBERCTX-Cart: 7", "jaeger-baggage: k=v")
		head := next(t, heads)
		for _, line := range []string{"uberctx-user: ann%20b\r\n", "UBERCTX-Cart: 7\r\n", "jaeger-baggage: k=v\r\n"} {
			if !strings.Contains(head, line) {
				t.Errorf("%q is gone:\n%s", line, head)
			}
		}
	}
}

// Inbound: extract, child or root, remember, replace. Outbound: the application's own header, else the remembered context, child, inject.
func TestInjectionAndJoining(t *testing.T) {
	a := newAgent(t)
	upstream, out := answering(t, ok)
	app, in := answering(t, ok)
	s := beside(t, a, app, upstream)
	get(t, s.Inbound, "/in", "uber-trace-id: 1:2:0:1", "X-Request-Id: r1")
	server := contextOf(t, next(t, in))
	if server.trace != "1" || server.parent != "2" {
		t.Fatalf("the application sees %+v", server)
	}
	// By the id alone.
	get(t, s.Outbound, "/by-id", "X-Request-Id: r1")
	byID := contextOf(t, next(t, out))
	// By the header that the application passed on, whatever the id says.
	get(t, s.Outbound, "/by-header", "X-Request-Id: r1", "uber-trace-id: a:b:0:1")
	byHeader := contextOf(t, next(t, out))
	// By neither.
	get(t, s.Outbound, "/alone", "X-Request-Id: r2")
	alone := contextOf(t, next(t, out))
	if byID.trace != "1" || byID.parent != server.span || byHeader.trace != "a" || byHeader.parent != "b" || alone.parent != "" {
		t.Errorf("by id %+v, by header %+v, alone %+v", byID, byHeader, alone)
	}
	all := a.spans(4)
	for op, c := range map[string]jaegerContext{"shop.test/by-id": byID, "shop.test/by-header": byHeader, "shop.test/alone": alone} {
		if span := find(t, all, "client", op); span.Trace != c.trace || fmt.Sprintf("%x", span.ID) != c.span {
			t.Errorf("%s: sent %+v, recorded %+v", op, c, span)
		}
	}
}

func TestTags(t *testing.T) {
	a := newAgent(t)
	app, _ := answeringBy(t, func(head string) string {
		switch {
		case strings.HasPrefix(head, "POST /created"):
			return "HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"
		case strings.HasPrefix(head, "GET /broken"):
			return "HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
		case strings.HasPrefix(head, "GET /missing"):
			return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
		}
		return ok
	})
	s := beside(t, a, app, app)
	client := dial(t, s.Inbound)
	client.send("POST /created?a=b&token=hunter2 HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: probe/1\r\nX-Request-Id: r1\r\nContent-Length: 0\r\n\r\n")
	client.response("POST").Body.Close()
	get(t, s.Outbound, "/broken", "X-Request-Id: r2")
	get(t, s.Inbound, "/missing", "X-Request-Id: r3")
	all := a.spans(3)
	check := func(span tracing, want map[string]any) {
		t.Helper()
		for k, w := range want {
			if got, there := span.Tags[k]; !there && w != nil || got != w {
				t.Errorf("%s: %s = %v (%T), want %v", span.Op, k, got, got, w)
			}
		}
		for k := range span.Tags {
			if _, known := want[k]; !known && k != "remote_addr" {
				t.Errorf("%s: %s = %v is none of Netramesh's tags", span.Op, k, span.Tags[k])
			}
		}
	}
	check(find(t, all, "server", "/created"), map[string]any{"span.kind": "server", "remote_addr": client.LocalAddr().String(),
		"http.host": "shop.test", "http.path": "/created?a=b&token=REDACTED", "http.method": "POST", "http.user_agent": "probe/1",
		"http.request_id": "r1", "http.request_size": int64(0), "http.response_size": int64(5), "http.status_code": int64(201)})
	check(find(t, all, "client", "shop.test/broken"), map[string]any{"span.kind": "client", "remote_addr": app,
		"http.host": "shop.test", "http.path": "/broken", "http.method": "GET", "http.request_id": "r2",
		"http.request_size": int64(0), "http.response_size": int64(0), "http.status_code": int64(503), "error": true, "error.type": "503"})
	check(find(t, all, "server", "/missing"), map[string]any{"span.kind": "server", "http.host": "shop.test", "http.path": "/missing",
		"http.method": "GET", "http.request_id": "r3", "http.request_size": int64(0),
		"http.response_size": int64(0), "http.status_code": int64(404)})
}

// Sizes that are not known are −1: nothing was answered, or the end was not seen.
func TestUnknownSizes(t *testing.T) {
	a := newAgent(t)
	app := newService(t)
	s := beside(t, a, app.addr(), "")
	client := dial(t, s.Inbound)
	client.send("POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
	server := app.accept()
	server.head()
	server.read(4)
	server.send("HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd") // ambiguous: relayed, no longer parsed
	client.head()
	client.read(4)
	client.Close()
	server.Close()
	span := a.one()
	if span.Tags["http.request_size"] != int64(-1) || span.Tags["http.response_size"] != int64(-1) {
		t.Errorf("tags %v", span.Tags)
	}
}

// A connect that nobody answers is a span with timeout.
func TestTimeoutTag(t *testing.T) {
	a := newAgent(t)
	s := beside(t, a, "", silent(t), "SPANWIRE_DIAL_TIMEOUT=50ms")
	s.knock(s.Outbound, "GET /late HTTP/1.1\r\nHost: a\r\n\r\n").wantReset()
	span := a.one()
	if span.Op != "a/late" || span.Tags["timeout"] != true || span.Tags["error"] != true || span.Tags["http.response_size"] != int64(-1) {
		t.Errorf("span %+v", span)
	}
}

// silent returns an address whose connections are not answered: a listener with a full backlog drops further SYNs (man 2 listen).
func silent(t testing.TB) string {
	t.Helper()
	addr, fill := backlog(t)
	for range 4 {
		c, err := (&net.Dialer{Timeout: fill}).Dial("tcp", addr)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the backlog does not fill")
	return ""
}

// What is no HTTP is relayed as it is, whoever speaks first.
func TestOtherTrafficIsRelayed(t *testing.T) {
	app := newService(t)
	s := beside(t, nil, app.addr(), "")
	client := dial(t, s.Inbound)
	server := app.accept()
	server.send("220 ready\r\n")
	if got := client.read(11); got != "220 ready\r\n" {
		t.Errorf("got %q", got)
	}
	client.send("\x00\x01\x02binary")
	if got := server.read(9); got != "\x00\x01\x02binary" {
		t.Errorf("got %q", got)
	}
}

// A mixed fleet: the sidecars of the caller before and of the service behind are Netrameshes, played by the test: jaeger-client-go with
// 64-bit ids, zeros on the left left out. The spans of all three are one trace.
func TestMixedFleetIsOneTrace(t *testing.T) {
	app, in := answering(t, ok)
	behind, out := answering(t, ok)
	a := newAgent(t)
	s := beside(t, a, app, behind)
	for _, caller := range []jaegerContext{
		{"463ac35c9f6413ad", "a2fb4a1d1a96d312", "1", "1"},
		{"c35c9f6413ad", "1a96d312", "", "1"}, // trimmed, and a root
	} {
		// Netramesh before: its client span's context comes in, with the request id that its application passed on.
		wire := fmt.Sprintf("%s:%s:%s:%s", caller.trace, caller.span, max(caller.parent, "0"), caller.flags)
		id := "req-" + caller.trace
		get(t, s.Inbound, "/in", "Uber-Trace-Id: "+wire, "X-Request-Id: "+id, "X-Source: netra")
		head := next(t, in)
		server := contextOf(t, head)
		if got := value(t, head, "X-Source"); got != "netra" {
			t.Errorf("X-Source %q", got)
		}
		// The application passes on the id alone, as Netramesh asks of it.
		get(t, s.Outbound, "/out", "X-Request-Id: "+id)
		head = next(t, out)
		client := contextOf(t, head)
		// Netramesh behind: jaeger-client-go splits at the colons and takes each as hex (SpanContextFromString); a trace id of at most 16
		// digits is one of 64 bits.
		parts := strings.Split(value(t, head, "uber-trace-id"), ":")
		if len(parts) != 4 || len(parts[0]) > 16 || len(parts[1]) > 16 {
			t.Fatalf("jaeger-client-go reads no 64-bit context in %q", parts)
		}
		if got := value(t, head, "X-Source"); got != "netra" {
			t.Errorf("X-Source %q", got)
		}
		if server.trace != caller.trace || server.parent != caller.span || client.trace != caller.trace || client.parent != server.span {
			t.Errorf("caller %+v, server %+v, client %+v", caller, server, client)
		}
	}
	perTrace := map[string]int{}
	for _, span := range a.spans(4) {
		perTrace[span.Trace]++
	}
	if perTrace["463ac35c9f6413ad"] != 2 || perTrace["c35c9f6413ad"] != 2 {
		t.Errorf("spans by trace: %v", perTrace)
	}
}
