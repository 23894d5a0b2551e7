package trace

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// foldRule is a rule of the settings.
type foldRule struct {
	re *regexp.Regexp
	by []byte
}

// parseFoldRule reads REGEXP[=>REPLACEMENT].
func parseFoldRule(text string) (foldRule, error) {
	expr, by, ok := strings.Cut(text, "=>")
	re, err := regexp.Compile(expr)
	if err != nil || expr == "" {
		return foldRule{}, refused("fold-path", text, "must be REGEXP or REGEXP=>REPLACEMENT in RE2 syntax: %v", orEmpty(err))
	}
	if !ok {
		by = "{id}"
		if strings.HasPrefix(expr, "/") {
			by = "/{id}"
		}
	}
	if by != "" && !isVisible(by) {
		return foldRule{}, refused("fold-path", text, "the replacement must be visible ASCII")
	}
	return foldRule{re: re, by: []byte(by)}, nil
}

func orEmpty(err error) error {
	if err == nil {
		return fmt.Errorf("the expression is empty")
	}
	return err
}

// appendFolded appends the path (at most maxFoldBytes) to dst with its identifiers folded: by the rules of the settings, in their
// order, then by the fixed ones. It allocates only when an expression matches.
func (s *Shared) appendFolded(dst, path []byte) []byte {
	for i := range s.rules {
		if s.rules[i].re.Match(path) {
			path = s.rules[i].re.ReplaceAll(path, s.rules[i].by)
			path = path[:min(len(path), maxFoldBytes)]
		}
	}
	if !s.autoFold {
		return append(dst, path...)
	}
	for {
		i := bytes.IndexByte(path, '/')
		if i < 0 {
			return appendSegment(dst, path)
		}
		dst = append(appendSegment(dst, path[:i]), '/')
		path = path[i+1:]
	}
}

// appendSegment appends one segment of a path, folded: as a whole when it is an identifier, else part by part.
func appendSegment(dst, seg []byte) []byte {
	if i := bytes.IndexByte(seg, ';'); i >= 0 {
		seg = seg[:i] // path parameters are seldom part of an operation, and often a session
	}
	if name := classify(seg); name != "" {
		return append(dst, name...)
	}
	// What a rule has put in stays, too ("{v2}").
	if len(seg) == 0 || seg[0] == '{' || !hasDigit(seg) && len(seg) < minRandomLetters {
		return append(dst, seg...)
	}
	if n := isTicket(seg); n > 0 {
		return append(append(dst, seg[:n]...), "{id}"...)
	}
	return appendParts(dst, seg)
}

// classify returns what to call a segment that is an identifier as a whole; "" if it is none. The order matters: the more
// special first.
func classify(seg []byte) string {
	switch {
	case isNumber(seg):
		return "{id}"
	case isUUID(seg):
		return "{uuid}"
	case isDate(seg):
		return "{date}"
	case isIPv4(seg), isIPv6(seg):
		return "{ip}"
	case isMAC(seg):
		return "{mac}"
	case isSpacedNumber(seg):
		return "{id}"
	case isEmail(seg):
		return "{email}"
	case isHex(seg):
		return "{hex}"
	case isRandom(seg), isJWT(seg):
		return "{token}"
	}
	return ""
}

// isTicket returns the length of the prefix of a segment such as PROJ-1234, dash included; 0 for others.
func isTicket(v []byte) int {
	i := bytes.IndexByte(v, '-')
	const least = 3 // digits; UTF-8 and MP-3 are names
	if i < 2 || i > 10 || len(v)-i-1 < least || !all(v[:i], func(c byte) bool { return 'A' <= c && c <= 'Z' }) || !all(v[i+1:], isDigit) {
		return 0
	}
	return i + 1
}

// minLongDigits is how many digits in a row make an identifier within other text: a year has four.
const minLongDigits = 5

// partMarks separate the parts of a segment that is no identifier as a whole. Dashes and underscores separate, too, but also stand within
// parts, as in base64url.
const partMarks = ".~:,=@+!()'"

// appendParts folds within a segment: parts between marks are looked at on their own ("12345.png", "app.3f2a9c1b.js",
// "cus_NffrFeUfNV2Hib", "Users(42)"). Short numbers stay: they are versions, years and sizes, unless they are a whole file name or
// key.
func appendParts(dst, seg []byte) []byte {
	for before := byte(0); ; {
		if name, n := prefix(seg); n > 0 {
			dst, seg = append(dst, name...), seg[n:]
		}
		i := bytes.IndexAny(seg, partMarks)
		part, after := seg, byte(0)
		if i >= 0 {
			part, after = seg[:i], seg[i]
		}
		switch {
		case isHex(part):
			dst = append(dst, "{hex}"...)
		case isRandom(part):
			dst = append(dst, "{token}"...)
		case isNumber(part) && (before == 0 && after == '.' && !digitAfter(seg[i:]) || isKey(before, after)):
			dst = append(dst, "{id}"...)
		default:
			dst = appendWords(dst, part)
		}
		if i < 0 {
			return dst
		}
		dst, before = append(dst, after), after
		seg = seg[i+1:]
	}
}

// prefix returns what to call the identifier that v begins with, and its length, for those that have marks of their own in them; 0: none.
func prefix(v []byte) (name string, n int) {
	switch {
	case len(v) >= uuidBytes && isUUID(v[:uuidBytes]) && !goesOn(v[uuidBytes:]):
		return "{uuid}", uuidBytes
	case len(v) >= dateBytes && isDate(v[:dateBytes]):
		n = dateBytes + timeLen(v[dateBytes:])
		if !goesOn(v[n:]) {
			return "{date}", n
		}
	}
	return "", 0
}

const dateBytes = len("2006-01-02")

// timeLen returns the length of the time that v begins with, as it follows a date in the name of a file: T10-00-00Z, _103000.
func timeLen(v []byte) int {
	if len(v) < 2 || v[0]|0x20 != 't' && v[0] != '_' || !isDigit(v[1]) {
		return 0
	}
	n := 1
	for n < len(v) && (isDigit(v[n]) || n+1 < len(v) && (v[n] == '-' || v[n] == ':') && isDigit(v[n+1])) {
		n++
	}
	if n < len(v) && v[n]|0x20 == 'z' {
		n++
	}
	return n
}

// goesOn reports whether v goes on with a letter or a digit.
func goesOn(v []byte) bool { return len(v) > 0 && (isDigit(v[0]) || isLetter(v[0])) }

// isKey reports whether the marks around a number are those of a key: Users(42), id=42.
func isKey(before, after byte) bool {
	return (before == '(' || before == '=') && (after == 0 || after == ')' || after == ',')
}

// digitAfter reports whether a digit follows the separator that seg begins with.
func digitAfter(seg []byte) bool { return len(seg) > 1 && isDigit(seg[1]) }

// appendWords appends a part, folding between its dashes and underscores.
func appendWords(dst, part []byte) []byte {
	for behind := false; ; { // behind: only small letters, and an underscore, have been before
		if name, n := prefix(part); n > 0 {
			dst, part = append(dst, name...), part[n:]
		}
		i := bytes.IndexAny(part, "-_")
		word := part
		if i >= 0 {
			word = part[:i]
		}
		switch {
		case isHex(word):
			dst = append(dst, "{hex}"...)
		case isRandom(word), behind && isPrefixed(word):
			dst = append(dst, "{token}"...)
		default:
			dst = appendDigits(dst, word)
		}
		if i < 0 {
			return dst
		}
		behind = part[i] == '_' && len(word) > 1 && all(word, func(c byte) bool { return 'a' <= c && c <= 'z' })
		dst = append(dst, part[i])
		part = part[i+1:]
	}
}

// appendDigits appends part with each long row of digits folded.
func appendDigits(dst, part []byte) []byte {
	for len(part) > 0 {
		n := 0
		for n < len(part) && isDigit(part[n]) {
			n++
		}
		if n >= minLongDigits {
			dst = append(dst, "{id}"...)
		} else {
			dst = append(dst, part[:n]...)
		}
		part = part[n:]
		n = 0
		for n < len(part) && !isDigit(part[n]) {
			n++
		}
		dst = append(dst, part[:n]...)
		part = part[n:]
	}
	return dst
}
