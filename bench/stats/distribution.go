package stats

import (
	"math"
	"slices"
)

// Bucket is a value and how many samples have it.
type Bucket struct {
	Value float64
	Count int64
}

// Distribution is the samples of several runs, kept apart so that runs can be drawn anew. The zero value has none.
type Distribution struct {
	values []float64
	// below has for each run how many of its samples are at or below each of the values.
	below [][]int64
}

// Merge makes one distribution of the runs' buckets, in any order.
func Merge(runs ...[]Bucket) Distribution {
	var d Distribution
	for _, run := range runs {
		for _, b := range run {
			d.values = append(d.values, b.Value)
		}
	}
	slices.Sort(d.values)
	d.values = slices.Compact(d.values)
	for _, run := range runs {
		below := make([]int64, len(d.values))
		for _, b := range run {
			at, _ := slices.BinarySearch(d.values, b.Value)
			below[at] += b.Count
		}
		for i := 1; i < len(below); i++ {
			below[i] += below[i-1]
		}
		d.below = append(d.below, below)
	}
	return d
}

// Samples is how many there are.
func (d Distribution) Samples() (n int64) {
	for _, below := range d.below {
		if len(below) > 0 {
			n += below[len(below)-1]
		}
	}
	return n
}

// Quantile is the least value that a share q of all samples of the runs together does not exceed: 0.99 is the p99. NaN of no sample.
func (d Distribution) Quantile(q float64) Statistic {
	return Statistic{Runs: len(d.below), Of: func(drawn []int) float64 {
		upTo := func(i int) (n int64) {
			for _, run := range drawn {
				n += d.below[run][i]
			}
			return n
		}
		if len(d.values) == 0 || len(drawn) == 0 {
			return math.NaN()
		}
		wanted := int64(math.Ceil(q * float64(upTo(len(d.values)-1))))
		low, high := 0, len(d.values)-1
		for low < high { // the first value with as many at or below it
			if middle := (low + high) / 2; upTo(middle) >= wanted {
				high = middle
			} else {
				low = middle + 1
			}
		}
		return d.values[low]
	}}
}
