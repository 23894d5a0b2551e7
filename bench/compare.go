package bench

import (
	"fmt"
	"math"
	"slices"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// significance is the probability below which a difference is taken to be none of chance's.
const significance = 0.05

// compared lists the quantities that Compare looks at; of all of them less is better.
var compared = [...]string{
	QCPU, QCPUPerGiB, QP50, QP99, QRSS, QPeak, QIdleCPU, QWakeups, QReady, QErrors, QSpansMissed,
}

// Quantities of a Change that are none of a cell's: the number of failures noted of it, and all of it.
const (
	qFailed       = "failures"
	allQuantities = "all"
)

// Change is one quantity of one cell in two results.
type Change struct {
	Scenario, Phase, Peer, Quantity string
	// Old and New are medians; of what must not happen at all, the worst run's. Ratio is New ÷ Old; +Inf = from zero.
	Old, New, Ratio float64
	P               float64 // Mann–Whitney; 0 for what must not happen at all
	// Beyond: the difference is beyond noise.
	Beyond bool
	// TooFew: with so few runs no difference could be.
	TooFew bool
	// Missing: the newer result does not have it any more.
	Missing bool
	// OtherVersion: the two were made with different versions of the peer.
	OtherVersion bool
}

// Regression reports whether a peer of ours got worse by more than threshold (0.05 = 5 %), beyond noise, or is not measured any more. Of failures
// and of what must not happen at all, no threshold excuses one more.
func (c Change) Regression(threshold float64) bool {
	if c.Quantity == qFailed || mustNotHappen(c.Quantity, c.Scenario) {
		threshold = 0
	}
	p, err := peer.ByName(c.Peer)
	return err == nil && p.Ours() && (c.Missing || c.Beyond && c.Ratio > 1+threshold)
}

// Compare lists the quantities that the older result has, as they are in the newer one, and failures of either. It refuses with ErrDifferent
// when they were not made in the same way on the same kind of machine.
func Compare(older, newer *Result) ([]Change, error) {
	if err := sameMethod(older, newer); err != nil {
		return nil, err
	}
	var changes []Change
	common := false
	for i := range older.Cells {
		o := &older.Cells[i]
		n := newer.Find(o.Scenario, o.Phase, o.Peer)
		if n == nil {
			changes = append(changes, Change{Scenario: o.Scenario, Phase: o.Phase, Peer: o.Peer, Quantity: allQuantities, Missing: true})
			continue
		}
		found := compareCells(o, n, newer.Method.Runs < older.Method.Runs)
		common = common || slices.ContainsFunc(found, func(c Change) bool { return c.Quantity != qFailed })
		for _, c := range found {
			c.OtherVersion = otherVersion(older, newer, o.Peer)
			changes = append(changes, c)
		}
	}
	if !common {
		return nil, fmt.Errorf("%w: they have no cell in common", ErrDifferent)
	}
	return changes, nil
}

// compareCells compares a cell's quantities and failures. fewer: the newer result has fewer runs, hence fewer samples.
func compareCells(o, n *CellResult, fewer bool) (changes []Change) {
	change := func(quantity string, before, after float64) Change {
		c := Change{Scenario: o.Scenario, Phase: o.Phase, Peer: o.Peer, Quantity: quantity, Old: before, New: after, Ratio: 1}
		if before != after {
			c.Ratio = after / before // +Inf from zero
		}
		return c
	}
	for _, quantity := range compared {
		before, after := o.Values[quantity], n.Values[quantity]
		switch {
		case len(before.Runs) == 0 && (len(after.Runs) == 0 || !mustNotHappen(quantity, o.Scenario)):
			continue
		case len(after.Runs) == 0:
			if quantity == QP99 && fewer && len(n.Values[QP50].Runs) > 0 {
				continue // too few samples to tell it
			}
			c := change(quantity, before.Median, math.NaN())
			c.Missing = true
			changes = append(changes, c)
			continue
		case mustNotHappen(quantity, o.Scenario):
			c := change(quantity, worst(before.Runs), worst(after.Runs))
			c.Beyond = c.Old != c.New
			changes = append(changes, c)
			continue
		}
		c := change(quantity, before.Median, after.Median)
		c.P = stats.MannWhitney(before.Runs, after.Runs)
		c.Beyond = c.P < significance
		c.TooFew = leastP(len(before.Runs), len(after.Runs)) >= significance
		changes = append(changes, c)
	}
	if before, after := o.failures(), n.failures(); before != 0 || after != 0 {
		c := change(qFailed, float64(before), float64(after))
		c.Beyond = before != after
		changes = append(changes, c)
	}
	return changes
}

// mustNotHappen reports whether a single occurrence is one too many, so that no noise excuses it.
func mustNotHappen(quantity, scenario string) bool {
	return quantity == QErrors || quantity == QSpansMissed && !lossy(scenario)
}

// worst is the largest of the runs; 0 when there is none.
func worst(runs []float64) (most float64) {
	for _, v := range runs {
		most = max(most, v)
	}
	return most
}

// failures counts the notes about runs that are no good.
func (c *CellResult) failures() (n int) {
	for _, note := range c.Notes {
		if isFailure(note) {
			n++
		}
	}
	return n
}

// leastP is the smallest probability that samples of these sizes can have.
func leastP(n, m int) float64 {
	low, high := make([]float64, n), make([]float64, m)
	for i := range low {
		low[i] = float64(i)
	}
	for i := range high {
		high[i] = float64(n + i)
	}
	return stats.MannWhitney(low, high)
}
