package figures

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
)

// ErrNothing is wrapped when no figure matches.
var ErrNothing = errors.New("no such figure")

// Options of a run. DefaultOptions and QuickOptions have the usual ones.
type Options struct {
	Runs            int
	Warmup, Measure time.Duration // of each run under wrk; whole seconds
	Idle            time.Duration // without traffic
	FullLoad        time.Duration // for the count of spans
	Sessions        int
	Only            []string // patterns; see choose
	Pinning         rig.Pinning
	Tools           peer.Tools
	Dir             string    // where configurations, logs and results go
	Progress        io.Writer // one line for each measurement; nil = none
}

// DefaultOptions are those of `spanbench figures`.
func DefaultOptions() Options {
	return Options{
		Runs: 3, Warmup: time.Second, Measure: 5 * time.Second, Idle: 60 * time.Second, FullLoad: 60 * time.Second, Sessions: 8000,
	}
}

// QuickOptions are for use while the code changes: one short run of each.
func QuickOptions() Options {
	return Options{
		Runs: 1, Warmup: time.Second, Measure: 2 * time.Second, Idle: 5 * time.Second, FullLoad: 5 * time.Second, Sessions: 2000,
	}
}

// Cell is what was measured of one peer under one load.
type Cell struct {
	Load  string `json:"load"`
	Peer  string `json:"peer"`
	Title string `json:"title"`
	// Values sums up each quantity over the runs.
	Values map[string]stats.Summary `json:"values"`
	// Errors are of runs that failed; their values are missing.
	Errors []string `json:"errors,omitempty"`
}

// Result is the outcome; its JSON has Schema.
type Result struct {
	Schema   string            `json:"schema"`
	Started  time.Time         `json:"started"`
	Seconds  float64           `json:"seconds"`
	Partial  bool              `json:"partial"` // it was interrupted
	Machine  proc.Machine      `json:"machine"`
	Versions map[string]string `json:"versions"`
	Method   Method            `json:"method"`
	Verdicts []Verdict         `json:"figures"`
	Cells    []Cell            `json:"cells"`
}

// Method says how it was measured.
type Method struct {
	Runs            int         `json:"runs"`
	WarmupSeconds   float64     `json:"warmup_seconds"`
	MeasureSeconds  float64     `json:"measure_seconds"`
	IdleSeconds     float64     `json:"idle_seconds"`
	FullLoadSeconds float64     `json:"full_load_seconds"`
	Sessions        int         `json:"sessions"`
	Client          string      `json:"client"`
	Pinning         rig.Pinning `json:"pinning"`
}

// step is one measurement to be made.
type step struct {
	load load
	peer peer.Peer
	run  int
	cell *collected
}

// collected gathers the runs of a cell.
type collected struct {
	load, peer string
	title      string
	values     map[string][]float64
	errors     []string
}

// Run measures what the chosen figures need. When ctx ends early the result says that it is partial; it is nil only when nothing
// could be set up.
func Run(ctx context.Context, o Options) (*Result, error) {
	chosen := choose(all(), o.Only)
	for _, pattern := range o.Only {
		if len(choose(all(), []string{pattern})) == 0 {
			return nil, fmt.Errorf("%w: --only %q (allowed: %v, or the names of loads)", ErrNothing, pattern, Names())
		}
	}
	cells, steps, err := plan(chosen, o)
	if err != nil {
		return nil, err
	}
	versions, err := versions(steps, o.Tools)
	if err != nil {
		return nil, err
	}
	r, err := rig.New(o.Dir, o.Tools, o.Pinning)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if _, err := r.StartUpstream(ctx); err != nil {
		return nil, err
	}
	if _, err := r.StartSink(ctx); err != nil {
		return nil, err
	}
	result := &Result{
		Schema: Schema, Started: time.Now().UTC().Truncate(time.Second), Machine: proc.ReadMachine(), Versions: versions,
		Method: Method{
			Runs: o.Runs, WarmupSeconds: o.Warmup.Seconds(), MeasureSeconds: o.Measure.Seconds(), IdleSeconds: o.Idle.Seconds(),
			FullLoadSeconds: o.FullLoad.Seconds(), Sessions: o.Sessions, Client: "wrk, one thread", Pinning: o.Pinning,
		},
	}
	begin := time.Now()
	measure(ctx, r, o, steps)
	result.Seconds = time.Since(begin).Seconds()
	result.Partial = ctx.Err() != nil
	for _, c := range cells {
		result.Cells = append(result.Cells, c.sum())
	}
	result.Verdicts = judge(chosen, cells)
	return result, nil
}

// plan lists the cells that the figures need, and the steps in the order in which they are made: load by load, within a load the
// runs interleaved (peer A, B, C, A, B, C …).
func plan(chosen []figure, o Options) (cells []*collected, steps []step, err error) {
	for _, l := range loads() {
		names := peersOf(l, chosen)
		runs := o.Runs
		if l.once {
			runs = 1
		}
		first := len(cells)
		for _, name := range names {
			cells = append(cells, &collected{load: l.name, peer: name, values: map[string][]float64{}})
		}
		for run := range runs {
			for i, name := range names {
				p, err := peer.ByName(name)
				if err != nil {
					return nil, nil, err
				}
				cells[first+i].title = p.Title
				steps = append(steps, step{load: l, peer: p, run: run, cell: cells[first+i]})
			}
		}
	}
	return cells, steps, nil
}

// peersOf returns the peers that the figures need under a load, with those to be shown beside them; none when no figure needs it.
func peersOf(l load, chosen []figure) (names []string) {
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, f := range chosen {
		if f.load != l.name {
			continue
		}
		add(f.subject)
		if f.reference != "" {
			add(f.reference)
		}
	}
	if len(names) > 0 {
		for _, name := range l.beside {
			add(name)
		}
	}
	return names
}

// versions finds every tool that the steps need, all before anything starts, so that what is missing is said at once.
func versions(steps []step, tools peer.Tools) (map[string]string, error) {
	needed := []peer.Tool{peer.Nginx, peer.Wrk, peer.Spanload}
	for _, s := range steps {
		if !slices.Contains(needed, s.peer.Tool) {
			needed = append(needed, s.peer.Tool)
		}
	}
	found := map[string]string{}
	var missing []error
	for _, tool := range needed {
		path, err := tools.Find(tool)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		found[string(tool)] = peer.Version(tool, path)
	}
	return found, errors.Join(missing...)
}

// measure makes the steps. One that fails is noted in its cell, and the others go on.
func measure(ctx context.Context, r *rig.Rig, o Options, steps []step) {
	left := time.Duration(0)
	for _, s := range steps {
		left += s.load.takes(o)
	}
	for i, s := range steps {
		if ctx.Err() != nil {
			return
		}
		v, err := s.load.run(ctx, r, o, s.peer)
		left -= s.load.takes(o)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.cell.errors = append(s.cell.errors, fmt.Sprintf("run %d: %v", s.run+1, err))
		}
		for quantity, value := range v {
			s.cell.values[quantity] = append(s.cell.values[quantity], value)
		}
		if o.Progress != nil {
			_, _ = fmt.Fprintf(o.Progress, "[%d/%d, %v left] %s, %s, run %d: %s\n", i+1, len(steps), left.Round(time.Second), s.load.name,
				s.peer.Name, s.run+1, brief(v, err)) // a lost progress line loses nothing
		}
	}
}

// brief tells a measurement in a few words.
func brief(v values, err error) string {
	if err != nil {
		return "FAILED: " + err.Error()
	}
	text := ""
	for _, q := range shown {
		if value, ok := v[q.quantity]; ok {
			text += fmt.Sprintf("%s %s  ", format(value), q.brief)
		}
	}
	return text
}

// sum turns what was collected into a Cell.
func (c *collected) sum() Cell {
	cell := Cell{Load: c.load, Peer: c.peer, Title: c.title, Values: map[string]stats.Summary{}, Errors: c.errors}
	for quantity, runs := range c.values {
		cell.Values[quantity] = stats.Summarise(runs)
	}
	return cell
}

// judge compares what was measured with the bounds.
func judge(chosen []figure, cells []*collected) []Verdict {
	find := func(loadName, peerName string) *collected {
		for _, c := range cells {
			if c.load == loadName && c.peer == peerName {
				return c
			}
		}
		panic("BUG: figure without a cell: " + loadName + ", " + peerName)
	}
	verdicts := make([]Verdict, 0, len(chosen))
	for _, f := range chosen {
		v := Verdict{Name: f.name, Text: f.text, Load: f.load, Unit: f.unit, Bound: f.bound, AtLeast: f.atLeast}
		subject := find(f.load, f.subject)
		divisorPeer, divisorQuantity := f.divisor()
		reference := find(f.load, divisorPeer)
		above, below := subject.values[f.quantity], reference.values[divisorQuantity]
		if v.Measured = len(above) > 0 && len(below) > 0; v.Measured {
			v.Value = stats.Median(above)
			v.note(f.subject, f.quantity, subject)
			if f.ratio() {
				v.divide(above, below)
				v.note(divisorPeer, divisorQuantity, reference)
			}
			v.OK = v.Value <= f.bound
			if f.atLeast {
				v.OK = v.Value >= f.bound
			}
		}
		if missing := subject.values[spansMissing]; len(missing) > 0 && slices.Max(missing) > 0 {
			v.OK = false // work that was not done costs nothing
			v.Notes = append(v.Notes, fmt.Sprintf("%s lost up to %.0f spans in a run", f.subject, slices.Max(missing)))
		}
		v.Notes = slices.Compact(v.Notes) // subject and divisor may be one
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// foreignBound is the use of the machine by others, in percent of one processor, from which a value says so: a few percent are
// the machine's own housekeeping.
const foreignBound = 10

// divide makes the value a ratio of medians.
func (v *Verdict) divide(above, below []float64) {
	ratio, interval := stats.RatioOfMedians(above, below)
	if v.Value = ratio; len(above) > 1 {
		v.Interval = &interval
	}
}

// note adds what weakens a value.
func (v *Verdict) note(peerName, quantity string, c *collected) {
	if spread := stats.Spread(c.values[quantity]); spread > stats.NoisySpread {
		v.Notes = append(v.Notes, fmt.Sprintf("noisy: the runs of %s spread over %.0f %%", peerName, 100*spread))
	}
	if others := stats.Median(c.values[foreign]); others > foreignBound {
		v.Notes = append(v.Notes, fmt.Sprintf("not to be trusted: other processes used %.0f %% of a core beside %s", others, peerName))
	}
	if len(c.errors) > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%d runs of %s failed", len(c.errors), peerName))
	}
}
