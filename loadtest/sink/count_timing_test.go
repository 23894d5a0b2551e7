package sink

import (
	"encoding/json"
	"testing"
)

func BenchmarkCount(b *testing.B) {
	for _, c := range []struct {
		name    string
		count   func([]byte) (int, error)
		payload []byte
	}{
		{"otlp", CountOTLP, otlpPayload(b, 1, 1, 128)},
		{"zipkin json", CountZipkinJSON, must(json.Marshal(zipkinSpans(128)))(b)},
		{"jaeger", CountJaegerThrift, jaegerPayload(b, 128)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.payload)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := c.count(c.payload); n != 128 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
