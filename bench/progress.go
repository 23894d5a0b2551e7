package bench

import (
	"fmt"
	"io"
	"time"
)

// progress shows what runs now and the time left: on a terminal a line that rewrites itself, else a line for each cell.
type progress struct {
	w          io.Writer
	terminal   bool
	left       time.Duration
	begun, all int
	runs       int
	takes      func(Cell) time.Duration
	unfinished bool // a line is on the terminal
}

// newProgress returns the display of a run over the cells.
func newProgress(o Options, cells []Cell) *progress {
	return &progress{
		w: o.Progress, terminal: o.Terminal, left: Estimate(cells, o), all: len(cells) * o.Runs, runs: o.Runs,
		takes: func(c Cell) time.Duration { return c.Scenario.takes(o) },
	}
}

// begin says what starts.
func (p *progress) begin(c Cell, run int) {
	p.begun++
	line := fmt.Sprintf("[%d/%d, %v left] %s: %s, run %d of %d", p.begun, p.all, p.left.Round(time.Second), c.Scenario.Name, c.Peer.Name, run,
		p.runs)
	p.print(line)
}

// proving says whose answers are checked; only where it can rewrite its line.
func (p *progress) proving(c Cell) {
	if p.terminal {
		p.print(fmt.Sprintf("[%d/%d, %v left] %s: %s, are its answers right?", p.begun, p.all, p.left.Round(time.Second), c.Scenario.Name, c.Peer.Name))
	}
	p.left -= proofTime
}

// end takes the cell's time off, and says it when it failed.
func (p *progress) end(c Cell, err error) {
	p.left -= p.takes(c)
	if err != nil {
		p.failed(c, err)
	}
}

// failed says what became of a cell, on a line that stays.
func (p *progress) failed(c Cell, err error) {
	if p.w != nil {
		p.done()
		_, _ = fmt.Fprintf(p.w, "%s: %s FAILED: %v\n", c.Scenario.Name, c.Peer.Name, err)
	}
}

// print shows a line. That it cannot is nobody's loss.
func (p *progress) print(line string) {
	switch {
	case p.w == nil:
	case p.terminal:
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.unfinished = true
	default:
		_, _ = fmt.Fprintln(p.w, line)
	}
}

// done ends the line on a terminal.
func (p *progress) done() {
	if p.unfinished {
		_, _ = fmt.Fprintln(p.w)
		p.unfinished = false
	}
}
