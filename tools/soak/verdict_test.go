package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sound is a run of which every verdict is good.
func sound() *observed {
	tl := newTally()
	tl.visibleRequest(inbound, 200)
	tl.visibleRequest(outbound, 0)
	tl.visibleRequest(outbound, 0)
	for _, k := range kinds {
		tl.done(k.name, 40_000, 100)
	}
	exporters := [2]account{{Exported: 3}, {Exported: 2, Dropped: 1}}
	o := &observed{
		length: 24 * time.Minute, warm: 3 * time.Minute, rate: 400, verify: true, inFlight: 10, counts: tl.counts(),
		metrics: series{
			`spanwire_requests_total{side="inbound",status_class="2xx"}`: 1, `spanwire_requests_total{side="outbound",status_class="none"}`: 1,
			"spanwire_connect_spans_total": 1, `spanwire_verified_bytes_total{direction="client_to_server"}`: 5, "spanwire_altered_bytes_total": 0,
		},
		before: sample{Descriptors: 20, Goroutines: 10}, after: sample{Descriptors: 22, Goroutines: 12, Recorded: 3, Exporters: exporters},
		taken: [2]taken{{Spans: 3, Starts: 2}, {Spans: 2, Repeated: 1, Starts: 2}},
	}
	for i := range 720 {
		wave := float64(i % 7)
		o.samples = append(o.samples, sample{
			At: float64(i), RSS: 20 + wave/10, Descriptors: 100 + wave, Threads: 9, Goroutines: 16 + wave/4, Recorded: 3, Exporters: exporters,
		})
	}
	return o
}

func failures(o *observed) (names []string) {
	for _, v := range judge(o) {
		if !v.Passed {
			names = append(names, v.Name)
		}
	}
	return names
}

func TestASoundRunPasses(t *testing.T) {
	if got := failures(sound()); got != nil {
		t.Errorf("failed: %q", got)
	}
}

func TestEachVerdictCanFail(t *testing.T) {
	grow := func(value func(*sample) *float64, perSecond float64) func(*observed) {
		return func(o *observed) {
			for i := range o.samples {
				*value(&o.samples[i]) += perSecond * float64(i)
			}
		}
	}
	for name, c := range map[string]struct {
		want  string
		spoil func(o *observed)
	}{
		"memory grows":              {"memory flat", grow(func(s *sample) *float64 { return &s.RSS }, 4.0/540)},
		"descriptors grow":          {"descriptors flat", grow(func(s *sample) *float64 { return &s.Descriptors }, 30.0/540)},
		"threads grow":              {"threads flat", grow(func(s *sample) *float64 { return &s.Threads }, 3.0/540)},
		"goroutines grow":           {"goroutines flat", grow(func(s *sample) *float64 { return &s.Goroutines }, 8.0/540)},
		"hardly any sample":         {"memory flat", func(o *observed) { o.samples = o.samples[:182] }},
		"a session stays":           {"everything released", func(o *observed) { o.after.Sessions = 1 }},
		"descriptors stay":          {"everything released", func(o *observed) { o.after.Descriptors = 40 }},
		"bytes stay":                {"everything released", func(o *observed) { o.after.Pending = 1 }},
		"a failure":                 {"traffic never broken", func(o *observed) { o.counts.failures = 1 }},
		"a body differs":            {"bytes unchanged at both ends", func(o *observed) { o.counts.altered = 1 }},
		"nothing was compared":      {"bytes unchanged at both ends", func(o *observed) { clear(o.counts.kinds) }},
		"the sidecar found altered": {"--verify finds nothing altered", func(o *observed) { o.metrics["spanwire_altered_bytes_total"] = 1 }},
		"the sidecar did not look": {"--verify finds nothing altered", func(o *observed) {
			delete(o.metrics, `spanwire_verified_bytes_total{direction="client_to_server"}`)
		}},
		"no load":          {"the load was there", func(o *observed) { o.rate = 4000 }},
		"a kind is absent": {"the load was there", func(o *observed) { delete(o.counts.kinds, "bulk") }},
		"a span too many": {"each request is one span", func(o *observed) {
			o.after.Recorded, o.after.Exporters[0].Exported, o.after.Exporters[1].Exported = 4, 4, 3
		}},
		"a wrong status": {"each side counts each status", func(o *observed) {
			o.metrics[`spanwire_requests_total{side="inbound",status_class="2xx"}`] = 0
		}},
		"a wrong side":             {"each side counts each status", func(o *observed) { o.metrics["spanwire_connect_spans_total"] = 0 }},
		"a span is unaccounted":    {"account of otlp", func(o *observed) { o.after.Exporters[0].Exported = 2 }},
		"unaccounted meanwhile":    {"account of zipkin", func(o *observed) { o.samples[5].Exporters[1].Dropped = 20 }},
		"exported without arrival": {"collector of otlp", func(o *observed) { o.taken[0].Spans = 2 }},
		"arrived out of nothing":   {"collector of zipkin", func(o *observed) { o.taken[1].Spans = 4 }},
		"never started again":      {"collector of zipkin", func(o *observed) { o.taken[1].Starts = 1 }},
		"killed":                   {"clean end", func(o *observed) { o.exit = -1 }},
		"a panic":                  {"clean end", func(o *observed) { o.problem = ", its log says panic" }},
	} {
		o := sound()
		c.spoil(o)
		if got := failures(o); !strings.Contains(strings.Join(got, ","), c.want) {
			t.Errorf("%s: failed are %q, want %q among them", name, got, c.want)
		}
	}
}

func TestAShortRunMayGrowMore(t *testing.T) {
	o := sound()
	o.length, o.rate = 12*time.Minute, 800
	for i := range o.samples {
		o.samples[i].RSS += 4.0 / 540 * float64(i)
	}
	if got := failures(o); got != nil {
		t.Errorf("failed: %q", got)
	}
}

func TestReportIsRenderedFromItsFile(t *testing.T) {
	r := &runner{options: options{length: 12 * time.Minute, rate: 400}, tally: newTally()}
	o := sound()
	o.metrics[`spanwire_build_info{version="1.2",commit="abc",go_version="go1"}`] = 1
	rep := r.reportOf(o)
	if !rep.passed() || rep.Version != "1.2" || rep.Commit != "abc" || rep.Go != "go1" || len(rep.Minutes) != 12 {
		t.Fatalf("%+v", rep)
	}
	dir := t.TempDir()
	if err := rep.write(dir); err != nil {
		t.Fatal(err)
	}
	read, err := readReport(filepath.Join(dir, "soak.json"))
	if err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(dir, "soak.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(md) != read.markdown() {
		t.Errorf("soak.md is not what soak.json gives:\n%s\n---\n%s", md, read.markdown())
	}
	o.counts.altered = 1
	if r.reportOf(o).passed() {
		t.Error("a run with altered bytes passed")
	}
}

// TestPublishedReport holds docs/soak.md to docs/soak.json: a run of an hour at least that passed.
func TestPublishedReport(t *testing.T) {
	const docs = "../../docs"
	rep, err := readReport(filepath.Join(docs, "soak.json"))
	if err != nil {
		t.Fatal(err)
	}
	md, err := os.ReadFile(filepath.Join(docs, "soak.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(md) != rep.markdown() {
		t.Error("docs/soak.md is not what docs/soak.json gives: run `go run ./tools/soak -render docs`")
	}
	if !rep.passed() {
		t.Errorf("the run did not pass:\n%s", rep.summary())
	}
	if rep.Seconds < 3600 || len(rep.Minutes) < 60 || rep.Interrupted || rep.Race || !rep.Verify {
		t.Errorf("%v s in %d lines, interrupted %v, race detector %v, verified %v: no run of an hour of what is shipped, with --verify",
			rep.Seconds, len(rep.Minutes), rep.Interrupted, rep.Race, rep.Verify)
	}
}

func TestParseSeries(t *testing.T) {
	m, err := parseSeries("# HELP x y\n# TYPE x counter\nx{a=\"b c\",d=\"e\"} 3\nx{a=\"q\",d=\"e\"} 4\nx_total 7\n\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := m.sum("x"); got != 7 {
		t.Errorf("sum %v", got)
	}
	if got := m.sum("x", `a="b c"`, `d="e"`); got != 3 {
		t.Errorf("one of x is %v", got)
	}
	for _, bad := range []string{"x", "x y", "{"} {
		if _, err := parseSeries(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestReportJSONHasNoInfinity(t *testing.T) {
	o := sound()
	o.samples = o.samples[:200]
	if _, err := json.Marshal((&runner{tally: newTally()}).reportOf(o)); err != nil {
		t.Error(err)
	}
}
