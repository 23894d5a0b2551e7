// Package stats sums up repeated measurements: medians, their spread, confidence intervals and tests of difference. None of it
// assumes a distribution: runs on a shared machine have a long tail.
package stats

import (
	"math"
	"slices"
)

// NoisySpread is the spread from which a result says of itself that it is noisy.
const NoisySpread = 0.15

// Median returns the middle value, the mean of the two middle ones of an even number; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return middle(slices.Sorted(slices.Values(values)))
}

// middle is Median of sorted values, at least one.
func middle(sorted []float64) float64 {
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Spread returns (highest − lowest) ÷ median, the plainest measure of how much runs disagree; 0 of fewer than two values, and of a
// median of 0, which nothing can be set in relation to.
func Spread(values []float64) float64 {
	m := Median(values)
	if len(values) < 2 || m == 0 {
		return 0
	}
	return (slices.Max(values) - slices.Min(values)) / math.Abs(m)
}

// Summary sums up the runs of one quantity. It is noisy when they spread by more than NoisySpread, or about a median of 0 at all.
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
	s.Noisy = s.Spread > NoisySpread || s.Unrelated()
	return s
}

// Unrelated reports whether runs disagree about a median of 0, so that only the lowest and the highest tell how much.
func (s Summary) Unrelated() bool {
	return len(s.Runs) > 0 && s.Median == 0 && slices.Max(s.Runs) != slices.Min(s.Runs)
}
