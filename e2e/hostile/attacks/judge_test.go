//go:build e2e

package attacks

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	// victimsBound is how many times as late the victims' 99th percentile may be as behind HAProxy, in the median round.
	victimsBound = 3
	// victimsFloor is a 99th percentile that always holds: below it a wakeup more or less makes a ratio. docs/security.md and the page tell of it.
	victimsFloor = time.Millisecond
	// fullShare is the share of its pace that an attacker must have reached for a round to count. On a busy machine it shares its processor with
	// more than victims and application.
	fullShare = 1.0 / 3
	// sameFactor is how far the shares may be apart in a round, for the attack to be called the same.
	sameFactor = 2
)

// add adds what another attacker of the same attack did at the same time.
func (c *attackCounts) add(more attackCounts) {
	c.Connections += more.Connections
	c.Refused += more.Refused
	c.Requests += more.Requests
	c.Bytes += more.Bytes
	c.Bodies += more.Bodies
	c.Seconds = max(c.Seconds, more.Seconds)
	c.Wrong = cmp.Or(c.Wrong, more.Wrong)
}

// paced returns the counts that may have a pace.
func (c attackCounts) paced() []int64 { return []int64{c.Connections, c.Requests, c.Bytes} }

// shares returns what was done as parts of what the full pace comes to in that time; only of what has a pace.
func (x *attack) shares(did attackCounts) (all []float64) {
	atOnce, perSecond := x.atOnce.paced(), x.perSecond.paced()
	for i, n := range did.paced() {
		if full := float64(atOnce[i]) + float64(perSecond[i])*did.Seconds; full > 0 {
			all = append(all, float64(n)/full)
		}
	}
	return all
}

// share returns the least of them.
func (x *attack) share(did attackCounts) float64 { return slices.Min(x.shares(did)) }

// leastShare returns the least of all rounds; 0 of none.
func (x *attack) leastShare(rounds []round) float64 {
	if len(rounds) == 0 {
		return 0
	}
	least := x.share(rounds[0].did)
	for _, r := range rounds[1:] {
		least = min(least, x.share(r.did))
	}
	return least
}

// differs says why a round does not compare the same attack, made in full over the victims' window, on both proxies; "" when it does.
func (x *attack) differs(ours, behind attackCounts) string {
	for where, did := range map[string]attackCounts{"here": ours, "behind HAProxy": behind} {
		if did.Seconds < victimWindow.Seconds() {
			return fmt.Sprintf("the attack lasted %.1f s %s", did.Seconds, where)
		}
		if share := x.share(did); share < fullShare {
			return fmt.Sprintf("the attacker did %.0f %% of its pace %s", 100*share, where)
		}
	}
	us, them := x.shares(ours), x.shares(behind)
	for i := range us {
		if us[i] > sameFactor*them[i] || them[i] > sameFactor*us[i] {
			return fmt.Sprintf("the attacker did %.0f %% of its pace here and %.0f %% behind HAProxy", 100*us[i], 100*them[i])
		}
	}
	return ""
}

// ratios returns how many times as late the victims' 99th percentile was as behind HAProxy, round by round, in order of size. Rounds are pairs: what
// disturbs the machine for seconds disturbs both.
func ratios(ours, behind []round) (all []float64) {
	for i := range ours {
		all = append(all, float64(ours[i].Latency.P99)/float64(max(behind[i].Latency.P99, victimsFloor/victimsBound)))
	}
	slices.Sort(all)
	return all
}

// held reports whether the bound holds in the median round.
func held(ours, behind []round) bool { return middle(ratios(ours, behind)) <= victimsBound }

// p99s returns the 99th percentiles of rounds, in order.
func p99s(of []round) (all []time.Duration) {
	for i := range of {
		all = append(all, of[i].Latency.P99)
	}
	slices.Sort(all)
	return all
}

// bodies returns how many whole bodies were answered.
func bodies(of []round) (n int64) {
	for i := range of {
		n += of[i].did.Bodies
	}
	return n
}

// middle returns the median, the larger of two; 0 of none.
func middle[T cmp.Ordered](sorted []T) (m T) {
	if len(sorted) == 0 {
		return m
	}
	return sorted[len(sorted)/2]
}

// The judge is held to account: an attacker that does nothing, one that does less on one side, and late victims are found.
func TestTheJudgeFindsWhatIsWrong(t *testing.T) {
	full := func(x *attack, share float64) (did attackCounts) {
		did.Seconds = 3
		did.Connections = int64(share * (float64(x.atOnce.Connections) + 3*float64(x.perSecond.Connections)))
		did.Requests = int64(share * 3 * float64(x.perSecond.Requests))
		did.Bytes = int64(share * 3 * float64(x.perSecond.Bytes))
		return did
	}
	for i := range table {
		x := &table[i]
		idle, short := attackCounts{Seconds: 3}, full(x, 1)
		short.Seconds = 1
		for name, c := range map[string]struct {
			ours, behind attackCounts
			same         bool
		}{
			"full": {full(x, 1), full(x, 0.9), true}, "idle": {idle, idle, false}, "idle here": {idle, full(x, 1), false},
			"idle there": {full(x, 1), idle, false}, "slow": {full(x, 0.3), full(x, 0.3), false}, "three times": {full(x, 1.8), full(x, 0.6), false},
			"short": {short, short, false},
		} {
			if why := x.differs(c.ours, c.behind); why == "" != c.same {
				t.Errorf("%s, %s: %q", x.name, name, why)
			}
		}
	}
	for _, c := range []struct {
		ours, behind []float64 // ms
		held         bool
	}{
		{[]float64{2, 2, 2}, []float64{1, 1, 1}, true},
		{[]float64{2, 2, 2}, []float64{0.5, 0.5, 0.5}, false}, // below a slice of the scheduler, too
		{[]float64{0.9, 0.9, 0.9}, []float64{0.1, 0.1, 0.1}, true},
		{[]float64{90, 2, 80, 2, 2}, []float64{1, 1, 1, 1, 1}, true},
		{[]float64{4, 4}, []float64{1, 9}, false}, // half is not most
		{[]float64{4, 4, 4}, []float64{1, 1, 9}, false},
	} {
		rounds := func(p99s []float64) (all []round) {
			for _, p99 := range p99s {
				r := round{}
				r.Latency.P99 = time.Duration(p99 * float64(time.Millisecond))
				all = append(all, r)
			}
			return all
		}
		if held(rounds(c.ours), rounds(c.behind)) != c.held {
			t.Errorf("%v here, %v behind HAProxy: held %v", c.ours, c.behind, !c.held)
		}
	}
}
