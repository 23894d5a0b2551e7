package intercept

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// tableName is the table of family inet that is ours alone, aliveSet the set in it of the families whose heartbeat came lately.
const (
	tableName = "spanwire"
	aliveSet  = "alive"
)

// Priorities of the chains. Inbound after everybody's dstnat (-100): what Docker or the administrator sends elsewhere stays theirs, and is
// not seen again. Outbound before it (-101): the call is still to the address that the application meant, and when the sidecar makes
// it, they translate it as ever.
const (
	inboundPriority  = -99
	outboundPriority = -101
)

// socketBuffer holds a whole batch, and the kernel's acknowledgement of each of its messages: some thousand rules.
const socketBuffer = 4 << 20

// nft is the back end that speaks nftables over netlink.
type nft struct{ conn *nftables.Conn }

// newNFT opens the back end.
func newNFT() (*nft, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
	}))
	if err != nil {
		return nil, nftError(err)
	}
	return &nft{conn}, nil
}

func (*nft) name() Backend { return NFT }

// nftError tells a lack of privilege and a lack in the kernel from other errors.
func nftError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return ErrPermission
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT),
		errors.Is(err, unix.ENOENT), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("nftables: %w (%w)", ErrUnsupported, err)
	}
	return fmt.Errorf("nftables: %w", err)
}

// table is what names ours in messages.
func table() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
}

// add replaces the table by one with the plan's rules, in one batch: no packet meets a part of it.
func (n *nft) add(p *Plan) error {
	n.conn.AddTable(table()) // so that there is one to delete
	n.conn.DelTable(table())
	t := n.conn.AddTable(table())
	var alive *nftables.Set
	if p.config.FailOpen {
		alive = &nftables.Set{Table: t, Name: aliveSet, KeyType: nftables.TypeNFProto, Dynamic: true, HasTimeout: true, Timeout: aliveFor}
		if err := n.conn.AddSet(alive, nil); err != nil {
			return nftError(err)
		}
	}
	for _, c := range p.chains {
		n.conn.AddChain(nftChain(t, c.name, c.hook))
	}
	for _, c := range p.chains {
		for _, r := range c.rules {
			n.conn.AddRule(&nftables.Rule{Table: t, Chain: &nftables.Chain{Name: c.name, Table: t},
				Exprs: ruleExprs(r, p.config.RedirectPort, alive), UserData: userdata.AppendString(nil, userdata.TypeComment, r.comment())})
		}
	}
	return n.flush("")
}

// comment is what stands behind the rule: its note, or whose it is.
func (r *rule) comment() string {
	if r.note != "" {
		return r.note
	}
	return tableName
}

// flush sends the batch.
func (n *nft) flush(step string) error {
	err := nftError(n.conn.Flush())
	if err != nil && step != "" {
		return fmt.Errorf("%s: %w", step, err)
	}
	return err
}

// nftChain is a chain as netlink has it.
func nftChain(t *nftables.Table, name string, h hook) *nftables.Chain {
	c := &nftables.Chain{Name: name, Table: t}
	switch h {
	case hookPrerouting:
		c.Type, c.Hooknum, c.Priority = nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityRef(inboundPriority)
	case hookOutput:
		c.Type, c.Hooknum, c.Priority = nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityRef(outboundPriority)
	case hookFilter:
		c.Type, c.Hooknum, c.Priority = nftables.ChainTypeFilter, nftables.ChainHookOutput, nftables.ChainPriorityFilter
	case hookNone:
	}
	return c
}

// installed reads what is there; nil when nothing is.
func (n *nft) installed() (*Installed, error) {
	rules, err := n.chains()
	if err != nil || rules == nil {
		return nil, err
	}
	counts, notes := tally(rules)
	in := &Installed{Backend: NFT, Active: counts[chainInbound] > 0 || counts[chainOutbound] > 0}
	in.judge(notes, counts)
	if in.Active && len(in.Problems) == 0 {
		in.judgeRules(rules)
	}
	if !in.Active || !in.Config.FailOpen {
		return in, nil
	}
	set, err := n.conn.GetSetByName(table(), aliveSet)
	if err != nil {
		return in, nil //nolint:nilerr // judge has said that the rules are not as they were
	}
	elements, err := n.conn.GetSetElements(set)
	if err != nil {
		return nil, nftError(err)
	}
	for _, e := range elements {
		switch {
		case len(e.Key) == 0:
		case e.Key[0] == unix.NFPROTO_IPV4:
			in.AliveV4 = true
		case e.Key[0] == unix.NFPROTO_IPV6:
			in.AliveV6 = true
		}
	}
	return in, nil
}

// chains returns the rules of each chain of our table; nil when there is no table.
func (n *nft) chains() (map[string][]*nftables.Rule, error) {
	tables, err := n.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, nftError(err)
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == tableName }) {
		return nil, nil
	}
	all, err := n.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, nftError(err)
	}
	chains := map[string][]*nftables.Rule{}
	for _, c := range all {
		if c.Table.Name != tableName {
			continue
		}
		if chains[c.Name], err = n.conn.GetRules(c.Table, c); err != nil {
			return nil, nftError(err)
		}
	}
	return chains, nil
}

// tally counts the rules of each chain, those without our comment as foreign, and returns the notes.
func tally(chains map[string][]*nftables.Rule) (counts map[string]int, notes []string) {
	counts = map[string]int{}
	for name, rules := range chains {
		counts[name] = len(rules)
		for _, r := range rules {
			comment, ok := userdata.GetString(r.UserData, userdata.TypeComment)
			comment = strings.TrimRight(comment, "\x00")
			switch {
			case !ok:
				counts[name] += foreign
			case comment != tableName:
				notes = append(notes, comment)
			}
		}
	}
	return counts, notes
}

// judgeRules compares each rule with the one that add installs in its place.
func (in *Installed) judgeRules(chains map[string][]*nftables.Rule) {
	alive := &nftables.Set{Name: aliveSet}
	for _, c := range in.plan().chains {
		for i, r := range c.rules {
			if !sameExprs(chains[c.name][i].Exprs, ruleExprs(r, in.Config.RedirectPort, alive)) {
				in.alter("rule %d of the chain %s is another than was installed", i+1, c.name)
			}
		}
	}
}

// sameExprs compares what the kernel says of a rule with what is sent to make it: by the messages, but for the number that a set has in the batch that
// makes it.
func sameExprs(got, want []expr.Any) bool {
	return slices.EqualFunc(got, want, func(a, b expr.Any) bool {
		x, errX := expr.Marshal(byte(nftables.TableFamilyINet), numberless(a))
		y, errY := expr.Marshal(byte(nftables.TableFamilyINet), numberless(b))
		return errX == nil && errY == nil && bytes.Equal(x, y)
	})
}

// numberless returns e without the number of a set.
func numberless(e expr.Any) expr.Any {
	switch e := e.(type) {
	case *expr.Lookup:
		c := *e
		c.SetID = 0
		return &c
	case *expr.Dynset:
		c := *e
		c.SetID = 0
		return &c
	}
	return e
}

// foreign is added to the count of a chain for each rule that is not ours, so that it differs from what it should be.
const foreign = 1000

// stop takes away what redirects and leaves what the redirected connections need.
func (n *nft) stop() error {
	t := table()
	all, err := n.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nftError(err)
	}
	var ours []*nftables.Chain
	for _, c := range all {
		if c.Table.Name == tableName && c.Name != chainKept {
			ours = append(ours, &nftables.Chain{Name: c.Name, Table: t})
		}
	}
	for _, c := range ours {
		n.conn.FlushChain(c)
	}
	for _, c := range ours {
		if c.Name != chainInbound && c.Name != chainOutbound {
			n.conn.DelChain(c)
		}
	}
	return n.flush("stop redirecting")
}

// clear deletes everything.
func (n *nft) clear() error {
	n.conn.AddTable(table())
	n.conn.DelTable(table())
	return n.flush("delete the table")
}

// lacking names what the plan needs and the kernel refuses, by trying each match and action in a table of its own.
func (n *nft) lacking(p *Plan) []string {
	t := &nftables.Table{Name: tableName + "-probe", Family: nftables.TableFamilyINet}
	remove := func() {
		n.conn.DelTable(t)
		_ = n.conn.Flush() // when it was never made there is nothing to remove
	}
	defer remove()
	n.conn.AddTable(t)
	if n.conn.Flush() != nil {
		return []string{"tables of family inet (modules nf_tables, nf_tables_inet)"}
	}
	var missing []string
	c := n.conn.AddChain(&nftables.Chain{Name: "nat", Table: t, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookOutput,
		Priority: nftables.ChainPriorityNATDest})
	if n.conn.Flush() != nil {
		missing = append(missing, "nat chains (module nft_chain_nat)")
		c = n.conn.AddChain(&nftables.Chain{Name: "plain", Table: t})
		if n.conn.Flush() != nil {
			return missing
		}
	}
	var alive *nftables.Set
	if p.config.FailOpen {
		alive = &nftables.Set{Table: t, Name: aliveSet, KeyType: nftables.TypeNFProto, Dynamic: true, HasTimeout: true, Timeout: aliveFor}
		if err := n.conn.AddSet(alive, nil); err != nil || n.conn.Flush() != nil {
			missing = append(missing, "sets with a timeout, which --fail-open stands on (module nf_tables_set)")
			alive = nil
		}
	}
	for _, need := range p.features() {
		if alive == nil && (need.rule.do == actBeat || need.rule.matches != nil && need.rule.matches[0].kind == matchAlive) {
			continue
		}
		n.conn.AddRule(&nftables.Rule{Table: t, Chain: c, Exprs: ruleExprs(need.rule, 1, alive)})
		if n.conn.Flush() != nil {
			missing = append(missing, need.nft)
		}
	}
	return missing
}
