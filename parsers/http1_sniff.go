package parsers

import "bytes"

// maxMethodBytes bounds a method: registered ones have up to 17 bytes (UPDATEREDIRECTREF), and beyond it text is more likely than HTTP.
const maxMethodBytes = 32

// maxEmptyLines bounds the empty lines before a request line. RFC 9112 §2.2 asks to ignore at least one.
const maxEmptyLines = 4

// sniffWindow bounds the search for the version in a target that does not look like HTTP's. Authorities and text commands are
// shorter.
const sniffWindow = 1024

// sniffHTTP1 recognises a request line, after empty lines. A method and a target that begins like a path or an http URL suffice, so
// that a slow or long line is observed from its first byte; other targets (CONNECT's, OPTIONS *, and the arguments of text
// protocols such as memcached, Redis, IMAP) need a version on their line.
func sniffHTTP1(first []byte) Verdict {
	i := 0
	for empty := 0; i < len(first) && first[i] == '\r'; empty++ {
		if empty == maxEmptyLines {
			return No
		}
		if i+1 == len(first) {
			return More
		}
		if first[i+1] != '\n' {
			return No
		}
		i += 2
	}
	method := i
	for i < len(first) && class[first[i]]&isToken != 0 {
		if i++; i-method > maxMethodBytes {
			return No
		}
	}
	if i == len(first) {
		return More
	}
	if first[i] != ' ' || i == method {
		return No
	}
	return sniffTarget(first[i+1:])
}

// sniffTarget decides by what follows the method.
func sniffTarget(rest []byte) Verdict {
	if len(rest) == 0 {
		return More
	}
	if rest[0] == '/' || hasPrefixFold(rest, "http://") || hasPrefixFold(rest, "https://") {
		return Yes
	}
	window := rest[:min(len(rest), sniffWindow)]
	line := window
	lf := bytes.IndexByte(window, '\n')
	if lf >= 0 {
		line = window[:lf]
	}
	switch {
	case bytes.Contains(line, []byte(" HTTP/1.")):
		return Yes
	case lf >= 0 || len(window) == sniffWindow:
		return No
	}
	return More
}

// hasPrefixFold reports whether b begins with lower, ASCII letters compared without case.
func hasPrefixFold(b []byte, lower string) bool {
	return len(b) >= len(lower) && equalFold(b[:len(lower)], lower)
}

// equalFold reports whether b is lower but for the case of ASCII letters. lower holds no upper-case letter.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
