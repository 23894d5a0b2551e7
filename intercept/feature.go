package intercept

import "slices"

// feature is something that a plan needs of the kernel, as a rule that uses only that, and what to call it.
type feature struct {
	rule     rule
	nft      string // the module of nftables
	iptables string // the module of iptables
}

// features lists what the plan needs, each once.
func (p *Plan) features() []feature {
	all := []feature{
		{rule{do: actRedirect, matches: []match{{kind: matchSYN}}}, "redirect (module nft_redir)", "-j REDIRECT (module xt_REDIRECT)"},
		{rule{matches: []match{{kind: matchUID}}}, "meta skuid (module nft_meta)", "-m owner (module xt_owner)"},
		{rule{matches: []match{{kind: matchLocal, not: true}}}, "fib (module nft_fib_inet)", "-m addrtype (module xt_addrtype)"},
		{rule{matches: []match{{kind: matchEstablished}}}, "ct (module nft_ct)", "-m conntrack (module xt_conntrack)"},
		{rule{matches: []match{{kind: matchTCP}}, note: "probe"}, "comments", "-m comment (module xt_comment)"},
		{rule{matches: []match{{kind: matchParts, id: 1}}}, "numgen (module nft_numgen)", "-m statistic (module xt_statistic)"},
		{rule{matches: []match{{kind: matchAlive}}}, "lookup, for --fail-open (module nft_lookup)", "-m recent, which --fail-open stands on (module xt_recent)"},
		{rule{do: actBeat}, "dynset, for --fail-open (module nft_dynset)", "-m recent --set, which --fail-open stands on (module xt_recent)"},
	}
	used := map[kind]bool{matchTCP: true, matchUID: true, matchLocal: true, matchEstablished: true, matchSYN: true,
		matchParts: p.config.InboundParts < Million || p.config.OutboundParts < Million, matchAlive: p.config.FailOpen}
	return slices.DeleteFunc(all, func(f feature) bool {
		if f.rule.do == actBeat {
			return !p.config.FailOpen
		}
		return !used[f.rule.matches[0].kind]
	})
}
