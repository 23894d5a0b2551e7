package trace

import (
	"bytes"
	"strings"
)

// redacted stands in place of a secret, as OTel's conventions for url.query have it.
const redacted = "REDACTED"

// maxParamName bounds how much of a name is looked at; longer names are taken for secrets.
const maxParamName = 128

// redaction says which values of a query are replaced.
type redaction struct {
	all, open bool     // all of them; not those whose names look like secrets
	names     []string // of these, lower case
}

// setRedact parses RedactQuery.
func (s *Shared) setRedact(c *Config) error {
	for i, name := range c.RedactQuery {
		switch {
		case name == "all" && len(c.RedactQuery) == 1:
			s.redact.all = true
		case name == "none" && i == 0:
			s.redact.open = true
		case name == "all" || name == "none" || name == "" || len(name) > maxParamName:
			return refused("redact-query", name, "must be all, none, or names of at most %d characters", maxParamName)
		default:
			s.redact.names = append(s.redact.names, strings.ToLower(name))
		}
	}
	return nil
}

// hides reports whether the value of a parameter of that name is to be replaced. Names are compared in any case, and with any of
// their characters escaped.
func (r *redaction) hides(name []byte) bool {
	if r.all {
		return true
	}
	if r.open && len(r.names) == 0 {
		return false
	}
	if len(name) > maxParamName {
		return true
	}
	var space [maxParamName]byte
	low := lowerUnescaped(&space, name)
	if !r.open && isSecret(low) {
		return true
	}
	for _, n := range r.names {
		if string(low) == n {
			return true
		}
	}
	return false
}

// append appends the query to dst with the values that are not to be shown replaced, and stops when dst has
// limit bytes or more: what is longer is cut by the record anyway, and a query may be long.
func (r *redaction) append(dst, query []byte, limit int) []byte {
	for len(dst) < limit && len(query) > 0 {
		// Both separators occur in the wild; the semicolon was HTML 4's.
		end := indexSeparator(query)
		pair := query[:end]
		if i := bytes.IndexByte(pair, '='); i >= 0 && r.hides(pair[:i]) {
			dst = append(dst, pair[:min(i, limit)]...)
			dst = append(dst, '=')
			if i+1 < len(pair) {
				dst = append(dst, redacted...)
			}
		} else {
			dst = append(dst, pair[:min(len(pair), limit)]...)
		}
		if end < len(query) {
			dst = append(dst, query[end])
			end++
		}
		query = query[end:]
	}
	return dst
}

// indexSeparator returns where the first parameter ends.
func indexSeparator(q []byte) int {
	for i, c := range q {
		if c == '&' || c == ';' {
			return i
		}
	}
	return len(q)
}

// lowerUnescaped returns the name, at most maxParamName bytes, in lower case and without escapes; it stands in space.
func lowerUnescaped(space *[maxParamName]byte, name []byte) []byte {
	n := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if b, ok := parseHex(name[i+1:i+3], false); ok {
				c, i = byte(b), i+2
			}
		}
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		space[n] = c
		n++
	}
	return space[:n]
}

// isSecret reports whether a parameter's name, in lower case, looks like a secret's.
func isSecret(low []byte) bool {
	switch string(low) {
	case "sig", "auth", "pin", "otp", "sid":
		return true
	}
	for i, c := range low {
		if startsSecret(c, low[i:]) {
			return true
		}
	}
	return false
}

// startsSecret reports whether a lower-case name goes on, from a byte c, with a part that makes it a secret's, wherever the part
// stands. One pass with a branch on the letter: this is done for every parameter of every request.
func startsSecret(c byte, v []byte) bool {
	switch c {
	case 'a':
		return hasPrefix(v, "authorization")
	case 'c':
		return hasPrefix(v, "code") || hasPrefix(v, "credential")
	case 'j':
		return hasPrefix(v, "jwt")
	case 'k':
		return hasPrefix(v, "key")
	case 'p':
		return hasPrefix(v, "passw") || hasPrefix(v, "passphrase") || hasPrefix(v, "pwd")
	case 's':
		return hasPrefix(v, "session") || hasPrefix(v, "signature") || hasPrefix(v, "secret")
	case 't':
		return hasPrefix(v, "token")
	}
	return false
}

func hasPrefix(v []byte, p string) bool { return len(v) >= len(p) && string(v[:len(p)]) == p }
