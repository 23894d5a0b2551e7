package intercept

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fake is a back end that answers as it was told.
type fake struct {
	backend
	kind    Backend
	opening error // of open
	adding  error
	lacks   []string
	added   bool
}

func (f *fake) name() Backend          { return f.kind }
func (f *fake) add(*Plan) error        { f.added = f.adding == nil; return f.adding }
func (f *fake) lacking(*Plan) []string { return f.lacks }

// Auto takes nftables where the kernel has what the rules need, else iptables; what is no lack of the kernel's ends the search. Who fails says what is
// lacking.
func TestBackEndsAreTriedInOrder(t *testing.T) {
	unsupported := fmt.Errorf("no such thing: %w", ErrUnsupported)
	for _, c := range []struct {
		name      string
		want      Backend
		nft, ipt  fake
		used      Backend
		complains []string // parts of the error
	}{
		{"nftables can", Auto, fake{}, fake{}, NFT, nil},
		{"nftables lacks something", Auto, fake{adding: unsupported, lacks: []string{"nat chains"}}, fake{}, IPTables, nil},
		{"no nftables at all", Auto, fake{opening: unsupported}, fake{}, IPTables, nil},
		{"neither can", Auto, fake{adding: unsupported, lacks: []string{"nat chains", "sets"}}, fake{adding: unsupported, lacks: []string{"xt_recent"}}, "",
			[]string{"nft: ", "the kernel lacks nat chains, sets", "iptables: ", "the kernel lacks xt_recent"}},
		{"no privilege", Auto, fake{opening: ErrPermission}, fake{}, "", []string{ErrPermission.Error()}},
		{"another error", Auto, fake{adding: errors.New("out of memory")}, fake{}, "", []string{"out of memory"}},
		{"nftables is wanted and cannot", NFT, fake{adding: unsupported, lacks: []string{"sets"}}, fake{}, "", []string{"the kernel lacks sets"}},
		{"iptables is wanted", IPTables, fake{}, fake{}, IPTables, nil},
	} {
		c.nft.kind, c.ipt.kind = NFT, IPTables
		used, err := addBy(NewPlan(DefaultConfig()), c.want, func(b Backend) (backend, error) {
			f := map[Backend]*fake{NFT: &c.nft, IPTables: &c.ipt}[b]
			return f, f.opening
		})
		got := Backend("")
		if used != nil {
			got = used.name()
		}
		if got != c.used || (err == nil) != (c.complains == nil) || c.nft.added != (c.used == NFT) || c.ipt.added != (c.used == IPTables) {
			t.Errorf("%s: used %q, %v; nftables added %v, iptables %v", c.name, got, err, c.nft.added, c.ipt.added)
		}
		for _, part := range c.complains {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q says nothing of %q", c.name, err, part)
			}
		}
	}
}
