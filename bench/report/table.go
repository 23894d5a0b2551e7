package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/stats"
)

// column is a column of the table of a scenario.
type column struct{ quantity, head string }

// columns lists the quantities of tables, in order; those without a value are left out.
var columns = [...]column{
	{bench.QP50, "p50 µs"}, {bench.QP90, "p90 µs"}, {bench.QP99, "p99 µs"}, {bench.QP999, "p99.9 µs"}, {bench.QSamples, "samples"},
	{bench.QCPU, "CPU µs/request"}, {bench.QUser, "user"}, {bench.QSystem, "system"}, {bench.QCPUPerGiB, "CPU s/GiB"},
	{bench.QBusy, "busy, % of its processors"}, {bench.QMachine, "machine µs/request"}, {bench.QProcesses, "all processes µs/request"},
	{bench.QForeign, "others, % of a core"}, {bench.QRate, "requests/s"},
	{bench.QRSS, "RSS MB"}, {bench.QPeak, "peak MB"}, {bench.QIdleCPU, "idle CPU %"}, {bench.QWakeups, "wake-ups/s"},
	{bench.QThreads, "threads"}, {bench.QFDs, "descriptors"}, {bench.QReady, "ready ms"},
	{bench.QArrived, "spans arrived meanwhile/request"}, {bench.QSpans, "spans/request"}, {bench.QErrors, "errors"},
}

// table is the table of one phase.
type table struct {
	Title string
	Heads []string
	Rows  [][]string
	Notes []string
}

// tables returns the tables of a scenario.
func tables(r *bench.Result, s bench.ScenarioInfo) (all []table) {
	for _, phase := range s.Phases {
		var cells []bench.CellResult
		for _, c := range r.Cells {
			if c.Scenario == s.Name && c.Phase == phase.Name {
				cells = append(cells, c)
			}
		}
		all = append(all, tableOf(r, phase, cells))
	}
	return all
}

// tableOf returns the table of one phase's cells.
func tableOf(r *bench.Result, phase bench.PhaseInfo, cells []bench.CellResult) table {
	t := table{Title: phase.Name, Heads: []string{"peer"}}
	if len(phase.Load) > 0 {
		t.Title += ": spanload " + strings.Join(phase.Load, " ")
	}
	var used []column
	for _, col := range columns {
		if slices.ContainsFunc(cells, func(c bench.CellResult) bool { _, ok := c.Value(col.quantity); return ok }) {
			used = append(used, col)
			t.Heads = append(t.Heads, headOf(col, cells))
		}
	}
	added := slices.ContainsFunc(cells, func(c bench.CellResult) bool { return c.AddedP50 != nil })
	if added {
		t.Heads = append(t.Heads, "added p50 µs", "added p99 µs")
	}
	for _, c := range cells {
		row := []string{title(r, c.Peer) + mark(c, r.Method.Runs)}
		for _, col := range used {
			row = append(row, cellText(c, col.quantity))
		}
		if added {
			row = append(row, differenceText(c.AddedP50), differenceText(c.AddedP99))
		}
		t.Rows = append(t.Rows, row)
		for _, note := range c.Notes {
			t.Notes = append(t.Notes, c.Peer+": "+note)
		}
	}
	return t
}

// headOf names a column; a percentile says when it is of all runs together, since every other number is a median of runs.
func headOf(col column, cells []bench.CellResult) string {
	if slices.ContainsFunc(cells, func(c bench.CellResult) bool { _, ok := c.Tails[col.quantity]; return ok }) {
		return col.head + ", all runs together"
	}
	return col.head
}

// mark says beside a peer's name what makes its row no measurement, or one of something else; runs is how many there were.
func mark(c bench.CellResult, runs int) string {
	if n := c.Invalid(); n > 0 {
		return fmt.Sprintf(" – INVALID in %d of %d runs", n, runs)
	}
	if c.Saturated() {
		return " – SATURATED"
	}
	return ""
}

// cellText writes a quantity: a median with the spread of its runs, or what all runs together have with its interval.
func cellText(c bench.CellResult, quantity string) string {
	s := c.Values[quantity]
	tail, ofAll := c.Tails[quantity]
	switch {
	case ofAll && len(c.Histograms) == 1:
		return bench.Number(tail.Value)
	case ofAll:
		return bench.Number(tail.Value) + " " + intervalText(tail.Interval)
	case len(s.Runs) == 0, quantity == bench.QMachine && c.SampledTooLow():
		return "–"
	case quantity == bench.QSamples && len(s.Runs) > 1:
		return fmt.Sprintf("%d × %s", len(s.Runs), bench.Number(s.Median))
	case s.Unrelated():
		return fmt.Sprintf("%s (%s to %s)", bench.Number(s.Median), bench.Number(slices.Min(s.Runs)), bench.Number(slices.Max(s.Runs)))
	case len(s.Runs) == 1 || s.Spread == 0:
		return bench.Number(s.Median)
	}
	return fmt.Sprintf("%s ±%.0f %%", bench.Number(s.Median), 100*s.Spread)
}

// differenceText writes a difference with its interval.
func differenceText(d *bench.Difference) string {
	if d == nil {
		return "–"
	}
	return bench.Number(d.Median) + " " + intervalText(d.Interval)
}

// intervalText writes an interval; an end without limit as ∞.
func intervalText(i stats.Interval) string {
	end := func(v float64) string {
		if math.IsInf(v, 1) {
			return "∞"
		}
		return bench.Number(v)
	}
	return "(" + end(i.Low) + " to " + end(i.High) + ")"
}
