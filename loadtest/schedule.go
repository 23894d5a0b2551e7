package loadtest

import (
	"math"
	"math/rand/v2"
	"time"
)

// Arrivals says how the intended starts of an open loop are spread.
type Arrivals uint8

// The kinds of arrivals.
const (
	// Constant: every 1/rate, to the nanosecond.
	Constant Arrivals = iota
	// Poisson: independent arrivals, exponential gaps with mean 1/rate, drawn from the seed.
	Poisson
)

// String returns the value of --arrivals.
func (a Arrivals) String() string {
	if a == Poisson {
		return "poisson"
	}
	return "constant"
}

// schedule yields the intended starts of an open loop, in nanoseconds after the start, ascending.
type schedule struct {
	interval float64 // mean gap, ns
	arrivals Arrivals
	rng      *rand.Rand
	index    int64   // of the request that next describes
	poisson  float64 // intended start of that request, Poisson only
}

// newSchedule returns the schedule of rate requests a second; equal seeds give equal schedules. rate must be positive.
func newSchedule(rate float64, arrivals Arrivals, seed uint64) *schedule {
	return &schedule{
		interval: float64(time.Second) / rate,
		arrivals: arrivals,
		rng:      rand.New(rand.NewPCG(seed, 0x7370616e6c6f6164)),
	}
}

// next returns the intended start of the next request, without taking it.
func (s *schedule) next() int64 {
	if s.arrivals == Poisson {
		return int64(s.poisson)
	}
	// From the index, not by adding up: an interval that is no whole number of nanoseconds would drift. Exact to 2⁵³ ns, 104 days.
	return int64(float64(s.index) * s.interval)
}

// take moves on to the following request.
func (s *schedule) take() {
	s.index++
	if s.arrivals == Poisson {
		s.poisson += s.rng.ExpFloat64() * s.interval
	}
}

// takeUntil takes all requests due before end and calls each with them in runs: how many, and the intended start of the first.
// A run covers at most span nanoseconds. It is for what was never sent, of which there may be millions.
func (s *schedule) takeUntil(end, span int64, each func(count, first int64)) {
	for s.next() < end {
		first, index := s.next(), s.index
		limit := min(first+span, end)
		if s.arrivals == Poisson {
			for s.next() < limit {
				s.take()
			}
		} else {
			s.index = max(index+1, int64(math.Ceil(float64(limit)/s.interval)))
		}
		each(s.index-index, first)
	}
}
