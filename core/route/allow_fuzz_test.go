package route

import (
	"net/netip"
	"strings"
	"testing"
)

// FuzzAllow: an entry is read the same twice; a name opens no guarded address, an address or range opens what it holds and nothing else, by
// whatever name.
func FuzzAllow(f *testing.F) {
	for _, s := range [][3]string{{"10.0.0.0/8", "x", "10.1.2.3"}, {"*.svc", "a.svc", "127.0.0.1"}, {"[::1]", "x", "::1"}, {"0.0.0.0/0", "x", "169.254.169.254"},
		{"Example.COM.", "example.com", "8.8.8.8"}, {"::ffff:1.2.3.4", "x", "1.2.3.4"}, {"fe80::1%eth0", "x", "fe80::1"}, {"::/0", "x", "::ffff:127.0.0.1"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, entry, host, address string) {
		a, err := ParseAllow([]string{entry})
		ip, iperr := netip.ParseAddr(address)
		if err != nil || iperr != nil {
			return
		}
		ip = ip.WithZone("")
		permits := a.Permits(strings.ToLower(host), ip)
		b, err := ParseAllow([]string{entry, entry})
		if err != nil || b.Permits(strings.ToLower(host), ip) != permits {
			t.Fatalf("%q twice: %v, or something else", entry, err)
		}
		plain := ip.Unmap()
		local := plain.IsLoopback() || plain.IsLinkLocalUnicast() || plain.IsMulticast() || plain.IsUnspecified()
		if len(a.hosts) > 0 {
			named := strings.TrimSuffix(strings.ToLower(entry), ".")
			is := strings.TrimSuffix(strings.ToLower(host), ".")
			if permits && (local || is != named && !(strings.HasPrefix(named, "*.") && strings.HasSuffix(is, named[1:]))) {
				t.Fatalf("%q permits %q at %v", entry, host, ip)
			}
			return
		}
		if permits != (a.nets[0].Contains(plain) && (!local || !wide(a.nets[0]))) && !odd(plain) {
			t.Fatalf("%q (%v), %v: %v", entry, a.nets, ip, permits)
		}
	})
}

// wide reports whether a range reaches beyond the guarded ones that it holds parts of.
func wide(n netip.Prefix) bool {
	for _, g := range guarded {
		if g.Contains(n.Addr()) && n.Bits() >= g.Bits() {
			return false
		}
	}
	return true
}

// odd reports whether an address is guarded for another reason than what it is: the metadata services', and reserved ones.
func odd(ip netip.Addr) bool {
	for _, g := range guarded {
		if g.Contains(ip) && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsMulticast() && !ip.IsUnspecified() {
			return true
		}
	}
	return false
}

// A list that is empty is not the same as none: who says nothing is allowed gets nothing.
func TestEmptyListAllowsNothing(t *testing.T) {
	private := netip.MustParseAddr("10.1.2.3")
	none, err := ParseAllow(nil)
	if err != nil || !none.Permits("a", private) {
		t.Errorf("without a list: %v; private addresses are allowed", err)
	}
	empty, err := ParseAllow([]string{})
	if err != nil || empty.Permits("a", private) {
		t.Errorf("with an empty list: %v, or a route was allowed", err)
	}
}
