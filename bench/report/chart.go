package report

import (
	"fmt"
	"math"

	"github.com/spanwire/spanwire/bench"
)

// Geometry of charts, in the units of their view box.
const (
	chartWidth  = 1040
	labelWidth  = 390                           // the longest title of a peer
	plotWidth   = chartWidth - labelWidth - 110 // room for the value behind the longest bar
	rowHeight   = 26
	barHeight   = 14
	chartTop    = 30
	chartBottom = 34
)

// chart is one picture: a row for each peer.
type chart struct {
	ID, Title, Unit string
	Legend          []legend
	Rows            []row
	Ticks           []tick
	Height          int
	// Alone: it is a file of its own and needs its style within.
	Alone bool
	// Numbers that the template needs.
	Width, Label, Top, Bottom int
}

// legend names a class of marks.
type legend struct {
	Class, Text string
	X           int
}

// row is a peer's line of the chart.
type row struct {
	Label    string
	Y        int // of its middle
	Bars     []bar
	Dots     []dot
	Whisker  *whisker
	Text     string
	TextX    float64
	Emphasis bool // ours
}

// bar is a part of a stacked bar, dot a mark at a value, whisker an interval, tick a line of the axis.
type (
	bar struct {
		X, Y, W, H float64
		Class, Tip string
	}
	dot struct {
		X          float64
		Class, Tip string
	}
	whisker struct{ X1, X2 float64 }
	tick    struct {
		X    float64
		Text string
	}
)

// part is a value to be drawn; parts of one peer are stacked, or dots.
type part struct {
	class, name string
	value       float64
}

// line is what a chart has to show of one peer.
type line struct {
	label    string
	ours     bool
	parts    []part
	low      float64
	high     float64
	interval bool
}

// barChart draws stacked bars on a linear axis; nil when there is nothing to draw.
func barChart(id, title, unit string, lines []line) *chart {
	top := 0.0
	for _, l := range lines {
		top = max(top, l.high, total(l))
	}
	if len(lines) == 0 || top <= 0 {
		return nil
	}
	c := newChart(id, title, unit, lines)
	step := niceStep(top)
	top = step * math.Ceil(top/step)
	scale := func(v float64) float64 { return labelWidth + plotWidth*max(0, v)/top }
	for v := 0.0; v <= top*1.001; v += step {
		c.Ticks = append(c.Ticks, tick{X: scale(v), Text: bench.Number(v)})
	}
	for i, l := range lines {
		r := &c.Rows[i]
		at := 0.0
		for _, p := range l.parts {
			from := scale(at)
			at += p.value
			r.Bars = append(r.Bars, bar{X: from, Y: float64(r.Y) - barHeight/2, W: max(0, scale(at)-from), H: barHeight, Class: p.class,
				Tip: fmt.Sprintf("%s, %s: %s %s", l.label, p.name, bench.Number(p.value), unit)})
		}
		r.Text, r.TextX = bench.Number(total(l)), max(scale(at), scale(l.high))+8
		if l.interval {
			r.Whisker = &whisker{X1: scale(l.low), X2: scale(l.high)}
		}
	}
	return c
}

// dotChart draws each part as a dot on a logarithmic axis; nil when there is nothing to draw.
func dotChart(id, title, unit string, lines []line) *chart {
	low, high := math.Inf(1), 0.0
	for _, l := range lines {
		for _, p := range l.parts {
			if p.value > 0 {
				low, high = min(low, p.value), max(high, p.value)
			}
		}
	}
	if high == 0 {
		return nil
	}
	c := newChart(id, title, unit, lines)
	first, last := math.Floor(math.Log10(low)), math.Ceil(math.Log10(high))
	if last == first {
		last++
	}
	scale := func(v float64) float64 { return labelWidth + plotWidth*(math.Log10(max(v, low))-first)/(last-first) }
	for e := first; e <= last; e++ {
		c.Ticks = append(c.Ticks, tick{X: scale(max(math.Pow(10, e), low)), Text: bench.Number(math.Pow(10, e))})
	}
	c.Ticks[0].X = labelWidth
	for i, l := range lines {
		for _, p := range l.parts {
			if p.value > 0 {
				c.Rows[i].Dots = append(c.Rows[i].Dots, dot{X: scale(p.value), Class: p.class,
					Tip: fmt.Sprintf("%s, %s: %s %s", l.label, p.name, bench.Number(p.value), unit)})
			}
		}
	}
	return c
}

// newChart makes the frame, with a row for each line and a legend of their parts.
func newChart(id, title, unit string, lines []line) *chart {
	c := &chart{ID: id, Title: title, Unit: unit, Width: chartWidth, Label: labelWidth - 10, Top: chartTop,
		Height: chartTop + chartBottom + rowHeight*len(lines)}
	c.Bottom = c.Height - chartBottom
	known := map[string]bool{}
	for i, l := range lines {
		c.Rows = append(c.Rows, row{Label: l.label, Y: chartTop + rowHeight*i + rowHeight/2, Emphasis: l.ours})
		for _, p := range l.parts {
			if !known[p.class] {
				known[p.class] = true
				c.Legend = append(c.Legend, legend{Class: p.class, Text: p.name, X: labelWidth + 110*len(c.Legend)})
			}
		}
	}
	return c
}

// total is the sum of a line's parts.
func total(l line) (sum float64) {
	for _, p := range l.parts {
		sum += p.value
	}
	return sum
}

// niceStep returns 1, 2 or 5 times a power of ten, such that top has four to ten of them.
func niceStep(top float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(top)))
	for _, step := range []float64{0.1, 0.2, 0.5, 1} {
		if top/(step*power) <= 8 {
			return step * power
		}
	}
	return 2 * power
}
