package trace

import (
	"bytes"
	"encoding/binary"

	"github.com/spanwire/spanwire/core/span"
)

// maxUberDecoded bounds an uber-trace-id: 32+1+16+1+16+1+2 digits and colons.
const maxUberDecoded = 69

// Jaeger's flags.
const (
	uberSampled = 1
	uberDebug   = 2
)

// parseUber reads Jaeger's trace:span:parent:flags. Digits may be of either case and zeros on the left may be missing; the
// parent is deprecated and only has to look like one. Some clients escape the colons (%3A); space takes the value without them.
func parseUber(v []byte, space *[maxUberDecoded]byte) (c spanContext, ok bool) {
	if bytes.IndexByte(v, '%') >= 0 {
		if v, ok = unescapeColons(v, space); !ok {
			return c, false
		}
	}
	trace, v, ok1 := bytes.Cut(v, colon)
	id, v, ok2 := bytes.Cut(v, colon)
	parent, flags, ok3 := bytes.Cut(v, colon)
	if !ok1 || !ok2 || !ok3 || len(trace) > 32 || len(flags) > 2 {
		return c, false
	}
	if len(parent) > 0 {
		if _, ok = parseHex(parent, false); !ok {
			return c, false
		}
	}
	bits, ok := parseHex(flags, false)
	if !ok {
		return c, false
	}
	if c.trace, ok = parseTrace(trace, false); !ok {
		return spanContext{}, false
	}
	if c.span, ok = parseSpan(id, false); !ok {
		return spanContext{}, false
	}
	switch {
	case bits&uberDebug != 0:
		c.decision = debug
	case bits&uberSampled != 0:
		c.decision = sample
	default:
		c.decision = drop
	}
	return c, true
}

var colon = []byte{':'}

// unescapeColons copies v to space with %3A as colons; false for any other escape and for what is too long.
func unescapeColons(v []byte, space *[maxUberDecoded]byte) ([]byte, bool) {
	n := 0
	for i := 0; i < len(v); i++ {
		b := v[i]
		if b == '%' {
			if i+2 >= len(v) || v[i+1] != '3' || v[i+2]|0x20 != 'a' {
				return nil, false
			}
			b, i = ':', i+2
		}
		if n == len(space) {
			return nil, false
		}
		space[n] = b
		n++
	}
	return space[:n], true
}

// appendUber appends the line for c, child of parent (zero: none). A trace id of 64 bits is written with 16 digits: clients from
// before 128-bit ids read no more.
func appendUber(dst []byte, c *spanContext, parent span.ID) []byte {
	dst = append(dst, "uber-trace-id: "...)
	if hi := binary.BigEndian.Uint64(c.trace[:8]); hi != 0 {
		dst = appendSpan(dst, span.ID(c.trace[:8]))
	}
	dst = appendSpan(dst, span.ID(c.trace[8:]))
	dst = appendSpan(append(dst, ':'), c.span)
	dst = append(dst, ':')
	if parent.IsZero() {
		dst = append(dst, '0')
	} else {
		dst = appendSpan(dst, parent)
	}
	flags := byte('0')
	switch c.decision {
	case sample:
		flags = '0' | uberSampled
	case debug:
		flags = '0' | uberSampled | uberDebug
	}
	return append(dst, ':', flags, '\r', '\n')
}
