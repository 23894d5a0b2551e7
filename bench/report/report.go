// Package report writes what a run of package bench found: for people as HTML and Markdown.
package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
		addedLine(r, "In a mesh of three services, six proxies on the way, at "+rate(r, bench.ScenarioMesh, bench.PhaseMesh), bench.ScenarioMesh, bench.PhaseMesh),
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
	for _, name := range []string{
		peer.SpanwireOTLP, peer.EnvoyOTLP, peer.SpanwireZipkin, peer.EnvoyZipkin, peer.EnvoyZipkin128, peer.HAProxyHTTP,
	} {
		if c := r.Find(bench.ScenarioSaturation, bench.Phase32, name); c != nil {
			if v, ok := c.Value(bench.QCPU); ok {
				parts = append(parts, fmt.Sprintf("%s %s µs%s", title(r, name), bench.Number(v), mark(*c, r.Method.Runs)))
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
		part += mark(*c, r.Method.Runs)
		if c.Saturated() {
			part += ", its latency is queueing"
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

// title returns the title of a peer.
func title(r *bench.Result, name string) string {
	for _, p := range r.Peers {
		if p.Name == name {
			return p.Title
		}
	}
	return name
}

// rate is the rate of a phase in words; "its rate" when the results do not tell it.
func rate(r *bench.Result, scenario, phase string) string {
	for _, s := range r.Scenarios {
		for _, p := range s.Phases {
			i := slices.Index(p.Load, "--rate")
			if s.Name != scenario || p.Name != phase || i < 0 || i+1 >= len(p.Load) {
				continue
			}
			if n, err := strconv.Atoi(p.Load[i+1]); err == nil && n >= 1000 {
				return fmt.Sprintf("%d %03d requests a second", n/1000, n%1000)
			}
			return p.Load[i+1] + " requests a second"
		}
	}
	return "its rate"
}
