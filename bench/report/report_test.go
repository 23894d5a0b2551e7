package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample is a result of all scenarios that charts and figures are made of, with values drawn from a fixed seed.
func sample() *bench.Result {
	r := &bench.Result{
		Schema: bench.Schema, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Commit: "abc<def>", Seconds: 60,
		Machine: proc.Machine{Host: "host", Kernel: "6.18", CPU: "CPU & Co", Cores: 2, Governor: "unknown", Memory: 8 << 30, Load: "0 0 0",
			Arch: "amd64"},
		Versions: map[string]string{"envoy": "envoy 1.40.0", "spanwire": "spanwire 1"}, Missing: []string{"nginx: not installed (apt-get install nginx)"},
		Method: bench.Method{Runs: 5, Warmup: 1, Workers: 1, Pinning: rig.DefaultPinning(2), Client: "spanload"},
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range []string{peer.Direct, peer.SpanwireOTLP, peer.EnvoyOTLP, peer.HAProxyHTTP} {
		p, err := peer.ByName(name)
		if err != nil {
			panic(err)
		}
		r.Peers = append(r.Peers, bench.PeerInfo{Name: p.Name, Title: p.Title})
	}
	add := func(scenario, title, phase string, quantities map[string]float64) {
		r.Scenarios = append(r.Scenarios, bench.ScenarioInfo{Name: scenario, Title: title, Why: "Because.", Phases: []bench.PhaseInfo{{Name: phase}}})
		for i, p := range r.Peers {
			c := bench.CellResult{Scenario: scenario, Phase: phase, Peer: p.Name, Values: map[string]stats.Summary{}, Notes: []string{}}
			for _, quantity := range sorted(quantities) {
				runs := make([]float64, 5)
				for j := range runs {
					runs[j] = quantities[quantity] * float64(i+1) * (1 + 0.02*rng.Float64())
				}
				c.Values[quantity] = stats.Summarise(runs)
			}
			if i > 0 {
				c.AddedP50 = &bench.Difference{Median: 100 * float64(i), Interval: stats.Interval{Low: 90 * float64(i), High: 120 * float64(i)}}
				c.AddedP99 = c.AddedP50
			}
			r.Cells = append(r.Cells, c)
		}
	}
	latency := map[string]float64{bench.QP50: 100, bench.QP90: 200, bench.QP99: 400, bench.QCPU: 10, bench.QUser: 3, bench.QSystem: 7}
	add(bench.ScenarioSmall, "Small", bench.Phase1000, latency)
	add(bench.ScenarioSaturation, "Saturation", bench.Phase32, map[string]float64{bench.QCPU: 10, bench.QUser: 3, bench.QSystem: 7})
	add(bench.ScenarioMesh, "Mesh", bench.PhaseMesh, map[string]float64{bench.QP50: 600, bench.QP99: 2000, bench.QPeak: 30})
	add(bench.ScenarioRest, "Rest", bench.PhaseRest, map[string]float64{bench.QRSS: 10, bench.QReady: 15})
	r.Cells[1].Notes = []string{"noisy: <b>not bold</b>", "run 1: LOST SPANS: 3 of 10"}
	return r
}

// sorted returns the keys of m in order, so that values are drawn in the same order each time.
func sorted(m map[string]float64) []string {
	var keys []string
	for _, c := range columns {
		if _, ok := m[c.quantity]; ok {
			keys = append(keys, c.quantity)
		}
	}
	return keys
}

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test ./bench/report -update rewrites it):\n%s", file, got)
	}
}

func TestGolden(t *testing.T) {
	golden(t, "report.md", Markdown(sample()))
	var page bytes.Buffer
	if err := WriteHTML(&page, sample()); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.html", page.String())
}

// TestNoiseIsCountedOfWhatIsPrinted: the tables have exactly the quantities whose noise is counted.
func TestNoiseIsCountedOfWhatIsPrinted(t *testing.T) {
	var printed []string
	for _, c := range columns {
		printed = append(printed, c.quantity)
	}
	if !slices.Equal(printed, bench.Printed[:]) {
		t.Errorf("printed %v, counted %v", printed, bench.Printed)
	}
}

// TestWeakResultsSaySo: what is no measurement, or one of a queue, is said in the row, in the summary wherever that names the cell, and where the
// README's table has it.
func TestWeakResultsSaySo(t *testing.T) {
	r := sample()
	for _, c := range []struct{ scenario, peer, note string }{
		{bench.ScenarioMesh, peer.EnvoyOTLP, "saturated: latency is queueing: its proxies used 99 % of the processor they had"},
		{bench.ScenarioSmall, peer.EnvoyOTLP, "run 2: invalid: rate not reached"},
		{bench.ScenarioSaturation, peer.SpanwireOTLP, "run 1: invalid: no reason"},
	} {
		for i := range r.Cells {
			if cell := &r.Cells[i]; cell.Scenario == c.scenario && cell.Peer == c.peer {
				cell.Notes = append(cell.Notes, c.note)
			}
		}
	}
	summary, page := strings.Join(Summary(r), "\n"), Markdown(r)
	const envoy = "Envoy, 100 % as OTLP"
	for _, want := range []string{
		envoy + " 200 µs (p99 200 µs) – SATURATED, its latency is queueing", envoy + " 200 µs (p99 200 µs) – INVALID in 1 of 5 runs",
		"20.25 µs – INVALID in 1 of 5 runs", "1 have the latency of a queue (saturated), INVALID runs: 2", "bound 0.180 (invalid)",
	} {
		if !strings.Contains(strings.ToLower(summary), strings.ToLower(want)) {
			t.Errorf("%q is not in the summary:\n%s", want, summary)
		}
	}
	for _, want := range []string{
		"| " + envoy + " – SATURATED | ", "| " + envoy + " – INVALID in 1 of 5 runs | ", "| Spanwire, 100 % as OTLP – INVALID in 1 of 5 runs | ",
		"envoy-otlp is saturated, its latency is queueing |", "**not held (invalid)** |",
		"spanwire-otlp to haproxy-http, not held (invalid): a run of the sidecar's is invalid, so that there is no value.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the report:\n%s", want, page)
		}
	}
	if table := readmeTable(r); !strings.Contains(table, "| "+envoy+" – INVALID in 1 of 5 runs |") {
		t.Errorf("README:\n%s", table)
	}
}

// TestMissedBoundsSayWhy: by the declared reason, or that none is known; what is held says nothing.
func TestMissedBoundsSayWhy(t *testing.T) {
	page := Markdown(sample())
	for _, want := range []string{
		"\n- CPU per request, spanwire-otlp to envoy-otlp, not held: most of the sidecar's CPU is the kernel's",
		"\n- added p50 at rate-1000, to Envoy's, not held, within noise: far from saturation", "\n- idle resident memory, to Envoy, not held: the reason is not known.\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the report", want)
		}
	}
	if strings.Contains(page, "\n- ready after start") {
		t.Error("a bound that is held is explained")
	}
}

// TestSpansLineTellsWhatWasCounted: no traced run, no line; collectors that fail are told apart.
func TestSpansLineTellsWhatWasCounted(t *testing.T) {
	if line := spansLine(sample()); line != "" {
		t.Errorf("nothing was counted: %q", line)
	}
	counted := func(scenario, name, quantity string, runs ...float64) bench.CellResult {
		return bench.CellResult{Scenario: scenario, Peer: name, Values: map[string]stats.Summary{quantity: stats.Summarise(runs)}}
	}
	r := &bench.Result{Cells: []bench.CellResult{
		counted(bench.ScenarioSmall, peer.SpanwireOTLP, bench.QSpansMissed, 0, 0),
		counted(bench.ScenarioCollectors, peer.SpanwireOTLP, bench.QSpans, 1.1, 1.1), counted(bench.ScenarioCollectors, peer.EnvoyOTLP, bench.QSpans, 0.75),
	}}
	const want = "Spans: exactly one for each request at every Spanwire that traces all of them (counted in 2 runs, cells: 1); where collectors fail " +
		"spanwire-otlp had 1.10 for each request, some sent twice; where collectors fail envoy-otlp had 0.750 for each request, the others lost."
	if line := spansLine(r); line != want {
		t.Errorf("%q, want %q", line, want)
	}
	r.Cells = r.Cells[1:]
	if line := spansLine(r); !strings.HasPrefix(line, "Where collectors fail spanwire-otlp had") {
		t.Errorf("without the first: %q", line)
	}
}

// TestCells: how a quantity is written.
func TestCells(t *testing.T) {
	c := bench.CellResult{
		Values: map[string]stats.Summary{
			bench.QP50: stats.Summarise([]float64{90, 100, 120}), bench.QP99: stats.Summarise([]float64{200, 200, 200}),
			bench.QUser: stats.Summarise([]float64{0, 0, 4}), bench.QIdleCPU: stats.Summarise([]float64{0, 0, 0}),
			bench.QSamples: stats.Summarise([]float64{3600, 3600, 3600}), bench.QMachine: stats.Summarise([]float64{15, 15, 15}),
			bench.QProcesses: stats.Summarise([]float64{110, 110, 110}),
		},
		Tails: map[string]bench.Tail{bench.QP99: {Value: 350, Interval: stats.Interval{Low: 200, High: 500}, Samples: 10_800}}, Histograms: []string{"", "", ""},
	}
	for quantity, want := range map[string]string{
		bench.QP50: "100 ±30 %", bench.QP99: "350 (200 to 500)", bench.QUser: "0 (0 to 4)", bench.QIdleCPU: "0", bench.QSamples: "3 × 3600",
		bench.QMachine: "–", bench.QProcesses: "110", bench.QReady: "–",
	} {
		if got := cellText(c, quantity); got != want {
			t.Errorf("%s: %q, want %q", quantity, got, want)
		}
	}
	if got := headOf(column{bench.QP99, "p99 µs"}, []bench.CellResult{c}); got != "p99 µs, all runs together" {
		t.Errorf("head %q", got)
	}
	if got := intervalText(stats.Interval{Low: 0.5, High: math.Inf(1)}); got != "(0.500 to ∞)" {
		t.Errorf("an interval without an upper end: %s", got)
	}
}

// TestReadmeProse: what stands beside the table comes from the results as well.
func TestReadmeProse(t *testing.T) {
	cpu := func(scenario, phase, name string, v float64) bench.CellResult {
		return bench.CellResult{Scenario: scenario, Phase: phase, Peer: name, Values: map[string]stats.Summary{bench.QCPU: stats.Summarise([]float64{v})}}
	}
	r := &bench.Result{Cells: []bench.CellResult{
		cpu(bench.ScenarioSmall, bench.Phase1000, peer.SpanwireOTLP, 80), cpu(bench.ScenarioSmall, bench.Phase1000, peer.HAProxyTCP, 100),
		cpu(bench.ScenarioSaturation, bench.Phase32, peer.SpanwireOTLP, 12), cpu(bench.ScenarioSaturation, bench.Phase32, peer.HAProxyTCP, 10),
	}}
	const want = ": at 1 000 requests a second 80 and 100 µs, 80 %; at saturation 12 and 10 µs, 120 %.\n"
	if got := readmeTable(r); !strings.HasSuffix(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := readmeProse(sample()); got != "" {
		t.Errorf("HAProxy's TCP mode was not measured: %q", got)
	}
}

func TestSummaryIsShort(t *testing.T) {
	lines := Summary(sample())
	if len(lines) > 10 {
		t.Errorf("%d lines", len(lines))
	}
	partial := sample()
	partial.Partial = true
	if first := Summary(partial)[0]; !strings.Contains(first, "PARTIAL") {
		t.Errorf("a partial run does not say so: %s", first)
	}
}

// TestPageIsSelfContained: nothing is fetched, nothing runs, and what came from outside is escaped.
func TestPageIsSelfContained(t *testing.T) {
	var page bytes.Buffer
	if err := WriteHTML(&page, sample()); err != nil {
		t.Fatal(err)
	}
	text := page.String()
	for _, banned := range []string{"<script", "href=\"http", "src=", "@import", "url(", "<b>not bold", "abc<def>", "ZgotmplZ"} {
		if strings.Contains(text, banned) {
			t.Errorf("the page has %q", banned)
		}
	}
	for _, wanted := range []string{"prefers-color-scheme: dark", " id=\"cpu\"", " id=\"latency-1000\"", " id=\"added-1000\"",
		" id=\"memory-rest\"", "Method", "abc&lt;def&gt;"} {
		if !strings.Contains(text, wanted) {
			t.Errorf("the page lacks %q", wanted)
		}
	}
}

// TestPicturesAreWellFormed reads every picture as XML and looks that marks stay inside.
func TestPicturesAreWellFormed(t *testing.T) {
	var page bytes.Buffer
	if err := WriteHTML(&page, sample()); err != nil {
		t.Fatal(err)
	}
	rest, pictures := page.String(), 0
	for {
		begin := strings.Index(rest, "<svg")
		if begin < 0 {
			break
		}
		end := strings.Index(rest, "</svg>") + len("</svg>")
		decoder := xml.NewDecoder(strings.NewReader(rest[begin:end]))
		marks := 0
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("picture %d: %v\n%s", pictures, err, rest[begin:end])
			}
			if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "rect" || e.Name.Local == "circle") {
				marks++
			}
		}
		if marks == 0 {
			t.Errorf("picture %d is empty", pictures)
		}
		rest = rest[end:]
		pictures++
	}
	if pictures != len(charts(sample())) || pictures < 5 {
		t.Errorf("%d pictures", pictures)
	}
}

func TestEmptyResultRenders(t *testing.T) {
	var page bytes.Buffer
	empty := &bench.Result{Schema: bench.Schema, Partial: true}
	if err := WriteHTML(&page, empty); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "NaN") || strings.Contains(Markdown(empty), "NaN") {
		t.Error("a result without cells shows NaN")
	}
}
