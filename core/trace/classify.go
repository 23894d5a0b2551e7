package trace

import "bytes"

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isHexDigit(c byte) bool {
	return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f'
}

func hasDigit(v []byte) bool {
	for _, c := range v {
		if isDigit(c) {
			return true
		}
	}
	return false
}

func all(v []byte, is func(byte) bool) bool {
	for _, c := range v {
		if !is(c) {
			return false
		}
	}
	return len(v) > 0
}

// isNumber: digits, perhaps with a sign and a fraction of at least three digits ("52.5200" is a coordinate, "1.2" a version).
func isNumber(v []byte) bool {
	if len(v) > 1 && v[0] == '-' {
		v = v[1:]
	}
	whole, fraction, ok := bytes.Cut(v, dot)
	return all(whole, isDigit) && (!ok || len(fraction) >= 3 && all(fraction, isDigit))
}

// isUUID: 8-4-4-4-12 digits, perhaps in braces (RFC 9562 §4).
func isUUID(v []byte) bool {
	if len(v) == uuidBytes+2 && v[0] == '{' && v[len(v)-1] == '}' {
		v = v[1 : len(v)-1]
	}
	if len(v) != uuidBytes {
		return false
	}
	for i, c := range v {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if !isHexDigit(c) {
			return false
		}
	}
	return true
}

// isDate: YYYY-MM-DD or YYYY-MM, perhaps with a time behind T (RFC 3339 §5.6), colons escaped or not.
func isDate(v []byte) bool {
	if len(v) < 7 || !all(v[:4], isDigit) || v[0] != '1' && v[0] != '2' || v[4] != '-' || !between(v[5:7], 1, 12) {
		return false
	}
	if len(v) == 7 {
		return true
	}
	if len(v) < 10 || v[7] != '-' || !between(v[8:10], 1, 31) {
		return false
	}
	return len(v) == 10 || v[10]|0x20 == 't' && len(v) > 11 && isDigit(v[11])
}

// between reports whether two digits stand for lo to hi.
func between(v []byte, lo, hi byte) bool {
	if !isDigit(v[0]) || !isDigit(v[1]) {
		return false
	}
	n := (v[0]-'0')*10 + v[1] - '0'
	return lo <= n && n <= hi
}

// isIPv4: four numbers up to 255.
func isIPv4(v []byte) bool {
	dots, n, digits := 0, 0, 0
	for _, c := range v {
		switch {
		case isDigit(c):
			n, digits = n*10+int(c-'0'), digits+1
			if n > 255 || digits > 3 {
				return false
			}
		case c == '.' && digits > 0:
			dots, n, digits = dots+1, 0, 0
		default:
			return false
		}
	}
	return dots == 3 && digits > 0
}

// isEmail: something, @ (also escaped), and a domain with a dot in it.
func isEmail(v []byte) bool {
	at, n := bytes.IndexByte(v, '@'), 1
	if at < 0 {
		if at, n = bytes.Index(v, escapedAt), len(escapedAt); at < 0 {
			return false
		}
	}
	domain := v[at+n:]
	d := bytes.LastIndexByte(domain, '.')
	return at > 0 && d > 0 && d < len(domain)-2 && all(domain[d+1:], isLetter)
}

var escapedAt = []byte("%40")

// minHex is how many hexadecimal digits make an identifier: a short git hash has seven, but so have words like "defaced".
const minHex = 8

// isHex: hexadecimal digits with at least one decimal digit among them, so that words are not taken for
// numbers; perhaps 0x in front.
func isHex(v []byte) bool {
	if len(v) > 2 && v[0] == '0' && v[1]|0x20 == 'x' {
		return all(v[2:], isHexDigit)
	}
	return len(v) >= minHex && all(v, isHexDigit) && hasDigit(v)
}

// minRandom is the length from which text that looks random is an identifier.
const minRandom = 12

// isRandom: letters, digits, dashes and underscores (base64url, base58, base32, nanoid, …) that change between lower case, upper
// case and digits as words do not. CamelCase and slugs with a number change seldom; random text changes about every second
// character.
func isRandom(v []byte) bool {
	if len(v) < minRandom {
		return false
	}
	changes, digits, marks := 0, 0, 0
	last := byte(0)
	for i, c := range v {
		class := byte(0)
		switch {
		case isDigit(c):
			class = 'd'
			digits++
		case 'a' <= c && c <= 'z':
			class = 'l'
		case 'A' <= c && c <= 'Z':
			class = 'u'
		case c == '-' || c == '_':
			marks++
			class = 0
		case c == '=' && i >= len(v)-2:
			class = last
		default:
			return false
		}
		// A capital before a small letter is how words begin.
		if class != 0 && last != 0 && class != last && !(last == 'u' && class == 'l') {
			changes++
		}
		last = class
	}
	if marks > 0 {
		// Slugs have marks between words; base64url has few, and much else.
		return len(v) >= 20 && marks*8 <= len(v) && changes*5 >= len(v) && digits > 0
	}
	return changes*5 >= len(v) && changes >= 3 && (digits > 0 || changes*4 >= len(v) && len(v) >= 16)
}
