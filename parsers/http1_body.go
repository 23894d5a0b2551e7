package parsers

import "math"

// framing is how the end of a message's body is found (RFC 9112 §6.3).
type framing uint8

// The framings.
const (
	framingNone    framing = iota // no body; between messages, or within a head
	framingLength                 // Content-Length
	framingChunked                // Transfer-Encoding: chunked
	framingClose                  // until the connection closes; responses only
)

// String returns the framing's name.
func (f framing) String() string {
	switch f {
	case framingLength:
		return "length"
	case framingChunked:
		return "chunked"
	case framingClose:
		return "close"
	}
	return "none"
}

// chunkState is where in a chunked body (RFC 9112 §7.1) the next byte stands.
type chunkState uint8

// The states of a chunked body.
const (
	chunkSize     chunkState = iota // the size's first digit
	chunkSize1                      // a further digit, or what ends the size
	chunkSpace                      // white space between the size and an extension
	chunkExt                        // within an extension
	chunkQuoted                     // within a quoted string of an extension
	chunkEscaped                    // behind a backslash in a quoted string
	chunkSizeLF                     // the LF of the line with the size
	chunkData                       // the chunk's bytes; remaining counts them
	chunkDataCR                     // the CR behind them
	chunkDataLF                     // the LF behind them
	chunkTrailers                   // the trailers, and the empty line that ends the body
)

const (
	// maxChunkDigits: 16 hexadecimal digits are 64 bits. Leading zeros count.
	maxChunkDigits = 16
	// maxChunkLine bounds a line with a chunk's size and extensions, which nothing needs to be long.
	maxChunkLine = 4 << 10
	// maxTrailerBytes bounds the trailers, as maxHeadBytes does a head.
	maxTrailerBytes = maxHeadBytes
)

// message is what one direction remembers of the message that it is in.
type message struct {
	bytes     int64  // of the body so far, framing included
	remaining uint64 // of the body (length), or of the chunk (chunked)
	scan      scan   // the place in an incomplete head, or in trailers; pos == 0: between messages
	head      uint32 // bytes of the head
	line      uint16 // bytes of the chunk's line so far
	framing   framing
	chunk     chunkState
	empty     uint8 // empty lines before the head
}

// begin prepares m for the body behind a head of the given length.
func (m *message) begin(head int, f framing, length int64) {
	*m = message{head: uint32(head), framing: f}
	if f == framingLength {
		m.remaining = uint64(length)
	}
}

// end fills in the end of the message and prepares m for the next.
func (m *message) end(e *Event) {
	e.Bytes = int64(m.head) + m.bytes
	e.BodyBytes = m.bytes
	*m = message{}
}

// body takes what data[i:] has of the body. It returns the offset behind it and whether the body is complete; or the offset of the
// byte that breaks the framing, and why.
func (m *message) body(data []byte, i int) (next int, done bool, bad Reason) {
	next = len(data)
	switch m.framing {
	case framingLength:
		if m.remaining <= uint64(len(data)-i) {
			next = i + int(m.remaining)
			done = true
		}
		m.remaining -= uint64(next - i)
	case framingChunked:
		next, done, bad = m.chunks(data, i)
	}
	m.bytes += int64(next - i)
	return next, done, bad
}

// chunks is body for framingChunked.
func (m *message) chunks(data []byte, i int) (next int, done bool, bad Reason) {
	for i < len(data) {
		switch m.chunk {
		case chunkData:
			if m.remaining > uint64(len(data)-i) {
				m.remaining -= uint64(len(data) - i)
				return len(data), false, ReasonNone
			}
			i += int(m.remaining)
			m.remaining = 0
			m.chunk = chunkDataCR
		case chunkDataCR:
			if data[i] != '\r' {
				return i, false, ReasonChunk
			}
			i++
			m.chunk = chunkDataLF
		case chunkDataLF:
			if data[i] != '\n' {
				return i, false, ReasonChunk
			}
			i++
			m.chunk = chunkSize
			m.line = 0
		case chunkTrailers:
			return m.trailers(data, i)
		default:
			if i, bad = m.chunkLine(data, i); bad != ReasonNone {
				return i, false, bad
			}
		}
	}
	return i, false, ReasonNone
}

// chunkLine takes what data[i:] has of the line before a chunk. It returns the offset behind it, or that of the byte that cannot be.
func (m *message) chunkLine(data []byte, i int) (int, Reason) {
	state, size, line := m.chunk, m.remaining, m.line
	for ; i < len(data); i++ {
		c := data[i]
		if line++; line > maxChunkLine {
			return i, ReasonChunk
		}
		switch state {
		case chunkSize, chunkSize1:
			if digit := hexDigit[c]; digit < 16 {
				if line > maxChunkDigits {
					return i, ReasonChunk
				}
				size = size<<4 | uint64(digit)
				state = chunkSize1
				continue
			}
			if state == chunkSize {
				return i, ReasonChunk
			}
			state = afterSize(c)
		case chunkSpace:
			// BWS stands before an extension only (RFC 9112 §7.1.1).
			if state = afterSize(c); state == chunkSizeLF {
				return i, ReasonChunk
			}
		case chunkExt, chunkQuoted, chunkEscaped:
			state = extension(state, c)
		case chunkSizeLF:
			if c != '\n' {
				return i, ReasonChunk
			}
			m.chunk, m.remaining = chunkData, size
			if size == 0 {
				m.chunk = chunkTrailers
				m.scan = scan{}
			}
			return i + 1, ReasonNone
		}
		if state == chunkBad {
			return i, ReasonChunk
		}
	}
	m.chunk, m.remaining, m.line = state, size, line
	return i, ReasonNone
}

// chunkBad is no state of a body: it is what afterSize and extension return for a byte that cannot be.
const chunkBad chunkState = math.MaxUint8

// afterSize returns the state behind byte c, which follows a chunk's size.
func afterSize(c byte) chunkState {
	switch c {
	case '\r':
		return chunkSizeLF
	case ';':
		return chunkExt
	case ' ', '\t':
		return chunkSpace
	}
	return chunkBad
}

// extension returns the state behind byte c of an extension. Extensions mean nothing here, but a parser that minds quotation marks and
// one that does not must agree on the end of the line: within a quoted string it cannot end.
func extension(state chunkState, c byte) chunkState {
	switch {
	case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
		return chunkBad
	case state == chunkEscaped && c != '\r':
		return chunkQuoted
	case state == chunkQuoted && c == '\\':
		return chunkEscaped
	case c == '"' && state == chunkQuoted:
		return chunkExt
	case c == '"':
		return chunkQuoted
	case c == '\r' && state == chunkExt:
		return chunkSizeLF
	case c == '\r':
		return chunkBad
	}
	return state
}

// trailers takes what data[i:] has of the trailers. They keep to the syntax of header lines; what they say does not matter here.
func (m *message) trailers(data []byte, i int) (next int, done bool, bad Reason) {
	window := data[:min(len(data), i+maxTrailerBytes-int(m.scan.pos))]
	next, bad = m.scan.walk(window, i)
	m.scan.pos += uint32(next - i)
	switch {
	case bad == ReasonFieldCount:
		return next, false, ReasonTrailer
	case bad != ReasonNone:
		return next, false, bad
	case m.scan.state == scanDone:
		return next, true, ReasonNone
	case next < len(data):
		return next, false, ReasonTrailer
	}
	return next, false, ReasonNone
}

// hexDigit is indexed by byte: its value as a hexadecimal digit, or 0xff. Nothing writes to it.
var hexDigit = func() (t [256]uint8) {
	for c := range t {
		t[c] = 0xff
	}
	for d := range 10 {
		t['0'+d] = uint8(d)
	}
	for d := range 6 {
		t['a'+d], t['A'+d] = uint8(10+d), uint8(10+d)
	}
	return t
}()
