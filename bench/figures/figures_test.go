package figures

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// cells makes room for everything that the figures need and fills it with one value.
func cells(t *testing.T, chosen []figure, value float64) []*collected {
	t.Helper()
	found, _, err := plan(chosen, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		for _, f := range chosen {
			_, quantity := f.divisor()
			c.values[f.quantity] = []float64{value, value, value}
			c.values[quantity] = c.values[f.quantity]
		}
	}
	return found
}

func one(t *testing.T, name string) figure {
	t.Helper()
	for _, f := range all() {
		if f.name == name {
			return f
		}
	}
	t.Fatalf("no figure %s", name)
	return figure{}
}

func set(t *testing.T, found []*collected, peerName, quantity string, runs ...float64) {
	t.Helper()
	for _, c := range found {
		if c.peer == peerName {
			c.values[quantity] = runs
			return
		}
	}
	t.Fatalf("no cell of %s", peerName)
}

func TestJudgeRatio(t *testing.T) {
	f := one(t, "otlp-32-http") // ≤ 0.75 ×
	for _, c := range []struct {
		name       string
		ours       []float64
		theirs     []float64
		missing    []float64
		ok, notice bool
	}{
		{name: "below", ours: []float64{7, 7.1, 7.2}, theirs: []float64{10, 10.1, 9.9}, ok: true},
		{name: "on the bound", ours: []float64{7.5, 7.5, 7.5}, theirs: []float64{10, 10, 10}, ok: true},
		{name: "above", ours: []float64{7.6, 7.6, 7.6}, theirs: []float64{10, 10, 10}},
		{name: "noisy", ours: []float64{5, 7, 9}, theirs: []float64{10, 10, 10}, ok: true, notice: true},
		{name: "cheap, but spans are missing", ours: []float64{5, 5, 5}, theirs: []float64{10, 10, 10}, missing: []float64{0, 3, 0}, notice: true},
	} {
		found := cells(t, []figure{f}, 0)
		set(t, found, f.subject, f.quantity, c.ours...)
		set(t, found, f.reference, f.quantity, c.theirs...)
		set(t, found, f.subject, spansMissing, c.missing...)
		v := judge([]figure{f}, found)[0]
		if v.OK != c.ok || !v.Measured || (len(v.Notes) > 0) != c.notice {
			t.Errorf("%s: %+v", c.name, v)
		}
		if v.Interval == nil || !v.Interval.Contains(v.Value) || v.Value != stats.Median(c.ours)/stats.Median(c.theirs) {
			t.Errorf("%s: value %v, interval %v", c.name, v.Value, v.Interval)
		}
	}
}

func TestJudgeLeastAndAbsolute(t *testing.T) {
	for _, c := range []struct {
		figure string
		values map[string]float64
		ok     bool
	}{
		{figure: "collector-gone-rate", values: map[string]float64{rateGone: 96, rateHealthy: 100}, ok: true},
		{figure: "collector-gone-rate", values: map[string]float64{rateGone: 94, rateHealthy: 100}},
		{figure: "collector-gone-drops", values: map[string]float64{droppedGone: 0}},
		{figure: "collector-gone-drops", values: map[string]float64{droppedGone: 70000}, ok: true},
		{figure: "spans-exact", values: map[string]float64{notOne: 0}, ok: true},
		{figure: "spans-exact", values: map[string]float64{notOne: 1}},
		{figure: "idle-rss", values: map[string]float64{idleMB: 13.1}},
	} {
		f := one(t, c.figure)
		found := cells(t, []figure{f}, 0)
		for quantity, value := range c.values {
			set(t, found, f.subject, quantity, value)
		}
		if v := judge([]figure{f}, found)[0]; v.OK != c.ok || !v.Measured {
			t.Errorf("%s with %v: %+v", c.figure, c.values, v)
		}
	}
}

func TestNotMeasuredIsNotHeld(t *testing.T) {
	f := one(t, "spans-exact") // its bound is 0, which is also the value of what was not measured
	found, _, err := plan([]figure{f}, DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	r := Result{Verdicts: judge([]figure{f}, found)}
	if v := r.Verdicts[0]; v.OK || v.Measured || r.Missed() != 1 {
		t.Errorf("%+v, missed %d", v, r.Missed())
	}
}

func TestPlanInterleaves(t *testing.T) {
	_, steps, err := plan(choose(all(), []string{keep32}), DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, s := range steps {
		order = append(order, s.peer.Name)
	}
	peers := len(order) / 3
	if len(order)%3 != 0 || peers < 5 {
		t.Fatalf("steps: %v", order)
	}
	for i := range peers {
		if order[i] != order[i+peers] || order[i] != order[i+2*peers] {
			t.Errorf("runs are not interleaved: %v", order)
		}
	}
}

func TestChoose(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		want     string
	}{
		{[]string{"otlp-32"}, "otlp-32-http otlp-32-tcp"},
		{[]string{"*-256-http"}, "otlp-256-http zipkin-256-http"},
		{[]string{sessions}, "idle-rss session-rss"},
		{[]string{"idle-cpu", "close"}, "close-http idle-cpu"},
		{[]string{"nothing"}, ""},
	} {
		var names []string
		for _, f := range choose(all(), c.patterns) {
			names = append(names, f.name)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%v chose %q, want %q", c.patterns, got, c.want)
		}
	}
	if _, err := Run(context.Background(), Options{Only: []string{"otlp-32", "typo"}}); !errors.Is(err, ErrNothing) || !strings.Contains(err.Error(), `"typo"`) {
		t.Errorf("one of two matches nothing: %v", err)
	}
	if _, err := Run(context.Background(), Options{Only: []string{"nothing"}}); !errors.Is(err, ErrNothing) {
		t.Errorf("Run of no figure: %v", err)
	}
}

func TestFiguresNameWhatThereIs(t *testing.T) {
	known := map[string]bool{}
	for _, l := range loads() {
		known[l.name] = true
		for _, name := range l.beside {
			if _, err := peer.ByName(name); err != nil {
				t.Errorf("%s: %v", l.name, err)
			}
		}
	}
	seen := map[string]bool{}
	for _, f := range all() {
		if !known[f.load] || seen[f.name] {
			t.Errorf("%s: load %s, seen before: %v", f.name, f.load, seen[f.name])
		}
		seen[f.name] = true
		for _, name := range []string{f.subject, f.reference} {
			if _, err := peer.ByName(name); name != "" && err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		}
	}
}

func TestMarkdown(t *testing.T) {
	chosen := []figure{one(t, "otlp-32-http"), one(t, "spans-exact"), one(t, "idle-cpu")}
	found := cells(t, chosen[:1], 10)
	more, _, err := plan(chosen[1:], DefaultOptions())
	if err != nil {
		t.Fatal(err)
	}
	found = append(found, more...)
	set(t, found[len(found)-1:], peer.SpanwireOTLP, notOne, 0)
	r := Result{Verdicts: judge(chosen, found), Partial: true}
	for _, c := range found {
		r.Cells = append(r.Cells, c.sum())
	}
	var b strings.Builder
	if err := r.WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"**Partial", "| otlp-32-http | keepalive-32 | spanwire-otlp ÷ haproxy-http | 1 × | 1 – 1 | ≤ 0.750 × | **NOT OK** |",
		"| spans-exact | full-load | requests without exactly one span | 0 requests |  | ≤ 0 requests | ok |", "**not measured**",
		"| haproxy-http | 10 |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
