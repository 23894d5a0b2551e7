package trace

import (
	"encoding/binary"

	"github.com/spanwire/spanwire/parsers"
)

// head is a header that the tracer knows; it numbers a bit of seen.present.
type head uint8

// The known headers. Those of the trace context come first.
const (
	headTraceParent head = iota
	headTraceState
	headB3
	headB3TraceID
	headB3SpanID
	headB3Parent
	headB3Sampled
	headB3Flags
	headUber
	headDebugID
	headUserAgent
	headAuthorization
	headRequestID
	headXSource
	headCookie        // Cookie; in the table of responses Set-Cookie
	headTraceResponse // in the table of responses only
	headRoute
	headTagOnly // configured as a tag, nothing else
	numHeads
)

// contextHeaders are the headers of the known formats, lower case.
var contextHeaders = [...]struct {
	name string
	is   head
}{
	{"traceparent", headTraceParent}, {"tracestate", headTraceState}, {"b3", headB3},
	{"x-b3-traceid", headB3TraceID}, {"x-b3-spanid", headB3SpanID}, {"x-b3-parentspanid", headB3Parent},
	{"x-b3-sampled", headB3Sampled}, {"x-b3-flags", headB3Flags}, {"uber-trace-id", headUber}, {"jaeger-debug-id", headDebugID},
}

// The bits of seen.present that belong to each format, and those whose lines an edit always deletes.
const (
	bitsB3Multi   = 1<<headB3TraceID | 1<<headB3SpanID | 1<<headB3Parent | 1<<headB3Sampled | 1<<headB3Flags
	bitsContext   = 1<<headTraceParent | 1<<headB3 | bitsB3Multi | 1<<headUber
	bitsDeletable = bitsContext | 1<<headTraceState | 1<<headRequestID | 1<<headXSource
)

// known is one header name to look for.
type known struct {
	name string // lower case
	tail uint64 // its last eight bytes, when it has as many
	is   head
	tag  int8 // index into Shared.tags, −1 = none
}

// headerTable finds known names by their length: most lines of a head are told apart from all of them by one bit.
type headerTable struct {
	lengths  uint64 // bit n: there are names of n bytes
	byLength [maxNameBytes + 1][]known
}

// add enters a lower-case name that is not in the table yet.
func (h *headerTable) add(name string, is head) *known {
	n := len(name)
	k := known{name: name, is: is, tag: -1}
	if n >= 8 {
		k.tail = binary.LittleEndian.Uint64([]byte(name[n-8:]))
	}
	h.lengths |= 1 << n
	h.byLength[n] = append(h.byLength[n], k)
	return &h.byLength[n][len(h.byLength[n])-1]
}

// get returns the entry of a lower-case name, nil if there is none. For setting up only.
func (h *headerTable) get(name string) *known {
	for i := range h.byLength[len(name)] {
		if k := &h.byLength[len(name)][i]; k.name == name {
			return k
		}
	}
	return nil
}

// caseBits turns letters of eight bytes to lower case; what else it changes the full comparison tells.
const caseBits = 0x2020202020202020

// find returns the entry for a name in any case (RFC 9110 §5.1), nil if it is not a known one.
func (h *headerTable) find(name []byte) *known {
	ks := h.byLength[len(name)]
	if len(name) < 8 {
		for i := range ks {
			if equalFold(name, ks[i].name) {
				return &ks[i]
			}
		}
		return nil
	}
	tail := binary.LittleEndian.Uint64(name[len(name)-8:]) | caseBits
	for i := range ks {
		if ks[i].tail|caseBits == tail && equalFold(name, ks[i].name) {
			return &ks[i]
		}
	}
	return nil
}

// equalFold reports whether b is low in any case of its ASCII letters; both have the same length.
func equalFold(b []byte, low string) bool {
	if len(b) != len(low) {
		return false
	}
	for i := range len(low) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != low[i] {
			return false
		}
	}
	return true
}

// hit is a line that an edit may delete, or a value that becomes a tag.
type hit struct {
	line  parsers.Range
	is    head
	empty bool
}

// tagHit is a value that becomes a tag; rule is an index into Shared.tags.
type tagHit struct {
	value parsers.Range
	rule  int8
}

// seen is what one pass over a head found. It is reused from request to request.
type seen struct {
	present uint32                  // bit per head: at least one line
	twice   uint32                  // bit per head: more than one
	value   [numHeads]parsers.Range // of the first line; set where present
	hits    []hit                   // deletable lines in order
	tags    []tagHit                // values of tagged headers in order
	cookies []parsers.Range         // values of Cookie lines
	uber    [maxUberDecoded]byte    // an uber-trace-id without its percent signs
}

// has reports whether the head has a line of that name.
func (s *seen) has(h head) bool { return s.present&(1<<h) != 0 }

// scan goes through the fields once and notes the known ones.
func (t *Tracer) scan(r *Request) {
	s := &t.seen
	s.clear()
	table := &t.s.headers
	fields := r.Head.Fields
	for i := range fields {
		f := &fields[i]
		n := f.Name.Hi - f.Name.Lo
		if n > maxNameBytes || table.lengths&(1<<n) == 0 {
			continue
		}
		if k := table.find(f.Name.In(r.Data)); k != nil {
			s.note(f, k)
		}
	}
}

// clear forgets the last request.
func (s *seen) clear() {
	s.present, s.twice = 0, 0
	s.hits, s.tags, s.cookies = s.hits[:0], s.tags[:0], s.cookies[:0]
}

// note records a line of a known header.
func (s *seen) note(f *parsers.Field, k *known) {
	bit := uint32(1) << k.is
	empty := f.Value.Lo == f.Value.Hi
	if k.tag >= 0 {
		s.tags = append(s.tags, tagHit{value: f.Value, rule: k.tag})
	}
	// The first request id that is not empty counts, and an empty jaeger-debug-id asks for nothing.
	if empty && (k.is == headRequestID || k.is == headDebugID) {
		if k.is == headRequestID {
			s.hits = append(s.hits, hit{line: f.Line, is: k.is, empty: true})
		}
		return
	}
	if s.present&bit == 0 {
		s.present |= bit
		s.value[k.is] = f.Value
	} else {
		s.twice |= bit
	}
	if bit&bitsDeletable != 0 {
		s.hits = append(s.hits, hit{line: f.Line, is: k.is})
	}
	if k.is == headCookie {
		s.cookies = append(s.cookies, f.Value)
	}
}
