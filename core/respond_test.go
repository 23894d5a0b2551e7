package core

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/parsers"
)

// answersWith starts a link whose sidecar has these settings.
func answersWith(t *testing.T, c trace.Config) *link {
	t.Helper()
	shared, err := trace.NewShared(c)
	if err != nil {
		t.Fatal(err)
	}
	return connect(t, Config{Trace: shared})
}

// withTraceID is a link that writes the trace id into responses.
func withTraceID(t *testing.T) *link {
	t.Helper()
	return answersWith(t, trace.Config{TraceResponseHeader: "X-Trace-Id"})
}

// wantAnswer reads from the client what want says, where <id> stands for the trace id of the span that id belongs to, as "%id"
// lines: "<1>" is the first span's. It returns the spans, in order.
func (l *link) wantAnswer(want string, n int) []span.Record {
	l.t.Helper()
	recs := spans(l.t, l.e, n)
	for i := range recs {
		id := hex.EncodeToString(recs[i].TraceID[:])
		want = strings.ReplaceAll(want, "<"+string(rune('1'+i))+">", id)
	}
	if got := mustRead(l.t, l.client, len(want)); got != want {
		l.t.Errorf("got\n%q, want\n%q", got, want)
	}
	return recs
}

// ask sends a request and takes it off the server's side.
func (l *link) ask(req string) {
	l.t.Helper()
	l.send(req)
	head(l.t, l.server)
}

// The trace id stands before the final CRLF of the final response, and all else is as it came.
func TestTraceIDInResponses(t *testing.T) {
	const get, end = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "X-Trace-Id: <1>\r\n\r\n"
	for _, c := range []struct{ name, req, reply, want string }{
		{"length", get, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + end + "ok"},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + end},
		{"304", get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n\r\n",
			"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"x\"\r\n" + end},
		{"204, no header lines", get, "HTTP/1.1 204 \r\n\r\n", "HTTP/1.1 204 \r\n" + end},
		{"chunked, trailers", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trace-Id\r\n\r\n2\r\nok\r\n0\r\nX-Trace-Id: t\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Trace-Id\r\n" + end + "2\r\nok\r\n0\r\nX-Trace-Id: t\r\n\r\n"},
		{"its own lines go, in any case", get, "HTTP/1.1 200 OK\r\nx-trace-id: old\r\nA: b\r\nX-TRACE-ID: older\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n" + end},
		{"interim responses stay", get, "HTTP/1.1 103 Early\r\nLink: </x>\r\nX-Trace-Id: i\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 103 Early\r\nLink: </x>\r\nX-Trace-Id: i\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + end},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
			"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n" + end + "x"},
		{"a large body", get, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat("x", 60000),
			"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n" + end + strings.Repeat("x", 60000)},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := withTraceID(t)
			l.ask(c.req)
			l.reply(c.reply)
			l.wantAnswer(c.want, 1)
			// Nothing more came, and the connection goes on.
			l.ask(get)
			l.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			l.wantAnswer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+end, 1)
			if st := l.e.Stats(); st.UneditedBack != [parsers.NumReasons]uint64{} {
				t.Errorf("unedited %v", st.UneditedBack)
			}
		})
	}
}

// Several responses in one read: each gets the id of its own trace.
func TestTraceIDsOfPipelinedResponses(t *testing.T) {
	l := withTraceID(t)
	for range 3 {
		l.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	const one = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	l.reply(one + one + one)
	recs := l.wantAnswer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Trace-Id: <1>\r\n\r\nok"+
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Trace-Id: <2>\r\n\r\nok"+
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Trace-Id: <3>\r\n\r\nok", 3)
	for i := range recs {
		if recs[i].ResponseBytes != int64(len(one)) {
			t.Errorf("%d bytes counted, want what came on the wire", recs[i].ResponseBytes)
		}
	}
}

// A head that comes in pieces is never held: each piece goes on at once, unedited, and is counted; what follows it is edited again.
func TestSplitResponseHeadsAreNotHeld(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	const reply = "HTTP/1.1 200 OK\r\nX-Trace-Id: app\r\nContent-Length: 2\r\n\r\n"
	for cut := 1; cut < len(reply); cut += 7 {
		l := withTraceID(t)
		l.ask(get)
		l.ask(get)
		l.reply(reply[:cut])
		if got := mustRead(t, l.client, cut); got != reply[:cut] {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		l.reply(reply[cut:] + "ok" + reply + "ok") // the second is whole within this read
		if got, want := mustRead(t, l.client, len(reply)-cut+2), reply[cut:]+"ok"; got != want {
			t.Errorf("cut at %d: got %q, want %q", cut, got, want)
		}
		recs := spans(t, l.e, 2)
		want := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Trace-Id: " + hex.EncodeToString(recs[1].TraceID[:]) + "\r\n\r\nok"
		if got := mustRead(t, l.client, len(want)); got != want {
			t.Errorf("cut at %d: got %q, want %q", cut, got, want)
		}
		if n := l.e.Stats().UneditedBack[parsers.ReasonSplitHead]; n != 1 {
			t.Errorf("cut at %d: %d split heads counted", cut, n)
		}
	}
}

// What must not be edited goes as it came: tunnels, switched protocols, heads too long to add to, versions unknown.
func TestResponsesThatAreNotEdited(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name, req, reply string
		reason           parsers.Reason // counted as unedited; none: nothing is counted
	}{
		{"101", "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", parsers.ReasonUpgraded},
		{"tunnel", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", parsers.ReasonNone},
		{"refused tunnel", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", parsers.ReasonNone},
		{"long head", get, "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", 8000) + "\r\nContent-Length: 0\r\n\r\n", parsers.ReasonHeadSize},
		{"many lines", get, "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: x\r\n", 100) + "Content-Length: 0\r\n\r\n", parsers.ReasonFieldCount},
		{"minor version", get, "HTTP/1.3 200 OK\r\nContent-Length: 0\r\n\r\n", parsers.ReasonVersion},
		{"tab around the length", get, "HTTP/1.1 200 OK\r\nContent-Length:\t0\r\n\r\n", parsers.ReasonFramingTab},
		{"unknown coding", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzzz", parsers.ReasonTransferEncoding},
		{"ambiguous length", get, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
			parsers.ReasonLengthAndEncoding},
		{"no HTTP", get, "SSH-2.0-x\r\n\r\n", parsers.ReasonNone},
		{"bare line feeds", get, "HTTP/1.1 200 OK\nContent-Length: 0\n\n", parsers.ReasonNone},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := withTraceID(t)
			l.ask(c.req)
			l.reply(c.reply)
			_ = l.server.CloseWrite()
			if got := wantEOF(t, l.client); got != c.reply {
				t.Errorf("got %q, want %q", got, c.reply)
			}
			_ = l.client.Close()
			l.closed()
			want := [parsers.NumReasons]uint64{}
			if c.reason != parsers.ReasonNone {
				want[c.reason] = 1
			}
			if st := l.e.Stats(); st.UneditedBack != want {
				t.Errorf("unedited %v, want 1 for %v", st.UneditedBack, c.reason)
			}
		})
	}
}

// A response of a trace that is not recorded, and one that has the id already, go as they came; without the setting all do.
func TestResponsesWithoutAnIDToWrite(t *testing.T) {
	const reply = "HTTP/1.1 200 OK\r\nX-Trace-Id: 0af7651916cd43dd8448eb211c80319c\r\nContent-Length: 0\r\n\r\n"
	const get = "GET /a HTTP/1.1\r\nHost: a\r\n"
	on := trace.Config{TraceResponseHeader: "x-trace-id", IgnorePaths: []string{"/ignored"}}
	for _, c := range []struct {
		name string
		cfg  trace.Config
		req  string
	}{
		{"the next hop has written it", on, get + "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n"},
		{"unsampled", on, get + "b3: 0\r\n\r\n"},
		{"ignored", on, "GET /ignored HTTP/1.1\r\nHost: a\r\n\r\n"},
		{"off", trace.Config{TagHeaders: []string{"X-Trace-Id"}}, get + "\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := answersWith(t, c.cfg)
			l.ask(c.req)
			l.reply(reply)
			_ = l.server.CloseWrite()
			if got := wantEOF(t, l.client); got != reply {
				t.Errorf("got %q, want %q", got, reply)
			}
		})
	}
}

// Headers and cookies become tags of every inbound span, those of the response too, whether or not the head came in one piece.
func TestTagsOfRequestAndResponse(t *testing.T) {
	l := answersWith(t, trace.Config{TagHeaders: []string{"X-Tenant:tenant", "X-Cache", "Content-Type:type", "X-Same"},
		TagCookies: []string{"exp:experiment", "sid"}})
	parent := "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	for _, context := range []string{"", parent} { // a root, and a child
		l.ask("POST / HTTP/1.1\r\nHost: a\r\n" + context + "x-tenant: acme\r\nContent-Type: text/json\r\nX-Same: 1\r\n" +
			"Cookie: sid=s; exp=blue\r\nAuthorization: Bearer x\r\n\r\n")
		l.reply("HTTP/1.1 200 OK\r\nX-Ca")
		_ = mustRead(t, l.client, len("HTTP/1.1 200 OK\r\nX-Ca"))
		rest := "che: HIT\r\nX-Cache: second\r\ncontent-type: text/html\r\nX-Same: 1\r\nSet-Cookie: exp=red; Path=/\r\n" +
			"Set-Cookie: other=1\r\nSet-Cookie: exp=third\r\nSet-Cookie: flag\r\nContent-Length: 0\r\n\r\n"
		l.reply(rest)
		_ = mustRead(t, l.client, len(rest))
		got := tagsOf(&spans(t, l.e, 1)[0])
		want := "tenant=acme type=text/json X-Same=1 sid=s experiment=blue X-Cache=HIT type.response=text/html experiment.response=red"
		if got != want {
			t.Errorf("tags %s, want %s", got, want)
		}
	}
}

// A tag that a span has no room for is counted.
func TestTagsThatDoNotFit(t *testing.T) {
	var c trace.Config
	lines := ""
	for _, n := range "abcdefghijkl" {
		c.TagHeaders = append(c.TagHeaders, "X-"+string(n)+":"+strings.Repeat(string(n), 40))
		lines += "X-" + string(n) + ": " + strings.Repeat("v", 100) + "\r\n"
	}
	l := answersWith(t, c)
	l.ask("GET / HTTP/1.1\r\nHost: a\r\n" + lines + "\r\n")
	l.reply("HTTP/1.1 204 No\r\n\r\n")
	recs := spans(t, l.e, 1)
	if n := l.e.Stats().TagsLost; n == 0 || int(n) != 12-recs[0].NumTags() {
		t.Errorf("%d tags of 12, %d counted as lost", recs[0].NumTags(), n)
	}
}

// tagsOf returns the tags of a record as text.
func tagsOf(r *span.Record) string {
	var tags []string
	for i := range r.NumTags() {
		k, v := r.Tag(i)
		tags = append(tags, string(k)+"="+string(v))
	}
	return strings.Join(tags, " ")
}
