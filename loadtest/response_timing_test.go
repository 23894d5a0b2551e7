package loadtest

import (
	"strings"
	"testing"
)

func BenchmarkResponse(b *testing.B) {
	fields := "HTTP/1.1 200 OK\r\nServer: spanload\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/octet-stream\r\n"
	chunk := "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n"
	for _, c := range []struct{ name, stream string }{
		{"small", fields + "Content-Length: 200\r\n\r\n" + strings.Repeat("x", 200)},
		{"small hashed", fields + "X-Body-Hash: crc32c=01234567\r\nContent-Length: 200\r\n\r\n" + strings.Repeat("x", 200)},
		{"64KiB hashed", fields + "X-Body-Hash: crc32c=01234567\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536)},
		{"chunked", fields + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, 16) + "0\r\n\r\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			stream := []byte(c.stream)
			var r response
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				r.reset()
				if _, done, err := r.feed(stream, false); !done || err != nil {
					b.Fatal(done, err)
				}
			}
		})
	}
}

func BenchmarkRecorder(b *testing.B) {
	r := newRecorder(true)
	r.window(0, 1<<62)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now := int64(i) * 1000
		r.sent(now, now)
		r.answer(flight{now, now}, OK, nil, now+int64(i%1000)*1000)
	}
}
