package core

import (
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/parsers"
)

// A request that goes on as it came, as HTTP1.md has it of HTTP/1.1 without Host and the like, says so on its span, on both sides and by the
// reason that is counted. One that is edited says nothing.
func TestUneditedSpansSayWhy(t *testing.T) {
	for _, c := range []struct {
		name, head string
		want       parsers.Reason
	}{
		{"no Host", "GET /a HTTP/1.1\r\n\r\n", parsers.ReasonNoHost},
		{"two Hosts", "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", parsers.ReasonDuplicateHost},
		{"a later minor version", "GET /a HTTP/1.2\r\nHost: a\r\n\r\n", parsers.ReasonVersion},
		{"a head that leaves no room", "GET /" + strings.Repeat("a", 300) + "?" + strings.Repeat("b", 300) + " HTTP/1.1\r\nHost: a\r\nUser-Agent: " +
			strings.Repeat("c", 8<<10) + "\r\nX-Request-Id: " + strings.Repeat("d", 200) + "\r\n\r\n", parsers.ReasonHeadSize},
		{"a host without headers of ours", "GET /a HTTP/1.1\r\nHost: pay.example\r\n\r\n", parsers.ReasonNoInject},
		{"no Host in HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", parsers.ReasonNone},
		{"edited", request, parsers.ReasonNone},
	} {
		for _, kind := range []span.Kind{span.Server, span.Client} {
			t.Run(c.name+"/"+kind.String(), func(t *testing.T) {
				want := c.want
				if kind == span.Server && want == parsers.ReasonNoInject {
					want = parsers.ReasonNone // the list is of destinations of outbound requests
				}
				shared, err := trace.NewShared(trace.Config{NoInject: []string{"pay.example"}})
				if err != nil {
					t.Fatal(err)
				}
				up := newBackend(t)
				e := startEngine(t, Config{Trace: shared, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: up.addr, Kind: kind}}})
				conn := dial(t, e.Listeners()[0].Addr)
				s := up.accept()
				mustWrite(t, conn, c.head)
				if got := head(t, s); want != parsers.ReasonNone && got != c.head {
					t.Fatalf("arrived as %q", got)
				}
				mustWrite(t, s, response)
				_ = mustRead(t, conn, len(response))
				rec := spans(t, e, 1)[0]
				if got := uneditedOf(&rec); got != want.String() && (want != parsers.ReasonNone || got != "") {
					t.Errorf("the span says %q, want %v", got, want)
				}
				var counted [parsers.NumReasons]uint64
				if want != parsers.ReasonNone {
					counted[want] = 1
				}
				if st := e.Stats(); st.Unedited != counted {
					t.Errorf("unedited: %v", st.Unedited)
				}
			})
		}
	}
}

// uneditedOf returns what the span says of why its request was not edited; "" = nothing.
func uneditedOf(r *span.Record) string {
	for i := range r.NumTags() {
		if k, v := r.Tag(i); string(k) == "spanwire.unedited" {
			return string(v)
		}
	}
	return ""
}
