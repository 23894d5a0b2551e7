//go:build e2e

// Package attacks wears the sidecar out, and compares what others see meanwhile with what they see behind HAProxy.
package attacks

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/netns"
	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
)

const (
	// Each attack is made on each proxy by turns, leastRounds times, and most of the rounds decide. On a small machine others disturb one now
	// and then: while half of them fail, more are made, up to mostRounds.
	leastRounds = 3
	mostRounds  = 7
	// victimsBound is how many times as late the victims' 99th percentile may be as behind HAProxy.
	victimsBound = 3
	// noise is the 99th percentile below which a ratio says nothing. Victims, upstream and attacker share a processor, and the kernel lets each of
	// them go on for a slice of some 3 ms while others wait (EEVDF, base_slice_ns): a request that is held up by one slice was held up by the
	// scheduler, wherever it went.
	noise = 3 * time.Millisecond
	// keptKiB is what a sidecar may keep of an attack: the ring of spans, once it has been full (2 MiB), and 3 MiB for what it has touched of its
	// program, its threads' stacks and the runtime's tables.
	keptKiB = 5 << 10
	// onlyVariable chooses attacks by parts of their names, with commas between, for whoever looks into one of them.
	onlyVariable = "SPANWIRE_TEST_ATTACKS"
)

// TestAttacks makes each attack of the table on HAProxy's TCP mode and on the sidecar by turns, with the same victims. What the sidecars give back
// is looked at when all attacks have been made: it takes seconds, and they can wait together.
func TestAttacks(t *testing.T) {
	netns.Isolated(t, 8*time.Minute, []string{"haproxy", "prlimit"}, func() {
		load := loadGenerator(t)
		for i := range table {
			x := &table[i]
			if !chosen(x.name) {
				continue
			}
			t.Run(strings.ReplaceAll(x.name, " ", "-"), func(t *testing.T) {
				o := &outcome{attack: x}
				defer o.report(t)
				o.prepare(t, load)
				o.make(t, load)
				o.verify(t, load)
				o.judge(t)
				t.Parallel() // waits until all attacks have been made
				o.awaitRelease(t)
			})
		}
	})
}

// chosen reports whether the attack is to be made.
func chosen(name string) bool {
	only := os.Getenv(onlyVariable)
	return only == "" || slices.ContainsFunc(strings.Split(only, ","), func(part string) bool { return strings.Contains(strings.ToLower(name), strings.ToLower(part)) })
}

// outcome is an attack and what came of it.
type outcome struct {
	*attack
	sidecar *sidecar.Process
	haproxy *haproxy
	// where is where upstream and collector are.
	where struct{ upstream, sink string }

	before       resources
	counted      map[string]float64 // before
	bound        int                // of its memory, KiB
	peak         int                // KiB
	behind, ours []measured         // what the victims saw, by round
	after        resources
	verified     float64 // bytes, in one more round …
	altered      float64 // … and what was wrong with them
}

// resources is what a sidecar has at one time.
type resources struct {
	rss, descriptors int // KiB, number
}

func resourcesOf(p *sidecar.Process) resources {
	return resources{p.Status("VmRSS"), p.Descriptors()}
}

// prepare starts everything, and states the bound of memory.
func (o *outcome) prepare(t *testing.T, load string) {
	t.Helper()
	o.where.upstream, o.where.sink = startUpstream(t), startSink(t, load)
	o.sidecar = startSidecar(t, o.where.upstream, o.where.sink, o.descriptors)
	o.haproxy = startHAProxy(t, o.where.upstream, o.descriptors)
	for _, target := range []string{o.haproxy.address, o.sidecar.Inbound} {
		startVictims(t, load, target, 0, time.Second, false).wait(t)
	}
	asProxy(o.sidecar).awaitIdle(t)
	o.before = resourcesOf(o.sidecar)
	o.haproxy.idle = sidecar.DescriptorsOf(t, o.haproxy.pid) // its victims ended a second ago
	o.counted = o.counts()
	o.bound = o.holds.bound(o.before.rss)
	// The kernel is to count VmHWM anew (man 5 proc_pid_clear_refs).
	name := filepath.Join("/proc", fmt.Sprint(o.sidecar.Cmd.Process.Pid), "clear_refs")
	if err := os.WriteFile(name, []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// make attacks both by turns.
func (o *outcome) make(t *testing.T, load string) {
	t.Helper()
	for round := 0; round < leastRounds || !o.mostHeld() && round < mostRounds; round++ {
		for turn := range 2 {
			if (round+turn)%2 == 0 {
				o.behind = append(o.behind, o.round(t, load, o.haproxy.proxy))
			} else {
				o.ours = append(o.ours, o.round(t, load, asProxy(o.sidecar)))
			}
		}
	}
	o.haproxy.stop()
	o.peak = o.sidecar.Status("VmHWM")
}

// round has the victims measured at p while it is attacked.
func (o *outcome) round(t *testing.T, load string, p proxy) measured {
	t.Helper()
	p.awaitIdle(t) // a round has nothing to do with the one before
	began := time.Now()
	v, attackers := o.under(t, load, p, victimWindow)
	if late := time.Since(began) - victimWarmup; late > 0 {
		t.Logf("the attack was under way %v after the victims' window began", late.Round(time.Millisecond))
	}
	m := v.wait(t)
	for _, a := range attackers {
		t.Logf("at %s: %+v", p.address, a.end(t))
	}
	return m
}

// under starts victims of p, and the attack on it once they are served.
func (o *outcome) under(t *testing.T, load string, p proxy, window time.Duration) (*victims, []*attackerProcess) {
	t.Helper()
	v := startVictims(t, load, p.address, victimWarmup, window, o.fresh)
	if !o.fresh {
		p.awaitVictims(t)
	}
	return v, o.launch(t, p.address)
}

// verify attacks once more a sidecar that compares every byte that it sends with what it received.
func (o *outcome) verify(t *testing.T, load string) {
	t.Helper()
	p := startSidecar(t, o.where.upstream, o.where.sink, o.descriptors, "--verify")
	v, attackers := o.under(t, load, asProxy(p), time.Second)
	if m := v.wait(t); m.lost() > 0 {
		t.Errorf("with --verify: victims lost %d requests (%+v, %s)", m.lost(), m.Requests, m.First)
	}
	for _, a := range attackers {
		a.end(t)
	}
	asProxy(p).awaitIdle(t)
	o.verified, o.altered = p.Sum("spanwire_verified_bytes_total"), p.Sum("spanwire_altered_bytes_total")
	if o.altered != 0 || o.verified == 0 {
		t.Errorf("with --verify: %v bytes altered of %v", o.altered, o.verified)
	}
	p.Stop()
}

// judge holds what was measured to the bounds.
func (o *outcome) judge(t *testing.T) {
	t.Helper()
	o.judgeVictims(t)
	if o.peak > o.bound {
		t.Errorf("memory: %d KiB at the peak, bound %d KiB (%s)", o.peak, o.bound, o.holds)
	}
	now := o.counts()
	for series, least := range o.counters {
		if n := now[series] - o.counted[series]; n < least {
			t.Errorf("%s went up by %v, want at least %v", series, n, least)
		}
	}
}

// judgeVictims compares round by round.
func (o *outcome) judgeVictims(t *testing.T) {
	t.Helper()
	for i := range o.ours {
		us, them := o.ours[i], o.behind[i]
		t.Logf("round %d: p50 %s, p99 %s, max %s; behind HAProxy %s, %s, %s", i+1, ms(us.Latency.P50), ms(us.Latency.P99), ms(us.Latency.Max),
			ms(them.Latency.P50), ms(them.Latency.P99), ms(them.Latency.Max))
		if us.lost() > 0 {
			t.Errorf("round %d: victims lost %d requests (%+v, %s); behind HAProxy %d", i+1, us.lost(), us.Requests, us.First, them.lost())
		}
	}
	if !o.mostHeld() {
		t.Errorf("the victims' 99th percentile was above %d times that behind HAProxy in at least half of %d rounds", victimsBound, len(o.ours))
	}
}

// mostHeld reports whether the bound of the victims' 99th percentile held in most rounds.
func (o *outcome) mostHeld() bool {
	held := 0
	for i := range o.ours {
		if o.ours[i].Latency.P99 <= max(victimsBound*o.behind[i].Latency.P99, noise) {
			held++
		}
	}
	return 2*held > len(o.ours)
}

// counts returns the counters that the attack is to move.
func (o *outcome) counts() map[string]float64 {
	counts := map[string]float64{}
	for series := range o.counters {
		counts[series] = o.sidecar.Metric(series)
	}
	return counts
}

// awaitRelease waits until the sidecar has given back what the attack took.
func (o *outcome) awaitRelease(t *testing.T) {
	t.Helper()
	p := o.sidecar
	asProxy(o.sidecar).awaitIdle(t)
	p.Await("no bytes to be held", func() bool { return p.Metric("spanwire_pending_bytes") == 0 })
	p.Await("its descriptors to be closed", func() bool { return p.Descriptors() <= o.before.descriptors })
	p.Await("the ids to expire", func() bool { return p.Metric("spanwire_join_ids") == 0 })
	p.Await("its memory to be given back", func() bool { return p.Status("VmRSS") <= o.before.rss+keptKiB })
	o.after = resourcesOf(p)
}

// report writes down what came of it.
func (o *outcome) report(t *testing.T) {
	lost := 0
	for _, m := range o.ours {
		lost += m.lost()
	}
	ours, behind := p99s(o.ours), p99s(o.behind)
	result := proof.Attack{Name: o.name, What: o.what, Outcome: []proof.Figure{
		proof.Figuref("victims' p99 (median of rounds)", "%s", ms(middle(ours))),
		proof.Figuref("behind HAProxy TCP", "%s", ms(middle(behind))),
		proof.Figuref("victims' requests lost", "%d", lost),
		proof.Figuref("memory before, at the peak, afterwards", "%s, %s, %s", mib(o.before.rss), mib(o.peak), mib(o.after.rss)),
		proof.Figuref("bound of memory", "%s", mib(o.bound)),
		proof.Figuref("bytes verified in one more round, altered", "%.0f, %.0f", o.verified, o.altered),
		proof.Figuref("descriptors before, afterwards", "%d, %d", o.before.descriptors, o.after.descriptors),
	}}
	t.Logf("%+v", result.Outcome)
	proof.Write(t, result)
}

// p99s returns the 99th percentiles of rounds, in order.
func p99s(of []measured) (all []time.Duration) {
	for i := range of {
		all = append(all, of[i].Latency.P99)
	}
	slices.Sort(all)
	return all
}

// middle returns the median; 0 of none.
func middle(sorted []time.Duration) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// ms and mib write a time and a number of KiB for people.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }
func mib(kib int) string        { return fmt.Sprintf("%.1f MiB", float64(kib)/1024) }
