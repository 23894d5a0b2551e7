// Package waterfall draws one trace as text: a line a span, in the order of the tree, with a bar for its place in time.
package waterfall

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spanwire/spanwire/demo/spans"
)

// The bounds of the bar column. Below the minimum a bar says nothing; above the maximum the eye loses the line.
const (
	minBar = 12
	maxBar = 48
)

// defaultWidth is the width in columns where there is no terminal to ask.
const defaultWidth = 132

// Style says how to draw.
type Style struct {
	Width int  // columns; 0 = defaultWidth
	Color bool // ANSI colours
	ASCII bool // no characters beyond ASCII
}

// StyleFor returns the style for f: colour only on a terminal, and not where NO_COLOR is set (https://no-color.org) or TERM is
// dumb; ASCII only on a terminal whose locale is not UTF-8.
func StyleFor(f *os.File) Style {
	width, terminal := terminalWidth(f)
	if !terminal {
		return Style{}
	}
	return Style{
		Width: width,
		Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		ASCII: !isUTF8(os.Getenv),
	}
}

// isUTF8 reports whether the locale's encoding is UTF-8, by the variables' precedence (locale(7)).
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}

// glyphs are the characters of a drawing.
type glyphs struct {
	branch, last, bar, gap string
	full, tick             string
}

var (
	unicodeGlyphs = glyphs{branch: "├─ ", last: "└─ ", bar: "│  ", gap: "   ", full: "█", tick: "▏"}
	asciiGlyphs   = glyphs{branch: "|- ", last: "`- ", bar: "|  ", gap: "   ", full: "#", tick: "|"}
)

// ANSI escapes. Bars and service names share the palette, one colour a service.
const (
	reset = "\x1b[0m"
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
)

var palette = []string{"\x1b[36m", "\x1b[35m", "\x1b[33m", "\x1b[34m", "\x1b[32m"}

// columns are the titles; the bars stand under the last one.
var columns = []string{"SERVICE", "KIND", "OPERATION", "OFFSET", "DURATION", "STATUS", "ERROR", ""}

// rightAligned are the columns of numbers.
var rightAligned = []int{3, 4}

// row is one span, laid out.
type row struct {
	cells  []string
	span   spans.Span
	offset time.Duration
}

// Write draws the tree under root.
func Write(w io.Writer, root *spans.Node, style Style) error {
	d := drawing{glyphs: unicodeGlyphs, style: style, start: root.Start, total: root.Duration}
	if style.ASCII {
		d.glyphs = asciiGlyphs
	}
	d.add(root, "", "")
	out := bufio.NewWriter(w)
	d.write(out)
	return out.Flush()
}

// drawing collects rows and then writes them, when the widths are known.
type drawing struct {
	glyphs   glyphs
	style    Style
	start    time.Time
	total    time.Duration
	rows     []row
	services []string // in order of appearance: the index picks the colour
}

// add lays out n and what hangs below it. lead stands before n's operation, below before those of its children.
func (d *drawing) add(n *spans.Node, lead, below string) {
	if !slices.Contains(d.services, n.Service) {
		d.services = append(d.services, n.Service)
	}
	offset := n.Start.Sub(d.start)
	d.total = max(d.total, offset+n.Duration) // a child may outlive the root
	d.rows = append(d.rows, row{
		cells:  []string{n.Service, n.Kind, lead + printable(n.Name), millis(offset), millis(n.Duration), n.Status(), printable(n.Error())},
		span:   n.Span,
		offset: offset,
	})
	for i, c := range n.Children {
		if i == len(n.Children)-1 {
			d.add(c, below+d.glyphs.last, below+d.glyphs.gap)
		} else {
			d.add(c, below+d.glyphs.branch, below+d.glyphs.bar)
		}
	}
}

// write writes the head and all rows.
func (d *drawing) write(w *bufio.Writer) {
	widths := make([]int, len(columns)-1)
	for i := range widths {
		widths[i] = utf8.RuneCountInString(columns[i])
		for _, r := range d.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r.cells[i]))
		}
	}
	used := 0
	for _, width := range widths {
		used += width + 2
	}
	width := d.style.Width
	if width == 0 {
		width = defaultWidth
	}
	bar := min(max(width-used, minBar), maxBar)

	var head strings.Builder
	for i, width := range widths {
		head.WriteString(pad(columns[i], width, slices.Contains(rightAligned, i)) + "  ")
	}
	fmt.Fprintln(w, d.paint(dim, strings.TrimRight(head.String(), " ")))
	for _, r := range d.rows {
		for i, cell := range r.cells {
			w.WriteString(d.paint(d.color(i, r), pad(cell, widths[i], slices.Contains(rightAligned, i))) + "  ")
		}
		fmt.Fprintln(w, d.bar(r, bar))
	}
}

// color returns the escape for column i of r.
func (d *drawing) color(i int, r row) string {
	failed := r.span.Error() != ""
	switch {
	case i == 0:
		return d.serviceColor(r.span.Service)
	case i == 1:
		return dim
	case i >= 5 && failed:
		return bold + red
	}
	return ""
}

// serviceColor returns the colour of a service.
func (d *drawing) serviceColor(service string) string {
	return palette[slices.Index(d.services, service)%len(palette)]
}

// bar draws r's place in time in the given number of columns; what is shorter than one column is a tick.
func (d *drawing) bar(r row, width int) string {
	if d.total <= 0 {
		return ""
	}
	from := min(max(int(int64(r.offset)*int64(width)/int64(d.total)), 0), width-1)
	to := min(int(int64(r.offset+r.span.Duration)*int64(width)/int64(d.total)), width)
	body := d.glyphs.tick
	if to > from {
		body = strings.Repeat(d.glyphs.full, to-from)
	}
	color := d.serviceColor(r.span.Service)
	if r.span.Error() != "" {
		color = red
	}
	return strings.Repeat(" ", from) + d.paint(color, body)
}

// paint wraps s in the escape color.
func (d *drawing) paint(color, s string) string {
	if !d.style.Color || color == "" {
		return s
	}
	return color + s + reset
}

// pad fills s with spaces to width columns.
func pad(s string, width int, right bool) string {
	space := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return space + s
	}
	return s + space
}

// millis writes d as milliseconds.
func millis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// printable replaces what a terminal could take for an order: names and errors come from the network.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}
