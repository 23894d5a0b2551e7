package loadtest

import "bytes"

// parseHead reads a complete head, the CRLF of its last line included, and decides how the body is framed. An interim answer
// (1xx) leaves the parser in inHead, ready for the final one.
func (r *response) parseHead(head []byte, noBody bool) error {
	line, rest, ok := cutLine(head)
	if !ok {
		return errStatusLine
	}
	minor, err := r.parseStatusLine(line)
	if err != nil {
		return err
	}
	if r.status == 101 {
		return errUpgrade
	}
	r.close = minor == 0 // RFC 9112 §9.3: persistent from 1.1 on
	length, chunked, coded := int64(-1), false, false
	for len(rest) > 0 {
		var name, value []byte
		if line, rest, ok = cutLine(rest); ok {
			name, value, ok = splitField(line)
		}
		if !ok {
			return errHeaderLine
		}
		switch len(name) { // the length first: most fields are none of ours
		case len("connection"):
			if foldEqual(name, "connection") {
				r.parseConnection(value)
			}
		case len("content-length"):
			if foldEqual(name, "content-length") {
				v, ok := parseLength(value)
				if !ok || (length >= 0 && v != length) {
					return errContentLength // RFC 9112 §6.3, rule 5
				}
				length = v
			}
		case len("transfer-encoding"):
			if foldEqual(name, "transfer-encoding") {
				if coded || !foldEqual(value, "chunked") {
					return errTransfer
				}
				chunked, coded = true, true
			}
		case len(HeaderBodyHash):
			if foldEqual(name, "x-body-hash") {
				r.wantHash, r.hasHash = ParseBodyHash(value)
			}
		case len(HeaderBodyLength):
			if foldEqual(name, "x-body-length") {
				if v, ok := parseLength(value); ok {
					r.wantBytes = v
				}
			}
		}
	}
	if chunked && (length >= 0 || minor == 0) {
		return errTransfer // RFC 9112 §6.3, rule 3: a smuggling attempt; §6.1: in HTTP/1.0 the framing is faulty
	}
	r.frame(length, chunked, noBody)
	return nil
}

// frame sets the state after a head: RFC 9112 §6.3, in its order.
func (r *response) frame(length int64, chunked, noBody bool) {
	switch {
	case r.status < 200:
		r.hasHash, r.wantBytes, r.close = false, -1, false
		r.state = inHead
	case noBody || r.status == 204 || r.status == 304:
		// What the server says of a body that it does not send is not checked.
		r.hasHash, r.wantBytes = false, -1
		r.state = atEnd
	case chunked:
		r.state, r.digits, r.remaining = inChunkSize, 0, 0
	case length > 0:
		r.state, r.remaining = inLength, length
	case length == 0:
		r.state = atEnd
	default:
		r.state, r.close = inUntilEOF, true
	}
}

// parseStatusLine reads `HTTP/1.x SP 3DIGIT SP reason` (RFC 9112 §4) and returns x.
func (r *response) parseStatusLine(line []byte) (minor byte, err error) {
	const prefix = "HTTP/1."
	if len(line) < len("HTTP/1.1 200") || string(line[:len(prefix)]) != prefix || line[8] != ' ' {
		return 0, errStatusLine
	}
	if minor = line[7] - '0'; minor > 1 {
		return 0, errStatusLine
	}
	status := 0
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, errStatusLine
		}
		status = status*10 + int(c-'0')
	}
	// The space before an empty reason is often left out; more digits are not.
	if status < 100 || status > 599 || (len(line) > 12 && line[12] != ' ') {
		return 0, errStatusLine
	}
	r.status = status
	return minor, nil
}

// parseConnection reads the options of one Connection field that matter here: close and keep-alive.
func (r *response) parseConnection(value []byte) {
	for len(value) > 0 {
		var option []byte
		option, value, _ = bytes.Cut(value, comma)
		option = trimSpace(option)
		if foldEqual(option, "close") {
			r.close = true
		} else if foldEqual(option, "keep-alive") {
			r.close = false
		}
	}
}

var comma = []byte{','}

// cutLine returns the first line of head without its CRLF, and what follows. ok is false when the line ends with a bare LF,
// which only a sloppy server sends and which two readers may understand differently (RFC 9112 §2.2).
func cutLine(head []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(head, '\n')
	if i < 1 || head[i-1] != '\r' {
		return nil, nil, false
	}
	return head[:i-1], head[i+1:], true
}

// splitField splits a header line at its colon; ok is false for an empty name, white space in or around it, or a line without
// one (RFC 9112 §5.1).
func splitField(line []byte) (name, value []byte, ok bool) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, nil, false
	}
	for _, c := range line[:colon] {
		if c <= ' ' || c >= 0x7f {
			return nil, nil, false
		}
	}
	value = trimSpace(line[colon+1:])
	// A CR or NUL inside a value is what request and response splitting are made of (RFC 9110 §5.5).
	if bytes.IndexByte(value, '\r') >= 0 || bytes.IndexByte(value, 0) >= 0 {
		return nil, nil, false
	}
	return line[:colon], value, true
}

// trimSpace cuts spaces and tabs off both ends.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// foldEqual compares b with lower, which is lower-case ASCII, ignoring the case of b's letters.
func foldEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// parseLength reads decimal digits, at most 18 of them.
func parseLength(b []byte) (v int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}
