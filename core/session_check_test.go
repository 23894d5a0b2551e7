package core

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
)

// check compares what came of the session with what should have.
func (p *player) check(spans []span.Record) error {
	p.model.hung = p.model.inDoubt(client)
	if err := p.checkStreams(); err != nil {
		return err
	}
	if err := p.checkEnds(); err != nil {
		return err
	}
	return p.checkSpans(spans)
}

// graceful reports whether both sides said all they had and then half-closed.
func (p *player) graceful() bool {
	return p.knobs&knobRefused == 0 && !p.sides[0].closed && !p.sides[1].closed
}

// checkStreams checks what each side heard.
func (p *player) checkStreams() error {
	for i := range p.sides {
		said, heard := p.sides[i].said, p.sides[1-i].heard
		name := sideNames[i] + " to " + sideNames[1-i]
		exact := i == server && p.exact || i == client && len(p.model.asks) == 0 && !p.model.unsure
		switch {
		case p.graceful() && exact:
			if !bytes.Equal(said, heard) {
				return fmt.Errorf("%s: %w", name, difference(heard, said))
			}
		case p.graceful() && i == client:
			if s, h := p.model.normal(said), p.model.normal(heard); !bytes.Equal(s, h) {
				return fmt.Errorf("%s: %w", name, difference(h, s))
			}
		case exact:
			if !bytes.HasPrefix(said, heard) {
				return fmt.Errorf("%s, cut off: %w", name, difference(heard, said))
			}
		default:
			if s, h := withoutLines(said), withoutLines(heard); p.graceful() && !bytes.Equal(s, h) || !p.graceful() && !begins(said, heard) {
				return fmt.Errorf("%s: %w", name, difference(h, s))
			}
		}
	}
	return nil
}

// begins reports whether heard, which was cut off anywhere, is the beginning of what was said.
func begins(said, heard []byte) bool {
	s := withoutLines(said)
	if bytes.HasPrefix(s, withoutLines(heard)) {
		return true
	}
	// It may have been cut off in the middle of a line that was put in, or would have been taken out.
	whole := bytes.LastIndex(heard, []byte("\r\n")) + 2
	return whole >= 2 && bytes.HasPrefix(s, withoutLines(heard[:whole]))
}

// normal takes out of a stream of requests the lines that may differ: of heads that the model has seen, and, where it is not sure, of
// what follows them.
func (m *model) normal(b []byte) (out []byte) {
	for i := range m.asks {
		msg := parseAsk(b)
		if msg.head == 0 {
			break // the lines that were put in made it too large to be sure of, or it is not there: the comparison will tell
		}
		out = append(out, normalHead(b[:msg.head])...)
		if i == len(m.asks)-1 && msg.state != complete {
			return append(out, b[msg.head:]...)
		}
		out = append(out, b[msg.head:msg.total]...)
		b = b[msg.total:]
	}
	if m.unsure {
		return append(out, withoutLines(b)...)
	}
	return append(out, b...)
}

// normalHead takes out of a head what an edit may change: the lines of a trace context, and the request id unless it has one.
func normalHead(head []byte) (out []byte) {
	for line := range bytes.SplitAfterSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if isTracingHeader(name) && (!strings.EqualFold(string(name), "x-request-id") || len(bytes.TrimSpace(value)) == 0 || isMadeID(value)) {
			continue
		}
		out = append(out, line...)
	}
	return out
}

var madeID = regexp.MustCompile(`\A [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r\n\z`)

// isMadeID reports whether a request id looks like those that the engine makes.
func isMadeID(value []byte) bool { return madeID.Match(value) }

// checkEnds checks how each side heard of the other's end.
func (p *player) checkEnds() error {
	for i := range p.sides {
		e, from := &p.sides[i], &p.sides[1-i]
		switch {
		case e.closed:
		case p.graceful() && !errors.Is(e.heardIt, errHeardEnd):
			return fmt.Errorf("the %s ended with %w", sideNames[i], e.heardIt)
		// An error is told once: a write may have taken it, and then a read sees the end.
		case from.reset && e.lost == nil && !errors.Is(e.heardIt, unix.ECONNRESET) && !from.shut:
			return fmt.Errorf("the %s reset, and the %s heard: %w", sideNames[1-i], sideNames[i], e.heardIt)
		case p.knobs&knobRefused != 0 && e.lost == nil && !errors.Is(e.heardIt, unix.ECONNRESET):
			return fmt.Errorf("the dial was refused, and the client heard: %w", e.heardIt)
		}
	}
	return nil
}

// checkSpans checks the number of requests, and each span that the model knows.
func (p *player) checkSpans(spans []span.Record) error {
	m := &p.model
	requests, connects := int(p.before.requests), int(p.before.connects)
	least, most := m.bounds()
	if p.knobs&knobRefused != 0 {
		if connects+requests < 1 || connects > 1 || connects == 1 && requests > 0 || requests > max(most, len(requestLine.FindAll(p.sides[client].said, -1))) {
			return fmt.Errorf("the dial was refused: %d connect spans, %d requests", connects, requests)
		}
		return nil
	}
	if connects != 0 || requests < least || requests > most {
		return fmt.Errorf("%d requests and %d connects were counted; the model has %d to %d", requests, connects, least, most)
	}
	if n := len(spans) + int(p.before.dropped); n > requests || n < requests && !contextName.Match(p.sides[client].said) {
		return fmt.Errorf("%d spans of %d requests", n, requests)
	}
	b := p.sides[server].heard
	for i := range m.asks {
		x := &m.asks[i]
		msg := parseAsk(b)
		if msg.head == 0 {
			return nil
		}
		if err := p.checkSpan(x, b[:msg.head], spans); err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
		if msg.state != complete {
			return nil
		}
		b = b[msg.total:]
	}
	return nil
}

var ownParent = regexp.MustCompile(`\r\ntraceparent: 00-([0-9a-f]{32})-([0-9a-f]{16})-0([0-3])\r\n`)

// checkSpan checks the span whose context the head of a request bears as it arrived.
func (p *player) checkSpan(x *exchanged, head []byte, spans []span.Record) error {
	id := ownParent.FindSubmatch(head)
	if id == nil || bytes.Contains(p.sides[client].said, id[0]) {
		return nil // it was not edited
	}
	var found *span.Record
	for i := range spans {
		if fmt.Sprintf("%x", spans[i].SpanID) == string(id[2]) {
			found = &spans[i]
		}
	}
	if id[3][0]&1 == 0 {
		if found != nil {
			return fmt.Errorf("a span that the head says is not sampled")
		}
		return nil
	}
	m := &p.model

	switch {
	case found == nil && p.before.dropped > 0:
		return nil
	case found == nil:
		return fmt.Errorf("no span with the id of the head, %s", id[2])
	case fmt.Sprintf("%x", found.TraceID) != string(id[1]):
		return fmt.Errorf("trace %x, the head says %s", found.TraceID, id[1])
	case string(found.Text(span.Method)) != x.method:
		return fmt.Errorf("method %q, want %q", found.Text(span.Method), x.method)
	case !x.whole || m.unsure || m.vague || m.hung:
		return nil
	case int(found.Status) != x.status:
		return fmt.Errorf("status %d, want %d", found.Status, x.status)
	case found.RequestBytes != x.asked || found.ResponseBytes != x.answered:
		return fmt.Errorf("%d and %d bytes, want %d and %d", found.RequestBytes, found.ResponseBytes, x.asked, x.answered)
	case found.Failure != span.FailureNone:
		return fmt.Errorf("failure %v", found.Failure)
	}
	return nil
}
