package intercept

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The chains. The first two are hooked into nat, the third into filter; the rest are reached from these, apart from kept, which no packet
// enters: its rules ask for the state of a connection, and that they are there makes the kernel go on tracking (nf_ct_netns_get).
const (
	chainInbound          = "inbound"
	chainOutbound         = "outbound"
	chainHeartbeat        = "heartbeat"
	chainInboundRedirect  = "inbound_redirect"
	chainOutboundTo       = "outbound_to"
	chainOutboundRedirect = "outbound_redirect"
	chainKept             = "kept"
)

// aliveFor is how long after a heartbeat connections are redirected. The sidecar sends one every half second: three may be lost, or late on
// a busy machine, before a connection goes past it.
const aliveFor = 2 * time.Second

// noteMax is how long a comment on a rule may be: nft shows at most 128 bytes (NFTNL_UDATA_COMMENT_MAXLEN).
const noteMax = 120

// hook is where a chain is entered.
type hook uint8

const (
	hookNone       hook = iota
	hookPrerouting      // nat, what arrives
	hookOutput          // nat, what this host sends
	hookFilter          // filter, what this host sends
)

// kind is what a match looks at.
type kind uint8

const (
	matchTCP         kind = iota // the protocol
	matchSYN                     // TCP with SYN alone of FIN, SYN, RST, ACK
	matchUDP                     // UDP to the ports
	matchPorts                   // TCP to the ports
	matchTo                      // destination in the network; the other family does not match
	matchLocal                   // destination is an address of this host
	matchLoopback                // arrived through lo
	matchUID                     // sent by the user
	matchGID                     // sent by the group
	matchParts                   // so many of a million, at random
	matchAlive                   // a heartbeat of this family came within aliveFor
	matchEstablished             // the connection is established
)

// match is a condition; not turns it around (matchTCP and matchLocal only).
type match struct {
	kind   kind
	not    bool
	ports  PortRange
	prefix netip.Prefix
	id     uint32 // user, group, or parts
}

// action is what a rule does with what all its matches accept.
type action uint8

const (
	actReturn   action = iota // leave it alone
	actGoto                   // go on in another chain, for good
	actRedirect               // to the sidecar
	actBeat                   // take it for a heartbeat of its family
)

// rule is one rule of a chain.
type rule struct {
	matches []match
	do      action
	to      string // actGoto: the chain
	note    string // a comment
}

// chain is a chain and its rules.
type chain struct {
	name  string
	hook  hook
	rules []rule
}

// Plan is the rules that a Config gives, for any back end.
type Plan struct {
	config Config
	chains []chain
}

// NewPlan returns the rules that c asks for.
func NewPlan(c Config) *Plan {
	p := &Plan{config: c}
	p.chains = append(p.chains,
		chain{chainInbound, hookPrerouting, c.inboundRules()},
		chain{chainInboundRedirect, hookNone, []rule{c.redirect(c.InboundParts)}},
		chain{chainOutbound, hookOutput, c.outboundRules()})
	next := chainOutboundRedirect
	if len(c.IncludeCIDRs) > 0 {
		var to []rule
		for _, prefix := range c.IncludeCIDRs {
			to = append(to, rule{matches: []match{{kind: matchTo, prefix: prefix}}, do: actGoto, to: next})
		}
		p.chains = append(p.chains, chain{chainOutboundTo, hookNone, to})
	}
	p.chains = append(p.chains, chain{next, hookNone, []rule{c.redirect(c.OutboundParts)}})
	if c.FailOpen {
		p.chains = append(p.chains, chain{chainHeartbeat, hookFilter, c.heartbeatRules()})
	}
	p.chains = append(p.chains, chain{chainKept, hookNone, c.keptRules()})
	return p
}

// leftAlone are the networks to which calls are left alone. No packet leaves the host for those of loopback: an application that listens there alone
// means to be reached without detours. A redirected call to a link-local address of IPv6 would hang: the kernel leads it to ::1, and its
// socket is bound to the link, from which ::1 cannot be reached (RFC 4007 §6).
var leftAlone = [...]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("fe80::/10")}

// inboundRules is what happens to a packet that arrives.
func (c *Config) inboundRules() []rule {
	rules := []rule{
		leave(match{kind: matchTCP, not: true}),
		leave(match{kind: matchLoopback}),
		leave(match{kind: matchLocal, not: true}),
	}
	rules = append(rules, c.leavePorts(c.ExcludeInbound)...)
	return append(rules, toPorts(c.InboundPorts, chainInboundRedirect)...)
}

// outboundRules is what happens to a packet that this host sends.
func (c *Config) outboundRules() []rule {
	rules := []rule{
		leave(match{kind: matchTCP, not: true}),
		leave(match{kind: matchUID, id: c.UID}),
		leave(match{kind: matchGID, id: c.GID}),
	}
	for _, uid := range c.ExcludeUIDs {
		rules = append(rules, leave(match{kind: matchUID, id: uid}))
	}
	for _, prefix := range slices.Concat(leftAlone[:], c.ExcludeCIDRs) {
		rules = append(rules, leave(match{kind: matchTo, prefix: prefix}))
	}
	rules = append(rules, c.leavePorts(c.ExcludeOutbound)...)
	next := chainOutboundRedirect
	if len(c.IncludeCIDRs) > 0 {
		next = chainOutboundTo
	}
	return append(rules, toPorts(c.OutboundPorts, next)...)
}

// leave is a rule that leaves alone what matches.
func leave(m match) rule { return rule{matches: []match{m}} }

// leavePorts leaves the sidecar's ports and the excluded ones alone.
func (c *Config) leavePorts(excluded Ports) []rule {
	if excluded.All || c.OwnPorts.All {
		return []rule{leave(match{kind: matchTCP})}
	}
	var rules []rule
	all := slices.Concat(excluded.Ranges, c.OwnPorts.Ranges, []PortRange{{c.RedirectPort, c.RedirectPort}})
	for _, r := range merge(all) {
		rules = append(rules, leave(match{kind: matchPorts, ports: r}))
	}
	return rules
}

// toPorts sends what goes to the ports on to the next chain. A packet is in one range only, so that a random choice there is made once.
func toPorts(p Ports, next string) []rule {
	if p.All {
		return []rule{{do: actGoto, to: next}}
	}
	var rules []rule
	for _, r := range p.Ranges {
		rules = append(rules, rule{matches: []match{{kind: matchPorts, ports: r}}, do: actGoto, to: next})
	}
	return rules
}

// redirect is the rule that redirects.
func (c *Config) redirect(parts uint32) rule {
	m := []match{{kind: matchSYN}}
	if parts < Million {
		m = append(m, match{kind: matchParts, id: parts})
	}
	if c.FailOpen {
		m = append(m, match{kind: matchAlive})
	}
	return rule{matches: m, do: actRedirect}
}

// heartbeatRules note the sidecar's heartbeats: only its user can send them.
func (c *Config) heartbeatRules() []rule {
	var rules []rule
	for _, to := range [...]string{"127.0.0.1/32", "::1/128"} {
		rules = append(rules, rule{do: actBeat, matches: []match{
			{kind: matchUID, id: c.UID},
			{kind: matchUDP, ports: PortRange{c.RedirectPort, c.RedirectPort}},
			{kind: matchTo, prefix: netip.MustParsePrefix(to)},
		}})
	}
	return rules
}

// keptRules are what stays for the connections that were redirected. They carry the settings, so that show, check and remove need none.
func (c *Config) keptRules() []rule {
	var rules []rule
	note := ""
	flush := func() {
		rules = append(rules, rule{matches: []match{{kind: matchEstablished}}, note: note})
		note = ""
	}
	for _, arg := range splitLong(c.Args()) {
		if note != "" && len(note)+1+len(arg) > noteMax {
			flush()
		}
		note = strings.TrimPrefix(note+" "+arg, " ")
	}
	flush()
	return rules
}

// splitLong divides a list of many values into several arguments, each short enough for a note.
func splitLong(args []string) []string {
	var out []string
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		for len(name)+1+len(value) > noteMax {
			cut := strings.LastIndexByte(value[:noteMax-len(name)-1], ',')
			if cut < 0 {
				break // no list is without commas for so long
			}
			out = append(out, name+"="+value[:cut])
			value = value[cut+1:]
		}
		out = append(out, name+"="+value)
	}
	return out
}

// fromNotes reads the settings back from the notes of the kept rules.
func fromNotes(notes []string) (Config, error) {
	return parseArgs(strings.Fields(strings.Join(notes, " ")))
}
