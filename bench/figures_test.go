package bench

import (
	"strings"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// hist is the encoded histogram of a run with so many samples of 100 µs and so many of 1 000 µs.
func hist(t *testing.T, fast, slow int64) string {
	t.Helper()
	h := hdrhistogram.New(1, 1e12, 3)
	for value, n := range map[int64]int64{100_000: fast, 1_000_000: slow} {
		if n == 0 {
			continue
		}
		if err := h.RecordValues(value, n); err != nil {
			t.Fatal(err)
		}
	}
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// cell is a cell with the runs of one quantity.
func cell(scenario, phase, name, quantity string, runs ...float64) CellResult {
	return CellResult{Scenario: scenario, Phase: phase, Peer: name, Values: map[string]stats.Summary{quantity: stats.Summarise(runs)}}
}

// figure finds a figure by the beginning of its text.
func figure(t *testing.T, r *Result, text string) Figure {
	t.Helper()
	for _, f := range r.Figures() {
		if strings.HasPrefix(f.Text, text) {
			return f
		}
	}
	t.Fatalf("no figure %q", text)
	return Figure{}
}

// TestZipkinIsJudgedByEnvoysBetterBatch: whichever of Envoy's two sizes costs less is what ours is set beside.
func TestZipkinIsJudgedByEnvoysBetterBatch(t *testing.T) {
	cpu := func(name string, v float64) CellResult { return cell(ScenarioSaturation, Phase32, name, QCPU, v, v, v) }
	ours, large, small := cpu(peer.SpanwireZipkin, 11), cpu(peer.EnvoyZipkin, 660), cpu(peer.EnvoyZipkin128, 200)
	for _, c := range []struct {
		name  string
		cells []CellResult
		value float64
		ok    bool
		made  string
	}{
		{name: "the smaller batch costs less", cells: []CellResult{ours, large, small}, value: 0.055, made: "11 ÷ 200, envoy-zipkin-128"},
		{name: "the larger one does", cells: []CellResult{ours, cpu(peer.EnvoyZipkin, 100), small}, value: 0.11, made: "11 ÷ 100, envoy-zipkin"},
		{name: "one was measured", cells: []CellResult{ours, large}, value: 11.0 / 660, ok: true, made: "11 ÷ 660, envoy-zipkin"},
	} {
		f := figure(t, &Result{Cells: c.cells}, "CPU per request, spanwire-zipkin")
		if f.Value != c.value || f.OK != c.ok || f.Detail != c.made {
			t.Errorf("%s: %v, held %v, %q; want %v, %v, %q", c.name, f.Value, f.OK, f.Detail, c.value, c.ok, c.made)
		}
	}
}

func TestVerdicts(t *testing.T) {
	steady := func(name string, v float64) CellResult {
		return cell(ScenarioSaturation, Phase32, name, QCPU, v, v, v, v, v)
	}
	loose := func(name string, v float64) CellResult {
		return cell(ScenarioSaturation, Phase32, name, QCPU, v*0.8, v*0.9, v, v*1.1, v*1.2)
	}
	invalid := steady(peer.SpanwireOTLP, 7)
	invalid.Notes = []string{"run 2: invalid: rate not reached"}
	theirs := steady(peer.HAProxyHTTP, 10)
	theirs.Notes = []string{"run 1: invalid: rate not reached", "run 2: invalid: rate not reached"}
	for _, c := range []struct {
		name    string
		cells   []CellResult
		verdict string
		detail  string
	}{
		{name: "clear", cells: []CellResult{steady(peer.SpanwireOTLP, 7), steady(peer.HAProxyHTTP, 10)}, verdict: "held"},
		{name: "clearly not", cells: []CellResult{steady(peer.SpanwireOTLP, 8), steady(peer.HAProxyHTTP, 10)}, verdict: "not held"},
		{name: "by less than the noise", cells: []CellResult{loose(peer.SpanwireOTLP, 7.4), steady(peer.HAProxyHTTP, 10)}, verdict: "held, within noise"},
		{name: "missed by less", cells: []CellResult{loose(peer.SpanwireOTLP, 7.6), steady(peer.HAProxyHTTP, 10)}, verdict: "not held, within noise"},
		{name: "an invalid run of ours", cells: []CellResult{invalid, steady(peer.HAProxyHTTP, 10)}, verdict: "not held (invalid)",
			detail: "invalid runs of spanwire-otlp: 1"},
		{name: "invalid runs of theirs", cells: []CellResult{steady(peer.SpanwireOTLP, 7), theirs}, verdict: "held",
			detail: "invalid runs of haproxy-http: 2"},
		{name: "nothing", verdict: "not measured"},
	} {
		f := figure(t, &Result{Cells: c.cells}, "CPU per request, spanwire-otlp to haproxy-http")
		if f.Verdict() != c.verdict || !strings.Contains(f.Detail, c.detail) || f.OK != strings.HasPrefix(c.verdict, "held") {
			t.Errorf("%s: %q (OK %v), %q; want %q, %q", c.name, f.Verdict(), f.OK, f.Detail, c.verdict, c.detail)
		}
	}
}

// TestAddedFigureHasAnInterval: of the quotient of two differences, with the runs of all three drawn anew.
func TestAddedFigureHasAnInterval(t *testing.T) {
	r := &Result{Cells: []CellResult{
		cell(ScenarioSmall, Phase1000, peer.Direct, QP50, 80, 90, 100), cell(ScenarioSmall, Phase1000, peer.SpanwireOTLP, QP50, 180, 190, 210),
		cell(ScenarioSmall, Phase1000, peer.EnvoyOTLP, QP50, 280, 290, 330),
	}}
	r.addLatencies()
	f := figure(t, r, "added p50 at rate-1000")
	if f.Value != 0.5 || f.Verdict() != "held, within noise" || f.Interval.Low >= 0.5 || f.Interval.High <= 0.5 || f.Why == "" {
		t.Errorf("%+v, %s", f, f.Verdict())
	}
}

// TestTailsAreOfAllRunsTogether: one run of five is slow in 6 % of its samples. The median of the runs' p99s does not know of it; all samples
// together do.
func TestTailsAreOfAllRunsTogether(t *testing.T) {
	c := collected{cell: Cell{Peer: peer.Peer{Name: "x"}}, values: map[string][]float64{}}
	for run := range 5 {
		fast, slow, p99 := int64(4000), int64(0), 100.0
		if run == 3 {
			fast, slow, p99 = 3700, 300, 1000
		}
		c.gather(PhaseRun{Values: map[string]float64{QSamples: 4000, QP50: 100, QP99: p99}, Histogram: hist(t, fast, slow)}, run+1)
	}
	got := c.sum()
	p99, ok := got.Value(QP99)
	if !ok || p99 < 999 || p99 > 1001 || got.Values[QP99].Median != 100 || got.Tails[QP99].Samples != 20_000 {
		t.Errorf("p99 %v (%v) of %+v, medians of runs %v", p99, ok, got.Tails, got.Values[QP99])
	}
	if i := got.Tails[QP99].Interval; i.Low > 101 || i.High < 999 {
		t.Errorf("interval %v: a draw of the runs need not have the slow one", i)
	}
	if _, ok := got.Value(QP999); ok {
		t.Error("a p99.9 of 20 000 samples")
	}
	direct := collected{cell: Cell{Peer: peer.Peer{Name: peer.Direct}}, values: map[string][]float64{}}
	for run := range 5 {
		direct.gather(PhaseRun{Values: map[string]float64{QSamples: 4000, QP50: 100, QP99: 100}, Histogram: hist(t, 4000, 0)}, run+1)
	}
	r := &Result{Cells: []CellResult{direct.sum(), got}}
	r.addLatencies()
	if added := r.Cells[1].AddedP99; added == nil || added.Median < 899 || added.Median > 901 || added.Interval.Low > 1 {
		t.Errorf("added p99 %+v", added)
	}
}

func TestSaturatedCellsSaySo(t *testing.T) {
	open := Scenario{Phases: []Phase{{Name: "p", Load: load("--rate", "1000")}}}
	closed := Scenario{Phases: []Phase{{Name: "p", Load: load("--closed")}}}
	for _, c := range []struct {
		name string
		s    Scenario
		busy float64
		want bool
	}{{"busy at a fixed rate", open, 81, true}, {"not so busy", open, 79, false}, {"a closed loop", closed, 100, false}} {
		cell := collected{cell: Cell{Scenario: c.s}, phase: "p", values: map[string][]float64{QBusy: {c.busy, c.busy, 10}}}
		if got := cell.sum(); got.Saturated() != c.want {
			t.Errorf("%s: %q", c.name, got.Notes)
		}
	}
}

// TestSamplesOfTheMachine: what the kernel sampled is not told when its parts are more.
func TestSamplesOfTheMachine(t *testing.T) {
	for _, c := range []struct {
		name   string
		values map[string][]float64
		want   bool
	}{
		{"more than the parts", map[string][]float64{QMachine: {120}, QProcesses: {110}, QCPU: {60}}, false},
		{"less than all processes", map[string][]float64{QMachine: {70}, QProcesses: {110}, QCPU: {60}}, true},
		{"less than the proxy alone, an older result", map[string][]float64{QMachine: {15}, QCPU: {75}}, true},
		{"nothing to compare with", map[string][]float64{QMachine: {15}}, false},
	} {
		cell := collected{values: c.values}
		if got := cell.sum(); got.SampledTooLow() != c.want || (len(got.Notes) > 0) != c.want {
			t.Errorf("%s: %v, %q", c.name, got.SampledTooLow(), got.Notes)
		}
	}
}

// TestSpansAreToldAsFarAsCounted: without a traced run of ours there is nothing to tell.
func TestSpansAreToldAsFarAsCounted(t *testing.T) {
	exact, lost := cell(ScenarioSmall, Phase5000, peer.SpanwireOTLP, QSpansMissed, 0, 0, 0), cell("tcp", "p", peer.SpanwireZipkin, QSpansMissed, 0, 3)
	theirs, failing := cell("tcp", "p", peer.EnvoyOTLP, QSpansMissed, 5), cell(ScenarioCollectors, "back", peer.SpanwireOTLP, QSpansMissed, 9)
	for _, c := range []struct {
		name        string
		cells       []CellResult
		count, runs int
		lost        string
	}{
		{name: "nothing"},
		{name: "no traced run of ours", cells: []CellResult{cell(ScenarioSmall, Phase1000, peer.Direct, QP50, 1), theirs, failing}},
		{name: "exact", cells: []CellResult{exact, theirs}, count: 1, runs: 3},
		{name: "lost", cells: []CellResult{exact, lost}, count: 2, runs: 5, lost: "tcp/spanwire-zipkin"},
	} {
		count, runs, missing := (&Result{Cells: c.cells}).SpanAccount()
		if count != c.count || runs != c.runs || strings.Join(missing, " ") != c.lost {
			t.Errorf("%s: %d cells, %d runs, lost %v", c.name, count, runs, missing)
		}
	}
}
