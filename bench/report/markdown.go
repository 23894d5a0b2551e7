package report

import (
	"fmt"
	"strings"

	"github.com/spanwire/spanwire/bench"
)

// Markdown returns the report as Markdown.
func Markdown(r *bench.Result) string {
	var b strings.Builder
	b.WriteString("# What the sidecar costs\n\n")
	for _, line := range Summary(r) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\n## Bounds\n\n| what | value | 95 % interval | bound | made of | |\n|---|---|---|---|---|---|\n")
	for _, f := range r.Figures() {
		fmt.Fprintf(&b, "| %s | %s | %s | ≤ %s %s | %s | %s |\n", f.Text, figureValue(f), figureInterval(f), bench.Number(f.Bound), f.Unit, f.Detail,
			verdict(f))
	}
	if why := reasons(r); len(why) > 0 {
		fmt.Fprintf(&b, "\n- %s\n", strings.Join(why, "\n- "))
	}
	for _, s := range r.Scenarios {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.Title, s.Why)
		for _, t := range tables(r, s) {
			writeTable(&b, t)
		}
	}
	b.WriteString("\n## Method\n")
	for _, paragraph := range Method(r) {
		fmt.Fprintf(&b, "\n%s\n", paragraph)
	}
	return b.String()
}

// writeTable writes one table with its notes.
func writeTable(b *strings.Builder, t table) {
	fmt.Fprintf(b, "\n`%s`\n\n| %s |\n%s|\n", t.Title, strings.Join(t.Heads, " | "), strings.Repeat("|---", len(t.Heads)))
	for _, row := range t.Rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
	}
	if len(t.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, note := range t.Notes {
		fmt.Fprintf(b, "- %s\n", strings.ReplaceAll(note, "\n", " "))
	}
}

// figureValue writes the value of a figure; "–" when it was not measured.
func figureValue(f bench.Figure) string {
	if !f.Measured {
		return "–"
	}
	return bench.Number(f.Value) + " " + f.Unit
}

// figureInterval writes the interval of a figure; "–" when it has none.
func figureInterval(f bench.Figure) string {
	if !f.Measured || f.Interval == nil {
		return "–"
	}
	return strings.Trim(intervalText(*f.Interval), "()")
}

// verdict says whether a figure is held, in bold when not.
func verdict(f bench.Figure) string {
	if f.Measured && !f.OK {
		return "**" + f.Verdict() + "**"
	}
	return f.Verdict()
}
