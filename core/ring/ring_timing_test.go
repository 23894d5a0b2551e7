package ring

import (
	"runtime"
	"testing"
	"unsafe"
)

// BenchmarkOneGoroutine is the cost of the ring itself: no other core takes part.
func BenchmarkOneGoroutine(b *testing.B) {
	r := New[element](1024)
	b.SetBytes(int64(unsafe.Sizeof(element{})))
	b.ReportAllocs()
	for i := range b.N {
		push(r, uint64(i))
		r.Peek()
		r.Release()
	}
}

// BenchmarkTwoGoroutines moves elements between two cores.
func BenchmarkTwoGoroutines(b *testing.B) {
	r := New[element](1024)
	b.SetBytes(int64(unsafe.Sizeof(element{})))
	b.ReportAllocs()
	go benchmarkProducer(r, b.N)
	for n := 0; n < b.N; {
		if r.Peek() == nil {
			runtime.Gosched()
			continue
		}
		r.Release()
		n++
	}
}

// benchmarkProducer pushes n elements, waiting while the ring is full.
func benchmarkProducer(r *Ring[element], n int) {
	for i := 0; i < n; {
		if push(r, uint64(i)) {
			i++
		} else {
			runtime.Gosched()
		}
	}
}
