package core

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
)

// soOriginalDst is SO_ORIGINAL_DST (linux/netfilter_ipv4.h) and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv6/ip6_tables.h): the
// same number at SOL_IP and at SOL_IPV6.
const soOriginalDst = 80

// originalDestination asks the kernel where a redirected connection was going. local is the address that the
// connection was accepted at; an IPv4-mapped one has been unmapped and is asked about at SOL_IP. ok is false when the connection was
// not redirected. zone is the interface of a link-local destination, else 0.
func originalDestination(fd int, local netip.AddrPort) (dst netip.AddrPort, zone uint32, ok bool) {
	if local.Addr().Is4() {
		// x/sys has no getsockopt for a sockaddr_in. A struct of at least its 16 bytes will do: family, port and address stand
		// in the first eight, in network order.
		m, err := unix.GetsockoptIPv6Mreq(fd, unix.SOL_IP, soOriginalDst)
		if err != nil {
			return netip.AddrPort{}, 0, false
		}
		raw := m.Multiaddr
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), uint16(raw[2])<<8|uint16(raw[3])), 0, true
	}
	// struct ip6_mtuinfo begins with a sockaddr_in6.
	m, err := unix.GetsockoptIPv6MTUInfo(fd, unix.SOL_IPV6, soOriginalDst)
	if err != nil {
		return netip.AddrPort{}, 0, false
	}
	port := m.Addr.Port<<8 | m.Addr.Port>>8 // from network order; both architectures are little-endian
	return netip.AddrPortFrom(netip.AddrFrom16(m.Addr.Addr), port), m.Addr.Scope_id, true
}

// sideOf tells inbound from outbound under redirection: rules on OUTPUT rewrite to loopback, so a connection that was
// accepted at loopback and was going elsewhere is outbound. "Original destination = local address" would be wrong on a host with two
// addresses: PREROUTING rewrites to the interface's first one.
func sideOf(local, dst netip.Addr) span.Kind {
	if local.IsLoopback() && !dst.IsLoopback() {
		return span.Client
	}
	return span.Server
}

// addrPortOf converts a socket address, unmapping IPv4 once and for all. The zero value stands for other families.
func addrPortOf(sa unix.Sockaddr) netip.AddrPort {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// familyOf returns the address family of ap.
func familyOf(ap netip.AddrPort) int {
	if ap.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// sockaddrOf is the inverse of addrPortOf.
func sockaddrOf(ap netip.AddrPort) (family int, sa unix.Sockaddr) {
	if ap.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(ap.Port()), Addr: ap.Addr().As16()}
}
