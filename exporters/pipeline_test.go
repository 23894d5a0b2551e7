package exporters

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
)

// record returns a span of an ordinary request; n makes it unique.
func record(kind span.Kind, n int) *span.Record {
	r := &span.Record{
		TraceID: span.TraceID{0x4b, 0xf9, 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}, SpanID: span.ID{0, 0xf0, 5: byte(n >> 16), 6: byte(n >> 8), 7: byte(n)},
		ParentID: span.ID{1, 2, 3, 4, 5, 6, 7, 8},
		Start:    1_700_000_000_123_456_789, Duration: 12_345_678, FirstByte: 11_222_333,
		RequestBytes: 412, ResponseBytes: 1733, RequestBody: 12, ResponseBody: 1500,
		Client: span.EndpointFrom(netip.MustParseAddrPort("10.1.2.3:41234")), Server: span.EndpointFrom(netip.MustParseAddrPort("10.9.8.7:8080")),
		Status: 200, Kind: kind, Flags: span.Sampled | span.RemoteParent | span.Random, Join: span.JoinHeader, Minor: 1,
	}
	r.SetTextString(span.Name, "GET /api/Carts/{id}")
	r.SetTextString(span.Protocol, "http1")
	r.SetTextString(span.Method, "GET")
	r.SetTextString(span.Path, "/api/Carts/17")
	r.SetTextString(span.Query, "page=2")
	r.SetTextString(span.Host, "cart.shop.svc:8080")
	r.SetTextString(span.UserAgent, "curl/8.5.0")
	r.SetTextString(span.RequestID, "7b1f6c3e-7d2d-4d53-9d2d-111122223333")
	return r
}

// push puts r into the ring.
func push(t testing.TB, to *ring.Ring[span.Record], r *span.Record) {
	t.Helper()
	slot := to.Reserve()
	if slot == nil {
		t.Fatal("the ring is full")
	}
	r.CopyTo(slot)
	to.Commit()
}

// testConfig returns a configuration that flushes and retries fast.
func testConfig(kinds ...string) Config {
	return Config{
		Kinds: kinds, ServiceName: "Cart", Version: "1.2.3", FlushEvery: 10 * time.Millisecond, Timeout: 5 * time.Second,
		backoffMin: time.Millisecond, backoffMax: 20 * time.Millisecond,
	}
}

// newTestPipeline makes a pipeline with two rings of that many slots.
func newTestPipeline(t testing.TB, cfg Config, slots int) (*Pipeline, []*ring.Ring[span.Record]) {
	t.Helper()
	rings := []*ring.Ring[span.Record]{ring.New[span.Record](slots), ring.New[span.Record](slots)}
	p, err := New(cfg, rings)
	if err != nil {
		t.Fatal(err)
	}
	return p, rings
}

// shutdown ends p within limit and returns its final accounts, which must hold.
func shutdown(t testing.TB, p *Pipeline, limit time.Duration) Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil && !bytes.Contains([]byte(err.Error()), []byte(ErrUndelivered.Error())) {
		t.Error(err)
	}
	s := p.Stats()
	checkAccounts(t, s)
	return s
}

// checkAccounts checks recorded = exported + dropped + queued for every exporter.
func checkAccounts(t testing.TB, s Stats) {
	t.Helper()
	for _, e := range s.Exporters {
		sum := e.Exported + e.Queued
		for _, n := range e.Dropped {
			sum += n
		}
		if sum != s.Recorded {
			t.Errorf("%s: recorded %d, but exported %d + dropped %v + queued %d = %d", e.Name, s.Recorded, e.Exported, e.Dropped, e.Queued, sum)
		}
	}
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still waiting for: " + what)
		}
	}
}

func TestLogAndNoneTakeEverySpan(t *testing.T) {
	var out bytes.Buffer
	cfg := testConfig("log", "none")
	cfg.Output = &out
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	for i := range 20 {
		push(t, rings[i%2], record(span.Server, i))
	}
	s := shutdown(t, p, 5*time.Second)
	if s.Recorded != 20 || s.Exporters[0].Exported != 20 || s.Exporters[1].Exported != 20 {
		t.Errorf("%+v", s)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 20 {
		t.Fatalf("%d lines", len(lines))
	}
	for _, want := range []string{
		"span time=2023-11-14T22:13:20.123456Z kind=server", `name="GET /api/Carts/{id}"`, " ms=12.345 ", " parent=0102030405060708 ",
		" http.response.status_code=200 ", " url.path=/api/Carts/17 ",
	} {
		if !strings.Contains(lines[0], want) {
			t.Errorf("%q is not in %s", want, lines[0])
		}
	}
}

func TestShutdownWithoutStartReturns(t *testing.T) {
	p, rings := newTestPipeline(t, testConfig("zipkin", "none"), 8)
	push(t, rings[0], record(span.Server, 1))
	if s := shutdown(t, p, time.Second); s.Exporters[0].Queued != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAFullRingCountsUnderEveryExporter(t *testing.T) {
	p, rings := newTestPipeline(t, testConfig("none", "zipkin"), 8)
	for i := range 10 { // not started yet: nobody empties the ring
		if slot := rings[0].Reserve(); slot != nil {
			record(span.Client, i).CopyTo(slot)
			rings[0].Commit()
		}
	}
	s := p.Stats()
	checkAccounts(t, s)
	for _, e := range s.Exporters {
		if e.Dropped[ReasonRingFull] != 2 || e.Queued != 8 || s.Recorded != 10 {
			t.Errorf("recorded %d, %+v", s.Recorded, e)
		}
	}
}

func TestSettingsThatDoNotParseAreNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*Config)
		want []string
	}{
		{"unknown exporter", func(c *Config) { c.Kinds = []string{"zipkin", "jaegre"} }, []string{"--exporter", `"jaegre"`, "jaeger, zipkin, otlp, log, none"}},
		{"no exporter", func(c *Config) { c.Kinds = nil }, []string{"--exporter", "allowed: jaeger"}},
		{"no service", func(c *Config) { c.ServiceName = "" }, []string{"--service-name"}},
		{"schema", func(c *Config) { c.TagSchema = "otle" }, []string{"--tag-schema", `"otle"`, "otel, zipkin, netra"}},
		{"scheme", func(c *Config) { c.ZipkinEndpoint = "ftp://h/" }, []string{"--zipkin-endpoint", `"ftp://h/"`, "http://…, https://…"}},
		{"no URL", func(c *Config) { c.ZipkinEndpoint = "http://u:secret@h:x y" }, []string{"--zipkin-endpoint", "not a URL"}},
		{"no scheme", func(c *Config) { c.OTLPEndpoint = "collector:4318" }, []string{"--otlp-endpoint", `"collector:4318"`, "http://…"}},
		{"no host", func(c *Config) { c.OTLPEndpoint = "http:///x" }, []string{"--otlp-endpoint", "no host"}},
		{"port", func(c *Config) { c.JaegerEndpoint = "udp://h:70000" }, []string{"--jaeger-endpoint", "port", "65535"}},
		{"path", func(c *Config) { c.JaegerEndpoint = "http://h/spans" }, []string{"--jaeger-endpoint", "/api/traces"}},
		{"literal", func(c *Config) { c.OTLPTracesEndpoint = "grpc://h:4317" }, []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "grpc"}},
		{"no CA file", func(c *Config) { c.ZipkinEndpoint, c.CAFile = "https://h/", "/nowhere/ca.pem" }, []string{"--export-ca", "/nowhere/ca.pem"}},
		{"empty CA file", func(c *Config) { c.ZipkinEndpoint, c.CAFile = "https://h/", "/dev/null" }, []string{"--export-ca", "PEM"}},
		{"key alone", func(c *Config) { c.ZipkinEndpoint, c.KeyFile = "https://h/", "k" }, []string{"--export-key", "--export-cert"}},
		{"certificate alone", func(c *Config) { c.ZipkinEndpoint, c.CertFile = "https://h/", "k" }, []string{"--export-key", "--export-cert"}},
		{"no certificate", func(c *Config) { c.ZipkinEndpoint, c.CertFile, c.KeyFile = "https://h/", "c", "k" }, []string{"--export-cert", `"c"`}},
		{"header", func(c *Config) { c.Headers = []KV{{"bad name", "secret"}} }, []string{"--export-header", "bad name", "token"}},
		{"header value", func(c *Config) { c.Headers = []KV{{"x", "secret\r\ny: z"}} }, []string{"--export-header", "one line"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig("zipkin", "otlp", "jaeger")
			c.set(&cfg)
			_, err := New(cfg, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q shows a secret", err)
			}
		})
	}
}
