package intercept

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Add installs the rules that c asks for, in place of what was there, and returns the back end that it used. With Auto that is nftables
// where the kernel has what the rules need, else iptables. After an error nothing has changed.
func Add(c Config, want Backend) (Backend, error) {
	p := NewPlan(c)
	used, err := addBy(p, want, open)
	if err != nil {
		return "", err
	}
	// Rules of another back end would redirect too. Those that they redirected live on.
	others, err := holders(Auto)
	if err != nil {
		return used.name(), err
	}
	for _, h := range others {
		if h.name() == used.name() && sameTools(h.backend, used) {
			continue
		}
		if err := h.stop(); err != nil {
			return used.name(), fmt.Errorf("remove the rules of %s: %w", h.name(), err)
		}
		if Sessions(c.RedirectPort) == 0 {
			if err := h.clear(); err != nil {
				return used.name(), fmt.Errorf("remove the rules of %s: %w", h.name(), err)
			}
		}
	}
	return used.name(), nil
}

// sameTools reports whether two back ends of one name write the same tables.
func sameTools(a, b backend) bool {
	x, ok := a.(*iptables)
	y, ok2 := b.(*iptables)
	if !ok || !ok2 {
		return ok == ok2
	}
	return len(x.families) > 0 && len(y.families) > 0 && x.families[0].legacy == y.families[0].legacy
}

// open returns the back end, ready to work.
func open(b Backend) (backend, error) {
	if b == IPTables {
		t, err := newIPTables()
		if err != nil {
			return nil, err
		}
		return t, nil
	}
	n, err := newNFT()
	if err != nil {
		return nil, err
	}
	return n, nil
}

// addBy installs p by the first back end of those wanted that can.
func addBy(p *Plan, want Backend, open func(Backend) (backend, error)) (backend, error) {
	order := []Backend{want}
	if want == Auto {
		order = []Backend{NFT, IPTables}
	}
	var problems []error
	for _, name := range order {
		b, err := open(name)
		if err == nil {
			err = tried(b, p, b.add(p))
		}
		if err == nil {
			return b, nil
		}
		problems = append(problems, err)
		if !errors.Is(err, ErrUnsupported) {
			break
		}
	}
	return nil, errors.Join(problems...)
}

// tried adds to err, with which adding p failed, what is lacking.
func tried(b backend, p *Plan, err error) error {
	if !errors.Is(err, ErrUnsupported) {
		return err
	}
	if missing := b.lacking(p); len(missing) > 0 {
		return fmt.Errorf("%s: %w: the kernel lacks %s", b.name(), ErrUnsupported, strings.Join(missing, ", "))
	}
	return err
}

// Removed is what Remove did.
type Removed struct {
	// Nothing: there were no rules.
	Nothing bool
	// Open is how many redirected connections live on, Reset how many were reset at both ends, Left how many the kernel would not reset: with
	// the rules gone they are cut off all the same, but their ends are not told.
	Open, Reset, Left int
}

// waitStep is how often Remove looks whether the last connection has ended.
const waitStep = 100 * time.Millisecond

// Remove stops redirecting at once. Connections that were redirected live on; what they need is removed when the last has ended, by a call
// that finds none: this one, if wait is set and ctx does not end before. With now they are cut off.
func Remove(ctx context.Context, only Backend, wait, now bool) (Removed, error) {
	found, err := holders(only)
	if err != nil {
		return Removed{}, err
	}
	r := Removed{Nothing: len(found) == 0}
	for _, h := range found {
		if now {
			reset, left, err := h.cut()
			if err != nil {
				return r, fmt.Errorf("%s: %w", h.name(), err)
			}
			r.Reset, r.Left = r.Reset+reset, left
			continue
		}
		open, err := h.remove(ctx, wait)
		if err != nil {
			return r, fmt.Errorf("%s: %w", h.name(), err)
		}
		r.Open = max(r.Open, open)
	}
	return r, nil
}

// cut is Remove at once for one back end.
func (h *holder) cut() (reset, left int, err error) {
	if err := h.stop(); err != nil {
		return 0, 0, err
	}
	reset, left = resetSessions(h.in.Config.RedirectPort)
	return reset, left, h.clear()
}

// remove is Remove for one back end; it returns how many redirected connections there were when it ended.
func (h *holder) remove(ctx context.Context, wait bool) (open int, err error) {
	port := h.in.Config.RedirectPort
	if h.in.Active || len(h.in.Problems) > 0 {
		if err := h.stop(); err != nil {
			return 0, err
		}
	}
	for {
		open = Sessions(port)
		if open == 0 {
			return 0, h.clear()
		}
		if !wait {
			return open, nil
		}
		select {
		case <-ctx.Done():
			return open, nil
		case <-time.After(waitStep):
		}
	}
}

// DryRun returns what Add would install, as text for nft -f or for iptables-restore and ip6tables-restore, and changes nothing. Auto stands
// for nftables, for nothing is tried.
func DryRun(c Config, b Backend) string {
	p := NewPlan(c)
	if b != IPTables {
		return p.NFT()
	}
	return "# iptables-restore --noflush\n" + p.IPTables(false) + "# ip6tables-restore --noflush\n" + p.IPTables(true)
}
