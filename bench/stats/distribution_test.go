package stats

import (
	"math"
	"testing"
)

// uniform is a run of n samples, one of each value from first on.
func uniform(first, n int) (buckets []Bucket) {
	for i := range n {
		buckets = append(buckets, Bucket{Value: float64(first + i), Count: 1})
	}
	return buckets
}

// TestQuantileIsOfAllRunsTogether: the p99 of two runs is not the median of their two.
func TestQuantileIsOfAllRunsTogether(t *testing.T) {
	for _, c := range []struct {
		name string
		runs [][]Bucket
		q    float64
		want float64
	}{
		{name: "one run", runs: [][]Bucket{uniform(1, 100)}, q: 0.99, want: 99},
		{name: "its median", runs: [][]Bucket{uniform(1, 100)}, q: 0.5, want: 50},
		{name: "two runs", runs: [][]Bucket{uniform(1, 100), uniform(101, 100)}, q: 0.99, want: 198},
		{name: "one run in a hundred of another kind", runs: [][]Bucket{{{Value: 1, Count: 990}}, {{Value: 7, Count: 11}}}, q: 0.99, want: 7},
		{name: "just not", runs: [][]Bucket{{{Value: 1, Count: 990}}, {{Value: 7, Count: 10}}}, q: 0.99, want: 1},
		{name: "a value twice in one run", runs: [][]Bucket{{{Value: 5, Count: 1}, {Value: 2, Count: 1}, {Value: 5, Count: 1}}}, q: 0.5, want: 5},
	} {
		d := Merge(c.runs...)
		got, interval := Itself(d.Quantile(c.q))
		if got != c.want || !interval.Contains(got) {
			t.Errorf("%s: %v (%v), want %v", c.name, got, interval, c.want)
		}
	}
	if got := Merge(uniform(1, 3), uniform(2, 4)).Samples(); got != 7 {
		t.Errorf("%d samples, want 7", got)
	}
	if got := Merge(nil).Quantile(0.99).Of([]int{0}); !math.IsNaN(got) {
		t.Errorf("the p99 of nothing is %v", got)
	}
}

// TestIntervalOfAQuantileIsOverRuns: a run unlike the others widens it; runs alike leave a point.
func TestIntervalOfAQuantileIsOverRuns(t *testing.T) {
	alike := Merge(uniform(1, 1000), uniform(1, 1000), uniform(1, 1000)).Quantile(0.99)
	if got, i := Itself(alike); i.Low != got || i.High != got {
		t.Errorf("of runs that are alike: %v, %v", got, i)
	}
	unlike := Merge(uniform(1, 1000), uniform(1, 1000), uniform(1001, 1000)).Quantile(0.99)
	if got, i := Itself(unlike); i.Low > 990 || i.High < 1990 || !i.Contains(got) {
		t.Errorf("of runs that are not: %v, %v", got, i)
	}
}

func TestRatioOfExcess(t *testing.T) {
	base := MedianOf([]float64{100, 100, 100})
	if got, i := RatioOfExcess(MedianOf([]float64{150, 150}), MedianOf([]float64{300, 300}), base); got != 0.25 || i.Low != 0.25 || i.High != 0.25 {
		t.Errorf("50 over the base beside 200: %v, %v", got, i)
	}
	if got, i := RatioOfExcess(MedianOf([]float64{150}), MedianOf([]float64{90}), base); !math.IsInf(got, 1) || !math.IsInf(i.High, 1) {
		t.Errorf("beside what is below the base: %v, %v", got, i)
	}
}
