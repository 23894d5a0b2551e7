package main

import (
	"math"
	"slices"
)

// A trend is estimated from ranks, not by least squares: the memory of a process that collects garbage jumps, and one jump must neither
// make a trend nor hide one. Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63 (1968): the slope is the
// median of the slopes of all pairs of points, and its confidence limits are two of those, chosen by the variance of Kendall's S.

// z95 is the normal quantile of a two-sided 95 % interval: 2.5 % lie above it.
const z95 = 1.959964

// point is a measurement at a time, in seconds.
type point struct{ at, value float64 }

// trend is what a series does over time, in units per second.
type trend struct {
	Slope float64 // Theil-Sen
	// Low and High enclose the slope with 95 % confidence. With so few points that no interval is that sure they are infinite.
	Low, High float64
	// Rising is the p-value of the Mann-Kendall test that there is no rise, one-sided: small = it rises.
	Rising float64
}

// trendOf estimates the trend of a series with distinct times; fewer than two points have none, with infinite limits.
func trendOf(series []point) trend {
	none := trend{Low: math.Inf(-1), High: math.Inf(1), Rising: 1}
	n := len(series)
	if n < 2 {
		return none
	}
	slopes := make([]float64, 0, n*(n-1)/2)
	s := 0.0 // Kendall's S: rising pairs less falling ones
	for i, a := range series {
		for _, b := range series[i+1:] {
			slope := (b.value - a.value) / (b.at - a.at)
			slopes = append(slopes, slope)
			switch {
			case slope > 0:
				s++
			case slope < 0:
				s--
			}
		}
	}
	slices.Sort(slopes)
	// The variance without ties; ties make it smaller, so the interval is never too narrow for them.
	deviation := math.Sqrt(float64(n*(n-1)*(2*n+5)) / 18)
	t := none
	t.Slope = median(slopes)
	// Counted from either end, the limit is that many slopes inside (Gilbert, Statistical Methods for Environmental Pollution
	// Monitoring, 1987, 16.5).
	inside := int(math.Floor((float64(len(slopes)) - z95*deviation) / 2))
	if inside >= 1 {
		t.Low, t.High = slopes[inside-1], slopes[len(slopes)-inside]
	}
	if s > 0 {
		s-- // for continuity
	} else if s < 0 {
		s++
	}
	t.Rising = 0.5 * math.Erfc(s/deviation/math.Sqrt2)
	return t
}

// blocks replaces each stretch of width seconds by what pick takes of its sorted values, at its middle: neighbouring samples resemble each
// other, and what the interval of trendOf assumes is that they do not. A stretch without a sample, or cut short by the end, is left out.
func blocks(series []point, width float64, pick func(sorted []float64) float64) (out []point) {
	if len(series) == 0 {
		return nil
	}
	from := series[0].at
	var values []float64
	for _, p := range series {
		for p.at >= from+width {
			if len(values) > 0 {
				slices.Sort(values)
				out = append(out, point{from + width/2, pick(values)})
				values = values[:0]
			}
			from += width
		}
		values = append(values, p.value)
	}
	return out
}

// median returns the median of sorted values; 0 of none.
func median(sorted []float64) float64 {
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// least returns the least of sorted values; there must be one.
func least(sorted []float64) float64 { return sorted[0] }
