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
		return foldRule{}, fmt.Errorf("fold-path %q: must be REGEXP or REGEXP=>REPLACEMENT in RE2 syntax: %w", text, orEmpty(err))
	}
	if !ok {
		by = "{id}"
		if strings.HasPrefix(expr, "/") {
			by = "/{id}"
		}
	}
	if by != "" && !isVisible(by) {
		return foldRule{}, fmt.Errorf("fold-path %q: the replacement must be visible ASCII", text)
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
	if !hasDigit(seg) || seg[0] == '{' {
		return append(dst, seg...)
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
	case isIPv4(seg):
		return "{ip}"
	case isEmail(seg):
		return "{email}"
	case isHex(seg):
		return "{hex}"
	case isRandom(seg):
		return "{token}"
	}
	return ""
}

// minLongDigits is how many digits in a row make an identifier within other text: a year has four.
const minLongDigits = 5

// appendParts folds within a segment: parts between dots, dashes, underscores and the like are looked at on their own
// ("12345.png", "app.3f2a9c1b.js", "order-12345", "cus_NffrFeUfNV2Hib"). Short numbers stay: they are versions, years and sizes,
// unless they are a whole file name.
func appendParts(dst, seg []byte) []byte {
	for first := true; ; first = false {
		i := bytes.IndexAny(seg, ".-_~:,=@+!")
		part := seg
		if i >= 0 {
			part = seg[:i]
		}
		switch {
		case isHex(part):
			dst = append(dst, "{hex}"...)
		case isRandom(part):
			dst = append(dst, "{token}"...)
		case first && i >= 0 && seg[i] == '.' && isNumber(part) && !digitAfter(seg[i:]):
			dst = append(dst, "{id}"...)
		default:
			dst = appendDigits(dst, part)
		}
		if i < 0 {
			return dst
		}
		dst = append(dst, seg[i])
		seg = seg[i+1:]
	}
}

// digitAfter reports whether a digit follows the separator that seg begins with.
func digitAfter(seg []byte) bool { return len(seg) > 1 && isDigit(seg[1]) }

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
