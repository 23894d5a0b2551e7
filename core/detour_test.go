package core

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/internal/sidecar"
	"github.com/spanwire/spanwire/parsers"
)

// routed is an engine with an outbound listener that leads to home and lets routes lead to loopback addresses.
func routed(t *testing.T, home string, allow ...string) (*Engine, string) {
	t.Helper()
	if len(allow) == 0 {
		allow = []string{"127.0.0.0/8"}
	}
	a, err := route.ParseAllow(allow)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := trace.NewShared(trace.Config{Routes: route.New(a, 0, 0), RouteCookie: "X-Route"})
	if err != nil {
		t.Fatal(err)
	}
	e := startEngine(t, Config{Trace: shared, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: home, Kind: span.Client}}})
	return e, e.Listeners()[0].Addr
}

// service answers each request with its name, the path and the length of its body; it counts its connections.
type service struct {
	addr  string
	conns chan struct{}
}

func newService(t *testing.T, name string) *service {
	t.Helper()
	s := &service{conns: make(chan struct{}, 1000)}
	s.addr = serve(t, func(c *net.TCPConn) {
		s.conns <- struct{}{}
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			text := fmt.Sprintf("%s %s %d %s", name, req.URL.Path, len(body), req.Header.Get("X-Route"))
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text); err != nil {
				return
			}
		}
	})
	return s
}

// asker sends requests on one connection.
type asker struct {
	t *testing.T
	c *net.TCPConn
	r *bufio.Reader
}

func newAsker(t *testing.T, addr string) *asker {
	c := dial(t, addr)
	return &asker{t: t, c: c, r: bufio.NewReader(c)}
}

// want reads one response and compares its body.
func (a *asker) want(body string) {
	a.t.Helper()
	resp, err := http.ReadResponse(a.r, nil)
	if err != nil {
		a.t.Fatalf("want %q: %v", body, err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil || strings.TrimSpace(string(got)) != body {
		a.t.Fatalf("got %q, %v, want %q", got, err, body)
	}
}

// ask is a GET with a route value; "" = none.
func ask(path, value string) string {
	line := ""
	if value != "" {
		line = "X-Route: " + value + "\r\n"
	}
	return "GET " + path + " HTTP/1.1\r\nHost: shop:8080\r\n" + line + "\r\n"
}

func to(s *service) string { return "other=127.0.0.9, shop:8080=" + s.addr }

func TestRequestsGoWhereTheirRouteLeads(t *testing.T) {
	home, a, b := newService(t, "home"), newService(t, "a"), newService(t, "b")
	e, addr := routed(t, home.addr)
	c := newAsker(t, addr)
	for i, step := range []struct {
		value string
		want  string
	}{
		{"", "home"}, {to(a), "a"}, {to(a), "a"}, {to(b), "b"}, {"", "home"}, {"", "home"}, {to(b), "b"},
		{"shop=" + a.addr, "home"},               // the port is part of the name
		{"shop:8080=" + a.addr + ",,x", "home"},  // malformed
		{"shop:8080=shop:8080", "home"},          // maps to itself
		{"SHOP:8080=" + a.addr, "home"},          // exact
		{"shop:8080=169.254.169.254", "home"},    // not allowed
		{"shop:8080=[fd00:ec2::254]:80", "home"}, // nor this
		{"shop:8080=2130706433:80", "home"},      // no address, whatever a C library thinks
		{"shop:8080=" + addr, "home"},            // the sidecar itself
		{"x=" + a.addr + ",shop:8080=" + b.addr, "b"},
	} {
		path := fmt.Sprintf("/%d", i)
		mustWrite(t, c.c, ask(path, step.value))
		c.want(strings.TrimSpace(step.want + " " + path + " 0 " + step.value))
	}
	if n := len(a.conns); n != 1 {
		t.Errorf("%d connections to a for two requests in a row", n)
	}
	if n := len(b.conns); n != 3 {
		t.Errorf("%d connections to b for three runs", n)
	}
	_ = c.c.Close()
	got := spans(t, e, 16)
	for i, want := range []*service{home, a, a, b, home} {
		if s := got[i].Server.AddrPort().String(); s != want.addr {
			t.Errorf("span %d leads to %s, want %s", i, s, want.addr)
		}
	}
	st := e.Stats()
	if st.Routes != [NumRouteHows]uint64{RouteTaken: 5, RouteUnmatched: 3, RouteRefused: 3} || st.RouteValues.Malformed != 2 {
		t.Errorf("counted %v, %+v", st.Routes, st.RouteValues)
	}
	eventually(t, "no byte held", func() bool { return e.Stats().PendingBytes == 0 })
}

// TestPipelinedRequestsForDifferentRoutes come in one write; each goes to its own service, and the answers are in order. What the client
// sends meanwhile waits.
func TestPipelinedRequestsForDifferentRoutes(t *testing.T) {
	home, a, b := newService(t, "home"), newService(t, "a"), newService(t, "b")
	_, addr := routed(t, home.addr)
	c := newAsker(t, addr)
	body := strings.Repeat("x", 3<<20)
	go func() {
		_, _ = io.WriteString(c.c, ask("/1", "")+ask("/2", to(a))+ask("/3", to(a))+ask("/4", to(b))+ask("/5", "")+
			"POST /6 HTTP/1.1\r\nHost: shop:8080\r\nX-Route: "+to(b)+"\r\nContent-Length: "+fmt.Sprint(len(body))+"\r\n\r\n"+body+ask("/7", to(a)))
		_ = c.c.CloseWrite()
	}()
	for _, want := range []string{"home /1 0", "a /2 0 " + to(a), "a /3 0 " + to(a), "b /4 0 " + to(b), "home /5 0", fmt.Sprintf("b /6 %d %s", len(body), to(b)),
		"a /7 0 " + to(a)} {
		c.want(want)
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("behind the last answer: %v, want the end", err)
	}
}

// TestASlowAnswerHoldsTheNextRouteBack: the second service must hear nothing while the first has not answered.
func TestASlowAnswerHoldsTheNextRouteBack(t *testing.T) {
	first, second := newBackend(t), newBackend(t)
	_, addr := routed(t, first.addr)
	c := newAsker(t, addr)
	one := first.accept()
	value := "shop:8080=" + second.addr
	mustWrite(t, c.c, ask("/1", "")+ask("/2", value))
	head(t, one)
	mustWrite(t, one, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na")
	_ = second.l.SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := second.l.Accept(); err == nil {
		t.Fatal("the second service was dialled while the first had not answered")
	}
	_ = second.l.SetDeadline(time.Now().Add(testTimeout))
	mustWrite(t, one, "bcd")
	two := second.accept()
	if h := head(t, two); !strings.HasPrefix(h, "GET /2 ") {
		t.Errorf("the second got %q", h)
	}
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the first: %v, want the end", err)
	}
	mustWrite(t, two, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	c.want("")
	c.want("abcd")
}

func TestCookieBeatsHeader(t *testing.T) {
	home, a, b := newService(t, "home"), newService(t, "a"), newService(t, "b")
	_, addr := routed(t, home.addr)
	c := newAsker(t, addr)
	mustWrite(t, c.c, "GET /x HTTP/1.1\r\nHost: shop:8080\r\nCookie: q=1; X-Route=shop:8080="+a.addr+"\r\nX-Route: "+to(b)+"\r\n\r\n")
	c.want("a /x 0 " + to(b))
}

// TestAFailedRouteIsAFailedDial: a span with the error, and a reset.
func TestAFailedRouteIsAFailedDial(t *testing.T) {
	home := newService(t, "home")
	for name, value := range map[string]string{"refused": "shop:8080=" + sidecar.Refusing(t), "unresolved": "shop:8080=nowhere.invalid"} {
		e, addr := routed(t, home.addr, "127.0.0.0/8", "nowhere.invalid")
		c := newAsker(t, addr)
		mustWrite(t, c.c, ask("/1", ""))
		c.want("home /1 0")
		mustWrite(t, c.c, ask("/2", value)+ask("/3", ""))
		if _, err := c.r.ReadByte(); err == nil || err == io.EOF {
			t.Errorf("%s: %v, want a reset", name, err)
		}
		got := spans(t, e, 3)
		want := span.FailureRefused
		if name == "unresolved" {
			want = span.FailureUnresolved
		}
		if got[1].Failure != want {
			t.Errorf("%s: failure %v, want %v", name, got[1].Failure, want)
		}
	}
}

// TestARouteOutlivesADeadHome: the original destination refuses, but the request goes elsewhere.
func TestARouteOutlivesADeadHome(t *testing.T) {
	a := newService(t, "a")
	e, addr := routed(t, sidecar.Refusing(t))
	c := newAsker(t, addr)
	mustWrite(t, c.c, ask("/1", to(a)))
	c.want("a /1 0 " + to(a))
	_ = c.c.Close()
	if got := spans(t, e, 1); got[0].Failure != span.FailureNone || got[0].Server.AddrPort().String() != a.addr {
		t.Errorf("span %+v", got[0])
	}
}

// TestNamesAreResolvedOffTheLoop: a request waits for its name, also when its upstream closes meanwhile; others are not held up.
func TestNamesAreResolvedOffTheLoop(t *testing.T) {
	home := newBackend(t)
	a := newService(t, "a")
	e, addr := routed(t, home.addr, "127.0.0.0/8")
	_, port, _ := net.SplitHostPort(a.addr)
	value := "shop:8080=localhost:" + port
	c := newAsker(t, addr)
	one := home.accept()
	mustWrite(t, c.c, ask("/1", value))
	_ = one.Close()
	c.want("a /1 0 " + value)
	if st := e.Stats(); st.Routes[RouteTaken] != 1 || st.RouteMoves != 1 {
		t.Errorf("counted %v, %d moves", st.Routes, st.RouteMoves)
	}
}

// TestOtherProtocolsGoToTheOriginalDestination, whole.
func TestOtherProtocolsGoToTheOriginalDestination(t *testing.T) {
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\nX-Route: x\n\n", "get k\r\n", "\x00\xff"} {
		home := newBackend(t)
		_, addr := routed(t, home.addr)
		c := dial(t, addr)
		one := home.accept()
		mustWrite(t, c, text)
		if got := mustRead(t, one, len(text)); got != text {
			t.Errorf("%q became %q", text, got)
		}
		mustWrite(t, one, "reply")
		mustRead(t, c, 5)
	}
}

// TestGarbageBehindARoutedRequestFollowsIt: the request is valid and goes where it should; what cannot be understood behind it is not lost.
func TestGarbageBehindARoutedRequestFollowsIt(t *testing.T) {
	home, a := newBackend(t), newBackend(t)
	e, addr := routed(t, home.addr)
	c := dial(t, addr)
	home.accept()
	mustWrite(t, c, ask("/1", "shop:8080="+a.addr)+"\x01garbage")
	one := a.accept()
	head(t, one)
	if got := mustRead(t, one, 8); got != "\x01garbage" {
		t.Errorf("got %q", got)
	}
	mustWrite(t, c, "more")
	mustRead(t, one, 4)
	eventually(t, "opaque", func() bool {
		return e.Stats().Opaque[parsers.ReasonControl]+e.Stats().Opaque[parsers.ReasonRequestLine] == 1
	})
}

// TestInboundRequestsOnlyRemember: the value goes under the request's id, and outbound requests of that id get it, by header too.
func TestInboundRequestsOnlyRemember(t *testing.T) {
	home, a := newService(t, "home"), newService(t, "a")
	allow, err := route.ParseAllow([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	shared, err := trace.NewShared(trace.Config{Routes: route.New(allow, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	app := newService(t, "app")
	e := startEngine(t, Config{Loops: 2, Trace: shared, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: app.addr, Kind: span.Server},
		{Addr: "127.0.0.1:0", Upstream: home.addr, Kind: span.Client}}})
	in, out := newAsker(t, e.Listeners()[0].Addr), newAsker(t, e.Listeners()[1].Addr)
	value := "shop:8080=" + a.addr
	mustWrite(t, in.c, "GET /in HTTP/1.1\r\nHost: shop:8080\r\nX-Request-Id: one\r\nX-Route: "+value+"\r\n\r\n")
	in.want("app /in 0 " + value)
	mustWrite(t, out.c, "GET /out HTTP/1.1\r\nHost: shop:8080\r\nX-Request-Id: one\r\n\r\n")
	out.want("a /out 0 " + value)
	mustWrite(t, out.c, "GET /else HTTP/1.1\r\nHost: elsewhere\r\nX-Request-Id: one\r\n\r\n")
	out.want("home /else 0 " + value) // the services behind may know that host
	mustWrite(t, out.c, "GET /out HTTP/1.1\r\nHost: shop:8080\r\nX-Request-Id: two\r\n\r\n")
	out.want("home /out 0")
}

// TestTheRouteOfASessionCostsNoAllocation: the same route again and again, then one that is about another host.
func TestTheRouteOfASessionCostsNoAllocation(t *testing.T) {
	home, there := newBackend(t), newBackend(t)
	e, addr := routed(t, home.addr)
	client := dial(t, addr)
	home.accept()
	request := []byte("GET /a HTTP/1.1\r\nHost: shop:8080\r\nX-Request-Id: one\r\nX-Route: other=10.0.0.1,shop:8080=" + there.addr + "\r\n\r\n")
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	mustWrite(t, client, string(request))
	server := there.accept()
	first := len(head(t, server))
	mustWrite(t, server, string(answer))
	mustRead(t, client, len(answer))
	done := make(chan struct{})
	go func() {
		defer close(done)
		answerLoop(server, first, answer)
	}()
	buf := make([]byte, len(answer))
	ask := func(times int) {
		for range times {
			if _, err := client.Write(request); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, buf); err != nil {
				t.Fatal(err)
			}
			for _, r := range e.Rings() {
				for r.Peek() != nil {
					r.Release()
				}
			}
		}
	}
	ask(1000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 2000
	ask(n)
	runtime.ReadMemStats(&after)
	if got := after.Mallocs - before.Mallocs; got > n/10 {
		t.Errorf("%d allocations in %d requests", got, n)
	}
	_ = client.Close()
	<-done
}

// TestAClientThatResetsWhileItWaits is noticed, though it is not read: its session ends, and so do those of both servers.
func TestAClientThatResetsWhileItWaits(t *testing.T) {
	home := newBackend(t)
	e, addr := routed(t, home.addr)
	c := dial(t, addr)
	one := home.accept()
	mustWrite(t, c, ask("/1", "")+ask("/2", "shop:8080="+sidecar.Refusing(t)))
	head(t, one)
	_ = c.SetLinger(0)
	_ = c.Close()
	eventually(t, "the session to end", func() bool { return e.Stats().Sessions[span.Client] == 0 })
	if got := spans(t, e, 2); got[0].Failure != span.FailureClientReset {
		t.Errorf("failure %v", got[0].Failure)
	}
	eventually(t, "no byte held", func() bool { return e.Stats().PendingBytes == 0 })
}

// TestAServerThatClosesWithRequestsInFlight ends them and what waits behind them; the client gets the end.
func TestAServerThatClosesWithRequestsInFlight(t *testing.T) {
	home, a := newBackend(t), newService(t, "a")
	e, addr := routed(t, home.addr)
	c := dial(t, addr)
	one := home.accept()
	mustWrite(t, c, ask("/1", "")+ask("/2", to(a)))
	head(t, one)
	_ = one.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("bytes from nowhere")
	}
	_ = c.Close()
	for i, r := range spans(t, e, 2) {
		if r.Failure != span.FailureServerClosed {
			t.Errorf("span %d: %v", i, r.Failure)
		}
	}
	eventually(t, "the session to end", func() bool { return e.Stats().Sessions[span.Client] == 0 && e.Stats().PendingBytes == 0 })
	if len(a.conns) != 0 {
		t.Error("the second service was dialled")
	}
}

// A server that ends its side with a request in flight takes those that waited for another route with it; what the client sends after them must
// not reach it either, for between the two something would be missing.
func TestNothingFollowsAGapToAServerThatHasEnded(t *testing.T) {
	home, other := newBackend(t), newService(t, "other")
	e, addr := routed(t, home.addr)
	c := dial(t, addr)
	mustWrite(t, c, ask("/first", "")+ask("/routed", to(other)))
	s := home.accept()
	first := head(t, s)
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("the client read %d, %v", n, err)
	}
	mustWrite(t, c, ask("/after", ""))
	_ = c.CloseWrite()
	if rest := readAll(s); rest != "" || !strings.HasPrefix(first, "GET /first ") {
		t.Errorf("the server read %q, then %q", first, rest)
	}
	noSessions(t, e)
}
