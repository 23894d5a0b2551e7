package settings

import (
	"net/netip"
	"strings"
)

// masked stands in place of a secret.
const masked = "***"

// mask returns v as it may be shown.
func (s *Setting) mask(v string) string {
	switch {
	case s.secret:
		if key, _, ok := strings.Cut(v, "="); ok {
			return key + "=" + masked
		}
		return masked
	case s.url:
		return maskURL(v)
	}
	return v
}

// maskURL hides the password of a URL; the user's name stays. Of a broken one it rather hides too much: a password may hold the
// bytes that end an authority (RFC 3986 §3.2), so where an "@" follows, all before it goes.
func maskURL(v string) string {
	scheme, rest, ok := strings.Cut(v, "://")
	if ok {
		scheme += "://"
	} else {
		scheme, rest = "", v
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	if at < 0 {
		if isHostPort(rest[:end]) {
			return v
		}
		if at = strings.LastIndexByte(rest, '@'); at < 0 {
			return v
		}
	}
	user, _, hasPassword := strings.Cut(rest[:at], ":")
	if !hasPassword {
		return scheme + masked + rest[at:] // a lone user is most likely a token
	}
	return scheme + user + ":" + masked + rest[at:]
}

// isHostPort reports whether an authority is a host and perhaps a port, and so holds no password: a name without a colon, a name
// and a port, or an IPv6 address in its brackets (RFC 3986 §3.2.2) and perhaps a port.
func isHostPort(authority string) bool {
	if inner, ok := strings.CutPrefix(authority, "["); ok {
		address, port, closed := strings.Cut(inner, "]")
		_, err := netip.ParseAddr(address)
		return closed && err == nil && (port == "" || port[0] == ':' && digits(port[1:]))
	}
	_, port, hasPort := strings.Cut(authority, ":")
	return !hasPort || digits(port)
}

// digits reports whether s consists of decimal digits.
func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
