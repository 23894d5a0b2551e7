package trace

// traceParentBytes is the length of a traceparent of version 00: 2+1+32+1+16+1+2.
const traceParentBytes = 55

// The W3C trace flags that are kept; others are cleared (Trace Context §4.3, Mutating the traceparent Field).
const (
	w3cSampled = 1
	w3cRandom  = 2
)

// parseTraceParent reads a traceparent (W3C Trace Context §3.2): version 00 exactly, a higher one by its first 55
// characters, version ff never; lower case only; no zero ids.
func parseTraceParent(v []byte) (c spanContext, ok bool) {
	if len(v) < traceParentBytes || v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return c, false
	}
	version, ok := parseHex(v[:2], true)
	if !ok || version == 0xff {
		return c, false
	}
	// §3.2.4: version 00 has nothing behind the flags; a higher one may go on behind a dash.
	if len(v) > traceParentBytes && (version == 0 || v[traceParentBytes] != '-') {
		return c, false
	}
	if c.trace, ok = parseTrace(v[3:35], true); !ok {
		return spanContext{}, false
	}
	if c.span, ok = parseSpan(v[36:52], true); !ok {
		return spanContext{}, false
	}
	flags, ok := parseHex(v[53:55], true)
	if !ok {
		return spanContext{}, false
	}
	c.decision = drop
	if flags&w3cSampled != 0 {
		c.decision = sample
	}
	c.random = flags&w3cRandom != 0
	return c, true
}

// traceParentLine is the line to write over.
const traceParentLine = "traceparent: 00-00000000000000000000000000000000-0000000000000000-00\r\n"

// appendTraceParent appends the line for c.
func appendTraceParent(dst []byte, c *spanContext) []byte {
	n := len(dst)
	dst = append(dst, traceParentLine...)
	b := dst[n:]
	putTrace(b[16:48], &c.trace)
	putSpan(b[49:65], c.span)
	flags := byte('0')
	if c.decision >= sample {
		flags |= w3cSampled
	}
	if c.random {
		flags |= w3cRandom
	}
	b[67] = flags
	return dst
}
