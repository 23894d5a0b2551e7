//go:build e2e

// Package e2e tests the built binaries end to end: real processes, real sockets, a real Zipkin and a real Jaeger. `make e2e` builds
// and fetches what it needs and says where it is.
package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/backend"
	"github.com/spanwire/spanwire/demo/collector"
	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/demo/spans"
	"github.com/spanwire/spanwire/internal/need"
)

// requests is how many requests a test sends.
const requests = 60

// patience bounds each test; they take seconds, a server's start included.
const patience = 3 * time.Minute

// file returns the path that the environment variable names.
func file(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if _, err := os.Stat(path); err != nil {
		need.Missing(t, variable+" ("+err.Error()+")", "run make e2e, which builds what the tests need and sets it")
	}
	return path
}

// bounded returns a context that ends with the test or after patience.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// run sends requests through a mesh whose sidecars have the exporter arguments given, and returns what they told c: exactly the
// expected trees, or the test ends.
func run(t *testing.T, ctx context.Context, c *collector.Collector, exporter []string) (sent []spans.Span, paths []string) {
	t.Helper()
	m, err := mesh.Start(ctx, mesh.Config{
		Spanwire: file(t, "SPANWIRE_BIN"),
		Service:  file(t, "SPANWIRE_DEMO_SERVICE"),
		Exporter: exporter,
		Say:      t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Kill()
	paths, err = m.Burst(ctx, requests)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Logs())
	}
	waiting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := c.Wait(waiting, requests*mesh.SpansPerRequest); err != nil {
		t.Errorf("%v\n%s", err, m.Logs())
	}
	if err := m.Stop(); err != nil {
		t.Error(err)
	}
	if err := c.Problems(); err != nil {
		t.Error(err)
	}
	sent = c.Spans()
	if err := mesh.Verify(sent, paths); err != nil {
		t.Fatalf("%v\n%s", err, m.Logs())
	}
	return sent, paths
}

// newCollector returns a collector that ends with the test.
func newCollector(t *testing.T) *collector.Collector {
	t.Helper()
	c, err := collector.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// pages says how a server's own user interface is called.
type pages struct {
	trace string // the path of a trace's page; the trace id is appended
	asks  string // the path at which that page asks for the trace; the trace id is appended
	route string // how the page's script calls the path of a trace; "" = this build of the server has no script
}

var (
	zipkinPages = pages{trace: "/zipkin/traces/", asks: "/zipkin/api/v2/trace/", route: `"/traces/:traceId"`}
	// A Jaeger that is built as a Go tool has a placeholder in the place of its pages.
	jaegerPages = pages{trace: "/trace/", asks: "/api/traces/"}
)

// givesBack compares span by span what was sent with what the server answers through its query API, and looks at the page that it
// has for a trace.
func givesBack(t *testing.T, ctx context.Context, server *backend.Server, want pages, sent []spans.Span, paths []string) {
	t.Helper()
	waiting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	got, err := server.Traces(waiting, backend.Wanted(sent))
	if err != nil {
		t.Fatal(err)
	}
	if diff := spans.Diff(sent, got); len(diff) > 0 {
		t.Errorf("%d differences, the first:\n%s", len(diff), strings.Join(diff[:min(len(diff), 30)], "\n"))
	}
	if err := mesh.Verify(got, paths); err != nil {
		t.Error(err)
	}
	for id, trace := range spans.ByTrace(sent) {
		want.check(t, ctx, server.UI(id), trace)
		break // they are alike
	}
}

// script finds what a page runs.
var script = regexp.MustCompile(`<script [^>]*src="([^"]+)"`)

// check looks at the address of trace's page as a browser does: the page is there, its script knows such a path, and what it asks the server
// for by the id in the address is the trace. A page of scripts answers 200 for paths that it then says it does not know.
func (p pages) check(t *testing.T, ctx context.Context, address string, trace []spans.Span) {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := strings.CutPrefix(at.Path, p.trace)
	if !ok {
		t.Fatalf("%s is not below %s", address, p.trace)
	}
	page := get(t, ctx, address, "text/html")
	if p.route != "" {
		src := script.FindStringSubmatch(page)
		if src == nil {
			t.Fatalf("%s has no script:\n%s", address, page)
		}
		if !strings.Contains(get(t, ctx, at.ResolveReference(&url.URL{Path: src[1]}).String(), ""), p.route) {
			t.Errorf("%s has no %s", src[1], p.route)
		}
	}
	answer := get(t, ctx, at.ResolveReference(&url.URL{Path: p.asks + id}).String(), "application/json")
	for _, s := range trace {
		if s.TraceID != id || !strings.Contains(answer, `"`+s.ID+`"`) {
			t.Errorf("%s is not in the trace %s:\n%.2000s", s.ID, id, answer)
		}
	}
}

// get returns the answer of an address, of which the type is that, or any.
func get(t *testing.T, ctx context.Context, address, contentType string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), contentType) {
		t.Fatalf("%s: status %d, %s, %v", address, resp.StatusCode, resp.Header.Get("Content-Type"), err)
	}
	return string(body)
}

// TestZipkin: the sidecars send to Zipkin, and the same spans as OTLP to a collector of the test, which tells what Zipkin must know.
func TestZipkin(t *testing.T) {
	java, err := backend.FindJava()
	if err != nil {
		need.Missing(t, "Java", err.Error())
	}
	jar := file(t, "SPANWIRE_ZIPKIN_JAR")
	ctx := bounded(t)
	z, err := backend.StartZipkin(ctx, java, jar)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Kill()
	c := newCollector(t)
	sent, paths := run(t, ctx, c, []string{"--exporter", "zipkin,otlp", "--zipkin-endpoint", z.Endpoint(), "--otlp-endpoint", c.OTLPEndpoint()})
	givesBack(t, ctx, &z.Server, zipkinPages, sent, paths)
}

// TestJaeger: the sidecars send to Jaeger in each of its wire formats, and the same spans as Zipkin v2 to a collector of the test,
// which tells what Jaeger must know.
func TestJaeger(t *testing.T) {
	binary := file(t, "SPANWIRE_JAEGER")
	ctx := bounded(t)
	j, err := backend.StartJaeger(ctx, binary)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Kill()
	for _, endpoint := range j.Endpoints() {
		t.Run(endpoint.Format, func(t *testing.T) {
			c := newCollector(t)
			sent, paths := run(t, ctx, c, []string{"--exporter", "jaeger,zipkin", "--jaeger-endpoint", endpoint.URL, "--zipkin-endpoint", c.ZipkinEndpoint()})
			givesBack(t, ctx, &j.Server, jaegerPages, sent, paths)
		})
	}
}
