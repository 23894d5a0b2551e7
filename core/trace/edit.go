package trace

import "github.com/spanwire/spanwire/core/span"

// appendFormat appends the lines of a format for c, child of parent (zero: none).
func appendFormat(dst []byte, f Format, c *spanContext, parent span.ID) []byte {
	// A switch, since a call through a table would move c to the heap.
	switch f {
	case FormatW3C:
		return appendTraceParent(dst, c)
	case FormatB3:
		return appendB3(dst, c, parent)
	case FormatB3Multi:
		return appendB3Multi(dst, c, parent)
	case FormatJaeger:
		return appendUber(dst, c, parent)
	}
	panic("BUG: unknown format")
}

// requestID returns the request's id, and whether it was made here (into t.uuid). It is made when there is none and the head can
// be edited: an id that is not sent joins nothing. Nil: none.
func (t *Tracer) requestID(r *Request, editable bool) (id []byte, made bool) {
	if t.seen.has(headRequestID) {
		id = t.value(headRequestID, r)
		if len(id) > maxJoinID {
			t.Stats.IDsTooLong++
		}
		return id, false
	}
	if !editable {
		return nil, false
	}
	t.Stats.IDsMade++
	t.ids.uuid(&t.uuid)
	return t.uuid[:], true
}

// edit says which lines of the head go and which come. Every line of every known format goes, since a stale one would win
// downstream; the first configured format comes, and each other configured one that was present.
func (t *Tracer) edit(e *Edit, r *Request, l *link, own *spanContext, made bool) {
	gone := uint32(bitsContext)
	if t.seen.has(headTraceState) && !t.keepsState(r, l) {
		gone |= 1 << headTraceState
		t.Stats.StatesDropped++
	}
	xSource := r.Kind == span.Client && t.s.xSourceLine != ""
	if xSource {
		gone |= 1 << headXSource
	}
	for i := range t.seen.hits {
		h := &t.seen.hits[i]
		// An empty request id goes when one is made, or readers that take the first line would go on without.
		if gone&(1<<h.is) != 0 || (h.empty && made && h.is == headRequestID) {
			e.Delete = append(e.Delete, h.line)
		}
	}
	parent := span.ID{}
	if l.continues && own.span != l.parent.span {
		parent = l.parent.span
	}
	for i, f := range t.s.order {
		if i == 0 || t.seen.present&formatBits[f] != 0 {
			e.Insert = appendFormat(e.Insert, f, own, parent)
		}
	}
	if made {
		e.Insert = append(e.Insert, t.s.requestIDLine...)
		e.Insert = append(e.Insert, t.uuid[:]...)
		e.Insert = append(e.Insert, '\r', '\n')
	}
	if xSource {
		e.Insert = append(e.Insert, t.s.xSourceLine...)
	}
}
