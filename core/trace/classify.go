package trace

import (
	"bytes"
	"net/netip"
)

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

// isDate: YYYY-MM-DD or YYYY-MM, perhaps with a time behind T, an underscore or a space (RFC 3339 §5.6), colons and space escaped or not.
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
	if len(v) == 10 {
		return true
	}
	time := v[11:]
	if v[10] == '%' && bytes.HasPrefix(time, escapedSpace) {
		time = time[len(escapedSpace):]
	} else if v[10]|0x20 != 't' && v[10] != '_' && v[10] != ' ' && v[10] != '+' {
		return false
	}
	return len(time) > 0 && isDigit(time[0]) && all(time, isTimeByte)
}

// isTimeByte reports whether c occurs in a time and its offset, colons and plus escaped or not; not in an extension of a file.
func isTimeByte(c byte) bool {
	return isDigit(c) || bytes.IndexByte(timeMarks, c) >= 0
}

var timeMarks = []byte(":.+-_,Zz%AaBb")

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
	if d == 2 && isDigit(domain[0]) && domain[1] == 'x' {
		return false // "logo@2x.png"
	}
	return at > 0 && d > 0 && d < len(domain)-2 && all(domain[d+1:], isLetter)
}

var (
	escapedAt    = []byte("%40")
	escapedSpace = []byte("20")
)

// isMAC: six pairs of hexadecimal digits with colons or dashes between them.
func isMAC(v []byte) bool {
	if len(v) != 17 || v[2] != ':' && v[2] != '-' {
		return false
	}
	for i, c := range v {
		if i%3 == 2 && c != v[2] || i%3 != 2 && !isHexDigit(c) {
			return false
		}
	}
	return true
}

// minIPv6Colons tells addresses from other text with colons in it, which is not worth a parser's look.
const minIPv6Colons = 2

// isIPv6: an address as RFC 4291 §2.2 writes it.
func isIPv6(v []byte) bool {
	if len(v) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") || bytes.Count(v, colon) < minIPv6Colons {
		return false
	}
	a, err := netip.ParseAddr(string(v))
	return err == nil && a.Is6()
}

// minSpacedDigits is how many digits make an identifier when marks stand between them: a period of two years has eight.
const minSpacedDigits = 9

// isSpacedNumber: digits with marks between them, as telephone numbers, coordinates and times have.
func isSpacedNumber(v []byte) bool {
	digits := 0
	for _, c := range v {
		switch {
		case isDigit(c):
			digits++
		case bytes.IndexByte(numberMarks, c) < 0:
			return false
		}
	}
	return digits >= minSpacedDigits
}

var numberMarks = []byte("-+.,:_~")

// isJWT: a JSON Web Token, three parts in base64url of which the first begins with {" (RFC 7519 §3).
func isJWT(v []byte) bool {
	if len(v) < 30 || !bytes.HasPrefix(v, jwtStart) || bytes.Count(v, dot) != 2 {
		return false
	}
	return all(v, func(c byte) bool { return isDigit(c) || isLetter(c) || c == '-' || c == '_' || c == '.' })
}

var jwtStart = []byte("eyJ")

// minHex is how many hexadecimal digits make an identifier. A short git hash has one less; it must look more like one.
const minHex = 8

// isHex: hexadecimal digits with decimal digits among them, so that words are not taken for numbers, nor a word with a year behind
// it; perhaps 0x in front.
func isHex(v []byte) bool {
	if len(v) > 2 && v[0] == '0' && v[1]|0x20 == 'x' {
		return all(v[2:], isHexDigit)
	}
	if len(v) < minHex-1 || !all(v, isHexDigit) {
		return false
	}
	digits, changes := 0, 0
	for i, c := range v {
		if isDigit(c) {
			digits++
		}
		if i > 0 && isDigit(c) != isDigit(v[i-1]) {
			changes++
		}
	}
	if len(v) < minHex {
		return digits >= 2 && changes >= 2 // "feb2024" has one change
	}
	if n := len(v) - 4; changes == 1 && digits == 4 && isDigit(v[n]) && (v[n] == '1' && v[n+1] == '9' || v[n] == '2' && v[n+1] == '0') {
		return false // "decade1990"
	}
	return digits > 0 && digits < len(v)
}
