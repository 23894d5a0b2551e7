package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTrendOfALine(t *testing.T) {
	var series []point
	for i := range 10 {
		series = append(series, point{float64(i) * 60, 20 + float64(i)*0.5})
	}
	got := trendOf(series)
	if want := 0.5 / 60; math.Abs(got.Slope-want) > 1e-12 || math.Abs(got.Low-want) > 1e-12 || math.Abs(got.High-want) > 1e-12 {
		t.Errorf("%+v, want a slope of %v without doubt", got, want)
	}
	// S = 45 of 45, variance 10·9·25/18 = 125: z = 44/√125 = 3.935, of which the normal distribution leaves 0.0000415 above.
	if math.Abs(got.Rising-4.15e-5) > 1e-6 {
		t.Errorf("p = %v, want 4.15e-5", got.Rising)
	}
}

// TestTrendKnownInterval has the limits that the method gives by hand: four points have too few pairs for any; for seven, Cα =
// 1.96·√(7·6·19/18) = 13.05, so of 21 slopes the limits are the third from either end.
func TestTrendKnownInterval(t *testing.T) {
	if got := trendOf([]point{{0, 1}, {1, 5}, {2, 2}, {3, 4}}); !math.IsInf(got.High, 1) || !math.IsInf(got.Low, -1) {
		t.Errorf("four points are sure of %+v", got)
	}
	// Powers of two at 0 to 6: the slopes of pairs (i, j) are (2^j − 2^i)/(j − i). In order: 1, 1.5, 2, 7/3, ..., 24, 32 at the end.
	var series []point
	for i := range 7 {
		series = append(series, point{float64(i), math.Pow(2, float64(i))})
	}
	got := trendOf(series)
	if got.Low != 2 || got.High != 56.0/3 {
		t.Errorf("limits %v and %v, want 2 and %v", got.Low, got.High, 56.0/3)
	}
}

func TestTrendIgnoresAJumpAndFindsALeak(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noisy := func(leak float64) (series []point) {
		for i := range 3000 {
			value := 20 + random.NormFloat64()*0.5 + leak*float64(i)
			if i == 1500 {
				value += 500
			}
			series = append(series, point{float64(i), value})
		}
		return blocks(series, 120, median)
	}
	if got := trendOf(noisy(0)); got.High*3000 > 1 || got.Rising < 0.001 {
		t.Errorf("noise has the trend %+v", got)
	}
	if got := trendOf(noisy(2.0 / 3000)); got.Low*3000 < 1 || got.Rising > 0.001 {
		t.Errorf("a leak of 2 MiB has the trend %+v", got)
	}
}

func TestBlocks(t *testing.T) {
	got := blocks([]point{{10, 3}, {11, 1}, {12, 2}, {20, 7}, {40, 9}, {41, 5}, {50, 0}}, 10, median)
	want := []point{{15, 2}, {25, 7}, {45, 7}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if got := blocks([]point{{0, 3}, {1, 1}, {2, 2}, {9, 7}}, 5, least); len(got) != 1 || got[0].value != 1 {
		t.Errorf("the least: %v", got)
	}
	if got := blocks(nil, 10, median); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}
