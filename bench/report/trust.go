package report

import (
	"fmt"
	"strings"

	"github.com/spanwire/spanwire/bench"
)

// spansLine says whether every request had exactly one span at each of our proxies, as far as that was counted, and what came of the spans
// where collectors fail; empty when nothing was.
func spansLine(r *bench.Result) string {
	var parts []string
	switch cells, runs, lost := r.SpanAccount(); {
	case len(lost) > 0:
		parts = append(parts, "SPANS: not exactly one for each request in "+strings.Join(lost, ", "))
	case cells > 0:
		parts = append(parts, fmt.Sprintf("Spans: exactly one for each request at every Spanwire that traces all of them (counted in %d runs, cells: %d)", runs,
			cells))
	}
	for _, c := range r.Cells {
		if c.Scenario != bench.ScenarioCollectors {
			continue
		}
		perRequest, ok := c.Value(bench.QSpans)
		if !ok {
			continue
		}
		part := fmt.Sprintf("where collectors fail %s had %s for each request", title(r, c.Peer), bench.Number(perRequest))
		switch {
		case perRequest > 1:
			part += ", some sent twice"
		case perRequest < 1:
			part += ", the others lost"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	line := strings.Join(parts, "; ")
	return strings.ToUpper(line[:1]) + line[1:] + "."
}

// figuresLine counts the bounds that are held.
func figuresLine(r *bench.Result) string {
	held, measured, unsure := 0, 0, 0
	var missed []string
	for _, f := range r.Figures() {
		if !f.Measured {
			continue
		}
		measured++
		switch {
		case !f.OK:
			verdict := strings.TrimPrefix(f.Verdict(), "not held")
			missed = append(missed, fmt.Sprintf("%s (%s %s, bound %s%s)", f.Text, bench.Number(f.Value), f.Unit, bench.Number(f.Bound), verdict))
		case f.WithinNoise():
			unsure++
			held++
		default:
			held++
		}
	}
	if measured == 0 {
		return ""
	}
	line := fmt.Sprintf("Bounds: %d of %d measured are held", held, measured)
	if unsure > 0 {
		line += fmt.Sprintf(", %d of them within noise", unsure)
	}
	if len(missed) > 0 {
		line += "; not " + strings.Join(missed, ", ")
	}
	return line + "."
}

// trustLine says how far the numbers can be trusted.
func trustLine(r *bench.Result) string {
	noisy, printed, disturbed, saturated, invalid := 0, 0, 0, 0, 0
	for _, c := range r.Cells {
		n, all := c.Noisy()
		noisy, printed = noisy+n, printed+all
		invalid += c.Invalid()
		if c.Disturbed() {
			disturbed++
		}
		if c.Saturated() {
			saturated++
		}
	}
	line := fmt.Sprintf("Trust: %d of %d values in %d results spread over more than 15 %%, %d results were disturbed by other processes", noisy, printed,
		len(r.Cells), disturbed)
	if saturated > 0 {
		line += fmt.Sprintf(", %d have the latency of a queue (saturated)", saturated)
	}
	if invalid > 0 {
		line += fmt.Sprintf(", INVALID runs: %d", invalid)
	}
	if failures := len(r.Failures()); failures > 0 {
		line += fmt.Sprintf(", %d RUNS FAILED, answered wrongly or lost spans", failures)
	}
	return line + "."
}

// reasons lists the bounds that are not held, each with why.
func reasons(r *bench.Result) (lines []string) {
	for _, f := range r.Figures() {
		if !f.Measured || f.OK {
			continue
		}
		why := f.Why
		switch {
		case f.Invalid:
			why = "a run of the sidecar's is invalid, so that there is no value"
		case why == "":
			why = "the reason is not known"
		}
		lines = append(lines, fmt.Sprintf("%s, %s: %s.", f.Text, f.Verdict(), why))
	}
	return lines
}
