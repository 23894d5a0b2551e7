package trace

import (
	"testing"

	"github.com/spanwire/spanwire/core/span"
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

func BenchmarkInboundMakesID(b *testing.B) {
	benchmark(b, request(span.Server, "GET / HTTP/1.1\nHost: a\n"), nil)
}
