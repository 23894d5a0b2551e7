// Package route says where requests go instead of where they were sent: it parses route values, decides what they may lead to, resolves the names
// in them off the loops, and remembers values under request ids.
//
// A route value is "h1=h2[:port],h3=h4": requests whose Host is exactly h1 go to h2, port 80 if none is given.
package route

import (
	"bytes"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// MaxValueBytes bounds a value: it names some services of one test environment, and what is remembered of strangers must be small.
	MaxValueBytes = 1024
	// maxPairs bounds the pairs of a value, which are gone through for each request.
	maxPairs = 32
	// defaultPort is that of a pair without one.
	defaultPort = 80
	// maxHostBytes bounds a host name (RFC 1035 §2.3.4).
	maxHostBytes = 253
)

// Value is a parsed route value. It never changes, and any goroutine may use it.
type Value struct {
	// Text is the value as it came; it is visible ASCII.
	Text  string
	pairs []pair
}

// pair leads requests for a host to a target.
type pair struct {
	host string
	to   *Target
}

// Find returns where requests with that Host go; nil when no pair is about it.
func (v *Value) Find(host []byte) *Target {
	for i := range v.pairs {
		if p := &v.pairs[i]; len(p.host) == len(host) && p.host == string(host) {
			return p.to
		}
	}
	return nil
}

// Parse reads a value; nil when it is malformed, empty or over a limit. A pair that maps to itself is left out. It keeps nothing of text.
func (r *Routes) Parse(text []byte) *Value {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > MaxValueBytes {
		return nil
	}
	v := &Value{Text: string(text)}
	for n, part := range strings.Split(v.Text, ",") {
		from, to, ok := strings.Cut(strings.Trim(part, " \t"), "=")
		if !ok || n == maxPairs || !isAuthority(from) {
			return nil
		}
		host, port, ok := splitTarget(to)
		if !ok {
			return nil
		}
		if from == to {
			continue
		}
		v.pairs = append(v.pairs, pair{host: from, to: r.target(host, port)})
	}
	return v
}

// splitTarget splits host[:port] or [v6][:port].
func splitTarget(s string) (host string, port uint16, ok bool) {
	var portText string
	var hasPort bool
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, false
		}
		host, portText = s[1:end], s[end+1:]
		a, err := netip.ParseAddr(host)
		if err != nil || !a.Is6() || a.Zone() != "" || portText != "" && portText[0] != ':' {
			return "", 0, false
		}
		hasPort = portText != ""
		portText = strings.TrimPrefix(portText, ":")
	} else {
		host, portText, hasPort = strings.Cut(s, ":")
		if !isHost(host) {
			return "", 0, false
		}
	}
	port = defaultPort
	if hasPort {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 || portText[0] == '+' {
			return "", 0, false
		}
		port = uint16(n)
	}
	return strings.ToLower(host), port, true
}

// isAuthority reports whether s can be the value of Host: a host, perhaps with a port.
func isAuthority(s string) bool {
	_, _, ok := splitTarget(s)
	return ok
}

// isHost reports whether s can be a host name or an IPv4 address (RFC 1123 §2.1, underscores tolerated as resolvers do). Numbers that are no
// address are none: resolvers of the C library take 2130706433 or 127.1 for one, and no rule about addresses would fit.
func isHost(s string) bool {
	if s == "" || len(s) > maxHostBytes || s[0] == '.' || s[0] == '-' {
		return false
	}
	numeric := true
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '-'
		if !letter && c != '.' && (c < '0' || c > '9') {
			return false
		}
		numeric = numeric && !letter
	}
	if numeric || strings.HasPrefix(strings.ToLower(s), "0x") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return !strings.Contains(s, "..")
}

// name is host:port as it stands in logs.
func name(host string, port uint16) string { return net.JoinHostPort(host, strconv.Itoa(int(port))) }
