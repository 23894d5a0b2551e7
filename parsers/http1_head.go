package parsers

import (
	"encoding/binary"
	"math/bits"
)

// This file is the syntax of header lines (RFC 9112 §5), strict: no fold, no bare LF, no white space before the colon. A head
// that is whole in one read is parsed in one pass. One that straddles reads is first walked by scan, which remembers its place
// between reads and stops at the first byte that cannot be; once it has seen the end, the one pass runs over the whole head. So no
// byte is looked at more than twice, and both see the same errors at the same bytes.

const (
	// maxHeadBytes bounds what is kept of an incomplete head; beyond it the connection is relayed unobserved.
	maxHeadBytes = 64 << 10
	// maxHeadFields bounds the header lines of an observed head.
	maxHeadFields = 256
	// maxEditBytes leaves 1 KiB for inserted lines below the 8 KiB at which common servers refuse a head (nginx's
	// large_client_header_buffers, Apache's LimitRequestLine): an edit must not be what crosses it.
	maxEditBytes = 7 << 10
	// maxEditFields leaves room below the limit of 100 header lines that common servers have (Apache's LimitRequestFields).
	maxEditFields = 95
)

// The classes of bytes in a head.
const (
	isToken  = 1 << iota // RFC 9110 §5.6.2 tchar
	isTarget             // visible, or ≥ 0x80: raw UTF-8 in targets is common and frames alike everywhere
)

// class is indexed by byte. Nothing writes to it.
var class = [256]uint8{
	'!': 3, '"': 2, '#': 3, '$': 3, '%': 3, '&': 3, '\'': 3, '(': 2, ')': 2, '*': 3, '+': 3, ',': 2, '-': 3, '.': 3, '/': 2,
	'0': 3, '1': 3, '2': 3, '3': 3, '4': 3, '5': 3, '6': 3, '7': 3, '8': 3, '9': 3, ':': 2, ';': 2, '<': 2, '=': 2, '>': 2, '?': 2,
	'@': 2, 'A': 3, 'B': 3, 'C': 3, 'D': 3, 'E': 3, 'F': 3, 'G': 3, 'H': 3, 'I': 3, 'J': 3, 'K': 3, 'L': 3, 'M': 3, 'N': 3, 'O': 3,
	'P': 3, 'Q': 3, 'R': 3, 'S': 3, 'T': 3, 'U': 3, 'V': 3, 'W': 3, 'X': 3, 'Y': 3, 'Z': 3, '[': 2, '\\': 2, ']': 2, '^': 3, '_': 3,
	'`': 3, 'a': 3, 'b': 3, 'c': 3, 'd': 3, 'e': 3, 'f': 3, 'g': 3, 'h': 3, 'i': 3, 'j': 3, 'k': 3, 'l': 3, 'm': 3, 'n': 3, 'o': 3,
	'p': 3, 'q': 3, 'r': 3, 's': 3, 't': 3, 'u': 3, 'v': 3, 'w': 3, 'x': 3, 'y': 3, 'z': 3, '{': 2, '|': 3, '}': 2, '~': 3,
	0x80: 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
	2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
}

// scanState is where in a head, or in trailers, the walk stands: what the next byte must be.
type scanState uint8

// The states. Those of a start line's fixed texts are followed by one per byte of the text.
const (
	scanLine    scanState = iota // the first byte of a header line, or the CR of the empty line
	scanName                     // within a field name
	scanValue                    // behind the colon, or within a reason phrase
	scanLineLF                   // the LF of a line
	scanEndLF                    // the LF of the empty line
	scanDone                     // behind the empty line
	scanBad                      // not HTTP/1; the reason was given
	scanMethod                   // within the method; the one pass has seen its first byte
	scanTarget                   // the target's first byte
	scanTarget1                  // within the target
	scanVersion                  // + k: the byte k of requestVersion
	scanStatus  = scanVersion + scanState(len(requestVersion))
	// scanStatus + k: the byte k of statusLine; behind it, what separates the status from the reason.
)

// The fixed shapes in start lines; 'd' stands for a digit, 's' for a digit from 1 to 5.
const (
	requestVersion = "HTTP/1.d\r\n"
	statusLine     = "HTTP/1.d sdd"
)

// scan is the place of the walk through a head that straddles reads, or through trailers.
type scan struct {
	pos    uint32 // bytes of the head walked so far
	lines  uint16 // header lines begun so far
	method uint8  // bytes of the method so far
	state  scanState
}

// nameError says what is wrong with byte c within a field name, or where a header line begins.
func nameError(c byte, first bool) Reason {
	switch {
	case c == '\n':
		return ReasonBareLF
	case first && (c == ' ' || c == '\t'):
		// obs-fold (RFC 9112 §5.2), or white space before the first header line (§2.2).
		return ReasonFold
	case c < ' ' && c != '\t' && c != '\r' || c == 0x7f:
		return ReasonControl
	}
	// A line without a colon among them: its CR is met within the name.
	return ReasonFieldName
}

// valueError says what is wrong with control byte c in a value.
func valueError(c byte) Reason {
	if c == '\n' {
		return ReasonBareLF
	}
	return ReasonControl
}

// fields parses header lines from data[i:], appends them to out.Fields and notes those that matter. It returns scanDone and the
// offset behind the head's last byte; or the state in which data ended, n.lines being the lines begun; or scanBad with n.bad set.
// Unless done, out.Fields is as before.
func (n *notes) fields(data []byte, i int, out *Output) (int, scanState) {
	base := len(out.Fields)
	fields := out.Fields
	state := scanLine
	for i < len(data) {
		name := i
		if data[i] == '\r' {
			if i++; i == len(data) {
				state = scanEndLF
				break
			}
			if data[i] != '\n' {
				return n.fail(ReasonBareCR)
			}
			out.Fields = fields
			return i + 1, scanDone
		}
		if len(fields)-base == maxHeadFields {
			return n.fail(ReasonFieldCount)
		}
		n.lines++
		for i < len(data) && class[data[i]]&isToken != 0 {
			i++
		}
		if i == len(data) {
			state = scanName
			break
		}
		if data[i] != ':' || i == name {
			return n.fail(nameError(data[i], i == name))
		}
		colon := i
		for i++; i < len(data) && (data[i] == ' ' || data[i] == '\t'); {
			i++
		}
		value := i
		if i = control(data, i); i == len(data) {
			state = scanValue
			break
		}
		if data[i] != '\r' {
			return n.fail(valueError(data[i]))
		}
		end := i
		if i++; i == len(data) {
			state = scanLineLF
			break
		}
		if data[i] != '\n' {
			return n.fail(ReasonBareCR)
		}
		i++
		for end > value && (data[end-1] == ' ' || data[end-1] == '\t') {
			end--
		}
		fields = append(fields, Field{
			Line:  Range{uint32(name), uint32(i)},
			Name:  Range{uint32(name), uint32(colon)},
			Value: Range{uint32(value), uint32(end)},
		})
		if matters>>(uint(colon-name)&63)&1 != 0 {
			n.field(data[name:colon], data, value, end)
		}
	}
	out.Fields = fields[:base] // what it has grown stays
	return i, state
}

// fail notes why the head is not HTTP/1.
func (n *notes) fail(r Reason) (int, scanState) {
	n.bad = r
	return 0, scanBad
}

// Eight lanes of one byte each.
const (
	lanes01 = 0x0101010101010101
	lanes20 = 0x20 * lanes01
	lanes5f = 0x5f * lanes01
	lanes60 = 0x60 * lanes01
	lanes7f = 0x7f * lanes01
	lanes80 = 0x80 * lanes01
)

// controls returns a word whose lanes have the high bit set where x has a byte below 0x20 or 0x7f. No lane carries into the next.
func controls(x uint64) uint64 {
	low := x & lanes7f
	return (^(low + lanes60) | (low + lanes01)) & ^x & lanes80
}

// control returns the offset of the first control byte other than HTAB in data[i:], or len(data). Values are mostly too short to pay
// for a call to bytes.IndexByte, which moreover sees one byte value only, so eight bytes are tested at a time, and in long values
// thirty-two.
func control(data []byte, i int) int {
	for long := i + 128; i+8 <= len(data); {
		hit := controls(binary.LittleEndian.Uint64(data[i:]))
		if hit == 0 {
			if i += 8; i >= long {
				i = plain(data, i)
				long = len(data)
			}
			continue
		}
		if i += bits.TrailingZeros64(hit) >> 3; data[i] != '\t' {
			return i
		}
		i++
	}
	for i < len(data) && (data[i] >= ' ' && data[i] != 0x7f || data[i] == '\t') {
		i++
	}
	return i
}

// plain returns an offset up to which data[i:] holds no control byte, in steps of thirty-two bytes.
func plain(data []byte, i int) int {
	for ; i+32 <= len(data); i += 32 {
		d := data[i : i+32]
		a, b := binary.LittleEndian.Uint64(d), binary.LittleEndian.Uint64(d[8:])
		c, e := binary.LittleEndian.Uint64(d[16:]), binary.LittleEndian.Uint64(d[24:])
		if controls(a)|controls(b)|controls(c)|controls(e) != 0 {
			break
		}
	}
	return i
}

// blank returns the offset of the first byte in data[i:] that is a space or a control byte, or len(data).
func blank(data []byte, i int) int {
	for i+8 <= len(data) {
		x := binary.LittleEndian.Uint64(data[i:])
		low := x & lanes7f
		if hit := (^(low + lanes5f) | (low + lanes01)) & ^x & lanes80; hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
		i += 8
	}
	for i < len(data) && class[data[i]]&isTarget != 0 {
		i++
	}
	return i
}

// walk looks at data[i:] from state s.state on and returns the offset behind what it looked at: the end of the head
// (scanDone), the byte that cannot be (scanBad, with the reason), or len(data).
func (s *scan) walk(data []byte, i int) (int, Reason) {
	for ; i < len(data); i++ {
		c := data[i]
		switch s.state {
		case scanLine:
			if c == '\r' {
				s.state = scanEndLF
				continue
			}
			if s.lines == maxHeadFields {
				return s.fail(i, ReasonFieldCount)
			}
			if class[c]&isToken == 0 {
				return s.fail(i, nameError(c, true))
			}
			s.lines++
			s.state = scanName
		case scanName:
			if c == ':' {
				s.state = scanValue
			} else if class[c]&isToken == 0 {
				return s.fail(i, nameError(c, false))
			}
		case scanValue:
			if i = control(data, i); i == len(data) {
				return i, ReasonNone
			}
			if data[i] != '\r' {
				return s.fail(i, valueError(data[i]))
			}
			s.state = scanLineLF
		case scanLineLF, scanEndLF:
			if c != '\n' {
				return s.fail(i, ReasonBareCR)
			}
			if s.state == scanEndLF {
				s.state = scanDone
				return i + 1, ReasonNone
			}
			s.state = scanLine
		default:
			if r := s.startLine(c); r != ReasonNone {
				return s.fail(i, r)
			}
		}
	}
	return i, ReasonNone
}

// fail ends the walk at data[i].
func (s *scan) fail(i int, r Reason) (int, Reason) {
	s.state = scanBad
	return i, r
}

// startLine takes one byte of a start line. It returns ReasonNone, or why the byte cannot be.
func (s *scan) startLine(c byte) Reason {
	switch {
	case s.state == scanMethod:
		if c == ' ' {
			s.state = scanTarget
		} else if class[c]&isToken == 0 || s.method == maxMethodBytes {
			return methodError(c)
		}
		s.method++
	case s.state == scanTarget:
		if class[c]&isTarget == 0 {
			return targetError(c)
		}
		s.state = scanTarget1
	case s.state == scanTarget1:
		if c == ' ' {
			s.state = scanVersion
		} else if class[c]&isTarget == 0 {
			return targetError(c)
		}
	case s.state < scanStatus:
		k := int(s.state - scanVersion)
		if !matches(c, requestVersion[k]) {
			return versionError(c, k)
		}
		if s.state++; k == len(requestVersion)-1 {
			s.state = scanLine
		}
	default:
		k := int(s.state - scanStatus)
		if k == len(statusLine) {
			return s.afterStatus(c)
		}
		if !matches(c, statusLine[k]) {
			return statusError(c)
		}
		s.state++
	}
	return ReasonNone
}

// afterStatus takes the byte behind the status.
func (s *scan) afterStatus(c byte) Reason {
	switch c {
	case ' ':
		s.state = scanValue
	case '\r':
		s.state = scanLineLF
	default:
		return statusError(c)
	}
	return ReasonNone
}

// matches reports whether c may stand where a fixed shape has want.
func matches(c, want byte) bool {
	switch want {
	case 'd':
		return '0' <= c && c <= '9'
	case 's':
		return '1' <= c && c <= '5'
	}
	return c == want
}
