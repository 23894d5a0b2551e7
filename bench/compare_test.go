package bench

import (
	"errors"
	"os"
	"path/filepath"
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
		Schema: Schema, Machine: proc.Machine{CPU: "test", Cores: 2, Arch: "amd64", Kernel: "6"},
		Method:    Method{Runs: len(runs), Workers: 1, Pinning: rig.DefaultPinning(2), Client: "spanload"},
		Scenarios: []ScenarioInfo{{Name: "small", Phases: []PhaseInfo{{Name: Phase1000, Load: []string{"--rate", "1000"}, Seconds: 4}}}},
		Cells:     []CellResult{{Scenario: "small", Phase: Phase1000, Peer: name, Values: map[string]stats.Summary{QCPU: stats.Summarise(runs)}}},
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
		{"no cell in common", func(r *Result) { r.Cells[0].Peer = peer.Direct }},
	} {
		other := sample(peer.SpanwireOTLP, 1, 2, 3)
		c.change(other)
		if _, err := Compare(sample(peer.SpanwireOTLP, 1, 2, 3), other); !errors.Is(err, ErrDifferent) || !strings.Contains(err.Error(), c.what) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	more := sample(peer.SpanwireOTLP, 1, 2, 3, 4)
	if _, err := Compare(sample(peer.SpanwireOTLP, 1, 2, 3), more); err != nil {
		t.Errorf("another number of runs: %v", err)
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
