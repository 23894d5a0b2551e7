// Package report writes what a run of package bench found: for people as HTML and Markdown.
package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/peer"
)

// Write writes report.html and report.md into dir.
func Write(r *bench.Result, dir string) error {
	var page bytes.Buffer
	if err := WriteHTML(&page, r); err != nil {
		return err
	}
	for name, content := range map[string][]byte{"report.html": page.Bytes(), "report.md": []byte(Markdown(r))} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// Summary returns at most ten lines that say what was found, for who reads no more.
func Summary(r *bench.Result) []string {
	state := ""
	if r.Partial {
		state = " PARTIAL: interrupted before the end."
	}
	if r.Method.Short > 0 {
		state += " SHORTENED: a test of correctness, its numbers mean nothing."
	}
	lines := []string{fmt.Sprintf("Measured %s, commit %s, %s, %d cores; %d runs of each cell.%s", r.Started.Format(time.DateOnly), r.Commit,
		r.Machine.CPU, r.Machine.Cores, r.Method.Runs, state)}
	lines = append(lines,
		cpuLine(r),
		addedLine(r, "At 1 000 requests a second", bench.ScenarioSmall, bench.Phase1000),
		addedLine(r, "At 5 000 requests a second", bench.ScenarioSmall, bench.Phase5000),
		addedLine(r, "In a mesh of three services, six proxies on the way", bench.ScenarioMesh, bench.PhaseMesh),
		restLine(r),
		spansLine(r),
		figuresLine(r),
		trustLine(r),
	)
	if len(r.Missing) > 0 {
		lines = append(lines, "Left out: "+strings.Join(r.Missing, "; ")+".")
	}
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

// cpuLine compares CPU per request.
func cpuLine(r *bench.Result) string {
	var parts []string
	for _, name := range []string{peer.SpanwireOTLP, peer.EnvoyOTLP, peer.SpanwireZipkin, peer.EnvoyZipkin, peer.HAProxyHTTP} {
		if c := r.Find(bench.ScenarioSaturation, bench.Phase32, name); c != nil {
			if v, ok := c.Value(bench.QCPU); ok {
				parts = append(parts, fmt.Sprintf("%s %s µs", title(r, name), bench.Number(v)))
			}
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "CPU for each request: " + strings.Join(parts, "; ") + "."
}

// addedLine compares added latency.
func addedLine(r *bench.Result, when, scenario, phase string) string {
	var parts []string
	for _, name := range []string{peer.SpanwireOTLP, peer.EnvoyOTLP, peer.HAProxyHTTP} {
		c := r.Find(scenario, phase, name)
		if c == nil || c.AddedP50 == nil {
			continue
		}
		part := fmt.Sprintf("%s %s µs", title(r, name), bench.Number(c.AddedP50.Median))
		if c.AddedP99 != nil {
			part += fmt.Sprintf(" (p99 %s µs)", bench.Number(c.AddedP99.Median))
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	return when + ", added to the median latency: " + strings.Join(parts, "; ") + "."
}

// restLine compares the cost at rest.
func restLine(r *bench.Result) string {
	var parts []string
	for _, name := range []string{peer.SpanwireOTLP, peer.EnvoyOTLP, peer.HAProxyHTTP} {
		c := r.Find(bench.ScenarioRest, bench.PhaseRest, name)
		if c == nil {
			continue
		}
		rss, okRSS := c.Value(bench.QRSS)
		ready, okReady := c.Value(bench.QReady)
		if okRSS && okReady {
			parts = append(parts, fmt.Sprintf("%s %s MB, ready in %s ms", title(r, name), bench.Number(rss), bench.Number(ready)))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "At rest: " + strings.Join(parts, "; ") + "."
}

// spansLine says whether every request had exactly one span at each of our proxies.
func spansLine(r *bench.Result) string {
	if lost := r.LostSpans(); len(lost) > 0 {
		return "SPANS: not exactly one for each request in " + strings.Join(lost, ", ") + "."
	}
	return "Spans: exactly one for each request at every Spanwire that traces all of them."
}

// figuresLine counts the bounds that are held.
func figuresLine(r *bench.Result) string {
	held, measured := 0, 0
	var missed []string
	for _, f := range r.Figures() {
		if !f.Measured {
			continue
		}
		if measured++; f.OK {
			held++
		} else {
			missed = append(missed, fmt.Sprintf("%s (%s %s, bound %s)", f.Text, bench.Number(f.Value), f.Unit, bench.Number(f.Bound)))
		}
	}
	if measured == 0 {
		return ""
	}
	line := fmt.Sprintf("Bounds: %d of %d measured are held", held, measured)
	if len(missed) > 0 {
		line += "; not " + strings.Join(missed, ", ")
	}
	return line + "."
}

// trustLine says how far the numbers can be trusted.
func trustLine(r *bench.Result) string {
	noisy, disturbed := 0, 0
	for _, c := range r.Cells {
		joined := strings.Join(c.Notes, "\n")
		if strings.Contains(joined, "noisy:") {
			noisy++
		}
		if strings.Contains(joined, "not to be trusted") {
			disturbed++
		}
	}
	line := fmt.Sprintf("Trust: %d of %d results spread over more than 15 %%, %d were disturbed by other processes", noisy, len(r.Cells), disturbed)
	if failures := len(r.Failures()); failures > 0 {
		line += fmt.Sprintf(", %d RUNS FAILED, answered wrongly or lost spans", failures)
	}
	return line + "."
}

// title returns the title of a peer.
func title(r *bench.Result, name string) string {
	for _, p := range r.Peers {
		if p.Name == name {
			return p.Title
		}
	}
	return name
}
