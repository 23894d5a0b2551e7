package netramesh

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// The tests TestDefect01 to TestDefect25 are the table "Defects left behind" in docs/netramesh.md, in its order. Each comment says what it
// means to undo the fix, with which the test fails.

// Undone: the loops share a map without a lock. The runtime ends the process ("concurrent map read and map write") within seconds.
func TestDefect01EightKeepAliveClientsRun(t *testing.T) {
	app, _ := answering(t, ok)
	s := beside(t, nil, app, app, "SPANWIRE_LOOPS=2")
	// Requests come in batches, so that both loops are busy all the time.
	const clients, batches, batch = 8, 100, 32
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			in, out := dial(t, s.Inbound), dial(t, s.Outbound)
			for j := range batches {
				var requests strings.Builder
				for k := range batch {
					fmt.Fprintf(&requests, "GET /%d HTTP/1.1\r\nHost: a\r\nX-Request-Id: r-%d-%d\r\n\r\n", k, i, j*batch+k)
				}
				for _, c := range []*conn{in, out} {
					if _, err := io.WriteString(c, requests.String()); err != nil {
						t.Error(err)
						return
					}
				}
				for _, c := range []*conn{in, out} {
					if b := make([]byte, batch*len(ok)); !readFull(t, c, b) || string(b) != strings.Repeat(ok, batch) {
						return
					}
				}
			}
		})
	}
	wg.Wait()
	for _, side := range []string{"inbound", "outbound"} {
		s.AwaitMetric(`spanwire_requests_total{side="`+side+`",status_class="2xx"}`, clients*batches*batch)
	}
}

// readFull fills b; unlike conn.read it may be called by any goroutine.
func readFull(t *testing.T, c *conn, b []byte) bool {
	if _, err := io.ReadFull(c.r, b); err != nil {
		t.Error(err)
		return false
	}
	return true
}

// Undone: a session has one request in flight, not a queue of them; an answer then ends the span of another request.
func TestDefect02PipelinedRequestsHaveASpanEach(t *testing.T) {
	a := newAgent(t)
	app := newService(t)
	s := beside(t, a, app.addr(), "", "NETRA_HTTP_TRACING_IGNORED_PATHS=/health")
	client := dial(t, s.Inbound)
	paths := []string{"/a", "/health", "/b", "/c"}
	for _, p := range paths {
		client.send("GET " + p + " HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	server := app.accept()
	contexts := map[string]bool{}
	for range paths {
		contexts[contextOf(t, server.head()).span] = true
	}
	if len(contexts) != len(paths) {
		t.Errorf("%d contexts for %d requests", len(contexts), len(paths))
	}
	for i := range paths {
		server.send(fmt.Sprintf("HTTP/1.1 20%d OK\r\nContent-Length: 0\r\n\r\n", i))
		client.head()
	}
	all := a.spans(3)
	for i, p := range []string{"/a", "/b", "/c"} {
		want := int64(200 + []int{0, 2, 3}[i])
		if span := all[i]; span.Op != p || span.Tags["http.status_code"] != want {
			t.Errorf("span %d: %s %v, want %s %d", i, span.Op, span.Tags["http.status_code"], p, want)
		}
	}
}

// Undone: an edit inserts its line and deletes none. Two lines then reach the next hop, and the first is the inbound span's.
func TestDefect03JoinedRequestBearsOneContext(t *testing.T) {
	a := newAgent(t)
	app, heads := answering(t, ok)
	s := beside(t, a, app, app)
	get(t, s.Inbound, "/in", "X-Request-Id: r")
	forwarded := value(t, next(t, heads), "uber-trace-id")
	get(t, s.Outbound, "/out", "X-Request-Id: r", "uber-trace-id: "+forwarded)
	sent := contextOf(t, next(t, heads)) // fails unless there is one line
	client := find(t, a.spans(2), "client", "shop.test/out")
	if fmt.Sprintf("%x", client.ID) != sent.span {
		t.Errorf("sent %+v, the client span is %x", sent, client.ID)
	}
}

// Undone: what is in flight at the end of a session is dropped instead of recorded.
func TestDefect04UpstreamFailuresAreSpans(t *testing.T) {
	for kind, fail := range map[string]func(c *conn){
		"server_closed": func(c *conn) { c.Close() },
		"server_reset":  func(c *conn) { _ = c.SetLinger(0); c.Close() },
	} {
		t.Run(kind, func(t *testing.T) {
			a := newAgent(t)
			app := newService(t)
			s := beside(t, a, app.addr(), "")
			client := dial(t, s.Inbound)
			client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
			server := app.accept()
			server.head()
			fail(server)
			wantFailure(t, a.one(), kind)
		})
	}
	t.Run("connection_refused", func(t *testing.T) {
		a := newAgent(t)
		s := beside(t, a, program.Refusing(t), "")
		s.knock(s.Inbound, "GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
		wantFailure(t, a.one(), "connection_refused")
	})
}

func wantFailure(t *testing.T, span tracing, kind string) {
	t.Helper()
	if span.Op != "/x" || span.Tags["error"] != true || span.Tags["error.type"] != kind {
		t.Errorf("span %s %v, want error %s", span.Op, span.Tags, kind)
	}
}

// Undone: an interim response is taken for the response.
func TestDefect05InterimResponsesEndNoSpan(t *testing.T) {
	a := newAgent(t)
	app := newService(t)
	s := beside(t, a, app.addr(), "")
	client := dial(t, s.Inbound)
	client.send("POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	server := app.accept()
	server.head()
	for _, interim := range []string{"100 Continue", "102 Processing", "103 Early Hints"} {
		server.send("HTTP/1.1 " + interim + "\r\n\r\n")
		if got := client.head(); got != "HTTP/1.1 "+interim+"\r\n\r\n" {
			t.Fatalf("the client got %q", got)
		}
	}
	client.send("body")
	server.read(4)
	server.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
	client.head()
	if span := a.one(); span.Tags["http.status_code"] != int64(201) || span.Tags["http.request_size"] != int64(4) {
		t.Errorf("span %v", span.Tags)
	}
}

// Undone: the parser of responses does not know the request's method, and waits for the body of an answer to HEAD.
func TestDefect06HeadHasNoBody(t *testing.T) {
	a := newAgent(t)
	app := newService(t)
	s := beside(t, a, app.addr(), "")
	client := dial(t, s.Inbound)
	var server *conn
	for i, method := range []string{"HEAD", "GET", "HEAD"} {
		client.send(method + " /" + method + " HTTP/1.1\r\nHost: a\r\n\r\n")
		if i == 0 {
			server = app.accept()
		}
		contextOf(t, server.head())
		server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		client.head()
		if method == "GET" {
			server.send("ok")
			client.read(2)
		}
	}
	for i, span := range a.spans(3) {
		if span.Tags["http.status_code"] != int64(200) || span.Tags["error"] != nil {
			t.Errorf("span %d: %v", i, span.Tags)
		}
	}
}

// Undone: bytes of a response are collected before they are written on, be it 4 KiB or to the end of the chunk.
func TestDefect07ServerSentEventsLeaveAtOnce(t *testing.T) {
	app := newService(t)
	s := beside(t, nil, app.addr(), "")
	client := dial(t, s.Inbound)
	client.send("GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
	server := app.accept()
	server.head()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	server.send(head)
	client.read(len(head))
	for i := range 3 {
		chunk := fmt.Sprintf("9\r\ndata: %d\n\n\r\n", i)
		for _, half := range []string{chunk[:5], chunk[5:]} {
			server.send(half)
			if got := client.read(len(half)); got != half { // before the next one is sent
				t.Fatalf("got %q", got)
			}
		}
	}
}

// Undone: a 101 is an interim response like others, so that what follows it is parsed as HTTP.
func TestDefect08UpgradesInATokenList(t *testing.T) {
	a := newAgent(t)
	app := newService(t)
	s := beside(t, a, app.addr(), "")
	client := dial(t, s.Inbound)
	client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	server := app.accept()
	contextOf(t, server.head())
	server.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x02hi")
	client.head()
	if got := client.read(4); got != "\x81\x02hi" {
		t.Errorf("first frame %q", got)
	}
	for _, frame := range []string{"\x81\x83abcdxyz", "GET / HTTP/1.1\r\n\r\n", "\x88"} {
		client.send(frame)
		if got := server.read(len(frame)); got != frame {
			t.Errorf("the server got %q, want %q", got, frame)
		}
	}
	if span := a.one(); span.Op != "/ws" || span.Tags["http.status_code"] != int64(101) {
		t.Errorf("span %v", span)
	}
}

// Undone: nothing recognises the preface, so that the grammar of HTTP/1 decides about it.
func TestDefect09HTTP2PrefaceIsUntouched(t *testing.T) {
	app := newService(t)
	_, port, _ := strings.Cut(app.addr(), ":")
	s := beside(t, nil, app.addr(), "", "NETRA_HTTP_PORTS="+port)
	client := dial(t, s.Inbound)
	bytes := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d"
	client.send(bytes)
	server := app.accept()
	if got := server.read(len(bytes)); got != bytes {
		t.Errorf("the server got %q", got)
	}
	server.send("\x00\x00\x00\x04\x01\x00\x00\x00\x00")
	client.read(9)
	s.AwaitMetric(`spanwire_opaque_total{reason="http2"}`, 1)
}

// Undone: the parser asks for more until it has seen a line feed, and no timer lets go what is held.
func TestDefect10BytesWithoutLineFeedAreNotHeld(t *testing.T) {
	app := newService(t)
	_, port, _ := strings.Cut(app.addr(), ":")
	s := beside(t, nil, app.addr(), "", "NETRA_HTTP_PORTS="+port)
	for name, bytes := range map[string]string{"TLS": "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03", "binary": "\x00\xff\x01", "text": "get key"} {
		client := dial(t, s.Inbound)
		client.send(bytes)
		server := app.accept()
		if got := server.read(len(bytes)); got != bytes { // while the client keeps its end open
			t.Errorf("%s: the server got %q", name, got)
		}
	}
}

// Undone: the end of one direction closes both.
func TestDefect11HalfCloseCrosses(t *testing.T) {
	for name, request := range map[string]string{"HTTP": "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
		"other": "\x00question"} {
		t.Run(name, func(t *testing.T) {
			app := newService(t)
			s := beside(t, nil, app.addr(), "")
			client := dial(t, s.Inbound)
			client.send(request)
			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			server := app.accept()
			if got := server.rest(); !strings.HasSuffix(got, request[len(request)-2:]) {
				t.Errorf("the server got %q", got)
			}
			server.send("HTTP/1.1 200 OK\r\n\r\nthe reply")
			server.Close()
			if got := client.rest(); got != "HTTP/1.1 200 OK\r\n\r\nthe reply" {
				t.Errorf("the client got %q", got)
			}
		})
	}
}

// Undone: a head is written anew from what was parsed, or a line is put anywhere but behind the last.
func TestDefect12RequestsAreNotReserialised(t *testing.T) {
	for name, head := range map[string]string{
		"HTTP/1.0":      "GET /x HTTP/1.0\r\nhost: a\r\n\r\n",
		"names":         "GET /x HTTP/1.1\r\nzeta: 1\r\nhOsT: a\r\nX-ALPHA:   2\r\nalpha:3  \r\n\r\n",
		"absolute form": "GET http://elsewhere.test/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
		"CONNECT":       "CONNECT elsewhere.test:443 HTTP/1.1\r\nHost: elsewhere.test:443\r\n\r\n",
		"path":          "GET /a//b/../%7Ec?q=%20+ HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			app := newService(t)
			s := beside(t, nil, "", app.addr())
			client := dial(t, s.Outbound)
			client.send(head)
			got := app.accept().head()
			if withoutOurs(got) != head {
				t.Errorf("sent\n%q, arrived\n%q", head, got)
			}
			// Ours stand behind the last line, before the empty one.
			if ours, behind := strings.CutPrefix(got, strings.TrimSuffix(head, "\r\n")); !behind || withoutOurs(ours) != "\r\n" || len(ours) == 2 {
				t.Errorf("the lines put in are not the last:\n%q", got)
			}
			if strings.Contains(strings.ToLower(got), "user-agent") {
				t.Error("a User-Agent was added")
			}
		})
	}
}

// withoutOurs returns a stream without the lines that the sidecar inserts.
func withoutOurs(stream string) string {
	var kept strings.Builder
	for _, line := range strings.SplitAfter(stream, "\r\n") {
		n, _, _ := strings.Cut(line, ":")
		if n != "uber-trace-id" && n != "X-Request-Id" && n != "X-Source" {
			kept.WriteString(line)
		}
	}
	return kept.String()
}
