package bench

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/bench/peer"
)

// Unfit says why a result is no full report of `make bench`, fit to be published; empty when it is one. That others than ours lost spans or
// could not keep up is no reason: the report says so.
func (r *Result) Unfit() (reasons []string) {
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	switch m := r.Method; {
	case r.Partial:
		add("partial")
	case m.Short > 0:
		add("shortened")
	case m.Quick:
		add("of a quick run")
	case m.Runs < DefaultRuns:
		add("of %d runs, not %d", m.Runs, DefaultRuns)
	}
	if len(r.Method.Pinning.Proxy) == 0 || slices.ContainsFunc(r.Method.Pinning.Proxy, func(cpu int) bool {
		return slices.Contains(r.Method.Pinning.Others, cpu)
	}) {
		add("not pinned: the proxy has no processor of its own")
	}
	if r.Commit == "" || r.Commit == unknownCommit || strings.HasSuffix(r.Commit, "-dirty") {
		add("of commit %q, which nobody can look up", r.Commit)
	}
	for _, line := range r.Missing {
		add("without %s", line)
	}
	return append(append(reasons, r.lacking()...), r.disqualified()...)
}

// unknownCommit is what spanbench has for a commit when it was not built by make.
const unknownCommit = "unknown"

// lacking lists the cells of the full matrix that the result does not have with all their runs.
func (r *Result) lacking() (reasons []string) {
	cells, err := Matrix(Options{Runs: DefaultRuns})
	if err != nil {
		panic("BUG: the full matrix: " + err.Error())
	}
	for _, c := range cells {
		for _, phase := range empty(c) {
			name := fmt.Sprintf("%s/%s, %s", c.Scenario.Name, phase.phase, c.Peer.Name)
			got := r.Find(c.Scenario.Name, phase.phase, c.Peer.Name)
			if got == nil {
				reasons = append(reasons, "without "+name)
				continue
			}
			for _, quantity := range c.essential(phase.phase) {
				if n := len(got.Values[quantity].Runs); n < r.Method.Runs || n == 0 {
					reasons = append(reasons, fmt.Sprintf("with %s of %d runs only in %s", quantity, n, name))
				}
			}
		}
	}
	return reasons
}

// essential lists the quantities that every run of a phase has.
func (c Cell) essential(phase string) (quantities []string) {
	if c.Scenario.measure != nil {
		return []string{QReady, QRSS, QIdleCPU}
	}
	quantities = []string{QRate, QErrors}
	if c.Peer.Tool != "" {
		quantities = append(quantities, QCPU, QRSS)
	}
	if slices.ContainsFunc(c.Scenario.Phases, func(p Phase) bool { return p.Name == phase && p.Latency }) {
		quantities = append(quantities, QP50)
	}
	return quantities
}

// disqualified lists the notes with which no report is published: runs that failed or answered wrongly, whoever's, and spans that ours lost
// or rates that it did not reach.
func (r *Result) disqualified() (reasons []string) {
	for _, c := range r.Cells {
		p, err := peer.ByName(c.Peer)
		ours := err == nil && p.Ours()
		for _, note := range c.Notes {
			spans := strings.Contains(note, markLost) || strings.Contains(note, markExtra)
			if isFailure(note) && (ours || !spans) || ours && strings.Contains(note, markInvalid) {
				reasons = append(reasons, fmt.Sprintf("of a failure: %s/%s, %s: %s", c.Scenario, c.Phase, c.Peer, note))
			}
		}
	}
	return reasons
}
