package trace

import (
	"bytes"
	"net/netip"
	"strings"
	"unsafe"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// refuse says why a head that could be edited must not be: ReasonNone when it may.
func (t *Tracer) refuse(r *Request) parsers.Reason {
	if r.Kind == span.Client && (len(t.s.noHosts) > 0 || len(t.s.noNets) > 0) && t.s.isNoInject(r) {
		return parsers.ReasonNoInject
	}
	if t.isSigned(r) {
		return parsers.ReasonSigned
	}
	return parsers.ReasonNone
}

// setNoInject parses the list of those who get no headers.
func (s *Shared) setNoInject(c *Config) error {
	for _, text := range c.NoInject {
		if p, err := netip.ParsePrefix(text); err == nil {
			s.noNets = append(s.noNets, p.Masked())
			continue
		}
		if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			a = a.Unmap().WithZone("")
			s.noNets = append(s.noNets, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		host := strings.TrimSuffix(strings.ToLower(text), ".")
		if err := checkHost(text, strings.TrimPrefix(host, "*.")); err != nil {
			return err
		}
		s.noHosts = append(s.noHosts, strings.TrimPrefix(host, "*"))
	}
	return nil
}

// isNoInject reports whether the request goes to one that gets no headers: by the address, or by the authority's host.
func (s *Shared) isNoInject(r *Request) bool {
	if inNets(s.noNets, r.Server.AddrPort().Addr()) {
		return true
	}
	host := hostOnly(stripUserInfo(r.Head.Authority.In(r.Data)))
	for _, n := range s.noHosts {
		// ".domain" stands for everything below the domain.
		tail := max(len(host)-len(n), 0)
		if (len(host) == len(n) || n[0] == '.' && len(host) > len(n)) && equalFold(host[tail:], n) {
			return true
		}
	}
	if len(s.noNets) == 0 || len(host) == 0 || !looksNumeric(host) {
		return false
	}
	// Only authorities made of digits, dots and colons get here: nobody pays for the conversion by calling names.
	// Safety: host does not change during the call, and nothing of the string is kept: an address is a value, its zone is copied,
	// and the error, which quotes it, is dropped here.
	a, err := netip.ParseAddr(unsafe.String(unsafe.SliceData(host), len(host)))
	return err == nil && inNets(s.noNets, a.Unmap())
}

// inNets reports whether a is within one of the networks.
func inNets(nets []netip.Prefix, a netip.Addr) bool {
	for _, p := range nets {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// stripUserInfo cuts off user-info, which may be a password (RFC 3986 §3.2.1).
func stripUserInfo(authority []byte) []byte {
	return authority[bytes.LastIndexByte(authority, '@')+1:]
}

// hostOnly cuts off the port, the brackets of an IPv6 address and the dot of a rooted name.
func hostOnly(authority []byte) []byte {
	if len(authority) > 0 && authority[0] == '[' {
		if i := bytes.IndexByte(authority, ']'); i > 0 {
			return authority[1:i]
		}
		return authority
	}
	if i := bytes.LastIndexByte(authority, ':'); i >= 0 {
		authority = authority[:i]
	}
	return bytes.TrimSuffix(authority, dot)
}

var dot = []byte{'.'}

// looksNumeric reports whether host may be an address: IPv4 digits and dots, or anything with a colon.
func looksNumeric(host []byte) bool {
	if len(host) > len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255") {
		return false
	}
	for _, c := range host {
		if c == ':' {
			return true
		}
		if c != '.' && (c < '0' || c > '9') {
			return bytes.IndexByte(host, ':') >= 0
		}
	}
	return true
}

// The parts of an AWS signature that name what it covers: in Authorization, or in the query of a presigned URL.
var (
	signedPrefix  = []byte("AWS4-")
	signedHeaders = []byte("SignedHeaders=")
	signedQuery   = []byte("X-Amz-SignedHeaders=")
)

// isSigned reports whether the request bears an AWS signature (version 4) over a header that an edit could change: the receiver
// would then find it forged.
func (t *Tracer) isSigned(r *Request) bool {
	if t.seen.has(headAuthorization) {
		v := t.value(headAuthorization, r)
		if bytes.HasPrefix(v, signedPrefix) && t.s.namesOurs(v, signedHeaders) {
			return true
		}
	}
	q := r.Head.Query
	return q.Len() > len(signedQuery) && t.s.namesOurs(q.In(r.Data), signedQuery)
}

// namesOurs reports whether the list behind the key has one of our headers in it.
func (s *Shared) namesOurs(v, key []byte) bool {
	_, names, ok := bytes.Cut(v, key)
	if !ok {
		return false
	}
	if i := bytes.IndexAny(names, ", &"); i >= 0 {
		names = names[:i]
	}
	for len(names) > 0 {
		name := names
		// The semicolons between names are escaped in a query.
		i, n := bytes.IndexByte(names, ';'), 1
		if i < 0 {
			i = bytes.IndexByte(names, '%')
			n = min(3, len(names)-i)
		}
		if i < 0 {
			names = nil
		} else {
			name, names = names[:i], names[i+n:]
		}
		for _, our := range s.ours {
			if equalFold(name, our) {
				return true
			}
		}
	}
	return false
}

var semicolon = []byte{';'}

// checkHost says why a host name of a setting is none.
func checkHost(text, host string) error {
	ok := host != "" && !strings.ContainsAny(host, "*/:@[] ") && isVisible(host)
	if !ok {
		return refused("no-inject", text, "must be a host without port, *.domain, an address or a CIDR")
	}
	return nil
}
