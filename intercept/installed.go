package intercept

import (
	"fmt"
	"slices"
)

// Installed is what is there of the rules.
type Installed struct {
	Backend Backend
	// Config is what the rules were made from.
	Config Config
	// Active: they redirect. Else they were removed and stay for the connections that had been redirected.
	Active bool
	// Problems are what differs from what add installs, and what to do about it.
	Problems []Finding
	// AliveV4 and AliveV6 say whether a heartbeat came lately; of meaning with Config.FailOpen.
	AliveV4, AliveV6 bool
}

// addAgain is what to do about rules that are not as they were installed.
const addAgain = "run spanwire intercept add with your settings again"

// alter adds a problem that adding again mends.
func (in *Installed) alter(format string, args ...any) {
	in.Problems = append(in.Problems, Finding{fmt.Sprintf(format, args...), addAgain})
}

// plan is what add would install.
func (in *Installed) plan() *Plan { return NewPlan(in.Config) }

// judge reads the settings from the notes and compares the number of rules in each chain with what add installs.
func (in *Installed) judge(notes []string, counts map[string]int) {
	in.compare(notes, counts, func(c chain) int { return len(c.rules) })
}

// judgeFamily is judge for the rules of one family.
func (in *Installed) judgeFamily(notes []string, counts map[string]int, v6 bool) {
	in.compare(notes, counts, func(c chain) (n int) {
		for _, r := range c.rules {
			if _, ok := r.iptables(1, v6); ok {
				n++
			}
		}
		return n
	})
}

// compare is judge with the number of rules that a chain should have.
func (in *Installed) compare(notes []string, counts map[string]int, want func(chain) int) {
	var err error
	if in.Config, err = fromNotes(notes); err != nil {
		in.Config = DefaultConfig()
		in.alter("the settings that the rules were made from cannot be read")
		return
	}
	if !in.Active {
		return
	}
	for _, c := range in.plan().chains {
		n, ok := counts[c.name]
		switch {
		case !ok:
			in.alter("the chain %s is missing", c.name)
		case n != want(c) && n >= foreign:
			in.alter("the chain %s has rules that are not spanwire's", c.name)
		case n != want(c):
			in.alter("the chain %s has %d rules where there should be %d", c.name, n, want(c))
		}
	}
}

// backend is a way to install rules. All but installed and lacking change the kernel's.
type backend interface {
	name() Backend
	add(p *Plan) error
	stop() error  // no new connection is redirected; those that were live on
	clear() error // nothing is left
	installed() (*Installed, error)
	lacking(p *Plan) []string
}

// holder is a back end with rules of ours.
type holder struct {
	backend
	in *Installed
}

// holders returns the back ends that have rules of ours. That one does not work is no error here, but that none of those asked for may be
// asked is.
func holders(only Backend) ([]holder, error) {
	var found []holder
	var firstErr error
	look := func(b backend) {
		in, err := b.installed()
		switch {
		case err != nil && firstErr == nil:
			firstErr = err
		case err == nil && in != nil:
			found = append(found, holder{b, in})
		}
	}
	if only != IPTables {
		if n, err := newNFT(); err == nil {
			look(n)
		} else {
			firstErr = err
		}
	}
	if only != NFT {
		for _, t := range otherIPTables() {
			look(t)
		}
	}
	if len(found) > 0 || firstErr == nil {
		return found, nil
	}
	return nil, firstErr
}

// Find returns what is installed, nil when nothing is. only restricts the search to one back end; Auto does not.
func Find(only Backend) (*Installed, error) {
	found, err := holders(only)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	// Should two back ends have rules, one that redirects counts.
	i := max(slices.IndexFunc(found, func(h holder) bool { return h.in.Active }), 0)
	in := *found[i].in
	for j, h := range found {
		if j != i && h.in.Active {
			in.alter("%s has rules too", h.in.Backend)
		}
	}
	return &in, nil
}
