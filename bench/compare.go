package bench

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// significance is the probability below which a difference is taken to be none of chance's.
const significance = 0.05

// compared lists the quantities that Compare looks at; of all of them less is better.
var compared = [...]string{QCPU, QCPUPerGiB, QP50, QP99, QRSS, QPeak, QIdleCPU, QReady}

// Change is one quantity of one cell in two results.
type Change struct {
	Scenario, Phase, Peer, Quantity string
	Old, New                        float64 // medians
	Ratio                           float64 // New ÷ Old
	P                               float64 // Mann–Whitney
	// Beyond: the difference is beyond noise.
	Beyond bool
	// TooFew: with so few runs no difference could be.
	TooFew bool
}

// Regression reports whether a peer of ours got worse by more than threshold (0.05 = 5 %), beyond noise.
func (c Change) Regression(threshold float64) bool {
	p, err := peer.ByName(c.Peer)
	return err == nil && p.Ours() && c.Beyond && c.Ratio > 1+threshold
}

// Compare lists the quantities that both results have. It refuses with ErrDifferent when they were not made in the same way on the same
// kind of machine.
func Compare(older, newer *Result) ([]Change, error) {
	if err := sameMethod(older, newer); err != nil {
		return nil, err
	}
	var changes []Change
	for i := range newer.Cells {
		n := &newer.Cells[i]
		o := older.Find(n.Scenario, n.Phase, n.Peer)
		if o == nil {
			continue
		}
		for _, quantity := range compared {
			before, after := o.Values[quantity], n.Values[quantity]
			if len(before.Runs) == 0 || len(after.Runs) == 0 || before.Median == 0 {
				continue
			}
			c := Change{Scenario: n.Scenario, Phase: n.Phase, Peer: n.Peer, Quantity: quantity, Old: before.Median, New: after.Median,
				Ratio: after.Median / before.Median, P: stats.MannWhitney(before.Runs, after.Runs)}
			c.Beyond = c.P < significance
			c.TooFew = leastP(len(before.Runs), len(after.Runs)) >= significance
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return nil, fmt.Errorf("%w: they have no cell in common", ErrDifferent)
	}
	return changes, nil
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

// sameMethod says what differs in how two results were made.
func sameMethod(a, b *Result) error {
	checks := []struct {
		what string
		a, b any
	}{
		{"schema", a.Schema, b.Schema},
		{"processor", a.Machine.CPU, b.Machine.CPU},
		{"number of cores", a.Machine.Cores, b.Machine.Cores},
		{"architecture", a.Machine.Arch, b.Machine.Arch},
		{"kernel", a.Machine.Kernel, b.Machine.Kernel},
		{"governor", a.Machine.Governor, b.Machine.Governor},
		{"quick", a.Method.Quick, b.Method.Quick},
		{"length of phases", a.Method.Short, b.Method.Short},
		{"warm-up", a.Method.Warmup, b.Method.Warmup},
		{"workers", a.Method.Workers, b.Method.Workers},
		{"pinning", a.Method.Pinning, b.Method.Pinning},
		{"client", a.Method.Client, b.Method.Client},
	}
	for _, s := range a.Scenarios {
		for _, t := range b.Scenarios {
			if s.Name == t.Name {
				checks = append(checks, struct {
					what string
					a, b any
				}{"scenario " + s.Name, s.Phases, t.Phases})
			}
		}
	}
	var differ []string
	for _, c := range checks {
		if !reflect.DeepEqual(c.a, c.b) {
			differ = append(differ, fmt.Sprintf("%s (%v, %v)", c.what, c.a, c.b))
		}
	}
	if len(differ) > 0 {
		return fmt.Errorf("%w: %s", ErrDifferent, strings.Join(differ, "; "))
	}
	return nil
}

// WriteChanges writes the changes as a table, those within noise too when all is set.
func WriteChanges(w io.Writer, changes []Change, threshold float64, all bool) error {
	var b strings.Builder
	b.WriteString("| scenario | peer | quantity | old | new | change | p | |\n|---|---|---|---|---|---|---|---|\n")
	beyond, few := 0, 0
	for _, c := range changes {
		if c.TooFew {
			few++
		}
		if c.Beyond {
			beyond++
		} else if !all {
			continue
		}
		verdict := "within noise"
		switch {
		case c.Regression(threshold):
			verdict = "**REGRESSION**"
		case c.Beyond && c.Ratio > 1:
			verdict = "more"
		case c.Beyond:
			verdict = "less"
		case c.TooFew:
			verdict = "too few runs"
		}
		fmt.Fprintf(&b, "| %s/%s | %s | %s | %s | %s | %+.1f %% | %.3f | %s |\n", c.Scenario, c.Phase, c.Peer, c.Quantity, Number(c.Old),
			Number(c.New), 100*(c.Ratio-1), c.P, verdict)
	}
	fmt.Fprintf(&b, "\n%d of %d differ beyond noise (Mann–Whitney, p < %.2f).", beyond, len(changes), significance)
	if few > 0 {
		fmt.Fprintf(&b, " %d rest on too few runs to tell: four on each side are needed.", few)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}
