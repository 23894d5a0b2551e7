package bench

import (
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
)

// fullReport has every cell of the full matrix.
func fullReport(t *testing.T) *Result {
	t.Helper()
	cells, err := Matrix(Options{Runs: DefaultRuns})
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{Schema: Schema, Commit: "172b35791b39", Method: Method{Runs: DefaultRuns, Pinning: rig.DefaultPinning(2)}}
	r.describe(cells, Options{})
	for _, c := range cells {
		for _, phase := range empty(c) {
			cell := CellResult{Scenario: c.Scenario.Name, Phase: phase.phase, Peer: c.Peer.Name, Values: map[string]stats.Summary{}}
			for _, quantity := range c.essential(phase.phase) {
				cell.Values[quantity] = stats.Summarise(make([]float64, DefaultRuns))
			}
			r.Cells = append(r.Cells, cell)
		}
	}
	return r
}

// TestOnlyFullReportsAreFit: what is less than `make bench` measures of a committed state is refused, and says why.
func TestOnlyFullReportsAreFit(t *testing.T) {
	ours := func(r *Result) *CellResult { return r.Find(ScenarioSmall, Phase1000, peer.SpanwireOTLP) }
	envoy := func(r *Result) *CellResult { return r.Find(ScenarioSmall, Phase5000, peer.EnvoyZipkin) }
	for _, c := range []struct {
		want   string // empty = it is fit
		change func(r *Result)
	}{
		{"", func(*Result) {}},
		{"partial", func(r *Result) { r.Partial = true }},
		{"shortened", func(r *Result) { r.Method.Short = 1 }},
		{"of a quick run", func(r *Result) { r.Method.Quick = true }},
		{"of 4 runs", func(r *Result) { r.Method.Runs = 4 }},
		{"not pinned", func(r *Result) { r.Method.Pinning = rig.Pinning{} }},
		{"not pinned", func(r *Result) { r.Method.Pinning.Others = []int{0, 1} }},
		{"of commit \"172b35791b39-dirty\"", func(r *Result) { r.Commit += "-dirty" }},
		{"of commit \"unknown\"", func(r *Result) { r.Commit = "unknown" }},
		{"without envoy", func(r *Result) { r.Missing = []string{"envoy: not installed"} }},
		{"without small/rate-1000, envoy-otlp", func(r *Result) {
			r.Cells = slices.DeleteFunc(r.Cells, func(c CellResult) bool { return c.Peer == peer.EnvoyOTLP })
		}},
		{"without rest/idle", func(r *Result) {
			r.Cells = slices.DeleteFunc(r.Cells, func(c CellResult) bool { return c.Scenario == ScenarioRest })
		}},
		{"of 4 runs only in small/rate-1000, spanwire-otlp", func(r *Result) { ours(r).Values[QCPU] = stats.Summarise(make([]float64, 4)) }},
		{"of 0 runs only in small/rate-1000, spanwire-otlp", func(r *Result) { delete(ours(r).Values, QP50) }},
		{"of a failure: small/rate-5000, envoy-zipkin", func(r *Result) { envoy(r).Notes = []string{"run 1 FAILED: not ready"} }},
		{"of a failure: small/rate-5000, envoy-zipkin", func(r *Result) { envoy(r).Notes = []string{"run 1: 3 unexpected answers; first: 500"} }},
		{"of a failure: small/rate-1000, spanwire-otlp", func(r *Result) { ours(r).Notes = []string{"run 1: LOST SPANS: 1 of 2"} }},
		{"of a failure: small/rate-1000, spanwire-otlp", func(r *Result) { ours(r).Notes = []string{"run 1: invalid: rate not reached"} }},
		{"", func(r *Result) {
			envoy(r).Notes = []string{"run 1: invalid: rate not reached", "run 2: LOST SPANS: 1 of 2", "noisy: p50"}
		}},
	} {
		r := fullReport(t)
		c.change(r)
		why := r.Unfit()
		if c.want == "" && len(why) > 0 || c.want != "" && !slices.ContainsFunc(why, func(s string) bool { return strings.Contains(s, c.want) }) {
			t.Errorf("it is %q, want %q", why, c.want)
		}
	}
}
