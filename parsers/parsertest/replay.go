// Package parsertest holds what tests of parsers and of their engine share: a driver that plays a connection to a table of
// parsers as the engine does and checks what the contract of parsers.Stream promises, and the parser of a toy protocol. Only tests import it.
package parsertest

import (
	"bytes"
	"fmt"

	"github.com/spanwire/spanwire/parsers"
)

// Step is one thing that happens on a connection: bytes arrive in a direction, or the direction ends.
type Step struct {
	Dir   parsers.Direction
	Data  []byte
	End   bool // the direction ends; Data is empty
	Reset bool // with End: not by a FIN
}

// maxKeepBytes is what a parser may ask to see again: a head of bounded length.
const maxKeepBytes = 64 << 10

// Replay plays steps to the parser that table has for them and returns the events, a readable line each, with the offsets counted from the
// direction's first byte. An error says how the parser broke its contract.
func Replay(table []parsers.Parser, steps []Step) ([]string, error) {
	c := connection{table: table}
	for _, s := range steps {
		c.dirs[s.Dir].all = append(c.dirs[s.Dir].all, s.Data...)
	}
	originals := [2][]byte{bytes.Clone(c.dirs[0].all), bytes.Clone(c.dirs[1].all)}
	for _, s := range steps {
		if c.opaque {
			break
		}
		if err := c.step(s); err != nil {
			return c.lines, err
		}
	}
	for dir := range originals {
		if !bytes.Equal(originals[dir], c.dirs[dir].all) {
			return c.lines, fmt.Errorf("%s: the parser changed its input", parsers.Direction(dir))
		}
	}
	return c.lines, nil
}

// direction is one direction of a connection: its bytes, those that have arrived, and those that the parser need not see again.
type direction struct {
	all         []byte
	arrived     int
	done        int
	first, last int // offsets of the last start and of the last event
}

// connection is the model of the engine.
type connection struct {
	table  []parsers.Parser
	stream parsers.Stream
	dirs   [2]direction
	out    parsers.Output
	opaque bool
	lines  []string

	requests, responses int // ended
	started, answered   int
}

// step plays one step.
func (c *connection) step(s Step) error {
	d := &c.dirs[s.Dir]
	if !s.End && len(s.Data) == 0 {
		return nil
	}
	d.arrived += len(s.Data)
	if c.stream == nil {
		if s.End {
			return nil
		}
		if c.sniff(s.Dir); c.stream == nil {
			return nil
		}
	}
	c.out.Reset()
	data := d.all[d.done:d.arrived:d.arrived]
	if s.End {
		data = nil
		d.done = d.arrived
		c.stream.Close(s.Dir, !s.Reset, &c.out)
	} else {
		keep := c.stream.Feed(s.Dir, data, &c.out)
		if n := len(c.out.Events); n > 0 && c.out.Events[n-1].Kind == parsers.Opaque {
			keep = 0
		}
		if keep < 0 || keep > len(data) || keep > maxKeepBytes {
			return fmt.Errorf("%s: keep %d of %d bytes", s.Dir, keep, len(data))
		}
		defer func() { d.done = d.arrived - keep }()
	}
	for i := range c.out.Events {
		e := &c.out.Events[i]
		if err := c.check(s.Dir, e, data); err != nil {
			return fmt.Errorf("%s: event %d: %w", s.Dir, i, err)
		}
		c.lines = append(c.lines, format(s.Dir, e, data, d.done))
	}
	return nil
}

// sniff asks the table for a parser.
func (c *connection) sniff(dir parsers.Direction) {
	if dir == parsers.ServerToClient {
		c.refuse(parsers.ReasonServerFirst)
		return
	}
	d := &c.dirs[dir]
	row, v := parsers.Sniff(c.table, d.all[:d.arrived:d.arrived])
	switch {
	case v == parsers.No:
		c.refuse(parsers.ReasonUnknown)
	case v == parsers.Yes && c.table[row].New == nil:
		c.refuse(c.table[row].Opaque)
	case v == parsers.Yes:
		c.stream = c.table[row].New()
	}
}

// refuse ends the observation before it has begun.
func (c *connection) refuse(r parsers.Reason) {
	c.opaque = true
	c.lines = append(c.lines, "Sniffed "+r.String())
}

// check holds an event against the contract.
func (c *connection) check(dir parsers.Direction, e *parsers.Event, data []byte) error {
	d := &c.dirs[dir]
	if c.opaque {
		return fmt.Errorf("kind %d after Opaque", e.Kind)
	}
	if int(e.At) > len(data) {
		return fmt.Errorf("kind %d at %d of %d bytes", e.Kind, e.At, len(data))
	}
	at := d.done + int(e.At)
	if at < d.last {
		return fmt.Errorf("kind %d at %d, behind the event at %d", e.Kind, at, d.last)
	}
	d.last = at
	want := parsers.ClientToServer
	switch e.Kind {
	case parsers.RequestStart:
		c.started++
		if c.started != c.requests+1 {
			return fmt.Errorf("request %d starts within another", c.started)
		}
		d.first = at
	case parsers.RequestEnd:
		c.requests++
		if c.requests != c.started {
			return fmt.Errorf("request %d ends without a start", c.requests)
		}
	case parsers.Interim, parsers.ResponseStart:
		want = parsers.ServerToClient
		if c.answered != c.responses || c.answered == c.started {
			return fmt.Errorf("response %d of %d requests starts, %d ended", c.answered, c.started, c.responses)
		}
		if d.first = at; e.Kind == parsers.ResponseStart {
			c.answered++
		}
	case parsers.ResponseEnd:
		want = parsers.ServerToClient
		c.responses++
		if c.responses != c.answered {
			return fmt.Errorf("response %d ends without a start", c.responses)
		}
	case parsers.Opaque:
		want = dir
		c.opaque = true
		if e.Reason == parsers.ReasonNone || e.Reason >= parsers.NumReasons {
			return fmt.Errorf("opaque for reason %d", e.Reason)
		}
	default:
		return fmt.Errorf("kind %d", e.Kind)
	}
	if dir != want {
		return fmt.Errorf("kind %d in this direction", e.Kind)
	}
	if e.Kind == parsers.RequestEnd || e.Kind == parsers.ResponseEnd {
		if e.Bytes != int64(at-d.first) || e.BodyBytes > e.Bytes || e.BodyBytes < 0 {
			return fmt.Errorf("message of %d bytes, %d of them body, from %d to %d", e.Bytes, e.BodyBytes, d.first, at)
		}
		return nil
	}
	return checkHead(e, len(data))
}

// checkHead holds the ranges of a head against the data.
func checkHead(e *parsers.Event, size int) error {
	h := &e.Head
	if e.Kind == parsers.Opaque {
		return nil
	}
	if h.Range.Lo != e.At || h.Range.Hi <= h.Range.Lo || int(h.Range.Hi) > size {
		return fmt.Errorf("head %v at %d of %d bytes", h.Range, e.At, size)
	}
	for _, r := range []parsers.Range{h.Method, h.Target, h.Authority, h.Operation} {
		if !within(r, h.Range) {
			return fmt.Errorf("range %v outside the head %v", r, h.Range)
		}
	}
	if !within(h.Path, h.Target) || !within(h.Query, h.Target) {
		return fmt.Errorf("path %v or query %v outside the target %v", h.Path, h.Query, h.Target)
	}
	for i, f := range h.Fields {
		if !within(f.Line, h.Range) || !within(f.Name, f.Line) || !within(f.Value, f.Line) || f.Name.Lo != f.Line.Lo ||
			f.Value.Lo <= f.Name.Hi && f.Value.Len() > 0 {
			return fmt.Errorf("field %d: %v", i, f)
		}
		if i > 0 && f.Line.Lo != h.Fields[i-1].Line.Hi {
			return fmt.Errorf("field %d does not follow the one before", i)
		}
	}
	if e.Reason == parsers.ReasonNone && (h.Insert < h.Range.Lo || h.Insert > h.Range.Hi) {
		return fmt.Errorf("insert at %d outside the head %v", h.Insert, h.Range)
	}
	return nil
}

// within reports whether r is absent or a part of whole.
func within(r, whole parsers.Range) bool {
	return r == parsers.Range{} || whole.Lo <= r.Lo && r.Lo <= r.Hi && r.Hi <= whole.Hi
}

// format renders an event; base is the offset of data in its direction.
func format(dir parsers.Direction, e *parsers.Event, data []byte, base int) string {
	var b bytes.Buffer
	at := base + int(e.At)
	h := &e.Head
	switch e.Kind {
	case parsers.RequestStart:
		fmt.Fprintf(&b, "RequestStart %d-%d %s %s 1.%d", at, base+int(h.Range.Hi), text(h.Method, data), text(h.Target, data), h.Minor)
		for _, part := range []struct {
			name  string
			value parsers.Range
		}{{"path", h.Path}, {"query", h.Query}, {"authority", h.Authority}, {"operation", h.Operation}} {
			if part.value.Len() > 0 {
				fmt.Fprintf(&b, " %s=%s", part.name, text(part.value, data))
			}
		}
	case parsers.Interim:
		fmt.Fprintf(&b, "Interim %d-%d %d", at, base+int(h.Range.Hi), h.Status)
	case parsers.ResponseStart:
		fmt.Fprintf(&b, "ResponseStart %d-%d %d 1.%d", at, base+int(h.Range.Hi), h.Status, h.Minor)
		if h.Failed {
			b.WriteString(" failed")
		}
	case parsers.RequestEnd:
		fmt.Fprintf(&b, "RequestEnd %d bytes=%d body=%d", at, e.Bytes, e.BodyBytes)
	case parsers.ResponseEnd:
		fmt.Fprintf(&b, "ResponseEnd %d bytes=%d body=%d", at, e.Bytes, e.BodyBytes)
	case parsers.Opaque:
		fmt.Fprintf(&b, "Opaque %s %d %s", dir, at, e.Reason)
		return b.String()
	}
	switch e.Kind {
	case parsers.RequestStart, parsers.Interim, parsers.ResponseStart:
		fmt.Fprintf(&b, " fields=%d", len(h.Fields))
		for _, f := range h.Fields[:min(len(h.Fields), 8)] {
			fmt.Fprintf(&b, " %s:%s", text(f.Name, data), text(f.Value, data))
		}
		if e.Reason != parsers.ReasonNone {
			fmt.Fprintf(&b, " unedited=%s", e.Reason)
		} else {
			fmt.Fprintf(&b, " insert=%d", base+int(h.Insert))
		}
	default:
		if e.Truncated {
			b.WriteString(" truncated")
		}
	}
	return b.String()
}

// text quotes what is not plain, cuts what is long, and shows what is absent as a dash.
func text(r parsers.Range, data []byte) string {
	const most = 40
	s := r.In(data)
	if r == (parsers.Range{}) {
		return "-"
	}
	cut := ""
	if len(s) > most {
		s, cut = s[:most], fmt.Sprintf("…%d", len(s))
	}
	for _, c := range s {
		if c <= ' ' || c >= 0x7f {
			return fmt.Sprintf("%q%s", s, cut)
		}
	}
	return string(s) + cut
}
