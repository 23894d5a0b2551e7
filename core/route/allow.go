package route

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ErrConfig is wrapped by every error of ParseAllow.
var ErrConfig = errors.New("route-allow")

// DefaultAllow is where routes may lead when nothing else is said: private addresses (RFC 1918, RFC 4193).
func DefaultAllow() []string {
	return []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}
}

// guarded are addresses that a wide range does not open: a route there would reach what only the host itself should, or the credentials that a
// cloud hands out. Only an entry that lies within one of them opens it.
var guarded = [...]netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), // loopback
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), // link-local, metadata services among them
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("::/128"), // this host (RFC 1122 §3.2.1.3); connect(2) takes it for loopback
	netip.MustParsePrefix("224.0.0.0/3"), netip.MustParsePrefix("ff00::/8"), // multicast, reserved
	netip.MustParsePrefix("fd00:ec2::254/128"),  // EC2 instance metadata
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Compute Engine metadata
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud metadata
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud metadata
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure wire server
}

// Allow says where routes may lead.
type Allow struct {
	nets  []netip.Prefix
	hosts []string // lower case; ".domain" stands for all names below
}

// ParseAllow reads entries: a CIDR, an address, a host name, or *.DOMAIN. nil = DefaultAllow; an empty list allows nothing.
func ParseAllow(entries []string) (*Allow, error) {
	if entries == nil {
		entries = DefaultAllow()
	}
	a := &Allow{}
	for _, text := range entries {
		if p, err := netip.ParsePrefix(text); err == nil {
			if p.Addr().Is4In6() {
				return nil, fmt.Errorf("%w %q: write an IPv4 range as such", ErrConfig, text)
			}
			a.nets = append(a.nets, p.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
			ip = ip.Unmap().WithZone("")
			a.nets = append(a.nets, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		host := strings.TrimSuffix(strings.ToLower(text), ".")
		if !isHost(strings.TrimPrefix(host, "*.")) {
			return nil, fmt.Errorf("%w %q: want a CIDR, an address, a host name or *.DOMAIN", ErrConfig, text)
		}
		a.hosts = append(a.hosts, strings.TrimPrefix(host, "*"))
	}
	return a, nil
}

// Permits reports whether a route may lead to ip under the name host. A name that is allowed opens whatever it resolves to but for what is
// guarded.
func (a *Allow) Permits(host string, ip netip.Addr) bool {
	ip = ip.Unmap()
	var guard netip.Prefix
	for _, g := range guarded {
		if g.Contains(ip) {
			guard = g
		}
	}
	for _, n := range a.nets {
		if n.Contains(ip) && (!guard.IsValid() || n.Bits() >= guard.Bits()) {
			return true
		}
	}
	return !guard.IsValid() && a.named(host)
}

// named reports whether host is allowed by name.
func (a *Allow) named(host string) bool {
	host = strings.TrimSuffix(host, ".")
	for _, h := range a.hosts {
		if host == h || h[0] == '.' && strings.HasSuffix(host, h) {
			return true
		}
	}
	return false
}
