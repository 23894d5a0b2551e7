package trace

import (
	"bytes"
)

// redacted stands in place of a secret, as OTel's conventions for url.query have it.
const redacted = "REDACTED"

// secretParts make the name of a query parameter look like a secret's, wherever they stand in it.
var secretParts = [...]string{
	"token", "key", "passw", "signature", "code", "session", "secret", "credential", "pwd", "jwt", "passphrase", "authorization",
}

// secretNames do so when they are the whole name.
var secretNames = [...]string{"sig", "auth", "pin", "otp", "sid"}

// maxParamName bounds how much of a name is looked at; longer names are taken for secrets.
const maxParamName = 128

// appendRedacted appends the query to dst with the values of parameters that look like secrets replaced, and stops when dst has
// limit bytes or more: what is longer is cut by the record anyway, and a query may be long.
func appendRedacted(dst, query []byte, limit int) []byte {
	for len(dst) < limit && len(query) > 0 {
		// Both separators occur in the wild; the semicolon was HTML 4's.
		end := indexSeparator(query)
		pair := query[:end]
		if i := bytes.IndexByte(pair, '='); i >= 0 && isSecret(pair[:i]) {
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

// isSecret reports whether a parameter's name looks like a secret's, in any case and with any of its characters escaped.
func isSecret(name []byte) bool {
	if len(name) > maxParamName {
		return true
	}
	var space [maxParamName]byte
	low := space[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' && i+2 < len(name) {
			if n, ok := parseHex(name[i+1:i+3], false); ok {
				c, i = byte(n), i+2
			}
		}
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		low = append(low, c)
	}
	for _, p := range secretParts {
		if bytes.Contains(low, []byte(p)) {
			return true
		}
	}
	for _, n := range secretNames {
		if string(low) == n {
			return true
		}
	}
	return false
}
