package span

import (
	"testing"
	"unsafe"
)

// BenchmarkCopyTo copies a record with every text set.
func BenchmarkCopyTo(b *testing.B) {
	src, dst := full(), &Record{}
	b.SetBytes(int64(unsafe.Offsetof(src.buf)) + int64(src.used))
	b.ReportAllocs()
	for range b.N {
		src.CopyTo(dst)
	}
}

// BenchmarkFill sets the texts of an ordinary request.
func BenchmarkFill(b *testing.B) {
	r, path := &Record{}, []byte("/api/v1/carts/17/items")
	b.SetBytes(int64(len(path)))
	b.ReportAllocs()
	for range b.N {
		r.Reset()
		r.SetTextString(Name, "GET /api/v1/carts/{id}/items")
		r.SetTextString(Protocol, "http")
		r.SetTextString(Method, "GET")
		r.SetText(Path, path)
		r.SetTextString(Host, "cart:8080")
	}
}
