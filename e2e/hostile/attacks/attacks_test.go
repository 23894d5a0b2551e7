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
	// Each attack is made on each proxy by turns, leastRounds times, and the median round decides. On a small machine others disturb one now and
	// then: while the median does not hold, more are made, up to mostRounds, and all of them decide.
	leastRounds = 3
	mostRounds  = 13
	// keptKiB is what a sidecar may keep of an attack: the ring of spans, once it has been full (2 MiB), and 3 MiB for what it has touched of its
	// program, its threads' stacks and the runtime's tables.
	keptKiB = 5 << 10
	// onlyVariable chooses attacks by parts of their names, with commas between, for whoever looks into one of them.
	onlyVariable = "SPANWIRE_TEST_ATTACKS"
	// longest is how long the attacks may take: a round takes 8 s, and if none of the table were to hold before mostRounds, that is 16 minutes.
	longest = 18 * time.Minute
)

// TestAttacks makes each attack of the table on HAProxy's TCP mode and on the sidecar by turns, with the same victims. What the sidecars give back
// is looked at when all attacks have been made: it takes seconds, and they can wait together.
func TestAttacks(t *testing.T) {
	netns.Isolated(t, longest, []string{"haproxy", "prlimit"}, func() {
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
	behind, ours []round            // those that count
	void         []string           // why others do not
	lost, sent   int                // requests of victims of the sidecar, over all rounds
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
	for n := 0; n < mostRounds && (len(o.ours) < leastRounds || !held(o.ours, o.behind)); n++ {
		var ours, behind round
		for turn := range 2 {
			if (n+turn)%2 == 0 {
				behind = o.round(t, load, o.haproxy.proxy)
			} else {
				ours = o.round(t, load, asProxy(o.sidecar))
			}
		}
		t.Logf("round %d: p50 %s, p99 %s, max %s; behind HAProxy %s, %s, %s", n+1, ms(ours.Latency.P50), ms(ours.Latency.P99), ms(ours.Latency.Max),
			ms(behind.Latency.P50), ms(behind.Latency.P99), ms(behind.Latency.Max))
		o.sent += ours.Requests.Sent
		if o.lost += ours.lost(); ours.lost() > 0 {
			t.Errorf("round %d: victims lost %d requests (%+v, %s); behind HAProxy %d", n+1, ours.lost(), ours.Requests, ours.First, behind.lost())
		}
		if why := o.differs(ours.did, behind.did); why != "" {
			t.Logf("round %d does not count: %s", n+1, why)
			o.void = append(o.void, why)
			continue
		}
		o.ours, o.behind = append(o.ours, ours), append(o.behind, behind)
	}
	o.haproxy.stop()
	o.peak = o.sidecar.Status("VmHWM")
}

// round is what came of one round at one proxy.
type round struct {
	measured
	did attackCounts
}

// round has the victims measured at p while it is attacked.
func (o *outcome) round(t *testing.T, load string, p proxy) (r round) {
	t.Helper()
	p.awaitIdle(t) // a round has nothing to do with the one before
	began := time.Now()
	v, attackers := o.under(t, load, p, victimWindow)
	if late := time.Since(began) - victimWarmup; late > 0 {
		t.Logf("the attack was under way %v after the victims' window began", late.Round(time.Millisecond))
	}
	r.measured = v.wait(t)
	r.did = o.end(t, p.address, attackers)
	return r
}

// end ends the attack and holds to account what it must have done, however busy the machine.
func (o *outcome) end(t *testing.T, where string, attackers []*attackerProcess) (did attackCounts) {
	t.Helper()
	for _, a := range attackers {
		did.add(a.end(t))
	}
	t.Logf("at %s: %+v", where, did)
	if did.Bodies < o.bodies || did.Wrong != "" {
		t.Errorf("at %s: %d bodies of a million chunks were answered, want %d: %s", where, did.Bodies, o.bodies, did.Wrong)
	}
	return did
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
	if o.share(o.end(t, p.Inbound, attackers)) == 0 {
		t.Errorf("with --verify: the attacker did not attack")
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
	for series, each := range o.counters {
		n, least := now[series]-o.counted[series], each*float64(max(len(o.ours), leastRounds))
		if series == sessionsSeries {
			n -= float64(o.sent) // attacks that count them have victims with a connection for each request
		}
		t.Logf("%s went up by %v, at least %v", series, n, least)
		if n < least {
			t.Errorf("%s went up by %v, want at least %v", series, n, least)
		}
	}
}

// judgeVictims compares those of the rounds that count.
func (o *outcome) judgeVictims(t *testing.T) {
	t.Helper()
	if len(o.ours) < leastRounds {
		t.Errorf("%d rounds with the same attack in full on both, want %d: %s", len(o.ours), leastRounds, strings.Join(o.void, "; "))
		return
	}
	if !held(o.ours, o.behind) {
		t.Errorf("the victims' 99th percentile was %.2f times that behind HAProxy (median of %d rounds: %.2f), at most %d times is allowed",
			middle(ratios(o.ours, o.behind)), len(o.ours), ratios(o.ours, o.behind), victimsBound)
	}
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
	ours, behind := p99s(o.ours), p99s(o.behind)
	result := proof.Attack{Name: o.name, What: o.what, Outcome: []proof.Figure{
		proof.Figuref("victims' p99 (median of rounds)", "%s", ms(middle(ours))),
		proof.Figuref("behind HAProxy TCP", "%s", ms(middle(behind))),
		proof.Figuref("ratio (median of rounds)", "%.2f", middle(ratios(o.ours, o.behind))),
		proof.Figuref("the attacker's pace, here, behind HAProxy (least of rounds)", "%.0f %%, %.0f %%",
			100*o.leastShare(o.ours), 100*o.leastShare(o.behind)),
		proof.Figuref("victims' requests lost", "%d", o.lost),
		proof.Figuref("memory before, at the peak, afterwards", "%s, %s, %s", mib(o.before.rss), mib(o.peak), mib(o.after.rss)),
		proof.Figuref("bound of memory", "%s", mib(o.bound)),
		proof.Figuref("bytes verified in one more round, altered", "%.0f, %.0f", o.verified, o.altered),
		proof.Figuref("descriptors before, afterwards", "%d, %d", o.before.descriptors, o.after.descriptors),
	}}
	if o.bodies > 0 {
		result.Outcome = append(result.Outcome,
			proof.Figuref("bodies of 1 000 000 chunks answered, here, behind HAProxy", "%d, %d", bodies(o.ours), bodies(o.behind)))
	}
	t.Logf("%+v", result.Outcome)
	proof.Write(t, result)
}

// ms and mib write a time and a number of KiB for people.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1e3) }
func mib(kib int) string        { return fmt.Sprintf("%.1f MiB", float64(kib)/1024) }
