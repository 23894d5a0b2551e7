package intercept

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Finding is something that is wrong, and what to do about it.
type Finding struct{ What, Do string }

// String returns both in one line.
func (f Finding) String() string { return f.What + ": " + f.Do }

// heartbeatPatience is how long Check waits for a heartbeat: rules that were added a moment ago have had none yet. Two come in a second.
const heartbeatPatience = time.Second

// Check says what is wrong with the interception on this host; nothing when all is well. c is what rules would be made from if none are
// there; those that are bear their own settings.
func Check(c Config, only Backend) ([]Finding, error) {
	in, err := Find(only)
	if err != nil {
		return nil, err
	}
	var found []Finding
	if in == nil {
		found = append(found, Finding{"no rules are installed", "run spanwire intercept add"})
		found = append(found, lacking(c, only)...)
		return append(found, checkSidecar(c)...), nil
	}
	if !in.Active {
		return []Finding{{fmt.Sprintf("the rules were removed; %d redirected connections live on", Sessions(in.Config.RedirectPort)),
			"run spanwire intercept add to redirect again, or remove --wait to wait for the last of them"}}, nil
	}
	found = append(found, in.Problems...)
	found = append(found, checkSidecar(in.Config)...)
	if in.Config.FailOpen {
		silent := in.checkHeartbeat()
		for end := time.Now().Add(heartbeatPatience); len(silent) > 0 && time.Now().Before(end); {
			time.Sleep(heartbeatPatience / 10)
			if again, err := Find(only); err == nil && again != nil && again.Active && again.Config.FailOpen {
				silent = again.checkHeartbeat()
			}
		}
		found = append(found, silent...)
	}
	return found, nil
}

// ErrLoop says that the sidecar's own connections would be redirected to itself, and to itself again, until descriptors run out.
var ErrLoop = errors.New("its own connections would come back to it without end")

// CheckLoop is asked before rules are added: a sidecar that listens already must be whom they spare, by its user or by its group. Whose group
// cannot be told is believed.
func CheckLoop(c Config) error {
	l := listenerAt(c.RedirectPort)
	if !l.Some || l.UID == c.UID {
		return nil
	}
	if gid, ok := groupOf(l.inode); !ok && l.UID != 0 || ok && gid == c.GID {
		return nil
	}
	return fmt.Errorf("the sidecar at port %d runs as user %d, and the rules would spare user %d and group %d: %w; run it as user %d, or add --uid %d",
		c.RedirectPort, l.UID, c.UID, c.GID, ErrLoop, c.UID, l.UID)
}

// CheckOwn is asked by a sidecar that is about to listen at port as this user and group: rules that lead there must spare it. It can see them
// when it runs as root, which is the mistake that it is for; who may not see them is told nothing.
func CheckOwn(port uint16, uid, gid uint32) error {
	in, err := Find(NFT)
	if err != nil || in == nil || !in.Active || in.Config.RedirectPort != port || in.Config.UID == uid || in.Config.GID == gid {
		return nil //nolint:nilerr // as said
	}
	return fmt.Errorf("the redirect rules spare user %d, and this is user %d: %w; run as user %d, or add the rules with --uid %d",
		in.Config.UID, uid, ErrLoop, in.Config.UID, uid)
}

// lacking says what the kernel has not got; in Auto one back end that has all is enough.
func lacking(c Config, only Backend) []Finding {
	p := NewPlan(c)
	order := []Backend{only}
	if only == Auto {
		order = []Backend{NFT, IPTables}
	}
	var found []Finding
	for _, name := range order {
		b, err := open(name)
		if err != nil {
			found = append(found, Finding{err.Error(), "install it, load the module (modprobe), or choose another --backend"})
			continue
		}
		missing := b.lacking(p)
		if len(missing) == 0 {
			return nil
		}
		found = append(found, Finding{fmt.Sprintf("%s: the kernel lacks %s", name, strings.Join(missing, ", ")),
			"load the module (modprobe) or choose another --backend"})
	}
	return found
}

// checkSidecar looks at who listens where connections are redirected to.
func checkSidecar(c Config) []Finding {
	l := listenerAt(c.RedirectPort)
	if !l.Some {
		return []Finding{{fmt.Sprintf("nothing listens at port %d, where connections are redirected to", c.RedirectPort),
			fmt.Sprintf("start spanwire run --listen :%d as user %d", c.RedirectPort, c.UID)}}
	}
	var found []Finding
	if l.UID != c.UID {
		found = append(found, Finding{fmt.Sprintf("what listens at port %d belongs to user %d, and the rules spare user %d", c.RedirectPort, l.UID, c.UID),
			fmt.Sprintf("start the sidecar as user %d, or add the rules with --uid %d; its own connections would be redirected to itself", c.UID, l.UID)})
	}
	everywhere := fmt.Sprintf("start the sidecar with --listen :%d", c.RedirectPort)
	switch {
	case !l.V4:
		found = append(found, Finding{fmt.Sprintf("port %d is not listened at on every address, and redirected connections come in on several", c.RedirectPort), everywhere})
	case !l.V6 && HostHasIPv6():
		found = append(found, Finding{fmt.Sprintf("IPv6 is not covered: port %d is listened at on IPv4 only", c.RedirectPort), everywhere})
	}
	return found
}

// checkHeartbeat looks whether the sidecar keeps the redirect alive.
func (in *Installed) checkHeartbeat() []Finding {
	const do = "start the sidecar with --heartbeat, as the user of the rules"
	switch {
	case !in.AliveV4 && (!in.AliveV6 || !HostHasIPv6()):
		return []Finding{{"no heartbeat comes, so connections go past the sidecar (--fail-open)", do}}
	case !in.AliveV4:
		return []Finding{{"no heartbeat comes over IPv4, so its connections go past the sidecar (--fail-open)", do}}
	case !in.AliveV6 && HostHasIPv6():
		return []Finding{{"no heartbeat comes over IPv6, so its connections go past the sidecar (--fail-open)", do}}
	}
	return nil
}
