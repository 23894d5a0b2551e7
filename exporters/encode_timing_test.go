package exporters

import (
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// BenchmarkEncode is the cost of one span in each wire format, the view of it left out; bytes are those of the wire.
func BenchmarkEncode(b *testing.B) {
	for _, o := range append(oracles(), oracle{name: "log", make: func(*Config) Encoder { return logEncoder{} }}) {
		b.Run(o.name, func(b *testing.B) {
			e := o.make(oracleConfig())
			var v View
			v.set(record(span.Server, 1), otelSchema)
			buf := e.Begin(make([]byte, 0, 8192))
			n := len(buf)
			b.SetBytes(int64(len(e.Append(buf, &v)) - n))
			b.ReportMetric(float64(v.n), "tags")
			b.ReportAllocs()
			for range b.N {
				e.Append(buf, &v)
			}
		})
	}
}

// BenchmarkView is the cost of the attributes of one span, paid once for all exporters.
func BenchmarkView(b *testing.B) {
	for _, name := range []string{"otel", "zipkin", "netra"} {
		b.Run(name, func(b *testing.B) {
			r, s := record(span.Client, 1), schemaOf(name)
			var v View
			b.SetBytes(int64(len(r.Text(span.Path))))
			b.ReportAllocs()
			for range b.N {
				v.set(r, s)
			}
		})
	}
}
