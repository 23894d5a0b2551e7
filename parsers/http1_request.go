package parsers

import (
	"bytes"
	"encoding/binary"
)

// requests is Feed for the bytes from the client.
func (p *http1) requests(data []byte, out *Output) (keep int) {
	m := &p.request
	for i := 0; i < len(data); {
		if r := p.barred(); r != ReasonNone {
			p.opaque(i, r, out)
			return 0
		}
		if m.framing == framingNone {
			next, ok := p.requestHead(data, i, out)
			if !ok {
				return len(data) - next
			}
			i = next
			continue
		}
		p.awaits = false
		next, done, bad := m.body(data, i)
		if bad != ReasonNone {
			p.opaque(next, bad, out)
			return 0
		}
		if done {
			p.endRequest(next, false, out)
		}
		i = next
	}
	return 0
}

// barred says why nothing that the client sends now can be understood, or ReasonNone.
func (p *http1) barred() Reason {
	switch {
	case p.refused:
		// RFC 9110 §10.1.1 lets the client send the body, or close; some send the next request.
		return ReasonExpect
	case p.request.framing != framingNone:
		return ReasonNone
	case p.connect:
		return ReasonConnectPending
	case p.upgrade:
		return ReasonUpgradePending
	case p.finished:
		return ReasonAfterClose
	}
	return ReasonNone
}

// requestHead takes the head of a request, and the empty lines before it, from data[i:]. It returns the offset behind what it has
// done with; ok is false when what follows it must be shown again, or never.
func (p *http1) requestHead(data []byte, i int, out *Output) (next int, ok bool) {
	m := &p.request
	if m.scan.pos == 0 {
		if i, ok = p.emptyLines(data, i, out); !ok || i == len(data) {
			return i, ok
		}
	}
	window := data[:min(len(data), i+maxHeadBytes)]
	var n notes
	var line requestLine
	end, s := i, m.scan
	if s.pos > 0 {
		end, n.bad = s.walk(window, i+int(s.pos))
	}
	if s.pos == 0 || s.state == scanDone {
		end, s = n.requestHead(&line, window, i, out)
	}
	switch {
	case s.state == scanBad:
		p.opaque(i, n.bad, out)
		return len(data), false
	case s.state != scanDone && len(window) < len(data):
		p.opaque(i, ReasonHeadSize, out)
		return len(data), false
	case s.state != scanDone:
		m.scan = s
		m.scan.pos = uint32(len(window) - i)
		return i, false
	}
	return end, p.startRequest(&line, &n, data, i, end, out)
}

// emptyLines passes over the empty lines before a request line (RFC 9112 §2.2).
func (p *http1) emptyLines(data []byte, i int, out *Output) (next int, ok bool) {
	for i < len(data) && data[i] == '\r' {
		switch {
		case p.request.empty == maxEmptyLines:
			p.opaque(i, ReasonEmptyLines, out)
			return len(data), false
		case i+1 == len(data):
			return i, false
		case data[i+1] != '\n':
			p.opaque(i, ReasonBareCR, out)
			return len(data), false
		}
		p.request.empty++
		i += 2
	}
	return i, true
}

// requestLine is the first line of a request.
type requestLine struct {
	method, target Range
	minor          uint8
}

// requestHead parses a whole head from data[i:]. It returns the offset behind it and state scanDone; or the state in which data ended;
// or scanBad, with n.bad.
func (n *notes) requestHead(line *requestLine, data []byte, i int, out *Output) (int, scan) {
	at, s := line.parse(data, i, n)
	if s.state != scanLine {
		return at, s
	}
	at, s.state = n.fields(data, at, out)
	s.lines = n.lines
	return at, s
}

// parse parses a request line (RFC 9112 §3) from data[i:]: token SP target SP HTTP/1.x CRLF, single spaces. It returns the offset
// behind it and state scanLine; or the state in which data ended; or scanBad, with n.bad.
func (l *requestLine) parse(data []byte, i int, n *notes) (int, scan) {
	method := i
	for i < len(data) && class[data[i]]&isToken != 0 {
		if i++; i-method > maxMethodBytes {
			n.bad = ReasonRequestLine
			return i, scan{state: scanBad}
		}
	}
	if i == len(data) {
		return i, scan{state: scanMethod, method: uint8(i - method)}
	}
	if data[i] != ' ' || i == method {
		n.bad = methodError(data[i])
		return i, scan{state: scanBad}
	}
	l.method = Range{uint32(method), uint32(i)}
	i++
	target := i
	if i = blank(data, i); i == len(data) {
		if i == target {
			return i, scan{state: scanTarget}
		}
		return i, scan{state: scanTarget1}
	}
	if data[i] != ' ' || i == target {
		n.bad = targetError(data[i])
		return i, scan{state: scanBad}
	}
	l.target = Range{uint32(target), uint32(i)}
	i++
	if i+len(requestVersion) <= len(data) && binary.LittleEndian.Uint64(data[i-1:]) == spaceHTTP1 && data[i+7]-'0' <= 9 &&
		data[i+8] == '\r' && data[i+9] == '\n' {
		l.minor = data[i+7] - '0'
		return i + len(requestVersion), scan{state: scanLine}
	}
	for k := range len(requestVersion) {
		if i+k == len(data) {
			return i + k, scan{state: scanVersion + scanState(k)}
		}
		if !matches(data[i+k], requestVersion[k]) {
			n.bad = versionError(data[i+k], k)
			return i, scan{state: scanBad}
		}
	}
	panic("BUG: a version that is neither right nor wrong")
}

// spaceHTTP1 is " HTTP/1." as a little-endian number.
const spaceHTTP1 = ' ' | 'H'<<8 | 'T'<<16 | 'T'<<24 | 'P'<<32 | '/'<<40 | '1'<<48 | '.'<<56

// methodError says what is wrong with byte c of a method.
func methodError(c byte) Reason { return lineError(c, ReasonRequestLine) }

// targetError says what is wrong with byte c of a target. A line that ends behind the target is HTTP/0.9.
func targetError(c byte) Reason {
	if c == '\r' {
		return ReasonVersion
	}
	return lineError(c, ReasonRequestLine)
}

// versionError says what is wrong with byte c in place of byte k of requestVersion.
func versionError(c byte, k int) Reason {
	if k >= len("HTTP/") && k < len("HTTP/1.d") && c > ' ' {
		return ReasonVersion
	}
	return lineError(c, ReasonRequestLine)
}

// lineError says what is wrong with byte c of a start line, other being the reason if it is not c that is never allowed.
func lineError(c byte, other Reason) Reason {
	switch {
	case c == '\n':
		return ReasonBareLF
	case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
		return ReasonControl
	}
	return other
}

// startRequest decides what becomes of a request whose head data[start:end] is well formed. It returns false when the connection has
// become opaque.
func (p *http1) startRequest(line *requestLine, n *notes, data []byte, start, end int, out *Output) bool {
	method := line.method.In(data)
	connect := string(method) == "CONNECT"
	body, bad := n.requestFraming(line.minor)
	if bad == ReasonNone && connect && body != framingNone {
		// RFC 9110 §9.3.6: no content is defined for it, and what follows is the tunnel's or a body.
		bad = ReasonConnectBody
	}
	if bad == ReasonNone && !p.remember(string(method) == "HEAD") {
		bad = ReasonPipeline
	}
	if bad != ReasonNone {
		p.opaque(start, bad, out)
		return false
	}
	e := out.next(RequestStart, start)
	h := &e.Head
	h.Range = Range{uint32(start), uint32(end)}
	h.Insert = uint32(end - 2)
	h.Method, h.Target, h.Minor = line.method, line.target, line.minor
	h.Fields = out.Fields[len(out.Fields)-int(n.lines):]
	h.Authority = n.host
	e.Reason = n.unedited(line.minor, end-start)
	if !h.splitTarget(data, connect, string(method) == "OPTIONS") && e.Reason == ReasonNone {
		e.Reason = ReasonTargetForm
	}
	if e.Reason == ReasonNone {
		e.Reason = n.requestUnedited(line.minor, data)
	}
	if p.doubted = p.doubted || n.other; p.doubted && e.Reason == ReasonNone {
		e.Reason = ReasonCodings
	}
	p.request.begin(end-start, body, n.length)
	p.connect, p.upgrade, p.awaits = connect, n.upgrade, n.expect
	p.lastAsk = n.last(line.minor)
	if body == framingNone {
		p.endRequest(end, false, out)
	}
	return true
}

// requestFraming returns how the body of a request is framed, or why that cannot be said (RFC 9112 §6.3), also when it is known that servers differ on
// what the RFC allows.
func (n *notes) requestFraming(minor uint8) (framing, Reason) {
	switch {
	case n.encodings > 0 && n.lengths > 0:
		return framingNone, ReasonLengthAndEncoding
	case n.lookalike:
		return framingNone, ReasonFieldName
	case n.encodings > 0 && (minor == 0 || !n.finalChunked() || n.encodings > 1 || n.empty):
		// Of several lines some servers use the first, some the last; an empty member makes the value another word to some.
		return framingNone, ReasonTransferEncoding
	case n.encodings > 0:
		return framingChunked, ReasonNone
	case n.lengths > 1 || n.badLength:
		return framingNone, ReasonContentLength
	case n.lengths == 1 && n.length > 0:
		return framingLength, ReasonNone
	}
	return framingNone, ReasonNone
}

// unedited says why a head, of a request or a response, must not be edited although it is well framed, or ReasonNone.
func (n *notes) unedited(minor uint8, size int) Reason {
	switch {
	case minor > 1:
		return ReasonVersion
	case size > maxEditBytes:
		return ReasonHeadSize
	case n.lines > maxEditFields:
		return ReasonFieldCount
	case n.tabbed:
		return ReasonFramingTab
	}
	return ReasonNone
}

// requestUnedited is unedited for what concerns requests only.
func (n *notes) requestUnedited(minor uint8, data []byte) Reason {
	switch {
	case n.hosts > 1:
		return ReasonDuplicateHost
	case n.hosts == 0 && minor > 0:
		// RFC 9112 §3.2.
		return ReasonNoHost
	case manyNames(n.host.In(data)):
		return ReasonHostValue
	}
	return ReasonNone
}

// manyNames reports whether white space or a comma stands within the value of Host, which nginx and net/http refuse. It holds no control byte but tabs.
func manyNames(host []byte) bool {
	for ; len(host) >= 8; host = host[8:] {
		x := binary.LittleEndian.Uint64(host)
		comma := x ^ ','*lanes01
		if ((x-'!'*lanes01)&^x|(comma-lanes01)&^comma)&lanes80 != 0 {
			return true
		}
	}
	for _, c := range host {
		if c < '!' || c == ',' {
			return true
		}
	}
	return false
}

// last reports whether the message announces that no other follows (RFC 9112 §9.3). Proxy-Connection is just a header.
func (n *notes) last(minor uint8) bool { return n.close || minor == 0 && !n.keepAlive }

// splitTarget sets the parts of h.Target, and the authority where the target has one, which beats Host (RFC 9112 §3.2.2). It returns false
// when the target's form does not go with the method (§3.2).
func (h *Head) splitTarget(data []byte, connect, options bool) bool {
	t := h.Target.In(data)
	lo, hi := h.Target.Lo, h.Target.Hi
	switch {
	case connect:
		if bytes.IndexByte(t, ':') <= 0 || bytes.ContainsAny(t, "/?#") {
			return false
		}
		h.Authority = h.Target
		return true
	case t[0] == '/':
		h.splitPath(data, lo)
		return true
	case options && len(t) == 1 && t[0] == '*':
		h.Path = h.Target
		return true
	}
	scheme := bytes.Index(t, []byte("://"))
	if scheme <= 0 || !isScheme(t[:scheme]) {
		return false
	}
	rest := t[scheme+3:]
	lo += uint32(scheme + 3)
	end := hi
	if k := bytes.IndexAny(rest, "/?#"); k >= 0 {
		end = lo + uint32(k)
	}
	if end == lo {
		return false
	}
	h.Authority = Range{lo, end}
	h.splitPath(data, end)
	return true
}

// splitPath sets the path and the query of the target from offset lo on.
func (h *Head) splitPath(data []byte, lo uint32) {
	h.Path = Range{lo, h.Target.Hi}
	if q := bytes.IndexByte(data[lo:h.Target.Hi], '?'); q >= 0 {
		h.Path.Hi = lo + uint32(q)
		h.Query = Range{h.Path.Hi + 1, h.Target.Hi}
	}
}

// isScheme reports whether b is a URI scheme (RFC 3986 §3.1).
func isScheme(b []byte) bool {
	for i, c := range b {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || '9' < c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(b) > 0
}
