package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// WriteChanges writes the changes as a table, those within noise too when all is set.
func WriteChanges(w io.Writer, changes []Change, threshold float64, all bool) error {
	var b strings.Builder
	b.WriteString("| scenario | peer | quantity | old | new | change | p | |\n|---|---|---|---|---|---|---|---|\n")
	beyond, few, missing := 0, 0, 0
	var others []string
	for _, c := range changes {
		if c.TooFew {
			few++
		}
		if c.OtherVersion && !slices.Contains(others, c.Peer) {
			others = append(others, c.Peer)
		}
		switch {
		case c.Missing:
			missing++
		case c.Beyond:
			beyond++
		case !all:
			continue
		}
		fmt.Fprintf(&b, "| %s/%s | %s | %s | %s |\n", c.Scenario, c.Phase, c.Peer, c.Quantity, strings.Join(c.columns(threshold), " | "))
	}
	fmt.Fprintf(&b, "\n%d of %d differ beyond noise (Mann–Whitney, p < %.2f).", beyond, len(changes), significance)
	if missing > 0 {
		fmt.Fprintf(&b, " %d are not in the newer result any more.", missing)
	}
	if few > 0 {
		fmt.Fprintf(&b, " %d rest on too few runs to tell: four on each side are needed.", few)
	}
	if len(others) > 0 {
		fmt.Fprintf(&b, " Of another version in the newer result: %s.", strings.Join(others, ", "))
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// columns are the last five of a change's row: old, new, change, p, verdict.
func (c Change) columns(threshold float64) []string {
	verdict := c.verdict(threshold)
	if c.Missing {
		before := "–"
		if c.Quantity != allQuantities {
			before = Number(c.Old)
		}
		return []string{before, "–", "–", "–", verdict}
	}
	change := "from zero"
	if !math.IsInf(c.Ratio, 0) {
		change = fmt.Sprintf("%+.1f %%", 100*(c.Ratio-1))
	}
	p := "–"
	if c.P > 0 {
		p = fmt.Sprintf("%.3f", c.P)
	}
	return []string{Number(c.Old), Number(c.New), change, p, verdict}
}

// verdict says in a word what the change is.
func (c Change) verdict(threshold float64) string {
	switch {
	case c.Regression(threshold) && c.Missing:
		return "**REGRESSION**: missing"
	case c.Regression(threshold):
		return "**REGRESSION**"
	case c.Missing:
		return "missing"
	case c.Beyond && c.OtherVersion:
		return "another version"
	case c.Beyond && c.Ratio > 1:
		return "more"
	case c.Beyond:
		return "less"
	case c.TooFew:
		return "too few runs"
	}
	return "within noise"
}
