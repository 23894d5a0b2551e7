package exporters

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// appendInt appends n in decimal.
func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// appendValid appends b with each byte that is not UTF-8 replaced by U+FFFD.
func appendValid(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b) // U+FFFD and 1 for a bad byte
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}

// validText returns s as valid UTF-8; for texts that are made once.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string(appendValid(nil, []byte(s)))
}

// hexDigits are lower case, so that an escape stays what it is when a text is made lower case.
const hexDigits = "0123456789abcdef"

// appendHex appends b in lower-case hex.
func appendHex(dst, b []byte) []byte { return hex.AppendEncode(dst, b) }

// appendJSON appends s, valid UTF-8, as a JSON string (RFC 8259 §7), quotes included.
func appendJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		n := plainJSON(s)
		dst = append(dst, s[:n]...)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscape(dst, s[n])
		s = s[n+1:]
	}
}

// plainJSON returns how many bytes at the start of s stand for themselves in a JSON string.
func plainJSON(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	i := 0
	// Eight bytes at once: a high bit in m tells that one of them is a quote, a backslash, below 0x20, or not ASCII. A borrow may mark
	// bytes after the first such one too, never before it, and none when there is no such byte.
	for ; i+8 <= len(s); i += 8 {
		x := load64(s, i)
		m := (x - 0x20*ones) | ((x ^ '"'*ones) - ones) | ((x ^ '\\'*ones) - ones) | x
		if m&highs != 0 {
			break
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// load64 returns the eight bytes of s from i.
func load64(s string, i int) uint64 {
	return uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
		uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
}

// appendEscape appends a byte that may not stand for itself in a JSON string.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendJSONLower is appendJSON of s in lower case.
func appendJSONLower(dst []byte, s string) []byte {
	start := len(dst)
	dst = appendJSON(dst, s)
	for i := start; i < len(dst); i++ {
		c := dst[i]
		if c >= utf8.RuneSelf {
			return appendJSONLowerRunes(dst[:start], s)
		}
		if 'A' <= c && c <= 'Z' {
			dst[i] = c + 'a' - 'A'
		}
	}
	return dst
}

// appendJSONLowerRunes is appendJSONLower for texts that are not ASCII alone.
func appendJSONLowerRunes(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		r = unicode.ToLower(r)
		if r < utf8.RuneSelf && plainJSON(string(r)) == 0 {
			dst = appendEscape(dst, byte(r))
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// appendVarint appends n in base 128, least significant group first (protobuf, Thrift compact).
func appendVarint(dst []byte, n uint64) []byte {
	if n < 0x80 { // nearly always; small enough to be inlined
		return append(dst, byte(n))
	}
	return binary.AppendUvarint(dst, n)
}

// varintLen returns how many bytes appendVarint appends: one for each seven bits begun.
func varintLen(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }
