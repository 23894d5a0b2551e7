package core

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/internal/sidecar"
	"github.com/spanwire/spanwire/parsers"
)

const (
	request  = "GET /a?b=1 HTTP/1.1\r\nHost: shop\r\nUser-Agent: test\r\n\r\n"
	response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
)

// late is a session whose dial takes a second.
type late struct {
	e      *Engine
	client *net.TCPConn
	accept func() *net.TCPConn
}

// startLate connects a client that has said first by the time its dial is waiting.
func startLate(t *testing.T, first string) *late {
	t.Helper()
	upstream, accept := silent(t)
	e, addr := inboundTo(t, upstream, Config{})
	l := &late{e: e, client: dial(t, addr), accept: accept}
	mustWrite(t, l.client, first)
	eventually(t, "the first bytes", func() bool { return e.Stats().Bytes[parsers.ClientToServer] == uint64(len(first)) })
	return l
}

// atOnce lets the dial succeed and the server do something, all of which the loop sees in one event.
func (l *late) atOnce(t *testing.T, do func(s *net.TCPConn)) *net.TCPConn {
	t.Helper()
	release := stall(t, l.e)
	defer release()
	s := l.accept()
	do(s)
	return s
}

// What the server does before the end of the connect is noticed comes in the event that tells of it.
func TestWhatComesWithTheEndOfTheConnect(t *testing.T) {
	// An engine that reads the server at its next event only leaves the client waiting.
	t.Run("banner", func(t *testing.T) {
		t.Parallel()
		l := startLate(t, "")
		l.atOnce(t, func(s *net.TCPConn) { mustWrite(t, s, "220 ready\r\n") })
		if got := mustRead(t, l.client, 11); got != "220 ready\r\n" {
			t.Fatal(got)
		}
	})
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		l := startLate(t, "")
		l.atOnce(t, func(s *net.TCPConn) { _ = s.Close() })
		wantEOF(t, l.client)
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		l := startLate(t, "")
		l.atOnce(t, func(s *net.TCPConn) { reset(t, s) })
		wantReset(t, l.client)
		noSessions(t, l.e)
	})
	// This server did not refuse: what it said is delivered, and the failure is a reset.
	t.Run("answer and reset", func(t *testing.T) {
		t.Parallel()
		const answer = "HTTP/1.1 503 Busy\r\n\r\ntoo many"
		l := startLate(t, request)
		l.atOnce(t, func(s *net.TCPConn) {
			mustWrite(t, s, answer)
			drained(t, s)
			reset(t, s)
		})
		if got := wantReset(t, l.client); got != answer {
			t.Errorf("the client got %q", got)
		}
		noSessions(t, l.e)
		if s := spans(t, l.e, 1)[0]; s.Failure != span.FailureServerReset || s.Status != 503 {
			t.Errorf("failure %v, status %d", s.Failure, s.Status)
		}
		if st := l.e.Stats(); st.Refused[RefusedDial] != 0 {
			t.Errorf("refused: %v", st.Refused)
		}
	})
	// What waited for the dial goes out with it: the request, and the end of the client's stream behind it.
	t.Run("request and end", func(t *testing.T) {
		t.Parallel()
		l := startLate(t, request)
		_ = l.client.CloseWrite()
		s := l.accept()
		if got := wantEOF(t, s); withoutInserted(got) != request || !strings.Contains(got, "traceparent") {
			t.Fatalf("%q", got)
		}
		mustWrite(t, s, response)
		_ = mustRead(t, l.client, len(response))
	})
	// An incomplete head is held for its idle time only, which begins anew when the dial is over.
	t.Run("half a head", func(t *testing.T) {
		t.Parallel()
		l := startLate(t, "GET / HTTP/1.1\r\nHo")
		s := l.accept()
		if got := mustRead(t, s, 18); got != "GET / HTTP/1.1\r\nHo" {
			t.Fatal(got)
		}
	})
}

// A server that speaks first need not wait for the client: dialing at accept does that.
func TestServerFirstProtocolsNeverWait(t *testing.T) {
	l := connect(t, Config{})
	l.reply("220 ready\r\n")
	if got := mustRead(t, l.client, 11); got != "220 ready\r\n" {
		t.Fatal(got)
	}
	l.send("GET / HTTP/1.1\r\n")
	if got := mustRead(t, l.server, 16); got != "GET / HTTP/1.1\r\n" {
		t.Fatal(got)
	}
	if st := l.e.Stats(); st.Opaque[parsers.ReasonServerFirst] != 1 {
		t.Fatalf("opaque: %v", st.Opaque)
	}
}

// The dial does not wait for the client's first byte, nor does a client that stays silent cost a timer: both directions stay
// open.
func TestSilentClient(t *testing.T) {
	l := connect(t, Config{})
	wantSilence(t, l.server, 50*time.Millisecond)
	l.send(request)
	if got := mustRead(t, l.server, 10); got != request[:10] {
		t.Fatal(got)
	}
	l.reply(response)
	if got := mustRead(t, l.client, len(response)); got != response {
		t.Fatal(got)
	}
}

// A refused dial resets the client, which was accepted already: a close would look like an empty answer. The failure is told
// once, as the span of the request if one has come by then or comes within 20 ms, else as a span of its own.
func TestRefusedDial(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []string // what the client sends, with a pause between
		fin    bool
		span   string
	}{
		{name: "silent", span: "connect"},
		{name: "request", pieces: []string{request}, span: "GET /a"},
		{name: "request in pieces", pieces: []string{request[:3], request[3:17], request[17:40], request[40:]}, span: "GET /a"},
		{name: "two requests", pieces: []string{request}, span: "GET /a"},
		{name: "request with half a body", pieces: []string{"PUT /a HTTP/1.1\r\nHost: b\r\nContent-Length: 9\r\n\r\nhalf"}, span: "PUT /a"},
		{name: "request and what is none", pieces: []string{request + "\x16\x03\x01"}, span: "GET /a"},
		{name: "half a head", pieces: []string{request[:30]}, span: "connect"},
		{name: "half a head and the end", pieces: []string{request[:30]}, fin: true, span: "connect"},
		{name: "opaque", pieces: []string{"\x16\x03\x01\x00\x05hello"}, span: "connect"},
		{name: "closed", fin: true, span: "connect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, addr := inboundTo(t, sidecar.Refusing(t), Config{})
			conn, inTime := refusedClient(t, e, addr, c.pieces, c.fin)
			for tries := 1; !inTime && tries < 100; tries++ { // on a busy machine the pieces may come too late
				e, addr = inboundTo(t, sidecar.Refusing(t), Config{})
				conn, inTime = refusedClient(t, e, addr, c.pieces, c.fin)
			}
			noSessions(t, e)
			s := spans(t, e, 1)[0]
			if got := string(s.Text(span.Name)); got != c.span || s.Failure != span.FailureRefused || s.Status != 0 {
				t.Fatalf("span %q, failure %v, status %d", got, s.Failure, s.Status)
			}
			if s.Server.AddrPort().String() != e.Listeners()[0].Upstream ||
				s.Client.AddrPort().String() != conn.LocalAddr().String() {
				t.Errorf("peers %v, %v", s.Client.AddrPort(), s.Server.AddrPort())
			}
			st := e.Stats()
			if st.Refused[RefusedDial] != 1 {
				t.Errorf("refused: %v", st.Refused)
			}
			if connects := st.ConnectSpans; (connects == 1) != (c.span == "connect") {
				t.Errorf("%d connect spans", connects)
			}
		})
	}
}

// refusedClient connects to addr and says the pieces, the first of them before the dial is refused. It returns the connection, which
// has been reset by then, and whether the last piece came before the engine gave up.
func refusedClient(t *testing.T, e *Engine, addr string, pieces []string, fin bool) (conn *net.TCPConn, inTime bool) {
	t.Helper()
	release := stall(t, e)
	conn = dial(t, addr)
	sent := uint64(0)
	for i, p := range pieces {
		if i > 0 {
			release()
			eventually(t, "the piece before", func() bool {
				st := e.Stats()
				return st.Bytes[parsers.ClientToServer] == sent || st.ConnectSpans > 0
			})
			if e.Stats().ConnectSpans > 0 {
				return conn, false
			}
		}
		sent += uint64(len(p))
		if _, err := io.WriteString(conn, p); err != nil {
			return conn, false
		}
	}
	if fin {
		_ = conn.CloseWrite()
	}
	release()
	if got := wantReset(t, conn); got != "" {
		t.Fatalf("the client got %q", got)
	}
	return conn, len(pieces) < 2 || e.Stats().ConnectSpans == 0
}

// The request that comes while the dial waits is the one its failure is told with. Without the dial timer the session stays for
// the kernel's two minutes.
func TestDialTimeout(t *testing.T) {
	addr, _ := silent(t)
	for _, c := range []struct{ name, first, span string }{
		{"silent", "", "connect"}, {"request", request, "GET /a"}, {"opaque", "\x00", "connect"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const timeout = 80 * time.Millisecond
			e, at := inboundTo(t, addr, Config{DialTimeout: timeout})
			release := stall(t, e) // the time begins when the loop accepts; by then the request has come
			begin := time.Now()
			conn := dial(t, at)
			mustWrite(t, conn, c.first)
			release()
			if got := wantReset(t, conn); got != "" {
				t.Fatalf("the client got %q", got)
			}
			if d := time.Since(begin); d < timeout {
				t.Errorf("gave up after %v", d)
			}
			noSessions(t, e)
			s := spans(t, e, 1)[0]
			if got := string(s.Text(span.Name)); got != c.span || s.Failure != span.FailureDialTimeout {
				t.Fatalf("span %q, failure %v", got, s.Failure)
			}
			if time.Duration(s.Duration) < timeout/2 {
				t.Errorf("the span lasted %v", time.Duration(s.Duration))
			}
			if st := e.Stats(); st.Refused[RefusedDialTimeout] != 1 {
				t.Errorf("refused: %v", st.Refused)
			}
		})
	}
}

// A client that gives up while the dial waits takes the session with it, and its request is told as its own failure.
func TestClientResetWhileDialing(t *testing.T) {
	blackHole, _ := silent(t)
	e, addr := inboundTo(t, blackHole, Config{})
	conn := dial(t, addr)
	mustWrite(t, conn, request)
	eventually(t, "the request", func() bool { return e.Stats().Bytes[parsers.ClientToServer] == uint64(len(request)) })
	// The first read is kept for the server, so what follows is not read before there is one.
	reset(t, conn)
	noSessions(t, e)
	if s := spans(t, e, 1)[0]; s.Failure != span.FailureClientReset {
		t.Fatalf("span %+v", s)
	}
}

// Of two addresses the first refuses: without the walk through the addresses half of all clients would see a refusal.
func TestNextAddressIsTried(t *testing.T) {
	up := newBackend(t)
	_, port, _ := net.SplitHostPort(up.addr)
	names.set("two.test", "127.0.0.9", "127.0.0.1")
	e, addr := inboundTo(t, "two.test:"+port, Config{})
	c := dial(t, addr)
	s := up.accept()
	mustWrite(t, c, request)
	_ = mustRead(t, s, len(request))
	mustWrite(t, s, response)
	_ = mustRead(t, c, len(response))
	if got := spans(t, e, 1)[0]; got.Failure != span.FailureNone || got.Server.AddrPort().String() != up.addr {
		t.Fatalf("failure %v, server %v", got.Failure, got.Server.AddrPort())
	}
}

// Every address refuses: one failure is told, of the last address.
func TestAllAddressesRefuse(t *testing.T) {
	_, port, _ := net.SplitHostPort(sidecar.Refusing(t))
	names.set("none.test", "127.0.0.1", "127.0.0.9")
	e, addr := inboundTo(t, "none.test:"+port, Config{})
	wantRefused(t, addr, request)
	if got := spans(t, e, 1)[0]; got.Failure != span.FailureRefused {
		t.Fatalf("failure %v", got.Failure)
	}
}

// localhost has an IPv6 address on most hosts, and most servers listen at one of the two.
func TestLocalhostAsUpstream(t *testing.T) {
	up := newBackend(t)
	_, port, _ := net.SplitHostPort(up.addr)
	_, addr := inboundTo(t, "localhost:"+port, Config{})
	c := dial(t, addr)
	s := up.accept()
	mustWrite(t, s, "hi")
	if got := mustRead(t, c, 2); got != "hi" {
		t.Fatal(got)
	}
}

// A listener whose upstream is itself would call itself until the descriptors are gone.
func TestSelfAsUpstream(t *testing.T) {
	port := sidecar.FreePort(t)
	cases := []struct{ addr, upstream string }{
		{"127.0.0.1:" + port, "127.0.0.1:" + port},
		{":" + port, "127.0.0.1:" + port},
		{":" + port, "[::1]:" + port},
		{"0.0.0.0:" + port, "0.0.0.0:" + port},
	}
	nets, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nets {
		at := net.JoinHostPort(n.(*net.IPNet).IP.String(), port)
		cases = append(cases, struct{ addr, upstream string }{":" + port, at})
	}
	for _, c := range cases {
		_, err := New(Config{Loops: 1, Disabled: true, Explicit: []Listen{{Addr: c.addr, Upstream: c.upstream}}})
		if err == nil {
			t.Errorf("%s may lead to %s", c.addr, c.upstream)
		}
	}
}

// A name may have more addresses than a byte counts; each is tried once.
func TestManyAddressesThatRefuse(t *testing.T) {
	_, port, _ := net.SplitHostPort(sidecar.Refusing(t))
	names.set("many.test", "127.0.0.1")
	e := startEngine(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: "many.test:" + port}}})
	one := e.upstreams[0].addresses()
	if len(one) != 1 {
		t.Fatal(one)
	}
	all := slices.Repeat(one, 600)
	e.upstreams[0].addrs.Store(&all)
	wantRefused(t, e.Listeners()[0].Addr, "")
	noSessions(t, e)
	if st := e.Stats(); st.Refused[RefusedDial] != 1 {
		t.Errorf("refused: %v", st.Refused)
	}
}

// The same behind a name, which says so only when it is resolved.
func TestSelfBehindAName(t *testing.T) {
	port := sidecar.FreePort(t)
	names.set("self.test", "127.0.0.1")
	for _, addr := range []string{"127.0.0.1:", ":"} {
		e := startEngine(t, Config{Explicit: []Listen{{Addr: addr + port, Upstream: "self.test:" + port}}})
		wantRefused(t, "127.0.0.1:"+port, request)
		noSessions(t, e)
		if st := e.Stats(); st.Refused[RefusedSelf] != 1 || st.SessionsTotal[0] != 1 {
			t.Fatalf("refused: %v, sessions %v", st.Refused, st.SessionsTotal)
		}
		e.Close()
	}
}

// A connection to the transparent listener itself was not redirected: it has nowhere to go.
func TestSelfAtTheTransparentListener(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", ":0"} {
		e := startEngine(t, Config{Transparent: addr})
		_, port, _ := net.SplitHostPort(e.Listeners()[0].Addr)
		wantRefused(t, "127.0.0.1:"+port, "")
		if st := e.Stats(); st.Refused[RefusedSelf] != 1 || st.SessionsTotal[0] != 0 {
			t.Fatalf("refused: %v", st.Refused)
		}
	}
}
