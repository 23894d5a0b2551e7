// Package bench measures what the sidecar costs beside Envoy, HAProxy and nginx doing the same work in the same run, and writes
// the report. What is measured is declared in scenarios.go; what it is measured on, in package peer.
package bench

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// The package's errors.
var (
	// ErrMatrix is wrapped when a matrix cannot be run: too large, empty, or naming what there is not.
	ErrMatrix = errors.New("matrix")
	// ErrDifferent is wrapped when results cannot be compared because they were not made in the same way.
	ErrDifferent = errors.New("made differently")
	// ErrSchema is wrapped when a file is not a result of this version.
	ErrSchema = errors.New("not a result of this version")
)

// Bounds of a matrix, in cells.
const (
	MaxCells      = 60
	MaxQuickCells = 12
)

// Scenario is traffic that peers are put through: one declaration.
type Scenario struct {
	// Name is what --only and results call it.
	Name string
	// Title says what happens, Why why a user cares.
	Title, Why string
	// Peers lists those that tell something here; Quick those of a quick run (none = the scenario is left out of it).
	Peers, Quick []string
	// Upstreams are the servers behind the proxy; the proxy gets one listener for each. None = the nginx that answers at once.
	Upstreams []Upstream
	// Phases are what happens, one after the other, to one running proxy.
	Phases []Phase
	// Topology is how proxies are placed; nil = one proxy between client and upstreams.
	Topology topology
	// Traversals is how many proxies a request passes; 0 = 1.
	Traversals int
	// Lossy: spans may be lost on purpose here, so a loss is reported and is no failure.
	Lossy bool
	// measure replaces phases by something else.
	measure func(ctx context.Context, r *rig.Rig, p peer.Peer, o Options) ([]PhaseRun, error)
	// fixed is the time that measure takes.
	fixed time.Duration
}

// Upstream is a server behind the proxy: `spanload serve` with Args, or the nginx when there are none.
type Upstream struct {
	Args []string
	TCP  bool // an echo server
}

// Phase is one run of spanload.
type Phase struct {
	// Name is unique in its scenario.
	Name string
	// Upstream is the index of the listener it goes to, Path what it asks for.
	Upstream int
	Path     string
	// Load are arguments for spanload, all but the length.
	Load []string
	// Measure is the length of the measured window, Quick that of a quick run (0 = the same).
	Measure, Quick time.Duration
	// Latency: the distribution tells something (an open loop); a saturated closed loop shares a core with its client, so that
	// only CPU per request counts there.
	Latency bool
	// GiB: CPU is told for each GiB that crossed rather than for each request.
	GiB bool
	// Collector is the mode that the span collector is put into first; empty = healthy.
	Collector sink.Mode
}

// upstream is the command of the i-th server behind the proxies, for results.
func (s Scenario) upstream(i int) []string {
	if len(s.Upstreams) == 0 {
		return []string{string(peer.Nginx)}
	}
	return append([]string{string(peer.Spanload), "serve"}, s.Upstreams[i].Args...)
}

// length is the measured window of the phase.
func (p Phase) length(o Options) time.Duration {
	if o.Short > 0 {
		return o.Short
	}
	if o.Quick && p.Quick > 0 {
		return p.Quick
	}
	return p.Measure
}

// takes estimates one run of the scenario for one peer.
func (s Scenario) takes(o Options) time.Duration {
	const around = 1200 * time.Millisecond // starting, checking, stopping, waiting for spans
	if s.measure != nil {
		if o.Quick {
			return around + s.fixed - (restStarts-restQuickStarts)*restStartTime
		}
		return around + s.fixed
	}
	const spans = 300 * time.Millisecond // until the last batch has come: none, or a second, over all peers
	total := around + warmup
	for _, p := range s.Phases {
		total += p.length(o) + 100*time.Millisecond + spans
	}
	return total
}

// traversals is how many proxies a request passes.
func (s Scenario) traversals() int { return max(1, s.Traversals) }

// warmup is the unmeasured traffic before the first phase; later phases of a cell meet a warm proxy.
const warmup = 800 * time.Millisecond

// Cell is one scenario and one peer.
type Cell struct {
	Scenario Scenario
	Peer     peer.Peer
}

// Matrix returns the cells of a run, scenario by scenario, in the order in which peers alternate.
func Matrix(o Options) ([]Cell, error) {
	all := Scenarios(o.Idle)
	var scenarios, peers []string
	for _, s := range all {
		scenarios = append(scenarios, s.Name)
	}
	if err := errors.Join(unmatched("--only", o.Only, scenarios), unmatched("--peers", o.Peers, peer.Names())); err != nil {
		return nil, err
	}
	scenarios = nil // from here on: those with cells
	var cells []Cell
	for _, s := range all {
		if !matchesAny(o.Only, s.Name) {
			continue
		}
		names := s.Peers
		if o.Quick {
			names = s.Quick
		}
		for _, name := range names {
			p, err := peer.ByName(name)
			if err != nil {
				return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
			}
			if matchesAny(o.Peers, name) {
				cells = append(cells, Cell{Scenario: s, Peer: p})
				scenarios, peers = append(scenarios, s.Name), append(peers, name)
			}
		}
	}
	limit := MaxCells
	if o.Quick {
		limit = MaxQuickCells
	}
	switch {
	case len(cells) == 0:
		return nil, fmt.Errorf("%w: no cell matches --only %q and --peers %q", ErrMatrix, o.Only, o.Peers)
	case len(cells) > limit:
		return nil, fmt.Errorf("%w: %d cells (allowed: %d)", ErrMatrix, len(cells), limit)
	}
	return cells, errors.Join(unmatched("--only", o.Only, scenarios), unmatched("--peers", o.Peers, peers))
}

// unmatched is the error that names the first pattern of a flag that none of the names matches, and the names; nil when there is no such.
func unmatched(flag string, patterns, names []string) error {
	for _, pattern := range patterns {
		if !slices.ContainsFunc(names, func(name string) bool { return matchesAny([]string{pattern}, name) }) {
			slices.Sort(names)
			return fmt.Errorf("%w: %s %q matches nothing (allowed here: %s)", ErrMatrix, flag, pattern, strings.Join(slices.Compact(names), ", "))
		}
	}
	return nil
}

// matchesAny reports whether name matches one of the patterns (path.Match), or there are none.
func matchesAny(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return err == nil && ok
	})
}

// proofTime estimates the proof before a cell's first run: a start, a few requests, a stop.
const proofTime = 500 * time.Millisecond

// Estimate returns how long the cells take with the given number of runs.
func Estimate(cells []Cell, o Options) time.Duration {
	total := time.Duration(0)
	for _, c := range cells {
		total += proofTime + time.Duration(o.Runs)*c.Scenario.takes(o)
	}
	return total
}
