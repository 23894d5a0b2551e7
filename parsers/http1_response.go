package parsers

import "encoding/binary"

// responses is Feed for the bytes from the server.
func (p *http1) responses(data []byte, out *Output) (keep int) {
	m := &p.response
	for i := 0; i < len(data); {
		if !p.answering {
			next, ok := p.responseHead(data, i, out)
			if !ok {
				return len(data) - next
			}
			i = next
			continue
		}
		next, done, bad := m.body(data, i)
		if bad != ReasonNone {
			p.opaque(next, bad, out)
			return 0
		}
		if done && !p.finishResponse(next, out) {
			return 0
		}
		i = next
	}
	return 0
}

// responseHead takes the head of a response from data[i:]. It returns the offset behind what it has done with; ok is false when
// what follows it must be shown again, or never.
func (p *http1) responseHead(data []byte, i int, out *Output) (next int, ok bool) {
	m := &p.response
	switch {
	case p.over:
		p.opaque(i, ReasonAfterClose, out)
		return len(data), false
	case p.unanswered == 0:
		p.opaque(i, ReasonUnsolicited, out)
		return len(data), false
	}
	window := data[:min(len(data), i+maxHeadBytes)]
	var n notes
	var line statusLineParts
	end, s := i, m.scan
	if s.pos > 0 {
		end, n.bad = s.walk(window, i+int(s.pos))
	}
	if s.pos == 0 || s.state == scanDone {
		end, s = n.responseHead(&line, window, i, out)
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
	return end, p.startResponse(&line, &n, i, end, out)
}

// statusLineParts is the first line of a response.
type statusLineParts struct {
	status uint16
	minor  uint8
}

// responseHead parses a whole head from data[i:]. It returns the offset behind it and state scanDone; or the state in which data
// ended; or scanBad, with n.bad.
func (n *notes) responseHead(line *statusLineParts, data []byte, i int, out *Output) (int, scan) {
	at, s := line.parse(data, i, n)
	if s.state != scanLine {
		return at, s
	}
	at, s.state = n.fields(data, at, out)
	s.lines = n.lines
	return at, s
}

// parse parses a status line (RFC 9112 §4) from data[i:]: HTTP/1.x SP 3DIGIT SP [reason] CRLF, the SP behind the status optional. It
// returns the offset behind it and state scanLine; or the state in which data ended; or scanBad, with n.bad.
func (l *statusLineParts) parse(data []byte, i int, n *notes) (int, scan) {
	if len(data)-i < len(statusLine) || !isStatusLine(data[i:i+len(statusLine)]) {
		for k := range len(statusLine) {
			if i+k == len(data) {
				return i + k, scan{state: scanStatus + scanState(k)}
			}
			if !matches(data[i+k], statusLine[k]) {
				n.bad = statusError(data[i+k])
				return i, scan{state: scanBad}
			}
		}
	}
	l.minor = data[i+7] - '0'
	l.status = uint16(data[i+9]-'0')*100 + uint16(data[i+10]-'0')*10 + uint16(data[i+11]-'0')
	if i += len(statusLine); i == len(data) {
		return i, scan{state: scanStatus + scanState(len(statusLine))}
	}
	switch data[i] {
	case ' ':
		if i = control(data, i+1); i == len(data) {
			return i, scan{state: scanValue}
		}
		if data[i] != '\r' {
			n.bad = valueError(data[i])
			return i, scan{state: scanBad}
		}
	case '\r':
	default:
		n.bad = statusError(data[i])
		return i, scan{state: scanBad}
	}
	if i++; i == len(data) {
		return i, scan{state: scanLineLF}
	}
	if data[i] != '\n' {
		n.bad = ReasonBareCR
		return i, scan{state: scanBad}
	}
	return i + 1, scan{state: scanLine}
}

// isStatusLine reports whether b, as long as statusLine, matches it.
func isStatusLine(b []byte) bool {
	return binary.LittleEndian.Uint64(b)&^(0xff<<56) == http1Dot && b[7]-'0' <= 9 && b[8] == ' ' && b[9]-'1' <= 4 &&
		b[10]-'0' <= 9 && b[11]-'0' <= 9
}

// http1Dot is "HTTP/1." as a little-endian number.
const http1Dot = spaceHTTP1 >> 8

// statusError says what is wrong with byte c of a status line.
func statusError(c byte) Reason { return lineError(c, ReasonStatusLine) }

// startResponse decides what becomes of a response whose head data[start:end] is well formed. It returns false when the connection
// has become opaque.
func (p *http1) startResponse(line *statusLineParts, n *notes, start, end int, out *Output) bool {
	newest := p.unanswered == 1
	kind := ResponseStart
	if line.status < 200 && line.status != 101 {
		kind = Interim
	}
	e := out.next(kind, start)
	h := &e.Head
	h.Range = Range{uint32(start), uint32(end)}
	h.Insert = uint32(end - 2)
	h.Status, h.Minor = line.status, line.minor
	h.Fields = out.Fields[len(out.Fields)-int(n.lines):]
	e.Reason = n.unedited(line.minor, end-start)
	if kind == Interim {
		// RFC 9110 §15.2: any number of them, and none answers the request.
		if line.status == 100 && newest {
			p.awaits = false
		}
		p.response = message{}
		return true
	}
	tunnel := newest && p.connect && line.status/100 == 2
	body, bad := framingNone, ReasonNone
	if !tunnel && line.status != 101 {
		body, bad = n.responseFraming(line, p.heads&1 != 0)
	}
	switch {
	case line.status == 101:
		bad = ReasonUpgraded
	case tunnel:
		bad = ReasonTunnel
	case body == framingClose && n.encodings > 0:
		e.Reason = ReasonTransferEncoding
	}
	if bad != ReasonNone {
		e.Reason = bad
	}
	p.response.begin(end-start, body, n.length)
	p.answering = true
	p.lastAnswer = n.last(line.minor)
	if line.status == 101 || tunnel {
		p.endResponse(end, false, out)
	}
	if bad != ReasonNone {
		p.opaque(end, bad, out)
		return false
	}
	if newest {
		p.answered()
	}
	if body == framingNone {
		return p.finishResponse(end, out)
	}
	return true
}

// answered notes that the newest request has got its final status.
func (p *http1) answered() {
	p.connect, p.upgrade = false, false
	if p.request.framing == framingNone {
		return
	}
	p.refused = p.awaits
	p.early = p.lastAnswer
}

// finishResponse ends the response in progress. It returns false when the connection has become opaque.
func (p *http1) finishResponse(at int, out *Output) bool {
	p.endResponse(at, false, out)
	switch {
	case p.refused:
		p.opaque(at, ReasonExpect, out)
		return false
	case p.early && p.request.framing != framingNone:
		// RFC 9112 §9.6: the server may stop reading, and the client may stop in the middle of its body.
		p.opaque(at, ReasonEarlyFinal, out)
		return false
	}
	return true
}

// responseFraming returns how the body of a response is framed, or why that cannot be said, in the order of RFC 9112 §6.3. head: it
// answers HEAD.
func (n *notes) responseFraming(line *statusLineParts, head bool) (framing, Reason) {
	switch {
	case head || line.status == 204 || line.status == 304:
		return framingNone, ReasonNone
	case n.encodings > 0 && n.lengths > 0:
		return framingNone, ReasonLengthAndEncoding
	case n.encodings > 0 && line.minor == 0:
		return framingNone, ReasonTransferEncoding
	case n.encodings > 0 && n.finalChunked():
		return framingChunked, ReasonNone
	case n.encodings > 0:
		return framingClose, ReasonNone
	case n.lengths > 1 || n.badLength:
		return framingNone, ReasonContentLength
	case n.lengths == 1 && n.length > 0:
		return framingLength, ReasonNone
	case n.lengths == 1:
		return framingNone, ReasonNone
	}
	return framingClose, ReasonNone
}
