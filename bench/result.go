package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
	"github.com/spanwire/spanwire/loadtest/sink"
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
	// Upstream is the command of the server behind the proxies, without its address; absent from results older than this field.
	Upstream []string `json:"upstream,omitempty"`
	// Collector is the mode of the span collector; absent = healthy.
	Collector sink.Mode `json:"collector,omitempty"`
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
	// Histograms are the latencies of each run (HdrHistogram's V2 compressed encoding, base64), in the order of Values' runs. Tails are the
	// percentiles of all runs together, which the runs by themselves have too few samples for.
	Histograms []string        `json:"histograms,omitempty"`
	Tails      map[string]Tail `json:"tails,omitempty"`
	// AddedP50 and AddedP99 are the differences to no proxy at all, microseconds: of medians of runs, and of the p99 of all runs together.
	AddedP50 *Difference `json:"added_p50,omitempty"`
	AddedP99 *Difference `json:"added_p99,omitempty"`
	// Notes say what weakens the cell, with the runs it was seen in.
	Notes []string `json:"notes"`
}

// Difference is a difference to no proxy with its 95 % interval.
type Difference struct {
	Median   float64        `json:"median"`
	Interval stats.Interval `json:"interval"`
}

// Value returns a quantity: of all runs together where that is told, else the median of runs; false when there is none.
func (c *CellResult) Value(quantity string) (float64, bool) {
	if tail, ok := c.Tails[quantity]; ok {
		return tail.Value, true
	}
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
	a, okA := c.statistic(quantity)
	b, okB := direct.statistic(quantity)
	if !okA || !okB {
		return nil
	}
	d := &Difference{}
	d.Median, d.Interval = stats.Difference(a, b)
	return d
}
