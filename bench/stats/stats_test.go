package stats

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{
		{values: []float64{3}, want: 3},
		{values: []float64{9, 1, 5}, want: 5},
		{values: []float64{4, 1, 3, 2}, want: 2.5},
	} {
		before := append([]float64(nil), c.values...)
		if got := Median(c.values); got != c.want {
			t.Errorf("Median(%v) = %v, want %v", before, got, c.want)
		}
		for i := range before {
			if before[i] != c.values[i] {
				t.Fatalf("Median changed its argument to %v", c.values)
			}
		}
	}
	if got := Median(nil); !math.IsNaN(got) {
		t.Errorf("Median of nothing = %v, want NaN", got)
	}
}

func TestSummaryTellsNoise(t *testing.T) {
	for _, c := range []struct {
		runs   []float64
		spread float64
		noisy  bool
	}{
		{runs: []float64{100, 100, 100}},
		{runs: []float64{95, 100, 109}, spread: 0.14},
		{runs: []float64{92, 100, 108}, spread: 0.16, noisy: true},
		{runs: []float64{5}},
		{runs: nil},
		{runs: []float64{-1, 0, 1}, noisy: true}, // a median of 0 has no relative spread, and is noisy when runs differ
		{runs: []float64{0, 0, 0}},
	} {
		s := Summarise(c.runs)
		if math.Abs(s.Spread-c.spread) > 1e-9 || s.Noisy != c.noisy || math.IsNaN(s.Median) || s.Runs == nil {
			t.Errorf("Summarise(%v) = %+v, want spread %v, noisy %v", c.runs, s, c.spread, c.noisy)
		}
	}
}

func TestBootstrapOfConstantRunsIsExact(t *testing.T) {
	d, i := DifferenceOfMedians([]float64{7, 7, 7}, []float64{4, 4, 4})
	if d != 3 || i.Low != 3 || i.High != 3 {
		t.Errorf("difference = %v, interval %v; want 3 exactly", d, i)
	}
	r, i := RatioOfMedians([]float64{6, 6}, []float64{3, 3})
	if r != 2 || i.Low != 2 || i.High != 2 {
		t.Errorf("ratio = %v, interval %v; want 2 exactly", r, i)
	}
}

// TestBootstrapCoversTheTruth draws pairs of samples whose medians differ by 10 and counts how often the interval holds that.
func TestBootstrapCoversTheTruth(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	const trials, size = 150, 15
	held := 0
	for range trials {
		a, b := make([]float64, size), make([]float64, size)
		for i := range a {
			a[i], b[i] = 110+rng.NormFloat64(), 100+rng.NormFloat64()
		}
		if _, interval := DifferenceOfMedians(a, b); interval.Contains(10) {
			held++
		}
	}
	if share := float64(held) / trials; share < 0.88 {
		t.Errorf("the 95 %% interval held the truth in %.0f %% of %d trials", 100*share, trials)
	}
}

func TestBootstrapIsReproducible(t *testing.T) {
	a, b := []float64{5, 9, 6, 7, 8}, []float64{1, 3, 2, 5, 4}
	_, first := DifferenceOfMedians(a, b)
	if _, second := DifferenceOfMedians(a, b); first != second {
		t.Errorf("two intervals of the same data: %v and %v", first, second)
	}
	if first.Low > 4 || first.High < 4 {
		t.Errorf("interval %v does not hold the difference of medians, 4", first)
	}
}

// TestMannWhitney compares with tables and with R's wilcox.test.
func TestMannWhitney(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []float64
		want float64
	}{
		{name: "apart, 5 and 5", a: []float64{1, 2, 3, 4, 5}, b: []float64{6, 7, 8, 9, 10}, want: 2.0 / 252},
		{name: "apart, 3 and 3", a: []float64{4, 5, 6}, b: []float64{1, 2, 3}, want: 0.1},
		{name: "apart, 4 and 4", a: []float64{1, 2, 3, 4}, b: []float64{5, 6, 7, 8}, want: 2.0 / 70},
		{name: "one pair crosses", a: []float64{1, 2, 3, 4, 6}, b: []float64{5, 7, 8, 9, 10}, want: 4.0 / 252},
		{name: "mixed", a: []float64{1, 4, 5, 8}, b: []float64{2, 3, 6, 7}, want: 1},
		{name: "all equal", a: []float64{3, 3, 3}, b: []float64{3, 3, 3}, want: 1},
		{name: "nothing to compare", a: nil, b: []float64{1}, want: 1},
	} {
		if got := MannWhitney(c.a, c.b); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s: p = %v, want %v", c.name, got, c.want)
		}
		if forth, back := MannWhitney(c.a, c.b), MannWhitney(c.b, c.a); math.Abs(forth-back) > 1e-9 {
			t.Errorf("%s: p = %v, the other way round %v", c.name, forth, back)
		}
	}
}

func TestMannWhitneyWithTiesAndManyValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	same, also, other := make([]float64, 60), make([]float64, 60), make([]float64, 60)
	for i := range same {
		same[i], also[i], other[i] = float64(rng.IntN(20)), float64(rng.IntN(20)), float64(10+rng.IntN(20))
	}
	if p := MannWhitney(same, also); p < 0.05 {
		t.Errorf("samples of one distribution: p = %v", p)
	}
	if p := MannWhitney(same, other); p > 1e-6 {
		t.Errorf("samples half apart: p = %v", p)
	}
}
