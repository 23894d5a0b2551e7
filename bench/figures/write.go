package figures

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// shown lists the quantities of the table of measurements, in order.
var shown = [...]struct{ quantity, brief, head string }{
	{cpuPerRequest, "µs/request", "CPU µs/request"},
	{userPerRequest, "user", "user"},
	{sysPerRequest, "system", "system"},
	{cpuPerGiB, "s/GiB", "CPU s/GiB"},
	{rate, "requests/s", "requests/s"},
	{proxyBusy, "% busy", "% of a core"},
	{foreign, "% foreign", "used by others, % of a core"},
	{spansMissing, "spans missing", "spans missing"},
	{idleMB, "MB idle", "idle MB"},
	{sessionBytes, "bytes/session", "bytes/session"},
	{idleCPU, "% of a core", "idle % of a core"},
	{idleWakeups, "wake-ups/s", "wake-ups/s"},
	{requests, "requests", "requests"},
	{spans, "spans", "spans"},
	{notOne, "without one span", "without one span"},
	{rateHealthy, "requests/s healthy", "requests/s, healthy"},
	{rateGone, "requests/s gone", "gone"},
	{rateHung, "requests/s hung", "hung"},
	{droppedGone, "drops gone", "drops, gone"},
	{droppedHung, "drops hung", "drops, hung"},
}

// format writes a number with three or four significant digits and no exponent.
func format(v float64) string {
	switch a := math.Abs(v); {
	case v == math.Trunc(v) && a < 1e12, a >= 1000:
		return fmt.Sprintf("%.0f", v)
	case a >= 100:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// Missed counts the figures that are not held or were not measured.
func (r *Result) Missed() (n int) {
	for _, v := range r.Verdicts {
		if !v.OK {
			n++
		}
	}
	return n
}

// WriteMarkdown writes the tables.
func (r *Result) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	if r.Partial {
		b.WriteString("**Partial: the run was interrupted.**\n\n")
	}
	b.WriteString("| figure | under | what | value | 95 % interval | bound | |\n|---|---|---|---|---|---|---|\n")
	for _, v := range r.Verdicts {
		sign, verdict, value, interval := "≤", "ok", format(v.Value)+" "+v.Unit, ""
		if v.AtLeast {
			sign = "≥"
		}
		if !v.OK {
			verdict = "**NOT OK**"
		}
		if !v.Measured {
			value, verdict = "–", "**not measured**"
		}
		if v.Interval != nil {
			interval = format(v.Interval.Low) + " – " + format(v.Interval.High)
		}
		if len(v.Notes) > 0 {
			verdict += "; " + strings.Join(v.Notes, "; ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s %s %s | %s |\n", v.Name, v.Load, v.Text, value, interval, sign, format(v.Bound), v.Unit,
			verdict)
	}
	for _, l := range loads() {
		r.writeCells(&b, l)
	}
	r.writeMethod(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCells writes what was measured under one load.
func (r *Result) writeCells(b *strings.Builder, l load) {
	var cells []Cell
	for _, c := range r.Cells {
		if c.Load == l.name {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return
	}
	has := func(quantity string) bool {
		for _, c := range cells {
			if len(c.Values[quantity].Runs) > 0 {
				return true
			}
		}
		return false
	}
	fmt.Fprintf(b, "\n%s: %s (medians; ± is the spread of the runs)\n\n| peer |", l.name, l.title)
	columns := 1
	for _, q := range shown {
		if has(q.quantity) {
			fmt.Fprintf(b, " %s |", q.head)
			columns++
		}
	}
	b.WriteString("\n" + strings.Repeat("|---", columns) + "|\n")
	for _, c := range cells {
		fmt.Fprintf(b, "| %s |", c.Peer)
		for _, q := range shown {
			if has(q.quantity) {
				b.WriteString(" " + formatSummary(c, q.quantity) + " |")
			}
		}
		b.WriteString("\n")
	}
	for _, c := range cells {
		for _, e := range c.Errors {
			fmt.Fprintf(b, "\n%s: %s\n", c.Peer, strings.ReplaceAll(e, "\n", "\n    "))
		}
	}
}

// formatSummary writes a median with its spread, "–" when there is none.
func formatSummary(c Cell, quantity string) string {
	s, ok := c.Values[quantity]
	if !ok || len(s.Runs) == 0 {
		return "–"
	}
	if len(s.Runs) == 1 || s.Spread == 0 {
		return format(s.Median)
	}
	return fmt.Sprintf("%s ±%.0f %%", format(s.Median), 100*s.Spread)
}

// writeMethod says how it was measured.
func (r *Result) writeMethod(b *strings.Builder) {
	m := r.Method
	fmt.Fprintf(b, "\n%s, %s, %d cores, kernel %s, load at the start %s. %s.\n", r.Started.Format(time.DateTime+" UTC"), r.Machine.CPU,
		r.Machine.Cores, r.Machine.Kernel, r.Machine.Load, m.Pinning)
	fmt.Fprintf(b, "Client: %s, %.0f s after %.0f s of warm-up, medians of %d interleaved runs. CPU is the proxy's own user and system time, all "+
		"its threads, from schedstat.\n", m.Client, m.MeasureSeconds, m.WarmupSeconds, m.Runs)
	for _, tool := range []string{"spanwire", "haproxy", "nginx", "wrk"} {
		if version := r.Versions[tool]; version != "" {
			fmt.Fprintf(b, "%s: %s. ", tool, version)
		}
	}
	b.WriteString("\n")
}

// WriteFiles writes figures.json and figures.md into dir and returns the path of the first.
func (r *Result) WriteFiles(dir string) (string, error) {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode figures: %w", err)
	}
	name := filepath.Join(dir, "figures.json")
	if err := os.WriteFile(name, append(encoded, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("write figures: %w", err)
	}
	var b strings.Builder
	if err := r.WriteMarkdown(&b); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "figures.md"), []byte(b.String()), 0o644); err != nil {
		return "", fmt.Errorf("write figures: %w", err)
	}
	return name, nil
}
