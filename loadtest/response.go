package loadtest

import (
	"bytes"
	"errors"
)

// Errors of an answer that cannot be read. Preallocated: they occur on the data path.
var (
	errHeadTooLong   = errors.New("response head longer than 64 KiB")
	errStatusLine    = errors.New("malformed status line")
	errHeaderLine    = errors.New("malformed header line")
	errContentLength = errors.New("malformed or contradictory Content-Length")
	errTransfer      = errors.New("transfer coding other than chunked, or chunked beside Content-Length or in HTTP/1.0")
	errChunk         = errors.New("malformed chunk")
	errUpgrade       = errors.New("101 without having asked for an upgrade")
)

// maxHeadBytes bounds a response head, a chunk extension and a trailer section: ten times what servers send.
const maxHeadBytes = 64 << 10

// framing is where the parser stands in an answer. The parser rests in any of these between two reads.
type framing uint8

const (
	inHead      framing = iota // in or before the status line and header fields
	inLength                   // body of Content-Length; remaining counts down
	inChunkSize                // hex digits of a chunk size
	inChunkExt                 // from the digits to the LF of the size line
	inChunk                    // chunk data; remaining counts down
	inChunkEnd                 // CRLF after chunk data
	inTrailer                  // trailer fields up to the empty line
	inUntilEOF                 // body that ends with the connection (RFC 9112 §6.3, rule 8)
	atEnd                      // the answer is complete
)

// String returns the state's name, for error messages.
func (f framing) String() string {
	names := [...]string{"head", "body", "chunk size", "chunk extension", "chunk", "chunk end", "trailer", "body until close", "end"}
	return names[f]
}

// response reads answers off a connection, one after the other, in whatever pieces they come. It holds no slice of its input.
// Strict by RFC 9112: what a proxy must not send counts as malformed.
type response struct {
	state     framing
	status    int
	close     bool // the server will close after this answer
	hasHash   bool // the server told the hash
	wantHash  uint32
	hash      uint32
	wantBytes int64  // length told by X-Body-Length; -1 when not told
	bodyBytes int64  // body bytes seen, after transfer decoding
	remaining int64  // bytes left of a body or chunk; while in a chunk size, the value so far
	digits    int    // hex digits of the chunk size; 1 in inChunkEnd after the CR; line length in inTrailer
	overhead  int    // bytes of chunk extensions and trailers, bounded
	lastCR    bool   // the byte before was a CR, in inChunkExt and inTrailer
	spill     []byte // a head that straddles reads; empty otherwise
	// events, when not nil, sees the body bytes of answers of status 200.
	events *eventScanner
}

// reset makes ready for the next answer; the spill buffer is kept.
func (r *response) reset() {
	*r = response{spill: r.spill[:0], wantBytes: -1, events: r.events}
}

// feed reads one answer from b. It returns the bytes consumed and whether the answer is complete; bytes behind a complete
// answer are left. noBody is true for an answer to HEAD. After an error the parser is of no further use.
func (r *response) feed(b []byte, noBody bool) (n int, done bool, err error) {
	for n < len(b) {
		var used int
		switch r.state {
		case inHead:
			used, err = r.feedHead(b[n:], noBody)
		case inLength, inChunk, inUntilEOF:
			used = r.feedBody(b[n:])
		case inTrailer:
			used, err = r.feedTrailer(b[n:])
		default:
			used, err = r.feedChunkFraming(b[n:])
		}
		n += used
		if err != nil {
			return n, false, err
		}
		if r.state == atEnd {
			return n, true, nil
		}
	}
	return n, false, nil
}

// feedHead looks for the end of the head, keeping what came if it is not there yet, and reads the head when it is.
func (r *response) feedHead(b []byte, noBody bool) (int, error) {
	if len(r.spill) == 0 {
		// Within the bound only: a longer head is refused below, in whatever pieces it came.
		if end := bytes.Index(b[:min(len(b), maxHeadBytes)], headEnd); end >= 0 {
			return end + len(headEnd), r.parseHead(b[:end+2], noBody)
		}
	}
	before := len(r.spill)
	from := max(0, before-len(headEnd)+1) // the end may straddle
	take := min(len(b), maxHeadBytes-before)
	r.spill = append(r.spill, b[:take]...)
	end := bytes.Index(r.spill[from:], headEnd)
	if end < 0 {
		if take < len(b) || len(r.spill) >= maxHeadBytes {
			return take, errHeadTooLong
		}
		return take, nil
	}
	end += from
	err := r.parseHead(r.spill[:end+2], noBody)
	r.spill = r.spill[:0]
	return end + len(headEnd) - before, err
}

// headEnd ends a head: the CRLF of its last line and the empty line.
var headEnd = []byte("\r\n\r\n")

// feedBody takes body bytes: the hash and the count, and the end by length.
func (r *response) feedBody(b []byte) int {
	if r.state != inUntilEOF && int64(len(b)) > r.remaining {
		b = b[:r.remaining]
	}
	if r.hasHash {
		r.hash = UpdateBodyHash(r.hash, b)
	}
	if r.events != nil && r.status == 200 {
		r.events.feed(b)
	}
	r.bodyBytes += int64(len(b))
	if r.state == inUntilEOF {
		return len(b)
	}
	r.remaining -= int64(len(b))
	if r.remaining == 0 {
		if r.state == inLength {
			r.state = atEnd
		} else {
			r.state, r.digits = inChunkEnd, 0
		}
	}
	return len(b)
}

// feedChunkFraming takes the bytes between chunks, one at a time (RFC 9112 §7.1).
func (r *response) feedChunkFraming(b []byte) (n int, err error) {
	for n < len(b) {
		c := b[n]
		n++
		switch r.state {
		case inChunkSize:
			if v := hexValue(c); v >= 0 {
				// 15 digits fit an int64 with room; a longer size is nonsense or an attack.
				if r.digits++; r.digits > 15 {
					return n, errChunk
				}
				r.remaining = r.remaining<<4 | int64(v)
				continue
			}
			if r.digits == 0 || (c != '\r' && c != ';' && c != ' ' && c != '\t') {
				return n, errChunk
			}
			r.state, r.lastCR = inChunkExt, c == '\r'
		case inChunkExt:
			if r.lastCR {
				if c != '\n' {
					return n, errChunk
				}
				return n, r.beginChunk()
			}
			if r.overhead++; c == '\n' || r.overhead > maxHeadBytes {
				return n, errChunk // a bare LF, or endless extensions
			}
			r.lastCR = c == '\r'
		case inChunkEnd:
			if (r.digits == 0 && c != '\r') || (r.digits == 1 && c != '\n') {
				return n, errChunk
			}
			if r.digits++; r.digits == 2 {
				r.state, r.digits, r.remaining = inChunkSize, 0, 0
			}
		default:
			panic("BUG: chunk framing in state " + r.state.String())
		}
	}
	return n, nil
}

// beginChunk enters the data of a chunk, or the trailer section after the last one.
func (r *response) beginChunk() error {
	r.lastCR = false
	if r.remaining == 0 {
		r.state, r.digits = inTrailer, 0
		return nil
	}
	r.state = inChunk
	return nil
}

// feedTrailer skips trailer fields up to the empty line. digits counts the bytes of the line at hand.
func (r *response) feedTrailer(b []byte) (n int, err error) {
	for n < len(b) {
		c := b[n]
		n++
		if r.overhead++; r.overhead > maxHeadBytes {
			return n, errHeadTooLong
		}
		switch {
		case r.lastCR && c != '\n', !r.lastCR && c == '\n':
			return n, errHeaderLine
		case c == '\n':
			if r.digits == 0 {
				r.state = atEnd
				return n, nil
			}
			r.digits, r.lastCR = 0, false
		case c == '\r':
			r.lastCR = true
		default:
			r.digits++
		}
	}
	return n, nil
}

// endOfStream tells the parser that the server has closed its side: true when that completes the answer.
func (r *response) endOfStream() bool {
	if r.state == inUntilEOF {
		r.state = atEnd
		return true
	}
	return false
}

// hexValue returns the value of a hex digit, -1 for another byte.
func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
