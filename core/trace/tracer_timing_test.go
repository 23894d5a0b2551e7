package trace

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// typical is a GET as a small service sees it: six headers, with the id of the request.
const typical = "GET /api/orders?page=2 HTTP/1.1\nHost: orders.shop:8080\nUser-Agent: Go-http-client/1.1\nAccept: */*\n" +
	"Accept-Encoding: gzip\nConnection: keep-alive\nX-Request-Id: 3f1f0d4e-6a3c-4d4e-8d4a-1b1c2d3e4f50\n"

func benchmark(b *testing.B, r *Request, setUp func(*Tracer)) {
	t := newShared(b, Config{}).NewTracer()
	if setUp != nil {
		setUp(t)
	}
	a, e := new(Active), new(Edit)
	b.SetBytes(int64(len(r.Data)))
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		t.Begin(a, r, e)
		t.End(a, 2)
	}
}

func BenchmarkInboundRoot(b *testing.B) { benchmark(b, request(span.Server, typical), nil) }

func BenchmarkInboundChild(b *testing.B) {
	benchmark(b, request(span.Server, typical+"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n"), nil)
}

func BenchmarkOutboundJoined(b *testing.B) {
	benchmark(b, request(span.Client, typical), func(t *Tracer) {
		t.Begin(new(Active), request(span.Server, typical), new(Edit))
	})
}

// BenchmarkInboundEverything is BenchmarkInboundRoot with all that a person can switch on for names and tags: what it costs on a path that
// was seen.
func BenchmarkInboundEverything(b *testing.B) {
	rules := make([]string, 20)
	for i := range rules {
		rules[i] = fmt.Sprintf("^/service%d/([a-z]+)/[^/]+=>/service%d/$1/{name}", i, i)
	}
	t := newShared(b, Config{FoldPaths: rules, IgnorePaths: []string{"/healthz", "/static/*"}, IgnoreAgents: []string{"kube-probe*", "Prometheus*"},
		TagHeaders: []string{"X-Tenant", "X-Cache"}, TagCookies: []string{"exp"}, RedactQuery: []string{"email"},
		TraceResponseHeader: "X-Trace-Id", Templates: []string{"/api/orders", "/api/orders/{id}"}}).NewTracer()
	r := request(span.Server, typical+"X-Tenant: acme\nCookie: exp=blue\n")
	answer := request(span.Server, "GET / HTTP/1.1\nDate: Thu, 26 Nov 2026 10:00:00 GMT\nContent-Type: text/html\nContent-Length: 12\nX-Cache: HIT\n")
	a, e := new(Active), new(Edit)
	b.SetBytes(int64(len(r.Data)))
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		t.Begin(a, r, e)
		e.Reset()
		t.Respond(a, answer.Data, answer.Head, e)
		t.End(a, 2)
	}
}

func BenchmarkInboundMakesID(b *testing.B) {
	benchmark(b, request(span.Server, "GET / HTTP/1.1\nHost: a\n"), nil)
}

func BenchmarkInboundUnsampled(b *testing.B) {
	benchmark(b, request(span.Server, typical+"b3: 0\n"), nil)
}

// BenchmarkSampler is the same request, sampled, and left out by each kind of sampler: what is left out must cost less.
func BenchmarkSampler(b *testing.B) {
	remote := mustRemote(b)
	remote.Use(&Strategy{ByOperation: true, Default: never{}})
	for _, c := range []struct {
		name string
		c    Config
	}{
		{"sampled", Config{}}, {"never", Config{Sampler: never{}}}, {"ratio=0", Config{Sampler: Ratio(0)}}, {"rate=0", Config{Sampler: Rate(0)}},
		{"rule", Config{SamplerRules: []string{"GET /health*=never", "GET /api/*=never"}}}, {"remote by operation", Config{Sampler: remote}},
	} {
		t, r := newShared(b, c.c).NewTracer(), request(span.Server, typical)
		a, e := new(Active), new(Edit)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.Reset()
				t.Begin(a, r, e)
				t.End(a, 2)
			}
		})
	}
}

func BenchmarkInboundAllFormats(b *testing.B) {
	benchmark(b, request(span.Server, typical+w3cLine+b3Line+multi+uberLine+"tracestate: a=1\n"), nil)
}

// BenchmarkRespond is what the settings that look at responses cost on each: nothing matches, one tag, the trace id.
func BenchmarkRespond(b *testing.B) {
	for name, c := range map[string]Config{
		"no match": {TagHeaders: []string{"X-Absent"}}, "tag": {TagHeaders: []string{"X-Cache"}}, "id": {TraceResponseHeader: "X-Trace-Id"},
	} {
		t := newShared(b, c).NewTracer()
		in := request(span.Server, typical)
		answer := request(span.Server, "GET / HTTP/1.1\nDate: Thu, 26 Nov 2026 10:00:00 GMT\nContent-Type: text/html\n"+
			"Content-Length: 12\nConnection: keep-alive\nX-Cache: HIT\nVary: Accept\n")
		a, e := new(Active), new(Edit)
		t.Begin(a, in, e)
		rec := a.Rec
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rec.CopyTo(&a.Rec)
				e.Reset()
				t.Respond(a, answer.Data, answer.Head, e)
			}
		})
	}
}

// BenchmarkFold is the first sight of a path, however long: the cache never has it.
func BenchmarkFold(b *testing.B) {
	rules := make([]string, 20)
	for i := range rules {
		rules[i] = fmt.Sprintf("^/service%d/([a-z]+)/[^/]+=>/service%d/$1/{name}", i, i)
	}
	for _, c := range []struct {
		name, path string
		rules      []string
	}{
		{"words", "/api/v1/orders/items", nil},
		{"ids", "/api/v1/users/550e8400-e29b-41d4-a716-446655440000/orders/12345", nil},
		{"20 rules", "/service19/shops/berlin/orders/12345", rules},
		{"64 KiB", strings.Repeat("/ab-12345_Xy9", 5000), nil},
		{"64 KiB, slow for a matcher that backtracks", "/" + strings.Repeat("a", 64<<10), []string{"^/(a|aa)+$=>/x", "(a+a+)+b"}},
		{"64 KiB and 20 rules", strings.Repeat("/service1/aaaa", 5000), rules},
	} {
		t := newShared(b, Config{FoldPaths: c.rules}).NewTracer()
		r, method, path := &Request{Head: &parsers.Head{}}, []byte("GET"), []byte(c.path)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(path)))
			b.ReportAllocs()
			for b.Loop() {
				slot := t.operation(r, method, nil, path)
				slot.raw = slot.raw[:0]
			}
		})
	}
}

// BenchmarkJoinTableFull is publish and release with every slot in use, ids never seen before.
func BenchmarkJoinTableFull(b *testing.B) {
	j := new(joinTable)
	j.init(DefaultJoinSize, int64(DefaultJoinTTL))
	b.ReportAllocs()
	mono := int64(0)
	for b.Loop() {
		mono++
		k := uint64(mono) * 0x9E3779B97F4A7C15
		j.release(j.publish(joinKey{k >> 32, k}, &spanContext{}, mono), mono)
	}
}
