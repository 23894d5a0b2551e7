package core

import (
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// An ignored request has no span, whatever context it bears; what it calls is a child of that context with its decision, and not sampled
// when there is none. It is counted as any other request.
func TestIgnoredRequests(t *testing.T) {
	const (
		traceID, parentID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
		sampled           = "00-" + traceID + "-" + parentID + "-01"
		unsampled         = "00-" + traceID + "-" + parentID + "-00"
	)
	ignore := trace.Config{IgnorePaths: []string{"/healthz", "/static/*"}, IgnoreAgents: []string{"kube-probe*", "Prometheus*"}}
	for _, c := range []struct {
		name, path, agent, context string
		toApp                      string // the context that the application is handed, where it is known
		flags                      string // of the context that its call bears: bit 0 sampled, bit 1 a random trace id, made here
		inbound, outbound          bool   // there is such a span
	}{
		{"exact", "/healthz", "", "", "", "02", false, false},
		{"exact, with a query", "/healthz?full=1", "", "", "", "02", false, false},
		{"not below it", "/healthz/db", "", "", "", "03", true, true},
		{"glob", "/static/css/main.css", "", "", "", "02", false, false},
		{"probe of Kubernetes", "/any", "kube-probe/1.33", "", "", "02", false, false},
		{"Prometheus", "/metrics", "Prometheus/3.1.0", "", "", "02", false, false},
		{"another agent", "/any", "curl/8 kube-probe", "", "", "03", true, true},
		{"below a sampled request", "/healthz", "", "traceparent: " + sampled, sampled, "01", false, true},
		{"below an unsampled request", "/healthz", "", "traceparent: " + unsampled, unsampled, "00", false, false},
		{"by agent, below a sampled request", "/any", "kube-probe/1.33", "b3: " + traceID + "-" + parentID + "-1", sampled, "01", false, true},
		{"a decision without ids", "/healthz", "", "b3: 1", "", "02", false, false},
		{"an invalid context", "/healthz", "", "traceparent: " + strings.ToUpper(sampled), "", "02", false, false},
		{"a forced sample", "/healthz", "", "jaeger-debug-id: x", "", "02", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			toApp, toBackend := make(chan string, 1), make(chan string, 1)
			m := newMeshWith(t, ignore, func(m *mesh, _ http.ResponseWriter, r *http.Request) {
				toApp <- r.Header.Get("Traceparent")
				m.callOn(t, r, "/call")
			}, func(r *http.Request) { toBackend <- r.Header.Get("Traceparent") })
			r, err := http.NewRequest(http.MethodGet, "http://"+m.inbound+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("User-Agent", c.agent)
			if name, value, ok := strings.Cut(c.context, ": "); ok {
				r.Header.Set(name, value)
			}
			res, err := m.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if got := <-toApp; c.toApp != "" && got != c.toApp {
				t.Errorf("the application is handed %s, want %s", got, c.toApp)
			}
			call := strings.Split(<-toBackend, "-")
			if len(call) != 4 || call[3] != c.flags {
				t.Fatalf("the call bears %q, want flags %s", call, c.flags)
			}
			eventually(t, "both requests counted", func() bool {
				st := m.e.Stats()
				return st.Requests[span.Server][2] == 1 && st.Requests[span.Client][2] == 1 &&
					st.Durations[span.Server].Counts != [len(DurationBuckets) + 1]uint64{}
			})
			m.e.Close() // nothing comes any more
			var in, out *span.Record
			all := takeSpans(m.e)
			for i := range all {
				if all[i].Kind == span.Server {
					in = &all[i]
				} else {
					out = &all[i]
				}
			}
			if (in != nil) != c.inbound || (out != nil) != c.outbound {
				t.Fatalf("inbound span %v, outbound span %v; want %v, %v", in != nil, out != nil, c.inbound, c.outbound)
			}
			if out == nil {
				return
			}
			if hex.EncodeToString(out.TraceID[:]) != call[1] || hex.EncodeToString(out.SpanID[:]) != call[2] {
				t.Errorf("the call bears %q, its span is %x", call, out.SpanID)
			}
			if in != nil && out.ParentID != in.SpanID || in == nil && hex.EncodeToString(out.ParentID[:]) != parentID {
				t.Errorf("the call's parent is %x", out.ParentID)
			}
		})
	}
}

// An ignored request among others on one connection shifts no span to another request.
func TestIgnoredRequestsInAPipeline(t *testing.T) {
	l := answersWith(t, trace.Config{IgnorePaths: []string{"/ignored"}})
	for _, path := range []string{"/a", "/ignored", "/b"} {
		l.ask("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
	}
	l.reply("HTTP/1.1 201 A\r\nContent-Length: 1\r\n\r\naHTTP/1.1 202 I\r\nContent-Length: 0\r\n\r\nHTTP/1.1 203 B\r\nContent-Length: 0\r\n\r\n")
	recs := spans(t, l.e, 2)
	for i, want := range []struct {
		path   string
		status uint16
	}{{"/a", 201}, {"/b", 203}} {
		if got := string(recs[i].Text(span.Path)); got != want.path || recs[i].Status != want.status {
			t.Errorf("span %d is of %s with %d, want %s with %d", i, got, recs[i].Status, want.path, want.status)
		}
	}
	if st := l.e.Stats(); st.Requests[span.Server][2] != 3 || st.Ignored != 1 {
		t.Errorf("%d requests counted, %d ignored", st.Requests[span.Server][2], st.Ignored)
	}
}

// Beyond the cap on names requests are called {other}, and counted.
func TestOperationsBeyondTheCap(t *testing.T) {
	l := answersWith(t, trace.Config{MaxOperations: 2})
	for _, c := range []struct{ path, want string }{{"/a", "GET /a"}, {"/b/1", "GET /b/{id}"}, {"/c", "{other}"}, {"/b/2", "GET /b/{id}"}, {"/d", "{other}"}} {
		l.ask("GET " + c.path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		l.reply("HTTP/1.1 204 No\r\n\r\n")
		if got := string(spans(t, l.e, 1)[0].Text(span.Name)); got != c.want {
			t.Errorf("%s is called %q, want %q", c.path, got, c.want)
		}
	}
	if n := l.e.Stats().OtherNames; n != 2 {
		t.Errorf("%d counted beyond the cap", n)
	}
}
