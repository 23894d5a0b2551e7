package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/bench/stats"
)

// Printed lists the quantities that the report prints, in the order of its tables.
var Printed = [...]string{
	QP50, QP90, QP99, QP999, QSamples, QCPU, QUser, QSystem, QCPUPerGiB, QBusy, QMachine, QProcesses, QForeign, QRate, QRSS, QPeak, QIdleCPU,
	QWakeups, QThreads, QFDs, QReady, QArrived, QSpans, QErrors,
}

// foreignBound is the use of the machine by others, percent of one processor, from which a cell says so.
const foreignBound = 10

// busyBound is how busy the proxies are, percent of the processors they have, from which requests at a fixed rate wait for one another: what
// is then measured as latency is the queue.
const busyBound = 80

// sampledShare is the least share of what processes say themselves to have used that the kernel's samples must have seen: less, and the
// samples missed work that keeps time with the clock.
const sampledShare = 0.9

// collected gathers the runs of one cell and phase.
type collected struct {
	cell       Cell
	phase      string
	values     map[string][]float64
	histograms []string
	notes      []string
}

// gather adds a run.
func (c *collected) gather(run PhaseRun, number int) {
	for quantity, value := range run.Values {
		c.values[quantity] = append(c.values[quantity], value)
	}
	if run.Histogram != "" {
		c.histograms = append(c.histograms, run.Histogram)
	}
	for _, note := range run.Notes {
		c.notes = append(c.notes, fmt.Sprintf("run %d: %s", number, note))
	}
}

// sum turns what was collected into a CellResult. Percentiles that rest on too few samples are left out.
func (c *collected) sum() CellResult {
	result := CellResult{Scenario: c.cell.Scenario.Name, Phase: c.phase, Peer: c.cell.Peer.Name, Values: map[string]stats.Summary{},
		Histograms: c.histograms, Notes: append([]string{}, c.notes...)}
	samples := 0.0
	for _, n := range c.values[QSamples] {
		samples += n
	}
	for quantity, runs := range c.values {
		if enough(quantity, samples) {
			result.Values[quantity] = stats.Summarise(runs)
		}
	}
	note := func(format string, args ...any) { result.Notes = append(result.Notes, fmt.Sprintf(format, args...)) }
	if err := result.tails(); err != nil {
		note("percentiles are medians of runs: %v", err)
	}
	if busy := result.Values[QBusy].Median; busy > busyBound && c.fixedRate() {
		note("%slatency is queueing: its proxies used %.0f %% of the processor they had", markSaturated, busy)
	}
	if _, ok := result.Value(QMachine); ok && result.SampledTooLow() {
		note("the machine's CPU is not told: the kernel's samples have less than the processes themselves")
	}
	if noisy := result.noisy(); len(noisy) > 0 {
		note("%sruns spread, of their median: %s", markNoisy, strings.Join(noisy, ", "))
	}
	if others := result.Values[QForeign]; others.Median > foreignBound {
		note("%sother processes used %.0f %% of a core meanwhile", markForeign, others.Median)
	}
	return result
}

// fixedRate reports whether the phase is an open loop.
func (c *collected) fixedRate() bool {
	return slices.ContainsFunc(c.cell.Scenario.Phases, func(p Phase) bool { return p.Name == c.phase && slices.Contains(p.Load, "--rate") })
}

// noisy lists the printed quantities whose runs spread too much, with how much.
func (c *CellResult) noisy() (lines []string) {
	for _, quantity := range Printed {
		switch s := c.Values[quantity]; {
		case !s.Noisy:
		case s.Unrelated():
			lines = append(lines, fmt.Sprintf("%s from %s to %s", quantity, Number(slices.Min(s.Runs)), Number(slices.Max(s.Runs))))
		default:
			lines = append(lines, fmt.Sprintf("%s over %.0f %%", quantity, 100*s.Spread))
		}
	}
	return lines
}

// Noisy returns how many quantities the report prints of the cell, and how many of these are noisy.
func (c *CellResult) Noisy() (noisy, printed int) {
	for _, quantity := range Printed {
		if s, ok := c.Values[quantity]; ok && len(s.Runs) > 0 {
			printed++
			if s.Noisy {
				noisy++
			}
		}
	}
	return noisy, printed
}

// SampledTooLow reports whether the machine's CPU, which the kernel samples, is less than what it consists of.
func (c *CellResult) SampledTooLow() bool {
	machine, ok := c.Value(QMachine)
	parts, told := c.Value(QProcesses)
	if !told {
		parts, _ = c.Value(QCPU)
	}
	return ok && machine < sampledShare*parts
}

// Saturated reports whether the proxies had too little of a processor for the rate, so that latencies are those of a queue.
func (c *CellResult) Saturated() bool { return c.notes(markSaturated) > 0 }

// Invalid returns how many runs are none: the rate was not reached, or the client could not keep its account.
func (c *CellResult) Invalid() int { return c.notes(markInvalid) }

// Disturbed reports whether other processes used too much meanwhile.
func (c *CellResult) Disturbed() bool { return c.notes(markForeign) > 0 }

// notes counts the notes that have a mark, at their beginning or behind the number of the run.
func (c *CellResult) notes(mark string) (n int) {
	for _, note := range c.Notes {
		if strings.HasPrefix(note, "run ") {
			_, note, _ = strings.Cut(note, ": ")
		}
		if strings.HasPrefix(note, mark) {
			n++
		}
	}
	return n
}
