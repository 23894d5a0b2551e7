package trace

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/spanwire/spanwire/core/span"
)

// appendFormat appends the lines of a format for c, child of parent (zero: none).
func appendFormat(dst []byte, f Format, c *spanContext, parent span.ID) []byte {
	// A switch, since a call through a table would move c to the heap.
	switch f {
	case FormatW3C:
		return appendTraceParent(dst, c)
	case FormatB3:
		return appendB3(dst, c, parent)
	case FormatB3Multi:
		return appendB3Multi(dst, c, parent)
	case FormatJaeger:
		return appendUber(dst, c, parent)
	}
	panic("BUG: unknown format")
}

// requestID returns the request's id, and whether it was made here (into t.uuid). It is made when there is none and the head can
// be edited: an id that is not sent joins nothing. Nil: none.
func (t *Tracer) requestID(r *Request, editable bool) (id []byte, made bool) {
	if t.seen.has(headRequestID) {
		id = t.value(headRequestID, r)
		if len(id) > maxJoinID {
			t.Stats.IDsTooLong++
		}
		return id, false
	}
	if !editable {
		return nil, false
	}
	t.Stats.IDsMade++
	t.ids.uuid(&t.uuid)
	return t.uuid[:], true
}

// edit says which lines of the head go and which come. Every line of every known format goes, since a stale one would win
// downstream; the first configured format comes, and each other configured one that was present.
func (t *Tracer) edit(e *Edit, r *Request, l *link, own *spanContext, made bool) {
	gone := uint32(bitsContext)
	if t.seen.has(headTraceState) && !t.keepsState(r, l) {
		gone |= 1 << headTraceState
		t.Stats.StatesDropped++
	}
	xSource := r.Kind == span.Client && t.s.xSourceLine != ""
	if xSource {
		gone |= 1 << headXSource
	}
	for i := range t.seen.hits {
		h := &t.seen.hits[i]
		// An empty request id goes when one is made, or readers that take the first line would go on without.
		if gone&(1<<h.is) != 0 || (h.empty && made && h.is == headRequestID) {
			e.Delete = append(e.Delete, h.line)
		}
	}
	parent := span.ID{}
	if l.continues && own.span != l.parent.span {
		parent = l.parent.span
	}
	for i, f := range t.s.order {
		if i == 0 || t.seen.present&formatBits[f] != 0 {
			e.Insert = appendFormat(e.Insert, f, own, parent)
		}
	}
	if made {
		e.Insert = append(e.Insert, t.s.requestIDLine...)
		e.Insert = append(e.Insert, t.uuid[:]...)
		e.Insert = append(e.Insert, '\r', '\n')
	}
	if xSource {
		e.Insert = append(e.Insert, t.s.xSourceLine...)
	}
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
	a, err := netip.ParseAddr(string(host))
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

// signedPrefix and signedHeaders are the parts of an AWS signature that name what it covers.
var (
	signedPrefix  = []byte("AWS4-")
	signedHeaders = []byte("SignedHeaders=")
)

// signsOurs reports whether an Authorization value is an AWS signature (version 4) over a header that an edit could change: the
// receiver would then find it forged.
func (s *Shared) signsOurs(authorization []byte) bool {
	if !bytes.HasPrefix(authorization, signedPrefix) {
		return false
	}
	_, names, ok := bytes.Cut(authorization, signedHeaders)
	if !ok {
		return false
	}
	if i := bytes.IndexAny(names, ", "); i >= 0 {
		names = names[:i]
	}
	for len(names) > 0 {
		var name []byte
		name, names, _ = bytes.Cut(names, semicolon)
		for _, our := range s.ours {
			if equalFold(name, our) {
				return true
			}
		}
	}
	return false
}

var semicolon = []byte{';'}
