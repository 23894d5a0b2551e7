package parsers

import (
	"bytes"
	"encoding/binary"
	"math"
)

// This file is the meaning of the header lines that frame messages or end connections. It decides nothing.

// notes is what one head's lines said. It lives for one Feed.
type notes struct {
	length    int64  // Content-Length, when lengths == 1 and not badLength
	host      Range  // the value of the first Host
	hosts     uint16 // how many Host lines
	lengths   uint16 // how many Content-Length lines
	encodings uint16 // how many Transfer-Encoding lines
	lines     uint16 // how many header lines were begun

	// Of all Transfer-Encoding lines, as one list (RFC 9110 §5.3).
	chunked     uint16 // how often chunked is in it
	lastChunked bool   // chunked is its last member
	other       bool   // something else than one bare chunked is in it
	empty       bool   // it has an empty member

	badLength bool // a Content-Length that is not 1*DIGIT below 2^63
	close     bool // Connection: close
	keepAlive bool // Connection: keep-alive
	upgrade   bool // Upgrade is present
	expect    bool // Expect is present
	lookalike bool // a name that CGI's naming takes for that of a framing field
	tabbed    bool // a tab stands around the value of a framing field

	bad Reason // why the head is not HTTP/1
}

// matters has a bit for the length of each name that field knows.
const matters = 1<<len("host") | 1<<len("expect") | 1<<len("upgrade") | 1<<len("connection") | 1<<len("content-length") |
	1<<len("transfer-encoding")

// field notes one header line of data: name, colon, white space, data[lo:hi], white space, CRLF. The name's length tells most lines apart
// without looking at the name.
func (n *notes) field(name, data []byte, lo, hi int) {
	switch len(name) {
	case len("host"):
		if fold4(name) == 'h'|'o'<<8|'s'<<16|'t'<<24 {
			if n.hosts == 0 {
				n.host = Range{uint32(lo), uint32(hi)}
			}
			n.hosts++
		}
	case len("expect"):
		n.expect = n.expect || equalFold(name, "expect")
	case len("upgrade"):
		n.upgrade = n.upgrade || equalFold(name, "upgrade")
	case len("connection"):
		if fold8(name) == 'c'|'o'<<8|'n'<<16|'n'<<24|'e'<<32|'c'<<40|'t'<<48|'i'<<56 && equalFold(name[8:], "on") {
			n.connection(data[lo:hi])
		}
	case len("content-length"):
		if fold8(name[6:]) == 't'|'-'<<8|'l'<<16|'e'<<24|'n'<<32|'g'<<40|'t'<<48|'h'<<56 && equalFold(name[:6], "conten") {
			n.contentLength(data[lo:hi])
			n.around(data, lo, hi)
		} else if name[len("content")] == '_' {
			n.lookalike = n.lookalike || equalFold(name[:len("content")], "content") && equalFold(name[len("content_"):], "length")
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			n.transferEncoding(data[lo:hi])
			n.around(data, lo, hi)
		} else if name[len("transfer")] == '_' {
			n.lookalike = n.lookalike || equalFold(name[:len("transfer")], "transfer") && equalFold(name[len("transfer_"):], "encoding")
		}
	}
}

// fold4 returns the first four bytes of a token as a little-endian number, letters in lower case. Among the bytes of tokens, setting
// bit 5 maps nothing but the upper-case letter to a lower-case one, and nothing but the hyphen to the hyphen.
func fold4(token []byte) uint32 { return binary.LittleEndian.Uint32(token) | 0x20202020 }

// fold8 is fold4 for eight bytes.
func fold8(token []byte) uint64 { return binary.LittleEndian.Uint64(token) | lanes20 }

// connection notes the options of a Connection line that end or keep the connection (RFC 9110 §7.6.1).
func (n *notes) connection(value []byte) {
	for len(value) > 0 {
		option := value
		if comma := bytes.IndexByte(value, ','); comma >= 0 {
			option, value = value[:comma], value[comma+1:]
		} else {
			value = nil
		}
		switch option = trim(option); len(option) {
		case len("close"):
			n.close = n.close || equalFold(option, "close")
		case len("keep-alive"):
			n.keepAlive = n.keepAlive || equalFold(option, "keep-alive")
		}
	}
}

// contentLength notes a Content-Length line: 1*DIGIT, and no overflow (RFC 9110 §8.6).
func (n *notes) contentLength(value []byte) {
	n.lengths++
	length := int64(0)
	for _, c := range value {
		digit := int64(c) - '0'
		if digit < 0 || digit > 9 || length > (math.MaxInt64-digit)/10 {
			n.badLength = true
			return
		}
		length = length*10 + digit
	}
	n.badLength = n.badLength || len(value) == 0
	n.length = length
}

// transferEncoding notes a Transfer-Encoding line (RFC 9112 §6.1). Empty members count for nothing but are noted (RFC 9110
// §5.6.1.2). A quoted parameter could hide a comma, so a list with a quotation mark never counts as ending in chunked.
func (n *notes) transferEncoding(value []byte) {
	n.encodings++
	if n.encodings == 1 && equalFold(value, "chunked") {
		n.chunked, n.lastChunked = 1, true
		return
	}
	n.other = true
	if bytes.IndexByte(value, '"') >= 0 {
		n.chunked = 2
		return
	}
	for more := true; more; {
		var coding []byte
		coding, value, more = bytes.Cut(value, []byte{','})
		if coding = trim(coding); len(coding) == 0 {
			n.empty = true
			continue
		}
		if n.lastChunked = equalFold(coding, "chunked"); n.lastChunked {
			n.chunked++
		}
	}
}

// around notes whether a tab stands around the value data[lo:hi] of a framing field: legal white space (RFC 9110 §5.5), for which nginx and Node.js
// refuse the request.
func (n *notes) around(data []byte, lo, hi int) {
	for lo--; data[lo] != ':'; lo-- {
		n.tabbed = n.tabbed || data[lo] == '\t'
	}
	for ; data[hi] != '\r'; hi++ {
		n.tabbed = n.tabbed || data[hi] == '\t'
	}
}

// finalChunked reports whether chunked is the last transfer coding and applied once.
func (n *notes) finalChunked() bool { return n.chunked == 1 && n.lastChunked }

// trim returns b without the white space around it.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
