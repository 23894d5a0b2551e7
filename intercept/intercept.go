// Package intercept installs, shows, checks and removes the rules of the kernel that redirect connections to the sidecar.
//
// What the rules are is pure data: a Config becomes a Plan (plan.go), and each back end translates that. nft.go speaks nftables over
// netlink, one table of its own replaced in one batch; iptables.go runs iptables and ip6tables where the kernel or the user wants that.
//
// What the rules keep to, whatever the settings:
//   - Only a connection's first packet (SYN alone) is redirected. Connection tracking meets an established connection mid-stream as a
//     new one, so that any wider match would reset it when rules are added to a live host.
//   - The connections of the sidecar (its uid and gid) and those to the loopback addresses are left alone. A call to the host's own
//     address is not: it reaches the application through the sidecar, once.
//   - Inbound, only what is addressed to this host itself counts, so that a host that forwards for others (containers) goes on doing so.
//   - After a removal, the translation of the connections that had been redirected goes on only while nat chains and one rule that asks
//     for the connection's state are there; they stay until the last of these connections has ended.
package intercept

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Errors that callers tell apart.
var (
	// ErrUnsupported: the kernel or the machine lacks what a back end needs; another back end may work.
	ErrUnsupported = errors.New("not supported here")
	// ErrPermission: the rules take CAP_NET_ADMIN.
	ErrPermission = errors.New("needs CAP_NET_ADMIN: run as root, or in a container with the capability NET_ADMIN")
)

// PortRange is the ports from Low to High, both included.
type PortRange struct{ Low, High uint16 }

// String returns the range as a flag has it.
func (r PortRange) String() string {
	if r.Low == r.High {
		return strconv.Itoa(int(r.Low))
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

// Ports is a set of ports: all, or those in the ranges. Invariant: the ranges are sorted and disjoint.
type Ports struct {
	All    bool
	Ranges []PortRange
}

// PortList returns the set of these ports.
func PortList(ports ...uint16) Ports {
	ranges := make([]PortRange, len(ports))
	for i, p := range ports {
		ranges[i] = PortRange{p, p}
	}
	return Ports{Ranges: merge(ranges)}
}

// String returns the set as a flag has it.
func (p Ports) String() string {
	switch {
	case p.All:
		return "*"
	case len(p.Ranges) == 0:
		return "none"
	}
	parts := make([]string, len(p.Ranges))
	for i, r := range p.Ranges {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}

// merge sorts ranges and joins those that overlap or touch.
func merge(ranges []PortRange) []PortRange {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b PortRange) int { return int(a.Low) - int(b.Low) })
	var out []PortRange
	for _, r := range sorted {
		if n := len(out); n > 0 && int(r.Low) <= int(out[n-1].High)+1 {
			out[n-1].High = max(out[n-1].High, r.High)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Config is what the rules are made from.
type Config struct {
	// RedirectPort is the port of the sidecar's transparent listener.
	RedirectPort uint16
	// UID and GID are what the sidecar runs as; its own connections are not redirected.
	UID, GID uint32
	// InboundPorts are the local ports whose connections are redirected, OutboundPorts the remote ones.
	InboundPorts, OutboundPorts Ports
	// ExcludeInbound and ExcludeOutbound are left alone, whatever the former say.
	ExcludeInbound, ExcludeOutbound Ports
	// OwnPorts are the sidecar's listeners; they are left alone in both directions.
	OwnPorts Ports
	// ExcludeCIDRs are destinations of outbound connections that are left alone; IncludeCIDRs, when there are any, the only ones that
	// are not.
	ExcludeCIDRs, IncludeCIDRs []netip.Prefix
	// ExcludeUIDs are users whose outbound connections are left alone.
	ExcludeUIDs []uint32
	// InboundParts and OutboundParts are how many of a million connections are redirected.
	InboundParts, OutboundParts uint32
	// FailOpen redirects only while the sidecar's heartbeat comes.
	FailOpen bool
}

// Million is all connections, in parts.
const Million = 1_000_000

// DefaultConfig returns what holds without any flag or variable.
func DefaultConfig() Config {
	return Config{RedirectPort: 14956, UID: 1337, GID: 1337, InboundPorts: Ports{All: true}, OutboundPorts: Ports{All: true},
		InboundParts: Million, OutboundParts: Million}
}

// Backend is a way to install rules.
type Backend string

// The back ends. Auto is nftables where the kernel has it, else iptables.
const (
	Auto     Backend = "auto"
	NFT      Backend = "nft"
	IPTables Backend = "iptables"
)
