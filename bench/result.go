package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
)

// Schema names the version of results.json. Fields are added under the same version; one that goes or changes its meaning makes a new
// one. docs/benchmarks.md describes it.
const Schema = "spanbench/1"

// minimumForP99 is how many samples, over all runs of a cell, a p99 needs to be told; ten times as many a p99.9.
const minimumForP99 = 10_000

// Result is the outcome of a run; its JSON has Schema.
type Result struct {
	Schema  string    `json:"schema"`
	Started time.Time `json:"started"`
	Commit  string    `json:"commit"`
	Seconds float64   `json:"seconds"`
	// Partial: it was interrupted, and what is here is what there was.
	Partial bool         `json:"partial"`
	Machine proc.Machine `json:"machine"`
	// Versions by tool; a tool that is not here was not found, and Missing has the line that says how to install it.
	Versions  map[string]string `json:"versions"`
	Missing   []string          `json:"missing"`
	Method    Method            `json:"method"`
	Scenarios []ScenarioInfo    `json:"scenarios"`
	Peers     []PeerInfo        `json:"peers"`
	Cells     []CellResult      `json:"cells"`
}

// Method is how a run was made. Results whose methods differ in anything but Runs are not compared.
type Method struct {
	Runs    int         `json:"runs"`
	Quick   bool        `json:"quick"`
	Short   float64     `json:"short_seconds"` // not 0: a test of correctness, no measurement
	Warmup  float64     `json:"warmup_seconds"`
	Workers int         `json:"workers"` // event loops or threads of each proxy
	Pinning rig.Pinning `json:"pinning"`
	Client  string      `json:"client"`
}

// ScenarioInfo describes a scenario that was measured.
type ScenarioInfo struct {
	Name       string      `json:"name"`
	Title      string      `json:"title"`
	Why        string      `json:"why"`
	Traversals int         `json:"traversals"`
	Phases     []PhaseInfo `json:"phases"`
}

// PhaseInfo describes a phase.
type PhaseInfo struct {
	Name    string   `json:"name"`
	Load    []string `json:"load"` // arguments of spanload
	Path    string   `json:"path"`
	Seconds float64  `json:"seconds"`
	Latency bool     `json:"latency"`
}

// PeerInfo describes a peer that was measured.
type PeerInfo struct {
	Name  string        `json:"name"`
	Title string        `json:"title"`
	Spans peer.Protocol `json:"spans"`
	Share float64       `json:"share"`
}

// CellResult is what was measured of one peer in one phase of one scenario.
type CellResult struct {
	Scenario string `json:"scenario"`
	Phase    string `json:"phase"`
	Peer     string `json:"peer"`
	// Values sums up each quantity over the runs.
	Values map[string]stats.Summary `json:"values"`
	// AddedP50 and AddedP99 are the differences of medians to no proxy at all, microseconds.
	AddedP50 *Difference `json:"added_p50,omitempty"`
	AddedP99 *Difference `json:"added_p99,omitempty"`
	// Notes say what weakens the cell, with the runs it was seen in.
	Notes []string `json:"notes"`
}

// Difference is a difference of medians with its 95 % interval.
type Difference struct {
	Median   float64        `json:"median"`
	Interval stats.Interval `json:"interval"`
}

// Value returns the median of a quantity; false when there is none.
func (c *CellResult) Value(quantity string) (float64, bool) {
	s, ok := c.Values[quantity]
	if !ok || len(s.Runs) == 0 {
		return 0, false
	}
	return s.Median, true
}

// Find returns a cell; nil when there is none.
func (r *Result) Find(scenario, phase, peerName string) *CellResult {
	for i := range r.Cells {
		if c := &r.Cells[i]; c.Scenario == scenario && c.Phase == phase && c.Peer == peerName {
			return c
		}
	}
	return nil
}

// LostSpans lists the cells of our peers that did not yield exactly one span for each request and traversal.
func (r *Result) LostSpans() (cells []string) {
	for _, c := range r.Cells {
		p, err := peer.ByName(c.Peer)
		if err != nil || !p.Ours() || lossy(c.Scenario) {
			continue
		}
		for _, missing := range c.Values[QSpansMissed].Runs {
			if missing != 0 {
				cells = append(cells, c.Scenario+"/"+c.Peer)
				break
			}
		}
	}
	return cells
}

// lossy reports whether the named scenario loses spans on purpose.
func lossy(name string) bool {
	for _, s := range Scenarios(DefaultIdle) {
		if s.Name == name {
			return s.Lossy
		}
	}
	return false
}

// Read reads results.json.
func Read(file string) (*Result, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read results: %w", err)
	}
	r := &Result{}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(r); err != nil {
		return nil, fmt.Errorf("read %s: %w: %w", file, ErrSchema, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("read %s: %w: schema %q (allowed: %s)", file, ErrSchema, r.Schema, Schema)
	}
	return r, nil
}

// collected gathers the runs of one cell and phase.
type collected struct {
	cell   Cell
	phase  string
	values map[string][]float64
	notes  []string
}

// gather adds a run.
func (c *collected) gather(run PhaseRun, number int) {
	for quantity, value := range run.Values {
		c.values[quantity] = append(c.values[quantity], value)
	}
	for _, note := range run.Notes {
		c.notes = append(c.notes, fmt.Sprintf("run %d: %s", number, note))
	}
}

// foreignBound is the use of the machine by others, percent of one processor, from which a cell says so.
const foreignBound = 10

// sum turns what was collected into a CellResult. Percentiles that rest on too few samples are left out.
func (c *collected) sum() CellResult {
	result := CellResult{Scenario: c.cell.Scenario.Name, Phase: c.phase, Peer: c.cell.Peer.Name, Values: map[string]stats.Summary{},
		Notes: append([]string{}, c.notes...)}
	samples := 0.0
	for _, n := range c.values[QSamples] {
		samples += n
	}
	for quantity, runs := range c.values {
		if quantity == QP99 && samples < minimumForP99 || quantity == QP999 && samples < 10*minimumForP99 {
			continue
		}
		result.Values[quantity] = stats.Summarise(runs)
	}
	var noisy []string
	for _, quantity := range []string{QCPU, QCPUPerGiB, QP50, QP99, QRSS, QReady} {
		if s := result.Values[quantity]; s.Noisy {
			noisy = append(noisy, fmt.Sprintf("%s over %.0f %%", quantity, 100*s.Spread))
		}
	}
	if len(noisy) > 0 {
		result.Notes = append(result.Notes, "noisy: runs spread, of their median: "+strings.Join(noisy, ", "))
	}
	if others := result.Values[QForeign]; others.Median > foreignBound {
		result.Notes = append(result.Notes, fmt.Sprintf("not to be trusted: other processes used %.0f %% of a core meanwhile", others.Median))
	}
	return result
}

// addLatencies fills in the differences to the peer that is no proxy.
func (r *Result) addLatencies() {
	for i := range r.Cells {
		c := &r.Cells[i]
		direct := r.Find(c.Scenario, c.Phase, peer.Direct)
		if direct == nil || direct == c {
			continue
		}
		c.AddedP50 = difference(c, direct, QP50)
		c.AddedP99 = difference(c, direct, QP99)
	}
}

// difference compares a quantity; nil when one of the two lacks it.
func difference(c, direct *CellResult, quantity string) *Difference {
	a, b := c.Values[quantity].Runs, direct.Values[quantity].Runs
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	d := &Difference{}
	d.Median, d.Interval = stats.DifferenceOfMedians(a, b)
	return d
}
