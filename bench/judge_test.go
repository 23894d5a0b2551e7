package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/fake"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// faked sets a measurement up with a sidecar that is none; log is what its collector was told.
func faked(t *testing.T, mode fake.Mode) (r *rig.Rig, p peer.Peer, o Options, log string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	o = programs(t)
	o.Tools.Own, log = fake.Install(t, mode, o.Tools.Own)
	r, err := rig.New(o.Dir, o.Tools, o.Pinning)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if _, err := r.StartUpstream(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.StartSink(context.Background()); err != nil {
		t.Fatal(err)
	}
	if p, err = peer.ByName(peer.SpanwireOTLP); err != nil {
		t.Fatal(err)
	}
	return r, p, o, log
}

// gentle is traffic that a busy machine can bear.
var gentle = Scenario{Name: "gentle", Phases: []Phase{
	{Name: "first", Path: peer.PathSmall, Load: load("--closed", "--connections", "2"), Latency: true},
	{Name: "last", Path: peer.PathSmall, Load: load("--closed", "--connections", "2"), Latency: true},
}}

// TestRunsAreJudged: a sidecar that loses or makes up spans, or answers wrongly once it is measured, does not get away with it.
func TestRunsAreJudged(t *testing.T) {
	for mode, says := range map[fake.Mode]string{
		fake.Honest: "", fake.Lossy: "LOST SPANS: ", fake.Extra: "EXTRA SPANS: ", fake.Turning: " unexpected answers; first: ",
	} {
		t.Run(string(mode), func(t *testing.T) {
			r, p, o, _ := faked(t, mode)
			c := Cell{Scenario: gentle, Peer: p}
			runs, err := runCell(context.Background(), r, c, o)
			if err != nil || len(runs) != 2 {
				t.Fatalf("%d phases, %v", len(runs), err)
			}
			phases := empty(c)
			keep(phases, runs, nil, 1)
			result := &Result{Cells: []CellResult{phases[0].sum(), phases[1].sum()}}
			last := result.Cells[1]
			failures := result.Failures()
			if says == "" && len(failures) > 0 || says != "" && !strings.Contains(strings.Join(failures, "\n"), says) {
				t.Errorf("failures: %q, want %q", failures, says)
			}
			spans := mode == fake.Lossy || mode == fake.Extra
			if _, _, got := result.SpanAccount(); spans != (len(got) == 1) {
				t.Errorf("cells without exactly one span for each request: %v", got)
			}
			if missing, ok := last.Value(QSpansMissed); !ok || spans != (missing > 0) {
				t.Errorf("%v spans missing or too many", missing)
			}
			if got, _ := last.Value(QSpans); mode == fake.Honest && got != 1 {
				t.Errorf("%v spans for each request", got)
			}
			if errs, ok := last.Value(QErrors); !ok || (mode == fake.Turning) != (errs > 0) {
				t.Errorf("%v errors", errs)
			}
		})
	}
}

// TestLiarsAreNotMeasured: other bytes than the upstream's, of the same length, fail the proof, and the whole run goes on without them.
func TestLiarsAreNotMeasured(t *testing.T) {
	r, p, o, _ := faked(t, fake.Lying)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	check := gentle.exchanges(0, r.Upstream)[0].Prove
	var last error
	wrong := 0
	_, err := r.StartPeer(ctx, p, rig.Setup{Check: func(ctx context.Context, address string) error {
		err := check(ctx, address)
		if err != nil && (last == nil || errors.Is(err, rig.ErrWrong)) {
			last = err
		}
		if errors.Is(err, rig.ErrWrong) {
			if wrong++; wrong == 2 { // one wrong answer does not do, it is asked again
				cancel()
			}
		}
		return err
	}})
	if err == nil || !errors.Is(last, rig.ErrWrong) {
		t.Errorf("a sidecar that lies: %v; %d wrong answers, last: %v", err, wrong, last)
	}
	brief, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := proveCell(brief, r, Cell{Scenario: gentle, Peer: p}, o); err == nil {
		t.Error("it is proven to answer right")
	}
}

// TestEveryListenerIsProven: a lie through any of a scenario's listeners is found.
func TestEveryListenerIsProven(t *testing.T) {
	r, p, o, _ := faked(t, fake.LyingSecond)
	s := Scenario{Name: "two", Upstreams: []Upstream{{Args: load("--body-size", "10")}, {Args: load("--body-size", "20")}}}
	for i := range s.Upstreams {
		s.Phases = append(s.Phases, Phase{Name: fmt.Sprint(i), Upstream: i, Path: "/"})
	}
	if err := proveCell(context.Background(), r, Cell{Scenario: s, Peer: p}, o); !errors.Is(err, rig.ErrWrong) {
		t.Errorf("it lies through its second listener: %v", err)
	}
	s.Upstreams, s.Phases = s.Upstreams[:1], s.Phases[:1]
	if err := proveCell(context.Background(), r, Cell{Scenario: s, Peer: p}, o); err != nil {
		t.Errorf("through its first: %v", err)
	}
}

// TestResultSaysWhatServersAnswerWith: the arguments of each phase's server, and what the collector does, are in the result.
func TestResultSaysWhatServersAnswerWith(t *testing.T) {
	cells, err := Matrix(full())
	if err != nil {
		t.Fatal(err)
	}
	r := &Result{}
	r.describe(cells, full())
	for _, s := range r.Scenarios {
		declared := cells[slices.IndexFunc(cells, func(c Cell) bool { return c.Scenario.Name == s.Name })].Scenario
		for i, phase := range s.Phases {
			want := []string{"nginx"}
			if len(declared.Upstreams) > 0 {
				want = append([]string{"spanload", "serve"}, declared.Upstreams[declared.Phases[i].Upstream].Args...)
			}
			if !slices.Equal(phase.Upstream, want) {
				t.Errorf("%s/%s: upstream %q, want %q", s.Name, phase.Name, phase.Upstream, want)
			}
			if declared.measure == nil && phase.Collector != declared.Phases[i].Collector {
				t.Errorf("%s/%s: collector %q", s.Name, phase.Name, phase.Collector)
			}
		}
	}
}

// TestCollectorFailsWhenItShould: each phase has the collector that it asks for, the cell begins and ends with a healthy one.
func TestCollectorFailsWhenItShould(t *testing.T) {
	r, p, o, log := faked(t, fake.Honest)
	s := Scenario{Name: "failing", Lossy: true}
	for _, mode := range []sink.Mode{"", sink.Dead, sink.Slow, sink.Healthy} {
		s.Phases = append(s.Phases, Phase{Name: string(mode), Path: peer.PathSmall, Load: load("--closed", "--connections", "2"), Collector: mode})
	}
	s.Phases = append(s.Phases, Phase{Name: "end", Path: peer.PathSmall, Load: load("--closed", "--connections", "2"), Collector: sink.Dead})
	runs, err := runCell(context.Background(), r, Cell{Scenario: s, Peer: p}, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, line := range strings.Fields(string(b)) {
		told = append(told, strings.TrimPrefix(line, "/mode?set="))
	}
	if got := strings.Join(told, " "); got != "healthy dead slow healthy dead healthy" {
		t.Errorf("the collector was told: %s", got)
	}
	for _, i := range []int{0, 1} {
		arrived := runs[i].Values[QArrived]
		if healthy := i == 0; healthy && arrived < 0.5 || !healthy && arrived > 0.1 {
			t.Errorf("phase %d: %v of the spans arrived", i, arrived)
		}
	}
	last := runs[len(runs)-1]
	if len(last.Notes) == 0 || slices.ContainsFunc(last.Notes, isFailure) || last.Values[QSpansMissed] == 0 {
		t.Errorf("what is lost on purpose: %q, %v", last.Notes, last.Values)
	}
}

// TestScenarioOfCollectors: the declared one has a slow and a dead collector, and a healthy one before and after.
func TestScenarioOfCollectors(t *testing.T) {
	for _, s := range Scenarios(DefaultIdle) {
		if s.Name != "collectors" {
			continue
		}
		var modes []sink.Mode
		for _, p := range s.Phases {
			modes = append(modes, p.Collector)
		}
		if !slices.Equal(modes, []sink.Mode{"", sink.Slow, sink.Dead, ""}) || !s.Lossy {
			t.Errorf("collectors: %q", modes)
		}
	}
}

// TestNotesOfAPhase: what spanload says against its own result stands in the notes.
func TestNotesOfAPhase(t *testing.T) {
	for _, c := range []struct {
		result  loadtest.Result
		says    string
		failure bool
	}{
		{result: loadtest.Result{Valid: true}},
		{result: loadtest.Result{Reasons: []string{"rate not reached", "nothing answered"}}, says: "invalid: rate not reached; nothing answered"},
		{result: loadtest.Result{Valid: true, Errors: map[string]int64{"status": 2, "reset": 1}, FirstError: "503"},
			says: "3 unexpected answers; first: 503", failure: true},
		{result: loadtest.Result{Valid: true, Warnings: []string{"p99 and above rest on few", "spanload itself was late"}}, says: "spanload itself was late"},
	} {
		c.result.Requests.Sent = 10
		run := PhaseRun{Values: map[string]float64{}}
		run.take(Phase{}, &c.result)
		if got := strings.Join(run.Notes, "|"); got != c.says || slices.ContainsFunc(run.Notes, isFailure) != c.failure {
			t.Errorf("notes %q, want %q", got, c.says)
		}
		if run.Values[QErrors] != float64(c.result.Unexpected()) {
			t.Errorf("%v errors, want %d", run.Values[QErrors], c.result.Unexpected())
		}
	}
}

// cellsOf are cells of scenarios and peers, one letter each.
func cellsOf(scenarios, peers string) (cells []Cell) {
	for _, s := range scenarios {
		for _, p := range peers {
			cells = append(cells, Cell{Scenario: Scenario{Name: string(s), Phases: []Phase{{Name: "p"}}}, Peer: peer.Peer{Name: string(p)}})
		}
	}
	return cells
}

// TestRunsAreInterleaved: all peers of a scenario are proven before any is measured, then they take turns.
func TestRunsAreInterleaved(t *testing.T) {
	var order []string
	did := func(what string, c Cell) { order = append(order, what+c.Scenario.Name+c.Peer.Name) }
	measured := measure(context.Background(), cellsOf("xy", "ABC"), Options{Runs: 2}, work{
		prove: func(_ context.Context, c Cell) error {
			did("?", c)
			if c.Scenario.Name == "y" && c.Peer.Name == "B" {
				return errors.New("it lies")
			}
			return nil
		},
		run: func(_ context.Context, c Cell) ([]PhaseRun, error) {
			did("", c)
			if c.Peer.Name == "C" {
				return nil, errors.New("it broke")
			}
			return []PhaseRun{{Phase: "p", Values: map[string]float64{QCPU: 1}}}, nil
		},
	})
	if got, want := strings.Join(order, " "), "?xA ?xB ?xC xA xB xC xA xB xC ?yA ?yB ?yC yA yC yA yC"; got != want {
		t.Errorf("order %s\nwant  %s", got, want)
	}
	var notes []string
	for _, m := range measured {
		notes = append(notes, fmt.Sprint(m.cell.Scenario.Name, m.cell.Peer.Name, len(m.values[QCPU]), m.notes))
	}
	const want = "xA2[] xB2[] xC0[run 1 FAILED: it broke run 2 FAILED: it broke] " +
		"yA2[] yB0[not measured, FAILED: it lies] yC0[run 1 FAILED: it broke run 2 FAILED: it broke]"
	if got := strings.ReplaceAll(strings.Join(notes, " "), " [", "["); got != want {
		t.Errorf("kept %s\nwant %s", got, want)
	}
}

// TestProgressSaysWhatRuns: which cell, which run of how many, and the time left, down to none.
func TestProgressSaysWhatRuns(t *testing.T) {
	for terminal, lineEnd := range map[bool]string{false: "\n", true: ""} {
		var b strings.Builder
		o := Options{Runs: 2, Progress: &b, Terminal: terminal}
		cells := cellsOf("x", "AB")
		show := newProgress(o, cells)
		all := show.left
		for range cells {
			show.proving(cells[0])
		}
		if strings.Contains(b.String(), "x: A, are its answers right?") != terminal {
			t.Errorf("of the proof it says %q", b.String())
		}
		begin := show.left
		if want := "[1/4, " + begin.Round(time.Second).String() + " left] x: A, run 1 of 2" + lineEnd; true {
			show.begin(cells[0], 1)
			if !strings.HasSuffix(b.String(), want) {
				t.Errorf("%q does not end with %q", b.String(), want)
			}
		}
		show.end(cells[0], nil)
		show.begin(cells[1], 1)
		if !strings.Contains(b.String(), "[2/4, ") || !strings.Contains(b.String(), " left] x: B, run 1 of 2") {
			t.Errorf("it says %q", b.String())
		}
		show.end(cells[1], errors.New("it broke"))
		if !strings.HasSuffix(b.String(), "\nx: B FAILED: it broke\n") {
			t.Errorf("of a failure it says %q", b.String())
		}
		show.end(cells[0], nil)
		show.end(cells[1], nil)
		if show.left != 0 || all <= 0 {
			t.Errorf("%v left of %v", show.left, all)
		}
		show.begin(cells[0], 2)
		show.done()
		if !strings.HasSuffix(b.String(), "\n") {
			t.Errorf("the last line stays open: %q", b.String())
		}
	}
}
