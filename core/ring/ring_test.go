package ring

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"unsafe"
)

type element struct {
	seq   uint64
	check uint64
	_     [48]byte
}

// push fills the next slot; it reports false when the ring refused it.
func push(r *Ring[element], seq uint64) bool {
	e := r.Reserve()
	if e == nil {
		return false
	}
	e.seq, e.check = seq, ^seq
	r.Commit()
	return true
}

func TestSizeIsRoundedUpToAPowerOfTwo(t *testing.T) {
	for _, c := range []struct{ ask, want int }{{-1, 2}, {0, 2}, {1, 2}, {2, 2}, {3, 4}, {64, 64}, {65, 128}, {1000, 1024}} {
		if got := New[element](c.ask).Cap(); got != c.want {
			t.Errorf("New(%d).Cap() = %d, want %d", c.ask, got, c.want)
		}
	}
}

// TestAgainstAModel drives one goroutine through random pushes and pops and compares with a slice.
func TestAgainstAModel(t *testing.T) {
	for _, slots := range []int{2, 4, 32, 64, 256} {
		rng := rand.New(rand.NewPCG(1, uint64(slots)))
		r := New[element](slots)
		var model []uint64
		var next, dropped uint64
		for range 20000 {
			for range rng.IntN(slots + 2) {
				next++
				if push(r, next) {
					model = append(model, next)
				} else if dropped++; len(model) != slots {
					t.Fatalf("%d slots: refused at fill %d", slots, len(model))
				}
				if len(model) > slots {
					t.Fatalf("%d slots: took element %d", slots, len(model))
				}
			}
			for range rng.IntN(slots + 2) {
				e := r.Peek()
				if len(model) == 0 {
					if e != nil {
						t.Fatalf("%d slots: element %d out of an empty ring", slots, e.seq)
					}
					break
				}
				if e == nil || e.seq != model[0] || e.check != ^model[0] {
					t.Fatalf("%d slots: got %+v, want %d", slots, e, model[0])
				}
				if again := r.Peek(); again != e {
					t.Fatal("a second Peek moved")
				}
				r.Release()
				model = model[1:]
			}
			if r.Len() != len(model) || r.Dropped() != dropped || r.Pushed() != next-dropped {
				t.Fatalf("len %d, pushed %d, dropped %d; want %d, %d, %d", r.Len(), r.Pushed(), r.Dropped(), len(model), next-dropped, dropped)
			}
		}
	}
}

// TestStress runs producer and consumer in parallel, with pauses on both sides so that full and empty are both met; under -race it
// checks that every hand-over is ordered.
func TestStress(t *testing.T) {
	const pushes = 400_000
	r := New[element](64)
	done := make(chan struct{})
	go produce(r, pushes, done)
	rng := rand.New(rand.NewPCG(3, 4))
	var got, last uint64
	for finished := false; ; {
		e := r.Peek()
		if e == nil {
			if finished {
				break
			}
			select {
			case <-done:
				finished = true
			default:
				runtime.Gosched()
			}
			continue
		}
		if e.check != ^e.seq || e.seq <= last {
			t.Fatalf("element %d after %d, check %x", e.seq, last, e.check)
		}
		last = e.seq
		got++
		r.Release()
		if rng.IntN(200) == 0 {
			runtime.Gosched()
		}
	}
	if got != r.Pushed() || got+r.Dropped() != pushes {
		t.Fatalf("got %d, pushed %d, dropped %d, tried %d", got, r.Pushed(), r.Dropped(), pushes)
	}
}

// produce is the producer of TestStress.
func produce(r *Ring[element], n uint64, done chan<- struct{}) {
	rng := rand.New(rand.NewPCG(5, 6))
	for i := uint64(1); i <= n; i++ {
		push(r, i)
		if rng.IntN(100) == 0 {
			runtime.Gosched()
		}
	}
	close(done)
}

func TestReserveWithoutCommitReturnsTheSameSlot(t *testing.T) {
	r := New[element](4)
	a := r.Reserve()
	if b := r.Reserve(); a != b {
		t.Error("another slot")
	}
	if r.Len() != 0 || r.Peek() != nil {
		t.Error("visible before Commit")
	}
}

func TestConsumerIsWokenAtEachQuarterOnly(t *testing.T) {
	r := New[element](64)
	wake := make(chan struct{}, 1)
	r.WakeOn(wake)
	woken := func() bool {
		select {
		case <-wake:
			return true
		default:
			return false
		}
	}
	for i := uint64(1); i <= 64; i++ {
		push(r, i)
		if got, want := woken(), i%16 == 0; got != want {
			t.Errorf("at fill %d: woken %v, want %v", i, got, want)
		}
	}
	if push(r, 65); woken() {
		t.Error("woken by a refused element")
	}
	for r.Peek() != nil {
		r.Release()
	}
	// A consumer that keeps up is never woken.
	for i := range uint64(1000) {
		push(r, i)
		r.Peek()
		r.Release()
		if woken() {
			t.Fatalf("woken at fill 1, element %d", i)
		}
	}
	r.WakeOn(nil)
	for i := range uint64(64) {
		push(r, i)
	}
	if woken() {
		t.Error("woken after WakeOn(nil)")
	}
}

func TestWakeNeverBlocksTheProducer(t *testing.T) {
	r := New[element](8)
	r.WakeOn(make(chan struct{})) // nobody receives
	for i := range uint64(8) {
		push(r, i)
	}
	if r.Len() != 8 {
		t.Errorf("len %d", r.Len())
	}
}

func TestQuietRingStaysInItsFirstSlots(t *testing.T) {
	r := New[element](4096)
	for i := uint64(1); i <= 10000; i++ {
		push(r, i)
		r.Peek()
		r.Release()
	}
	used := 0
	for i := range r.slots {
		if r.slots[i].seq != 0 {
			used++
		}
	}
	if used > rewindEvery {
		t.Errorf("%d slots touched, want at most %d", used, rewindEvery)
	}
}

func TestSidesAreOnDifferentCacheLines(t *testing.T) {
	var r Ring[element]
	producer, consumer := unsafe.Offsetof(r.head), unsafe.Offsetof(r.tail)
	if producer < unsafe.Offsetof(r.wake)+lineBytes || consumer < unsafe.Offsetof(r.base)+lineBytes {
		t.Errorf("head at %d, tail at %d", producer, consumer)
	}
}

func TestNothingIsAllocatedPerElement(t *testing.T) {
	r := New[element](16)
	wake := make(chan struct{}, 1)
	r.WakeOn(wake)
	if n := testing.AllocsPerRun(1000, func() {
		for i := range uint64(20) {
			push(r, i)
		}
		for r.Peek() != nil {
			r.Release()
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
