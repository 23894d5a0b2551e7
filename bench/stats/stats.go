// Package stats sums up repeated measurements: medians, their spread, confidence intervals and tests of difference. None of it
// assumes a distribution: runs on a shared machine have a long tail.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// NoisySpread is the spread from which a result says of itself that it is noisy.
const NoisySpread = 0.15

// resamples is the number of bootstrap resamples: the ends of a 95 % interval then rest on 100 values each.
const resamples = 4000

// Median returns the middle value, the mean of the two middle ones of an even number; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Spread returns (highest − lowest) ÷ median, the plainest measure of how much runs disagree; 0 of fewer than two values or of a
// median of 0.
func Spread(values []float64) float64 {
	m := Median(values)
	if len(values) < 2 || m == 0 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / math.Abs(m)
}

// Summary sums up the runs of one quantity.
type Summary struct {
	Median float64   `json:"median"`
	Spread float64   `json:"spread"`
	Noisy  bool      `json:"noisy"`
	Runs   []float64 `json:"runs"`
}

// Summarise returns the summary; Median is 0 of no runs, so that it can be written as JSON.
func Summarise(runs []float64) Summary {
	s := Summary{Runs: slices.Clone(runs), Spread: Spread(runs)}
	if len(runs) > 0 {
		s.Median = Median(runs)
	} else {
		s.Runs = []float64{}
	}
	s.Noisy = s.Spread > NoisySpread
	return s
}

// Interval is a confidence interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Contains reports whether v lies in the interval.
func (i Interval) Contains(v float64) bool { return v >= i.Low && v <= i.High }

// DifferenceOfMedians returns median(a) − median(b) and its 95 % interval by the percentile bootstrap: both are resampled with
// replacement, 4 000 times, from a fixed seed, so that one file always gives one report. Both must hold a value.
func DifferenceOfMedians(a, b []float64) (float64, Interval) {
	return bootstrap(a, b, func(x, y float64) float64 { return x - y })
}

// RatioOfMedians returns median(a) ÷ median(b) and its 95 % interval, as DifferenceOfMedians does.
func RatioOfMedians(a, b []float64) (float64, Interval) {
	return bootstrap(a, b, func(x, y float64) float64 { return x / y })
}

// bootstrap applies f to the medians of resamples.
func bootstrap(a, b []float64, f func(x, y float64) float64) (float64, Interval) {
	point := f(Median(a), Median(b))
	rng := rand.New(rand.NewPCG(1, 2))
	drawn := make([]float64, resamples)
	x, y := make([]float64, len(a)), make([]float64, len(b))
	for i := range drawn {
		drawn[i] = f(Median(resample(x, a, rng)), Median(resample(y, b, rng)))
	}
	slices.Sort(drawn)
	const tail = resamples / 40 // 2.5 %
	return point, Interval{Low: drawn[tail], High: drawn[resamples-1-tail]}
}

// resample fills dst with values drawn from src and returns it.
func resample(dst, src []float64, rng *rand.Rand) []float64 {
	for i := range dst {
		dst[i] = src[rng.IntN(len(src))]
	}
	return dst
}
