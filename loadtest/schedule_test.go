package loadtest

import (
	"math"
	"testing"
	"time"
)

func TestSchedule_ConstantDoesNotDrift(t *testing.T) {
	s := newSchedule(3, Constant, 1) // a third of a second is no whole number of nanoseconds
	for range 3_000_000 {
		s.take()
	}
	if got, want := s.next(), int64(1_000_000*time.Second); got != want {
		t.Errorf("request 3 000 000 of 3/s is due at %d ns, want %d", got, want)
	}
}

func TestSchedule_PoissonFollowsSeed(t *testing.T) {
	a, b, other := newSchedule(1000, Poisson, 7), newSchedule(1000, Poisson, 7), newSchedule(1000, Poisson, 8)
	const n = 100_000
	differs := false
	for range n {
		if a.next() != b.next() {
			t.Fatal("equal seeds, different schedules")
		}
		differs = differs || a.next() != other.next()
		before := a.next()
		a.take()
		b.take()
		other.take()
		if a.next() < before {
			t.Fatal("not ascending")
		}
	}
	if !differs {
		t.Error("different seeds, equal schedules")
	}
	// n exponential gaps add up to n/rate with a deviation of √n/rate: five of them are enough for ever.
	seconds := time.Duration(a.next()).Seconds()
	if math.Abs(seconds-n/1000.0) > 5*math.Sqrt(n)/1000 {
		t.Errorf("%d requests of 1000/s take %.2f s", n, seconds)
	}
}

func TestSchedule_TakeUntilCountsAll(t *testing.T) {
	for _, arrivals := range []Arrivals{Constant, Poisson} {
		for _, rate := range []float64{0.5, 7, 1000, 123_456.7} {
			end := int64(3 * time.Second)
			one, many := newSchedule(rate, arrivals, 3), newSchedule(rate, arrivals, 3)
			want := int64(0)
			for one.next() < end {
				one.take()
				want++
			}
			got, last := int64(0), int64(-1)
			many.takeUntil(end, int64(10*time.Millisecond), func(count, first int64) {
				if first <= last || first >= end || count < 1 {
					t.Errorf("run of %d at %d after %d", count, first, last)
				}
				got, last = got+count, first
			})
			if got != want || many.next() != one.next() {
				t.Errorf("%v %v/s: %d requests, want %d; next at %d, want %d", arrivals, rate, got, want, many.next(), one.next())
			}
		}
	}
}
