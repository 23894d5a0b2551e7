package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench"
)

// Method returns the paragraphs that say how it was measured.
func Method(r *bench.Result) []string {
	m := r.Method
	var versions []string
	for tool, version := range r.Versions {
		versions = append(versions, tool+": "+version)
	}
	slices.Sort(versions)
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
	return []string{
		fmt.Sprintf("Machine: %s (%s), %d cores, %s MB of memory, kernel %s, governor %s, load at the start %s. Started %s, took %v.",
			r.Machine.CPU, r.Machine.Arch, r.Machine.Cores, bench.Number(float64(r.Machine.Memory>>20)), r.Machine.Kernel, r.Machine.Governor,
			r.Machine.Load, r.Started.Format(time.RFC3339), took),
		"Versions: " + strings.Join(versions, "; ") + ".",
		fmt.Sprintf("Placement: %s. Every proxy has %d event loop or worker thread. Client and upstream share their processor with the "+
			"collector, so rates at saturation are those of the whole machine and no measure of a proxy: there, only CPU per request is "+
			"compared.", m.Pinning, m.Workers),
		fmt.Sprintf("Runs: %d of each cell, interleaved (peer A, B, C, A, B, C …), each with a proxy started anew and %.0f s of warm-up. Values "+
			"are medians of runs; the spread is (highest − lowest) ÷ median, and a result says so when it exceeds 15 %%.", m.Runs, m.Warmup),
		"Client: spanload. Open loop at the stated rates, latency counted from when each request was due, so that a stall shows in every " +
			"request it delays; closed loop at saturation. Every answer is checked, and before anything is measured every proxy has " +
			"answered right through each of its listeners.",
		"CPU: user and system time of the proxy's whole process tree, from the scheduler's own account, read once the spans of the requests " +
			"have left, so that none is made for nothing; beside it the machine's from /proc/stat, so that nothing hides in another process, " +
			"and what all processes outside the measurement used, by their own accounts. The kernel splits user from system time, and counts the " +
			"machine's, by what runs as its clock ticks: below saturation, where work keeps time with the clock, these two are rough, and " +
			"the process tree's sum is not. " +
			"Memory: resident set, and its peak.",
		"Added latency: the difference of medians to the same client and upstream without a proxy, with a 95 % interval by bootstrap over " +
			"the runs. A p99 is told from 10 000 samples on, a p99.9 from 100 000.",
		"Spans: the collector counts what arrives; traced runs compare it with the requests sent. A run that lost spans is marked, " +
			"whoever's it is: work that was not done costs nothing.",
		"Matched settings: spans in batches of 512 or one second, W3C trace context with OTLP and B3's headers with Zipkin, no access log, no TLS, keep-alive to the upstream. " +
			"All configurations are beside this report.",
	}
}

// column is a column of the table of a scenario.
type column struct{ quantity, head string }

// columns lists the quantities of tables, in order; those without a value are left out.
var columns = [...]column{
	{bench.QP50, "p50 µs"}, {bench.QP90, "p90 µs"}, {bench.QP99, "p99 µs"}, {bench.QP999, "p99.9 µs"},
	{bench.QCPU, "CPU µs/request"}, {bench.QUser, "user"}, {bench.QSystem, "system"}, {bench.QCPUPerGiB, "CPU s/GiB"},
	{bench.QMachine, "machine µs/request"}, {bench.QForeign, "others, % of a core"}, {bench.QRate, "requests/s"},
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
			t.Heads = append(t.Heads, col.head)
		}
	}
	added := slices.ContainsFunc(cells, func(c bench.CellResult) bool { return c.AddedP50 != nil })
	if added {
		t.Heads = append(t.Heads, "added p50 µs", "added p99 µs")
	}
	for _, c := range cells {
		row := []string{title(r, c.Peer)}
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

// cellText writes a median with its spread.
func cellText(c bench.CellResult, quantity string) string {
	s := c.Values[quantity]
	switch {
	case len(s.Runs) == 0:
		return "–"
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
	return fmt.Sprintf("%s (%s to %s)", bench.Number(d.Median), bench.Number(d.Interval.Low), bench.Number(d.Interval.High))
}
