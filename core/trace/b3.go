package trace

import "github.com/spanwire/spanwire/core/span"

// b3Multi is what the x-b3-* lines say; nil where a line is absent or empty.
type b3Multi struct{ trace, span, parent, sampled, flags []byte }

// parseB3 reads the single b3 header: trace-span, then optionally -decision, then optionally -parent; or a decision alone. A
// trace id has 16 or 32 digits of either case, as B3's libraries read them.
func parseB3(v []byte) (c spanContext, ok bool) {
	if len(v) == 1 {
		c.decision, ok = b3Decision(v[0])
		return c, ok
	}
	n := 32
	if len(v) > 16 && v[16] == '-' {
		n = 16
	}
	if len(v) < n+17 || v[n] != '-' {
		return c, false
	}
	if c, ok = b3IDs(v[:n], v[n+1:n+17]); !ok {
		return c, false
	}
	rest := v[n+17:]
	if len(rest) == 0 {
		return c, true
	}
	if len(rest) != 2 && len(rest) != 19 || rest[0] != '-' {
		return spanContext{}, false
	}
	if c.decision, ok = b3Decision(rest[1]); !ok {
		return spanContext{}, false
	}
	if len(rest) == 19 {
		// The parent's parent is not used, but garbage in its place casts doubt on the rest.
		if _, ok = parseHex(rest[3:], false); !ok || rest[2] != '-' {
			return spanContext{}, false
		}
	}
	return c, true
}

// b3Decision reads the one character of the sampling state.
func b3Decision(b byte) (decision, bool) {
	switch b {
	case '0':
		return drop, true
	case '1':
		return sample, true
	case 'd':
		return debug, true
	}
	return open, false
}

// b3IDs reads a trace id of 16 or 32 digits and a span id of 16.
func b3IDs(trace, id []byte) (c spanContext, ok bool) {
	if len(trace) != 16 && len(trace) != 32 || len(id) != 16 {
		return c, false
	}
	if c.trace, ok = parseTrace(trace, false); !ok {
		return spanContext{}, false
	}
	if c.span, ok = parseSpan(id, false); !ok {
		return spanContext{}, false
	}
	return c, true
}

// parseB3Multi reads the x-b3-* headers: both ids or none, a decision with them or alone. Flags 1 is debug and beats sampled;
// other flags say nothing.
func parseB3Multi(m b3Multi) (c spanContext, ok bool) {
	if len(m.trace) > 0 || len(m.span) > 0 || len(m.parent) > 0 {
		if c, ok = b3IDs(m.trace, m.span); !ok {
			return c, false
		}
	}
	if len(m.parent) > 0 {
		if _, ok = parseHex(m.parent, false); !ok || len(m.parent) != 16 {
			return spanContext{}, false
		}
	}
	switch {
	case len(m.sampled) == 0:
	case len(m.sampled) == 1 && m.sampled[0] == '1', equalFold(m.sampled, "true"):
		c.decision = sample
	case len(m.sampled) == 1 && m.sampled[0] == '0', equalFold(m.sampled, "false"):
		c.decision = drop
	default:
		return spanContext{}, false
	}
	if len(m.flags) == 1 && m.flags[0] == '1' {
		c.decision = debug
	}
	if c.trace.IsZero() && c.decision == open {
		return spanContext{}, false // lines that say nothing
	}
	return c, true
}

// b3State is indexed by decision; open is never written.
var b3State = [...]byte{open: '0', drop: '0', sample: '1', debug: 'd'}

// appendB3 appends the single line for c, child of parent (zero: none).
func appendB3(dst []byte, c *spanContext, parent span.ID) []byte {
	const line = "b3: 00000000000000000000000000000000-0000000000000000-0"
	n := len(dst)
	dst = append(dst, line...)
	putTrace(dst[n+4:], &c.trace)
	putSpan(dst[n+37:], c.span)
	dst[n+len(line)-1] = b3State[c.decision]
	if !parent.IsZero() {
		dst = appendSpan(append(dst, '-'), parent)
	}
	return append(dst, '\r', '\n')
}

// appendB3Multi appends the lines for c, child of parent (zero: none). Debug implies sampled, which is then left out, as B3 asks.
func appendB3Multi(dst []byte, c *spanContext, parent span.ID) []byte {
	const lines = "x-b3-traceid: 00000000000000000000000000000000\r\nx-b3-spanid: 0000000000000000\r\n"
	n := len(dst)
	dst = append(dst, lines...)
	putTrace(dst[n+14:], &c.trace)
	putSpan(dst[n+61:], c.span)
	if !parent.IsZero() {
		dst = appendSpan(append(dst, "x-b3-parentspanid: "...), parent)
		dst = append(dst, '\r', '\n')
	}
	switch c.decision {
	case debug:
		return append(dst, "x-b3-flags: 1\r\n"...)
	case sample:
		return append(dst, "x-b3-sampled: 1\r\n"...)
	}
	return append(dst, "x-b3-sampled: 0\r\n"...)
}

// appendSpan appends the 16 digits of id.
func appendSpan(dst []byte, id span.ID) []byte {
	n := len(dst)
	dst = append(dst, "0000000000000000"...)
	putSpan(dst[n:], id)
	return dst
}
