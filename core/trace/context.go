package trace

import (
	"bytes"

	"github.com/spanwire/spanwire/core/span"
)

// Format is a format of trace context headers.
type Format uint8

// The known formats, in the default order.
const (
	FormatW3C Format = iota
	FormatB3
	FormatB3Multi
	FormatJaeger
	// NumFormats is the number of formats.
	NumFormats
)

var formatNames = [NumFormats]string{"tracecontext", "b3", "b3multi", "jaeger"}

// String returns the format's name among the propagators.
func (f Format) String() string {
	if f < NumFormats {
		return formatNames[f]
	}
	return "unknown"
}

// formatBits are the bits of seen.present by format.
var formatBits = [NumFormats]uint32{1 << headTraceParent, 1 << headB3, bitsB3Multi, 1 << headUber}

// decision is what a context says about sampling.
type decision uint8

const (
	open   decision = iota // nothing: the receiver decides
	drop                   // do not sample
	sample                 // sample
	debug                  // sample, forced
)

// spanContext is a span as its children see it. A zero trace id means that a header had a decision alone.
type spanContext struct {
	trace    span.TraceID
	span     span.ID
	decision decision
	random   bool // W3C's random flag
}

// link is how a request hangs on what was before it.
type link struct {
	parent    spanContext
	how       span.Join
	continues bool // parent has ids; otherwise the request starts a trace (under parent.decision)
}

// parent finds the parent of the request: its own header in the first configured format that is valid, else, going out, the
// inbound request of the same id, else none. A decision without ids is valid and starts a trace.
func (t *Tracer) parent(r *Request) link {
	if t.seen.present&bitsContext != 0 {
		for _, f := range t.s.order {
			if t.seen.present&formatBits[f] == 0 {
				continue
			}
			c, ok := t.read(f, r)
			if !ok {
				t.Stats.Invalid[f]++
				continue
			}
			t.Stats.Read[f]++
			if c.trace.IsZero() {
				return link{parent: c, how: span.JoinRoot}
			}
			return link{parent: c, how: span.JoinHeader, continues: true}
		}
	}
	if r.Kind == span.Client && t.seen.has(headRequestID) {
		if id := t.value(headRequestID, r); joinable(id) {
			if c, how, ok := t.s.joins.lookup(t.s.joins.key(id), r.Mono); ok {
				return link{parent: c, how: how, continues: true}
			}
		}
	}
	return link{how: span.JoinRoot}
}

// value returns the value of the first line of h, which must be present.
func (t *Tracer) value(h head, r *Request) []byte { return t.seen.value[h].In(r.Data) }

// read parses the lines of a format that is present. Two lines of one name make the format invalid: nobody can say which one
// the next hop would read.
func (t *Tracer) read(f Format, r *Request) (spanContext, bool) {
	if t.seen.twice&formatBits[f] != 0 {
		return spanContext{}, false
	}
	switch f {
	case FormatW3C:
		return parseTraceParent(t.value(headTraceParent, r))
	case FormatB3:
		return parseB3(t.value(headB3, r))
	case FormatB3Multi:
		return parseB3Multi(t.multi(r))
	case FormatJaeger:
		return parseUber(t.value(headUber, r), &t.seen.uber)
	}
	panic("BUG: unknown format")
}

// multi collects the values of the B3 lines that are present.
func (t *Tracer) multi(r *Request) (m b3Multi) {
	get := func(h head) []byte {
		if !t.seen.has(h) {
			return nil
		}
		return t.value(h, r)
	}
	return b3Multi{trace: get(headB3TraceID), span: get(headB3SpanID), parent: get(headB3Parent), sampled: get(headB3Sampled),
		flags: get(headB3Flags)}
}

// keepsState reports whether the tracestate that came in goes with the trace that goes out. It belongs to its traceparent
// (W3C Trace Context §3.3): when that is invalid, or names another trace than the one that goes on, the trace has restarted.
func (t *Tracer) keepsState(r *Request, l *link) bool {
	if !l.continues {
		return false
	}
	if !t.seen.has(headTraceParent) {
		return true
	}
	c, ok := t.read(FormatW3C, r)
	return ok && c.trace == l.parent.trace
}

// setTraceState stores the list members of all tracestate lines, as many whole ones as fit.
func (t *Tracer) setTraceState(rec *span.Record, r *Request) {
	if !t.keepsState(r, &link{parent: spanContext{trace: rec.TraceID}, continues: true}) {
		return
	}
	v := t.value(headTraceState, r)
	if t.seen.twice&(1<<headTraceState) != 0 {
		// Several lines are one list, in their order (RFC 9110 §5.2).
		v = t.joinStates(r)
	}
	if limit := span.MaxBytes(span.TraceState); len(v) > limit {
		cut := bytes.LastIndexByte(v[:limit+1], ',')
		v = v[:max(cut, 0)]
	}
	rec.SetText(span.TraceState, v)
}

// joinStates puts the values of all tracestate lines together, stopping when there is more than a record holds.
func (t *Tracer) joinStates(r *Request) []byte {
	b := t.scratch[:0]
	for i := range r.Head.Fields {
		f := &r.Head.Fields[i]
		if f.Name.Len() != len("tracestate") || !equalFold(f.Name.In(r.Data), "tracestate") || f.Value.Len() == 0 {
			continue
		}
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, f.Value.In(r.Data)[:min(f.Value.Len(), span.MaxBytes(span.TraceState)+1)]...)
		if len(b) > span.MaxBytes(span.TraceState) {
			break
		}
	}
	t.scratch = b[:0]
	return b
}
