package parsertest

import (
	"bytes"

	"github.com/spanwire/spanwire/parsers"
)

// Toy returns a parser of a line protocol that exists in tests only: "GETX key\n" is answered "OK value\n" or "ERR text\n", in order.
// It has no header lines and no body, so it shows that nothing outside a parser knows HTTP.
func Toy() parsers.Parser {
	return parsers.Parser{
		Name:  "toy",
		Sniff: func(first []byte) parsers.Verdict { return begins(first, toyCommand) },
		New:   func() parsers.Stream { return new(toy) },
	}
}

const (
	toyCommand = "GETX "
	// toyLine bounds a line.
	toyLine = 512
)

// toy is the state of one connection.
type toy struct{ unanswered int }

// Feed implements parsers.Stream: a line is a message.
func (t *toy) Feed(dir parsers.Direction, data []byte, out *parsers.Output) (keep int) {
	for at := 0; at < len(data); {
		line := data[at:min(len(data), at+toyLine)]
		lf := bytes.IndexByte(line, '\n')
		if lf < 0 && len(line) < toyLine {
			if dir == parsers.ServerToClient && t.unanswered == 0 {
				return t.opaque(at, parsers.ReasonUnsolicited, out)
			}
			return len(line)
		}
		if lf < 0 {
			return t.opaque(at, parsers.ReasonHeadSize, out)
		}
		if r := t.message(dir, line[:lf], at, out); r != parsers.ReasonNone {
			return t.opaque(at, r, out)
		}
		at += lf + 1
	}
	return 0
}

// message appends the events of the line at offset at.
func (t *toy) message(dir parsers.Direction, line []byte, at int, out *parsers.Output) parsers.Reason {
	lo, hi := uint32(at), uint32(at+len(line))
	start := parsers.Event{At: lo, Reason: parsers.ReasonNoHeaders, Head: parsers.Head{Range: parsers.Range{Lo: lo, Hi: hi + 1}}}
	end := parsers.Event{At: hi + 1, Bytes: int64(len(line)) + 1}
	if dir == parsers.ClientToServer {
		if begins(line, toyCommand) != parsers.Yes {
			return parsers.ReasonRequestLine
		}
		t.unanswered++
		start.Kind, end.Kind = parsers.RequestStart, parsers.RequestEnd
		start.Head.Operation = parsers.Range{Lo: lo, Hi: lo + 4}
		start.Head.Target = parsers.Range{Lo: lo + uint32(len(toyCommand)), Hi: hi}
	} else {
		if t.unanswered == 0 {
			return parsers.ReasonUnsolicited
		}
		t.unanswered--
		start.Kind, end.Kind = parsers.ResponseStart, parsers.ResponseEnd
		start.Head.Failed = begins(line, "OK") != parsers.Yes
	}
	out.Events = append(out.Events, start, end)
	return parsers.ReasonNone
}

// opaque ends the observation.
func (t *toy) opaque(at int, r parsers.Reason, out *parsers.Output) int {
	out.Events = append(out.Events, parsers.Event{Kind: parsers.Opaque, At: uint32(at), Reason: r})
	return 0
}

// Close implements parsers.Stream. A message ends with its line, so none is in progress.
func (t *toy) Close(parsers.Direction, bool, *parsers.Output) {}

// begins says whether b begins with want.
func begins(b []byte, want string) parsers.Verdict {
	n := min(len(b), len(want))
	switch {
	case string(b[:n]) != want[:n]:
		return parsers.No
	case n < len(want):
		return parsers.More
	}
	return parsers.Yes
}
