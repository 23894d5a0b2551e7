//go:build e2e

// Package e2e tests the built binaries end to end: real processes, real sockets, a real Zipkin and a real Jaeger. `make e2e` builds
// and fetches what it needs and says where it is.
package e2e

import (
	"context"
	"net/http"
	"os"
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

// givesBack compares span by span what was sent with what the server answers through its query API, and looks at the page that it
// has for a trace.
func givesBack(t *testing.T, ctx context.Context, server *backend.Server, sent []spans.Span, paths []string) {
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
	page := server.UI(sent[0].TraceID)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%s: status %d, %s", page, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
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
	givesBack(t, ctx, &z.Server, sent, paths)
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
			givesBack(t, ctx, &j.Server, sent, paths)
		})
	}
}
