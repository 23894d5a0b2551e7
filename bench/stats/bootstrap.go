package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// resamples is the number of bootstrap resamples: the ends of a 95 % interval then rest on 100 values each.
const resamples = 4000

// Interval is a confidence interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Contains reports whether v lies in the interval.
func (i Interval) Contains(v float64) bool { return v >= i.Low && v <= i.High }

// Statistic is a number that runs yield, and that any draw of them would have.
type Statistic struct {
	// Runs is how many there are: at least one.
	Runs int
	// Of returns the number for the runs drawn, by their indices; one may be drawn more than once. Not for two goroutines at a time.
	Of func(drawn []int) float64
}

// MedianOf is the median of runs.
func MedianOf(runs []float64) Statistic {
	values := make([]float64, 0, len(runs))
	return Statistic{Runs: len(runs), Of: func(drawn []int) float64 {
		values = values[:0]
		for _, run := range drawn {
			values = append(values, runs[run])
		}
		slices.Sort(values)
		return middle(values)
	}}
}

// Bootstrap returns f of the statistics and its 95 % interval by the percentile bootstrap: the runs of each are drawn with replacement,
// 4 000 times, from a fixed seed, so that one file always gives one report. What f cannot make a number of lies at the upper end.
func Bootstrap(f func(v []float64) float64, statistics ...Statistic) (float64, Interval) {
	values, picks := make([]float64, len(statistics)), make([][]int, len(statistics))
	for i, s := range statistics {
		picks[i] = make([]int, s.Runs)
		for run := range picks[i] {
			picks[i][run] = run
		}
		values[i] = s.Of(picks[i])
	}
	point := f(values)
	rng := rand.New(rand.NewPCG(1, 2))
	drawn := make([]float64, resamples)
	for i := range drawn {
		for j, s := range statistics {
			for k := range picks[j] {
				picks[j][k] = rng.IntN(s.Runs)
			}
			values[j] = s.Of(picks[j])
		}
		if drawn[i] = f(values); math.IsNaN(drawn[i]) {
			drawn[i] = math.Inf(1)
		}
	}
	slices.Sort(drawn)
	const tail = resamples / 40 // 2.5 %
	return point, Interval{Low: drawn[tail], High: drawn[resamples-1-tail]}
}

// DifferenceOfMedians returns median(a) − median(b) with its interval. Both must hold a value.
func DifferenceOfMedians(a, b []float64) (float64, Interval) {
	return Difference(MedianOf(a), MedianOf(b))
}

// RatioOfMedians returns median(a) ÷ median(b) with its interval. Both must hold a value.
func RatioOfMedians(a, b []float64) (float64, Interval) { return Ratio(MedianOf(a), MedianOf(b)) }

// Itself returns a with its interval.
func Itself(a Statistic) (float64, Interval) {
	return Bootstrap(func(v []float64) float64 { return v[0] }, a)
}

// Difference returns a − b with its interval.
func Difference(a, b Statistic) (float64, Interval) {
	return Bootstrap(func(v []float64) float64 { return v[0] - v[1] }, a, b)
}

// Ratio returns a ÷ b with its interval.
func Ratio(a, b Statistic) (float64, Interval) {
	return Bootstrap(func(v []float64) float64 { return v[0] / v[1] }, a, b)
}

// RatioOfExcess returns (a − base) ÷ (b − base) with its interval; where b has nothing over the base, a is without limit beside it.
func RatioOfExcess(a, b, base Statistic) (float64, Interval) {
	return Bootstrap(func(v []float64) float64 {
		if v[1] <= v[2] {
			return math.Inf(1)
		}
		return (v[0] - v[2]) / (v[1] - v[2])
	}, a, b, base)
}
