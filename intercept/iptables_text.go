package intercept

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// chainPrefix is what the names of our chains begin with; no other rule of the host bears it.
const chainPrefix = "SPANWIRE_"

// iptablesName is a chain's name in iptables.
func iptablesName(chain string) string { return chainPrefix + strings.ToUpper(chain) }

// IPTables returns the rules as input for iptables-restore --noflush, or for ip6tables-restore.
func (p *Plan) IPTables(v6 bool) string { return p.restore(v6, nil) }

// place is where rules of a hook are entered in iptables.
type place struct {
	hook         hook
	table, chain string // the table and the chain of the system that leads to ours
	first        bool   // ours is asked before what else stands there (see inboundPriority)
}

// places are all there are.
var places = [...]place{
	{hookPrerouting, "nat", "PREROUTING", false},
	{hookOutput, "nat", "OUTPUT", true},
	{hookFilter, "filter", "OUTPUT", false},
}

// tableOf is the table that a chain of the plan stands in.
func tableOf(c chain) string {
	if c.hook == hookFilter {
		return "filter"
	}
	return "nat"
}

// restore returns the plan as input for restore. present lists the lines of `iptables -S` by table: a jump that is there stays, and a
// chain of ours that is no longer wanted goes. Each table is one transaction.
func (p *Plan) restore(v6 bool, present map[string][]string) string {
	var b strings.Builder
	for _, table := range [...]string{"nat", "filter"} {
		var lines []string
		var wanted []string
		for _, c := range p.chains {
			if tableOf(c) == table {
				wanted = append(wanted, iptablesName(c.name))
				lines = append(lines, fmt.Sprintf(":%s - [0:0]", iptablesName(c.name)))
			}
		}
		for _, c := range p.chains {
			if tableOf(c) != table {
				continue
			}
			for _, r := range c.rules {
				if text, ok := r.iptables(p.config.RedirectPort, v6); ok {
					lines = append(lines, "-A "+iptablesName(c.name)+text)
				}
			}
		}
		lines = append(lines, p.jumps(table, present[table])...)
		lines = append(lines, dropChains(present[table], wanted)...)
		if len(lines) > 0 {
			fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", table, strings.Join(lines, "\n"))
		}
	}
	return b.String()
}

// jumps leads the system's chains to ours where they do not yet, and away from those that the plan lacks.
func (p *Plan) jumps(table string, present []string) []string {
	var lines []string
	for _, at := range places {
		if at.table != table {
			continue
		}
		i := slices.IndexFunc(p.chains, func(c chain) bool { return c.hook == at.hook })
		if i < 0 {
			continue // dropChains takes what is left of it away
		}
		jump := at.chain + " -j " + iptablesName(p.chains[i].name)
		switch {
		case slices.Contains(present, "-A "+jump):
		case at.first:
			lines = append(lines, "-I "+jump)
		default:
			lines = append(lines, "-A "+jump)
		}
	}
	return lines
}

// dropChains removes our chains among the lines of `iptables -S`, apart from those to keep, with the jumps to them from the system's chains.
func dropChains(present, keep []string) []string {
	var jumps, flushes, deletes []string
	for _, line := range present {
		f := strings.Fields(line)
		switch {
		case len(f) == 2 && f[0] == "-N" && strings.HasPrefix(f[1], chainPrefix) && !slices.Contains(keep, f[1]):
			flushes = append(flushes, "-F "+f[1])
			deletes = append(deletes, "-X "+f[1])
		case len(f) == 4 && f[0] == "-A" && !strings.HasPrefix(f[1], chainPrefix) && f[2] == "-j" && strings.HasPrefix(f[3], chainPrefix) &&
			!slices.Contains(keep, f[3]):
			jumps = append(jumps, "-D "+f[1]+" -j "+f[3])
		}
	}
	return slices.Concat(jumps, flushes, deletes)
}

// iptables returns the rule as it stands behind -A CHAIN, with a space before it; false when it is not for this family.
func (r *rule) iptables(port uint16, v6 bool) (string, bool) {
	var b strings.Builder
	for _, m := range r.matches {
		if m.kind == matchTo && m.prefix.Addr().Is6() != v6 {
			return "", false
		}
		b.WriteString(m.iptables(v6))
	}
	if r.note != "" {
		fmt.Fprintf(&b, " -m comment --comment %q", r.note)
	}
	switch r.do {
	case actReturn:
		b.WriteString(" -j RETURN")
	case actGoto:
		b.WriteString(" -g " + iptablesName(r.to))
	case actRedirect:
		fmt.Fprintf(&b, " -j REDIRECT --to-ports %d", port)
	case actBeat:
		b.WriteString(recent("--set", v6))
	}
	return b.String(), true
}

// recent is the match on the list of heartbeats. With the mask every address is the same one: what counts is when the last came.
func recent(how string, v6 bool) string {
	if v6 {
		return " -m recent --name spanwire6 --mask :: --rdest " + how
	}
	return " -m recent --name spanwire4 --mask 0.0.0.0 --rdest " + how
}

// iptables returns the match with a space before it.
func (m *match) iptables(v6 bool) string {
	is := " "
	if m.not {
		is = " ! "
	}
	ports := strings.Replace(m.ports.String(), "-", ":", 1)
	switch m.kind {
	case matchTCP:
		return is + "-p tcp"
	case matchSYN:
		return " -p tcp --syn"
	case matchUDP:
		return " -p udp --dport " + ports
	case matchPorts:
		return " -p tcp --dport " + ports
	case matchTo:
		return " -d " + m.prefix.String()
	case matchLocal:
		return " -m addrtype" + is + "--dst-type LOCAL"
	case matchLoopback:
		return " -i lo"
	case matchUID:
		return " -m owner --uid-owner " + formatID(m.id)
	case matchGID:
		return " -m owner --gid-owner " + formatID(m.id)
	case matchParts:
		return " -m statistic --mode random --probability " + strconv.FormatFloat(float64(m.id)/Million, 'f', 6, 64)
	case matchAlive:
		return recent("--rcheck", v6) + fmt.Sprintf(" --seconds %d", int(aliveFor.Seconds()))
	case matchEstablished:
		return " -m conntrack --ctstate ESTABLISHED"
	}
	panic("BUG: unknown match")
}
