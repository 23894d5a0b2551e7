package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
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
