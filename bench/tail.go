package bench

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/spanwire/spanwire/bench/stats"
)

// Tail is a percentile of the samples of all runs together, microseconds, with its 95 % interval by bootstrap over the runs.
type Tail struct {
	Value    float64        `json:"value"`
	Interval stats.Interval `json:"interval"`
	Samples  int64          `json:"samples"`
}

// tailQuantiles are the percentiles that are told of all runs together.
var tailQuantiles = map[string]float64{QP99: 0.99, QP999: 0.999}

// statistic returns what a quantity's value is made of; false when the cell has none.
func (c *CellResult) statistic(quantity string) (stats.Statistic, bool) {
	if _, told := c.Tails[quantity]; told {
		d, err := distribution(c.Histograms)
		return d.Quantile(tailQuantiles[quantity]), err == nil
	}
	runs := c.Values[quantity].Runs
	return stats.MedianOf(runs), len(runs) > 0
}

// tails fills in the percentiles of all runs together, as far as there are samples enough for them.
func (c *CellResult) tails() error {
	if len(c.Histograms) == 0 {
		return nil
	}
	d, err := distribution(c.Histograms)
	if err != nil {
		return err
	}
	c.Tails = map[string]Tail{}
	for quantity, q := range tailQuantiles {
		if samples := d.Samples(); enough(quantity, float64(samples)) {
			value, interval := stats.Itself(d.Quantile(q))
			c.Tails[quantity] = Tail{Value: value, Interval: interval, Samples: samples}
		}
	}
	return nil
}

// enough reports whether so many samples, over all runs, are enough to tell the quantity.
func enough(quantity string, samples float64) bool {
	switch quantity {
	case QP99:
		return samples >= minimumForP99
	case QP999:
		return samples >= 10*minimumForP99
	}
	return true
}

// distribution reads the histograms of runs, in microseconds.
func distribution(histograms []string) (stats.Distribution, error) {
	runs := make([][]stats.Bucket, len(histograms))
	for i, encoded := range histograms {
		h, err := hdrhistogram.Decode([]byte(encoded))
		if err != nil {
			return stats.Distribution{}, fmt.Errorf("histogram of run %d: %w", i+1, err)
		}
		for _, bar := range h.Distribution() {
			if bar.Count > 0 {
				// The highest value that counts as the same, as spanload's own percentiles have it.
				runs[i] = append(runs[i], stats.Bucket{Value: us(bar.To), Count: bar.Count})
			}
		}
	}
	return stats.Merge(runs...), nil
}
