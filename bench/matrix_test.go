package bench

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
)

func full() Options  { return Options{Runs: DefaultRuns} }
func quick() Options { return Options{Runs: QuickRuns, Quick: true} }

func TestMatrixKeepsItsBounds(t *testing.T) {
	for _, c := range []struct {
		name  string
		o     Options
		cells int
		takes time.Duration
	}{
		{name: "bench", o: full(), cells: MaxCells, takes: 45 * time.Minute},
		{name: "bench-quick", o: quick(), cells: MaxQuickCells, takes: 5 * time.Minute},
	} {
		cells, err := Matrix(c.o)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(cells) > c.cells {
			t.Errorf("%s: %d cells, allowed %d", c.name, len(cells), c.cells)
		}
		if takes := Estimate(cells, c.o); takes > c.takes {
			t.Errorf("%s: takes %v, allowed %v", c.name, takes, c.takes)
		}
	}
}

func TestMatrixRefuses(t *testing.T) {
	for _, c := range []struct {
		o    Options
		says []string
	}{
		{Options{Only: []string{"no-such-scenario"}}, []string{"--only", `"no-such-scenario"`, "saturation"}},
		{Options{Only: []string{"small", "typo"}}, []string{"--only", `"typo"`, "saturation"}},
		{Options{Only: []string{"small", "[bad"}}, []string{"--only", `"[bad"`}},
		{Options{Peers: []string{"no-such-peer"}}, []string{"--peers", `"no-such-peer"`, "envoy-otlp"}},
		{Options{Peers: []string{"direct", "envoi-*"}}, []string{"--peers", `"envoi-*"`, "envoy-otlp"}},
		{Options{Only: []string{"mesh"}, Peers: []string{peer.NginxStream}}, []string{"no cell", "mesh", peer.NginxStream}},
		{Options{Only: []string{"mesh"}, Peers: []string{peer.Direct, peer.NginxStream}}, []string{"--peers", `"nginx-stream"`, "here: direct)"}},
		{Options{Quick: true, Only: []string{"small", "bodies"}}, []string{"--only", `"bodies"`, "here: small)"}},
	} {
		_, err := Matrix(c.o)
		if !errors.Is(err, ErrMatrix) {
			t.Errorf("Matrix(%v, %v) = %v", c.o.Only, c.o.Peers, err)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("Matrix(%v, %v): %q is not in %v", c.o.Only, c.o.Peers, part, err)
			}
		}
	}
}

func TestMatrixSelects(t *testing.T) {
	cells, err := Matrix(Options{Runs: 1, Only: []string{"small", "tc*"}, Peers: []string{"spanwire-*", "direct"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if n := c.Scenario.Name; n != "small" && n != "tcp" {
			t.Errorf("scenario %s was not asked for", n)
		}
		if !c.Peer.Ours() && c.Peer.Name != peer.Direct {
			t.Errorf("peer %s was not asked for", c.Peer.Name)
		}
	}
	ours := 0
	for _, p := range peer.All() {
		if p.Ours() {
			ours++
		}
	}
	if want := ours + 1 + 2; len(cells) != want { // all of ours and no proxy; of those two, what "tcp" has
		t.Errorf("%d cells, want %d", len(cells), want)
	}
}

// TestScenariosAreSound holds every declaration to what the report promises.
func TestScenariosAreSound(t *testing.T) {
	var names []string
	for _, s := range Scenarios(DefaultIdle) {
		if slices.Contains(names, s.Name) {
			t.Errorf("two scenarios are called %s", s.Name)
		}
		names = append(names, s.Name)
		if s.Title == "" || s.Why == "" || len(s.Peers) == 0 {
			t.Errorf("%s: title, reason or peers are missing", s.Name)
		}
		for _, name := range slices.Concat(s.Peers, s.Quick) {
			if _, err := peer.ByName(name); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		for _, name := range s.Quick {
			if !slices.Contains(s.Peers, name) {
				t.Errorf("%s: %s is measured in a quick run only", s.Name, name)
			}
		}
		measured := s.fixed
		var phases []string
		for _, p := range s.Phases {
			if slices.Contains(phases, p.Name) {
				t.Errorf("%s: two phases are called %s", s.Name, p.Name)
			}
			phases = append(phases, p.Name)
			measured += p.length(full())
			if p.Upstream > 0 && p.Upstream >= len(s.Upstreams) {
				t.Errorf("%s: phase %s goes to upstream %d, which there is not", s.Name, p.Name, p.Upstream)
			}
		}
		if measured < 5*time.Second {
			t.Errorf("%s: only %v are measured in a cell", s.Name, measured)
		}
		if (s.measure == nil) == (len(s.Phases) == 0) {
			t.Errorf("%s: has both phases and a measurement of its own, or neither", s.Name)
		}
	}
}

// TestP99HasItsSamples: at the rates and lengths of a full run every open loop yields the samples that a p99 needs.
func TestP99HasItsSamples(t *testing.T) {
	for _, s := range Scenarios(DefaultIdle) {
		for _, p := range s.Phases {
			i := slices.Index(p.Load, "--rate")
			if !p.Latency || i < 0 {
				continue
			}
			rate, err := time.ParseDuration(p.Load[i+1] + "ns")
			if err != nil {
				t.Fatal(err)
			}
			if samples := float64(rate) * p.length(full()).Seconds() * DefaultRuns; samples < minimumForP99 {
				t.Errorf("%s/%s: %.0f samples, a p99 needs %d", s.Name, p.Name, samples, minimumForP99)
			}
		}
	}
}

func TestPercentilesNeedSamples(t *testing.T) {
	for _, c := range []struct {
		samples   float64
		p99, p999 bool
	}{{9_999, false, false}, {10_000, true, false}, {100_000, true, true}} {
		cell := collected{values: map[string][]float64{QSamples: {c.samples}, QP50: {1}, QP99: {2}, QP999: {3}}}
		got := cell.sum()
		_, p99 := got.Value(QP99)
		_, p999 := got.Value(QP999)
		if p99 != c.p99 || p999 != c.p999 {
			t.Errorf("%v samples: p99 %v, p99.9 %v", c.samples, p99, p999)
		}
		if _, ok := got.Value(QP50); !ok {
			t.Errorf("%v samples: no p50", c.samples)
		}
	}
}

func TestSumSaysWhatWeakens(t *testing.T) {
	cell := collected{values: map[string][]float64{QCPU: {8, 10, 12}, QP50: {10, 10, 11}, QForeign: {50, 60, 70}}, notes: []string{"run 1: LOST SPANS: 3"}}
	got := cell.sum()
	if len(got.Notes) != 3 || !isFailure(got.Notes[0]) || isFailure(got.Notes[1]) || isFailure(got.Notes[2]) {
		t.Errorf("notes: %q", got.Notes)
	}
}

// TestNoiseCountsWhatIsPrinted: every quantity of the tables, also one whose median is 0.
func TestNoiseCountsWhatIsPrinted(t *testing.T) {
	cell := collected{values: map[string][]float64{QUser: {0, 0, 4}, QSystem: {10, 10, 13}, QRate: {1000, 1000, 1000}, QSpansMissed: {0, 0, 9}}}
	got := cell.sum()
	noisy, printed := got.Noisy()
	const want = "noisy: runs spread, of their median: user_us_per_request from 0 to 4, system_us_per_request over 30 %"
	if noisy != 2 || printed != 3 || len(got.Notes) != 1 || got.Notes[0] != want {
		t.Errorf("%d of %d are noisy: %q", noisy, printed, got.Notes)
	}
}

// TestBothBatchesAndNoProxy: Envoy as Zipkin is there in both sizes of batches where the figures are made, and no proxy where all peers are.
func TestBothBatchesAndNoProxy(t *testing.T) {
	for _, s := range Scenarios(DefaultIdle) {
		if s.Name != ScenarioSmall && s.Name != ScenarioSaturation {
			continue
		}
		for _, name := range peer.Names() {
			if !slices.Contains(s.Peers, name) {
				t.Errorf("%s lacks %s", s.Name, name)
			}
		}
		for _, name := range []string{peer.Direct, peer.EnvoyZipkin, peer.EnvoyZipkin128} {
			if !slices.Contains(s.Peers, name) {
				t.Errorf("%s lacks %s", s.Name, name)
			}
		}
	}
}
