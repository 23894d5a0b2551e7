package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/peer"
)

//go:embed report.html.tmpl
var page string

// view is what the page shows.
type view struct {
	Result   *bench.Result
	Summary  []string
	Figures  []bench.Figure
	Reasons  []string
	Charts   []*chart
	Sections []section
	Method   []string
}

// section is a scenario.
type section struct {
	Title, Why string
	Tables     []table
}

// WriteHTML writes the report as one page that needs nothing else: no script, pictures as SVG, light and dark by the reader's
// preference.
func WriteHTML(w io.Writer, r *bench.Result) error {
	t, err := parse()
	if err != nil {
		return err
	}
	v := view{Result: r, Summary: Summary(r), Figures: r.Figures(), Reasons: reasons(r), Charts: charts(r), Method: Method(r)}
	for _, s := range r.Scenarios {
		v.Sections = append(v.Sections, section{Title: s.Title, Why: s.Why, Tables: tables(r, s)})
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// parse returns the templates of the page and of its pictures.
func parse() (*template.Template, error) {
	t, err := template.New("report").Funcs(template.FuncMap{"number": bench.Number, "value": figureValue, "interval": figureInterval}).Parse(page)
	if err != nil {
		return nil, fmt.Errorf("report template: %w", err)
	}
	return t, nil
}

// charts returns the pictures; those without data are left out.
func charts(r *bench.Result) []*chart {
	all := []*chart{
		barChart("cpu", "CPU for a million requests at saturation, 32 connections", "s",
			lines(r, bench.ScenarioSaturation, bench.Phase32, cpuParts)),
		dotChart("latency-1000", "Latency at 1 000 requests a second", "µs", lines(r, bench.ScenarioSmall, bench.Phase1000, percentiles)),
		dotChart("latency-5000", "Latency at 5 000 requests a second", "µs", lines(r, bench.ScenarioSmall, bench.Phase5000, percentiles)),
		barChart("added-1000", "Added to the median latency at 1 000 requests a second, with its 95 % interval", "µs",
			addedLines(r, bench.ScenarioSmall, bench.Phase1000)),
		barChart("added-mesh", "Added to the median latency in the mesh, six proxies, with its 95 % interval", "µs",
			addedLines(r, bench.ScenarioMesh, bench.PhaseMesh)),
		barChart("memory-rest", "Resident memory at rest", "MB", lines(r, bench.ScenarioRest, bench.PhaseRest, memory(bench.QRSS))),
		barChart("memory-load", "Peak of resident memory at saturation, 256 connections", "MB",
			lines(r, bench.ScenarioSaturation, bench.Phase256, memory(bench.QPeak))),
		barChart("memory-mesh", "Peak of resident memory of all three sidecars of the mesh", "MB",
			lines(r, bench.ScenarioMesh, bench.PhaseMesh, memory(bench.QPeak))),
	}
	return slices.DeleteFunc(all, func(c *chart) bool { return c == nil })
}

// lines collects what a chart shows of a phase; peers of which parts returns nothing are left out.
func lines(r *bench.Result, scenario, phase string, parts func(c *bench.CellResult) []part) (all []line) {
	for _, p := range r.Peers {
		c := r.Find(scenario, phase, p.Name)
		if c == nil {
			continue
		}
		if found := parts(c); len(found) > 0 {
			all = append(all, line{label: p.Title, ours: ours(p.Name), parts: found})
		}
	}
	return all
}

// cpuParts splits CPU; seconds per million requests are microseconds per request.
func cpuParts(c *bench.CellResult) []part {
	user, ok := c.Value(bench.QUser)
	system, ok2 := c.Value(bench.QSystem)
	total, ok3 := c.Value(bench.QCPU)
	if !ok || !ok2 || !ok3 || user+system <= 0 {
		return nil
	}
	// Medians do not add up, and the kernel only samples the split: the bar is as long as the figure in the table.
	user, system = total*user/(user+system), total*system/(user+system)
	return []part{{class: "a", name: "user", value: user}, {class: "b", name: "system", value: system}}
}

// percentiles are the dots of a latency chart.
func percentiles(c *bench.CellResult) (parts []part) {
	for _, p := range []struct{ class, name, quantity string }{
		{"a", "p50", bench.QP50}, {"b", "p90", bench.QP90}, {"c", "p99", bench.QP99}, {"d", "p99.9", bench.QP999},
	} {
		if v, ok := c.Value(p.quantity); ok {
			parts = append(parts, part{class: p.class, name: p.name, value: v})
		}
	}
	return parts
}

// memory returns the part of a memory chart.
func memory(quantity string) func(c *bench.CellResult) []part {
	return func(c *bench.CellResult) []part {
		v, ok := c.Value(quantity)
		if !ok {
			return nil
		}
		return []part{{class: "a", name: "resident memory", value: v}}
	}
}

// addedLines collects added latency.
func addedLines(r *bench.Result, scenario, phase string) (all []line) {
	for _, p := range r.Peers {
		c := r.Find(scenario, phase, p.Name)
		if c == nil || c.AddedP50 == nil {
			continue
		}
		all = append(all, line{label: p.Title, ours: ours(p.Name), interval: true, low: c.AddedP50.Interval.Low, high: c.AddedP50.Interval.High,
			parts: []part{{class: "a", name: "added p50", value: max(0, c.AddedP50.Median)}}})
	}
	return all
}

// ours reports whether the named peer is this project's.
func ours(name string) bool {
	p, err := peer.ByName(name)
	return err == nil && p.Ours()
}
