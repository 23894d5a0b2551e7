package bench

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
)

// sample is a result with one quantity of one cell.
func sample(name string, runs ...float64) *Result {
	return &Result{
		Versions: map[string]string{"nginx": "nginx 1.22", "spanload": "as built", "envoy": "envoy 1.40", "spanwire": "spanwire 1"},
		Schema:   Schema, Machine: proc.Machine{CPU: "test", Cores: 2, Arch: "amd64", Kernel: "6"},
		Method: Method{Runs: len(runs), Workers: 1, Pinning: rig.DefaultPinning(2), Client: "spanload"},
		Scenarios: []ScenarioInfo{{Name: "small", Traversals: 1, Phases: []PhaseInfo{{Name: Phase1000, Load: []string{"--rate", "1000"}, Seconds: 4,
			Upstream: []string{"spanload", "serve", "--body-size", "1024"}}}}},
		Peers: []PeerInfo{{Name: name, Spans: peer.OTLP, Share: 1}},
		Cells: []CellResult{{Scenario: "small", Phase: Phase1000, Peer: name, Values: map[string]stats.Summary{QCPU: stats.Summarise(runs)}}},
	}
}

func TestCompare(t *testing.T) {
	steady := []float64{10, 10.1, 10.2, 9.9, 9.8}
	worse := []float64{12, 12.1, 12.2, 11.9, 11.8}
	for _, c := range []struct {
		name                       string
		peer                       string
		old, new                   []float64
		beyond, tooFew, regression bool
	}{
		{name: "the same", peer: peer.SpanwireOTLP, old: steady, new: steady},
		{name: "worse", peer: peer.SpanwireOTLP, old: steady, new: worse, beyond: true, regression: true},
		{name: "better", peer: peer.SpanwireOTLP, old: worse, new: steady, beyond: true},
		{name: "another's is no regression of ours", peer: peer.EnvoyOTLP, old: steady, new: worse, beyond: true},
		{name: "beyond noise, below the threshold", peer: peer.SpanwireOTLP, old: steady, new: []float64{10.3, 10.31, 10.32, 10.33, 10.34}, beyond: true},
		{name: "too few runs to tell", peer: peer.SpanwireOTLP, old: steady[:3], new: worse[:3], tooFew: true},
	} {
		changes, err := Compare(sample(c.peer, c.old...), sample(c.peer, c.new...))
		if err != nil || len(changes) != 1 {
			t.Fatalf("%s: %v, %v", c.name, changes, err)
		}
		got := changes[0]
		if got.Beyond != c.beyond || got.TooFew != c.tooFew || got.Regression(0.05) != c.regression {
			t.Errorf("%s: %+v, regression %v", c.name, got, got.Regression(0.05))
		}
	}
}

func TestCompareRefuses(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(r *Result)
	}{
		{"processor", func(r *Result) { r.Machine.CPU = "another" }},
		{"number of cores", func(r *Result) { r.Machine.Cores = 4 }},
		{"kernel", func(r *Result) { r.Machine.Kernel = "7" }},
		{"governor", func(r *Result) { r.Machine.Governor = "powersave" }},
		{"quick", func(r *Result) { r.Method.Quick = true }},
		{"length of phases", func(r *Result) { r.Method.Short = 1 }},
		{"workers", func(r *Result) { r.Method.Workers = 2 }},
		{"pinning", func(r *Result) { r.Method.Pinning = rig.Pinning{} }},
		{"client", func(r *Result) { r.Method.Client = "wrk" }},
		{"scenario small", func(r *Result) { r.Scenarios[0].Phases[0].Seconds = 5 }},
		{"scenario small", func(r *Result) { r.Scenarios[0].Phases[0].Load = []string{"--rate", "2000"} }},
		{"scenario small", func(r *Result) {
			r.Scenarios[0].Phases[0].Upstream = []string{"spanload", "serve", "--body-size", "16"}
		}},
		{"scenario small", func(r *Result) { r.Scenarios[0].Phases[0].Collector = "dead" }},
		{"traversals of small", func(r *Result) { r.Scenarios[0].Traversals = 6 }},
		{"spans of", func(r *Result) { r.Peers[0].Spans = peer.Zipkin }},
		{"share of", func(r *Result) { r.Peers[0].Share = 0.01 }},
		{"version of the upstream", func(r *Result) { r.Versions["nginx"] = "nginx 1.26" }},
		{"version of the client", func(r *Result) { r.Versions["spanload"] = "another" }},
		{"the newer is partial", func(r *Result) { r.Partial = true }},
		{"no cell in common", func(r *Result) { r.Cells[0].Peer = peer.Direct }},
	} {
		other := sample(peer.SpanwireOTLP, 1, 2, 3)
		c.change(other)
		if _, err := Compare(sample(peer.SpanwireOTLP, 1, 2, 3), other); !errors.Is(err, ErrDifferent) || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	partial := sample(peer.SpanwireOTLP, 1, 2, 3)
	partial.Partial = true
	if _, err := Compare(partial, sample(peer.SpanwireOTLP, 1, 2, 3)); !errors.Is(err, ErrDifferent) {
		t.Errorf("the older is partial: %v", err)
	}
	more := sample(peer.SpanwireOTLP, 1, 2, 3, 4)
	if _, err := Compare(sample(peer.SpanwireOTLP, 1, 2, 3), more); err != nil {
		t.Errorf("another number of runs: %v", err)
	}
}

// TestCompareOfAnotherVersion: another Envoy is said to be one; another sidecar is what is compared.
func TestCompareOfAnotherVersion(t *testing.T) {
	for name, want := range map[string]string{peer.EnvoyOTLP: "another version", peer.SpanwireOTLP: "**REGRESSION**"} {
		newer := sample(name, 20, 20.1, 20.2, 20.3, 20.4)
		newer.Versions["envoy"], newer.Versions["spanwire"] = "envoy 1.41", "spanwire 2"
		changes, err := Compare(sample(name, 10, 10.1, 10.2, 9.9, 9.8), newer)
		if err != nil || len(changes) != 1 || changes[0].verdict(0.05) != want {
			t.Errorf("%s: %+v, %v, want %s", name, changes, err, want)
		}
	}
}

// TestCompareSeesWhatIsGoneOrWasZero: a measurement that failed, is gone or rose from zero is not better for having no ratio.
func TestCompareSeesWhatIsGoneOrWasZero(t *testing.T) {
	set := func(quantity string, runs ...float64) func(r *Result) {
		return func(r *Result) { r.Cells[0].Values[quantity] = stats.Summarise(runs) }
	}
	both := func(old, changed func(r *Result)) [2]func(r *Result) { return [2]func(r *Result){old, changed} }
	note := func(texts ...string) func(r *Result) { return func(r *Result) { r.Cells[0].Notes = texts } }
	nothing := func(*Result) {}
	failed := slices.Repeat([]string{"run 1 FAILED: not ready"}, 31)
	for _, c := range []struct {
		name       string
		change     [2]func(r *Result)
		regression string // the quantity; empty = none
	}{
		{"idle CPU from zero", both(set(QIdleCPU, 0, 0, 0, 0, 0), set(QIdleCPU, 50, 51, 50, 49, 50)), QIdleCPU},
		{"still zero", both(set(QIdleCPU, 0, 0, 0, 0, 0), set(QIdleCPU, 0, 0, 0, 0, 0)), ""},
		{"more wake-ups", both(set(QWakeups, 1, 1.1, 1.2, 1, 1), set(QWakeups, 90, 91, 92, 93, 94)), QWakeups},
		{"errors in one run", both(set(QErrors, 0, 0, 0, 0, 0), set(QErrors, 0, 0, 7, 0, 0)), QErrors},
		{"errors that were not told before", both(nothing, set(QErrors, 0, 0, 7, 0, 0)), QErrors},
		{"a few more errors than many", both(set(QErrors, 0, 0, 100, 0, 0), set(QErrors, 0, 0, 104, 0, 0)), QErrors},
		{"a few errors less", both(set(QErrors, 0, 0, 104, 0, 0), set(QErrors, 0, 0, 100, 0, 0)), ""},
		{"a span more is lost than many", both(set(QSpansMissed, 0, 0, 1000, 0, 0), set(QSpansMissed, 0, 1001, 0, 0, 0)), QSpansMissed},
		{"no error", both(set(QErrors, 0, 0, 0, 0, 0), set(QErrors, 0, 0, 0, 0, 0)), ""},
		{"lost spans", both(set(QSpansMissed, 0, 0, 0, 0, 0), set(QSpansMissed, 3, 0, 0, 0, 0)), QSpansMissed},
		{"a quantity is gone", both(set(QRSS, 9, 9, 9, 9, 9), nothing), QRSS},
		{"a p99 is gone", both(set(QP99, 9, 9, 9, 9, 9), nothing), QP99},
		{"all values are gone", both(nothing, func(r *Result) { r.Cells[0].Values = nil }), QCPU},
		{"a run failed", both(nothing, note("run 1 FAILED: not ready")), qFailed},
		{"as many failed", both(note("run 3 FAILED: no"), note("run 1 FAILED: not ready")), ""},
		{"one more run failed than many", both(note(failed[:30]...), note(failed...)), qFailed},
		{"one run less failed", both(note(failed...), note(failed[:30]...)), ""},
		{"noise is no failure", both(nothing, note("noisy: runs spread")), ""},
		{"the cell is gone", both(nothing, func(r *Result) { r.Cells = r.Cells[1:] }), allQuantities},
	} {
		older, newer := sample(peer.SpanwireOTLP, 10, 10.1, 10.2, 9.9, 9.8), sample(peer.SpanwireOTLP, 10, 10.1, 10.2, 9.9, 9.8)
		for _, r := range []*Result{older, newer} { // another cell that both have
			r.Cells = append(r.Cells, CellResult{Scenario: "small", Phase: Phase5000, Peer: peer.EnvoyOTLP,
				Values: map[string]stats.Summary{QCPU: stats.Summarise([]float64{1, 1, 1, 1, 1})}})
		}
		c.change[0](older)
		c.change[1](newer)
		changes, err := Compare(older, newer)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var found string
		for _, change := range changes {
			if change.Regression(0.05) {
				found = change.Quantity
			}
		}
		if found != c.regression {
			t.Errorf("%s: a regression of %q, want %q: %+v", c.name, found, c.regression, changes)
		}
		var b strings.Builder
		if err := WriteChanges(&b, changes, 0.05, true); err != nil || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") ||
			strings.Contains(b.String(), "REGRESSION") != (c.regression != "") {
			t.Errorf("%s: %v\n%s", c.name, err, b.String())
		}
	}
}

// TestFewerRunsMayLackAP99: with fewer runs there are fewer samples, which is no fault of the sidecar.
func TestFewerRunsMayLackAP99(t *testing.T) {
	older, newer := sample(peer.SpanwireOTLP, 1, 1, 1, 1, 1), sample(peer.SpanwireOTLP, 1, 1, 1)
	older.Cells[0].Values[QP50], newer.Cells[0].Values[QP50] = stats.Summarise([]float64{1, 1, 1, 1, 1}), stats.Summarise([]float64{1, 1, 1})
	older.Cells[0].Values[QP99] = stats.Summarise([]float64{1, 1, 1, 1, 1})
	changes, err := Compare(older, newer)
	if err != nil || slices.ContainsFunc(changes, func(c Change) bool { return c.Missing }) {
		t.Errorf("%v, %v", changes, err)
	}
}

func TestReadRefusesAnotherSchema(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"other.json": `{"schema":"spanbench/0"}`, "none.json": `{`, "figures.json": `{"schema":"spanbench-figures/1"}`} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := sample(peer.SpanwireOTLP, 1, 2, 3)
	file, err := r.WriteJSON(dir)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if changes, err := Compare(r, back); err != nil || changes[0].Ratio != 1 {
		t.Errorf("written and read again: %v, %v", changes, err)
	}
}

func TestWriteChanges(t *testing.T) {
	changes, err := Compare(sample(peer.SpanwireOTLP, 10, 10.1, 10.2, 9.9), sample(peer.SpanwireOTLP, 12, 12.1, 12.2, 11.9))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteChanges(&b, changes, 0.05, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"**REGRESSION**", "+19.9 %", "0.029", "1 of 1 differ beyond noise"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
