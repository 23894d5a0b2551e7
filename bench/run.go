package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
)

// Run measures the matrix. When ctx ends early the result says that it is partial; it is nil only when nothing could be set up.
// Cells of peers that are not installed are left out and named in Missing, or an error with RequirePeers.
func Run(ctx context.Context, o Options) (*Result, error) {
	cells, err := Matrix(o)
	if err != nil {
		return nil, err
	}
	cells, versions, missing, err := installed(cells, o)
	if err != nil {
		return nil, err
	}
	r, err := rig.New(o.Dir, o.Tools, o.Pinning)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	r.Workers = max(1, o.Workers)
	if _, err := r.StartUpstream(ctx); err != nil {
		return nil, err
	}
	if _, err := r.StartSink(ctx); err != nil {
		return nil, err
	}
	result := &Result{
		Schema: Schema, Started: time.Now().UTC().Truncate(time.Second), Commit: o.Commit, Machine: proc.ReadMachine(), Versions: versions,
		Missing: missing,
		Method: Method{
			Runs: o.Runs, Quick: o.Quick, Short: o.Short.Seconds(), Warmup: warmup.Seconds(), Workers: r.Workers, Pinning: o.Pinning,
			Client: "spanload",
		},
	}
	result.describe(cells, o)
	begin := time.Now()
	measured := measure(ctx, cells, o, work{
		prove: func(ctx context.Context, c Cell) error { return proveCell(ctx, r, c, o) },
		run:   func(ctx context.Context, c Cell) ([]PhaseRun, error) { return runCell(ctx, r, c, o) },
	})
	result.Seconds = time.Since(begin).Seconds()
	result.Partial = ctx.Err() != nil
	for _, c := range measured {
		result.Cells = append(result.Cells, c.sum())
	}
	result.addLatencies()
	return result, nil
}

// installed leaves out the cells whose peer is not installed.
func installed(cells []Cell, o Options) (left []Cell, versions map[string]string, missing []string, err error) {
	versions = map[string]string{}
	var errs []error
	find := func(tool peer.Tool) error {
		path, err := o.Tools.Find(tool)
		if err == nil {
			versions[string(tool)] = peer.Version(tool, path)
		}
		return err
	}
	for _, tool := range []peer.Tool{peer.Spanload, peer.Nginx} { // without these there is nothing to measure with
		if err := find(tool); err != nil {
			return nil, nil, nil, err
		}
	}
	for _, c := range cells {
		if c.Peer.Tool == "" {
			left = append(left, c)
			continue
		}
		err := find(c.Peer.Tool)
		if err == nil {
			left = append(left, c)
		} else if line := err.Error(); !slices.Contains(missing, line) {
			missing, errs = append(missing, line), append(errs, err)
		}
	}
	if o.RequirePeers && len(errs) > 0 {
		return nil, nil, nil, errors.Join(errs...)
	}
	if len(left) == 0 {
		return nil, nil, nil, fmt.Errorf("%w: no peer is installed: %w", ErrMatrix, errors.Join(errs...))
	}
	return left, versions, missing, nil
}

// describe fills in what the cells are.
func (r *Result) describe(cells []Cell, o Options) {
	for _, c := range cells {
		s, p := c.Scenario, c.Peer
		if !slices.ContainsFunc(r.Scenarios, func(i ScenarioInfo) bool { return i.Name == s.Name }) {
			info := ScenarioInfo{Name: s.Name, Title: s.Title, Why: s.Why, Traversals: s.traversals(), Phases: []PhaseInfo{}}
			for _, phase := range s.Phases {
				info.Phases = append(info.Phases, PhaseInfo{Name: phase.Name, Load: phase.Load, Path: phase.Path,
					Seconds: phase.length(o).Seconds(), Latency: phase.Latency, Upstream: s.upstream(phase.Upstream), Collector: phase.Collector})
			}
			if s.measure != nil {
				info.Phases = append(info.Phases, PhaseInfo{Name: PhaseRest, Load: []string{}, Seconds: restWatch.Seconds(), Upstream: s.upstream(0)})
			}
			r.Scenarios = append(r.Scenarios, info)
		}
		if !slices.ContainsFunc(r.Peers, func(i PeerInfo) bool { return i.Name == p.Name }) {
			r.Peers = append(r.Peers, PeerInfo{Name: p.Name, Title: p.Title, Spans: p.Spans, Share: p.Share})
		}
	}
	order := peer.Names()
	slices.SortFunc(r.Peers, func(a, b PeerInfo) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
}

// work is what measure does to cells.
type work struct {
	// prove starts what a cell needs and proves that it answers right; run measures it once.
	prove func(ctx context.Context, c Cell) error
	run   func(ctx context.Context, c Cell) ([]PhaseRun, error)
}

// measure runs the cells, scenario by scenario. First every peer of a scenario is proven to answer right: one that does not is not measured.
// Then the runs, interleaved (peer A, B, C, A, B, C …), so that what changes on the machine with time changes for all peers. A run that fails
// is noted, and the others go on.
func measure(ctx context.Context, cells []Cell, o Options, do work) (measured []*collected) {
	show := newProgress(o, cells)
	defer show.done()
	for first := 0; first < len(cells); {
		end := first
		for end < len(cells) && cells[end].Scenario.Name == cells[first].Scenario.Name {
			end++
		}
		group := make([][]*collected, end-first)
		proven := make([]bool, end-first)
		for i, c := range cells[first:end] {
			group[i] = empty(c)
			measured = append(measured, group[i]...)
		}
		for i, c := range cells[first:end] {
			show.proving(c)
			err := do.prove(ctx, c)
			if ctx.Err() != nil {
				return measured
			}
			if proven[i] = err == nil; err != nil {
				keep(group[i], nil, err, 0)
				show.failed(c, err)
			}
		}
		for run := 1; run <= o.Runs; run++ {
			for i, c := range cells[first:end] {
				if ctx.Err() != nil {
					return measured
				}
				show.begin(c, run)
				if !proven[i] {
					show.end(c, nil)
					continue
				}
				runs, err := do.run(ctx, c)
				if ctx.Err() != nil {
					return measured // what was interrupted is no measurement
				}
				keep(group[i], runs, err, run)
				show.end(c, err)
			}
		}
		first = end
	}
	return measured
}

// empty makes room for a cell: one entry for each phase.
func empty(c Cell) (phases []*collected) {
	add := func(name string) {
		phases = append(phases, &collected{cell: c, phase: name, values: map[string][]float64{}})
	}
	for _, p := range c.Scenario.Phases {
		add(p.Name)
	}
	if c.Scenario.measure != nil {
		add(PhaseRest)
	}
	return phases
}

// keep adds the runs of a cell's phases, or the failure to all of them; number 0 is the proof.
func keep(phases []*collected, runs []PhaseRun, err error, number int) {
	for _, c := range phases {
		if err != nil {
			what := "run " + strconv.Itoa(number)
			if number == 0 {
				what = "not measured,"
			}
			c.notes = append(c.notes, fmt.Sprintf("%s "+markFailed+": %v", what, err))
		}
		for _, run := range runs {
			if err == nil && run.Phase == c.phase {
				c.gather(run, number)
			}
		}
	}
}

// Failures lists the notes of runs that failed or answered wrongly, and of spans that are missing, whoever's they are.
func (r *Result) Failures() (lines []string) {
	for _, c := range r.Cells {
		for _, note := range c.Notes {
			if isFailure(note) {
				lines = append(lines, fmt.Sprintf("%s/%s, %s: %s", c.Scenario, c.Phase, c.Peer, note))
			}
		}
	}
	return lines
}

// WriteJSON writes results.json into dir and returns its path.
func (r *Result) WriteJSON(dir string) (string, error) {
	encoded, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return "", fmt.Errorf("encode results: %w", err)
	}
	name := filepath.Join(dir, "results.json")
	if err := os.WriteFile(name, append(encoded, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("write results: %w", err)
	}
	return name, nil
}
