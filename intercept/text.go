package intercept

import (
	"fmt"
	"strings"
)

// NFT returns the rules in the syntax of nft; `nft -f` of it gives the same table.
func (p *Plan) NFT() string {
	var b strings.Builder
	fmt.Fprintf(&b, "add table inet %s\ndelete table inet %s\ntable inet %s {\n", tableName, tableName, tableName)
	if p.config.FailOpen {
		fmt.Fprintf(&b, "\tset %s {\n\t\ttype nf_proto\n\t\tflags dynamic,timeout\n\t\ttimeout %ds\n\t}\n\n", aliveSet, int(aliveFor.Seconds()))
	}
	for i := len(p.chains) - 1; i >= 0; i-- { // nft wants a chain to stand before what goes there
		c := p.chains[i]
		fmt.Fprintf(&b, "\tchain %s {\n", c.name)
		switch c.hook {
		case hookPrerouting:
			fmt.Fprintf(&b, "\t\ttype nat hook prerouting priority %d; policy accept;\n", inboundPriority)
		case hookOutput:
			fmt.Fprintf(&b, "\t\ttype nat hook output priority %d; policy accept;\n", outboundPriority)
		case hookFilter:
			b.WriteString("\t\ttype filter hook output priority 0; policy accept;\n")
		case hookNone:
		}
		for _, r := range c.rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.nft(p.config.RedirectPort))
		}
		b.WriteString("\t}\n\n")
	}
	return strings.TrimSuffix(b.String(), "\n") + "}\n"
}

// nft returns the rule in the syntax of nft.
func (r *rule) nft(port uint16) string {
	var parts []string
	for _, m := range r.matches {
		parts = append(parts, m.nft())
	}
	switch r.do {
	case actReturn:
		parts = append(parts, "return")
	case actGoto:
		parts = append(parts, "goto "+r.to)
	case actRedirect:
		parts = append(parts, fmt.Sprintf("redirect to :%d", port))
	case actBeat:
		parts = append(parts, fmt.Sprintf("update @%s { meta nfproto timeout %ds }", aliveSet, int(aliveFor.Seconds())))
	}
	return strings.Join(append(parts, fmt.Sprintf("comment %q", r.comment())), " ")
}

// nft returns the match in the syntax of nft.
func (m *match) nft() string {
	is := ""
	if m.not {
		is = "!= "
	}
	switch m.kind {
	case matchTCP:
		return "meta l4proto " + is + "tcp"
	case matchSYN:
		return "tcp flags & (fin|syn|rst|ack) == syn"
	case matchUDP:
		return "udp dport " + m.ports.String()
	case matchPorts:
		return "tcp dport " + m.ports.String()
	case matchTo:
		family, proto := "ip", "ipv4"
		if m.prefix.Addr().Is6() {
			family, proto = "ip6", "ipv6"
		}
		switch m.prefix.Bits() {
		case 0:
			return "meta nfproto " + proto
		case m.prefix.Addr().BitLen():
			return family + " daddr " + m.prefix.Addr().String()
		}
		return family + " daddr " + m.prefix.String()
	case matchLocal:
		return "fib daddr type " + is + "local"
	case matchLoopback:
		return `iifname "lo"`
	case matchUID:
		return "meta skuid " + formatID(m.id)
	case matchGID:
		return "meta skgid " + formatID(m.id)
	case matchParts:
		return fmt.Sprintf("numgen random mod %d < %d", Million, m.id)
	case matchAlive:
		return "meta nfproto @" + aliveSet
	case matchEstablished:
		return "ct state established"
	}
	panic("BUG: unknown match")
}
