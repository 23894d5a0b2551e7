package exporters

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/openzipkin/zipkin-go/model"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
)

// collector takes spans as Zipkin JSON or OTLP and remembers their ids. before, when set, is asked about each request; it returns
// true when it has answered itself.
type collector struct {
	t        testing.TB
	before   atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
	mu       sync.Mutex
	ids      map[string]int // span id → how often it came
	requests int
	headers  http.Header // of the last request
}

// newCollector returns a collector without a server.
func newCollector(t testing.TB) *collector { return &collector{t: t, ids: map[string]int{}} }

// serve returns the URL of an HTTP server that c answers for.
func (c *collector) serve() string {
	s := httptest.NewServer(c)
	c.t.Cleanup(s.Close)
	return s.URL
}

// script sets before.
func (c *collector) script(f func(w http.ResponseWriter, r *http.Request) bool) { c.before.Store(&f) }

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.requests++
	c.headers = r.Header.Clone()
	c.mu.Unlock()
	if f := c.before.Load(); f != nil && (*f)(w, r) {
		return
	}
	c.take(r)
	w.WriteHeader(http.StatusAccepted)
}

// take stores the spans of r.
func (c *collector) take(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	if err != nil {
		c.t.Errorf("collector: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch r.Header.Get("Content-Type") {
	case "application/json":
		var spans []model.SpanModel
		if err := json.Unmarshal(body, &spans); err != nil {
			c.t.Errorf("collector: %v", err)
		}
		for _, s := range spans {
			c.ids[s.ID.String()]++
		}
	case "application/x-protobuf":
		var m tracepb.TracesData
		if err := proto.Unmarshal(body, &m); err != nil {
			c.t.Errorf("collector: %v", err)
		}
		for _, rs := range m.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					c.ids[string(s.SpanId)]++
				}
			}
		}
	default:
		c.t.Errorf("collector: content type %q", r.Header.Get("Content-Type"))
	}
}

// distinct returns how many different spans came.
func (c *collector) distinct() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ids)
}

// asked returns how many requests came.
func (c *collector) asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// checkOnce checks that n spans came, each once.
func (c *collector) checkOnce(n int) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ids) != n {
		c.t.Errorf("%d spans came, want %d", len(c.ids), n)
	}
	for id, times := range c.ids {
		if times != 1 {
			c.t.Errorf("span %x came %d times", id, times)
		}
	}
}

// pushMany pushes records numbered from to to-1, waiting whenever the ring is full, which a loop would not.
func pushMany(t testing.TB, r *ring.Ring[span.Record], from, to int) {
	for i := from; i < to; i++ {
		eventually(t, "space in the ring", func() bool { return r.Len() < r.Cap() })
		push(t, r, record(span.Kind(i%2), i+1))
	}
}

// lines is a log that tests look into.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// count returns how many lines hold text.
func (l *lines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// logger returns a logger into l.
func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
