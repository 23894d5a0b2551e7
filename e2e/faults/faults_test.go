//go:build e2e

// Package faults shows that traffic is never broken by the sidecar, whatever befalls it: it stands between clients and servers that know every
// byte they must get, with relays on all its connections that do harm on purpose, and under shortages and disturbances of its own.
package faults

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/e2e/faults/relay"
	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// faultsTime is how long the fault relays work, unless SPANWIRE_FAULTS_TIME says otherwise (a Go duration); SPANWIRE_FAULTS_SEED chooses what
// they do.
const faultsTime = 60 * time.Second

// clients is how many conversations each side of the sidecar has at once.
const clients = 40

// duration returns how long the relays work.
func duration(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("SPANWIRE_FAULTS_TIME")
	if v == "" {
		return faultsTime
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seed returns what the relays' plans are drawn from.
func seed(t *testing.T) uint64 {
	t.Helper()
	v := os.Getenv("SPANWIRE_FAULTS_SEED")
	if v == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// mesh is a sidecar whose every connection crosses a relay.
type mesh struct {
	*sidecar.Process
	t        *testing.T
	load     *load
	sink     *sink
	relays   map[string]*relay.Relay // by the parties that it stands between
	names    []string                // of the relays
	verified bool
	files    int // descriptors before the load
}

// newMesh starts a sidecar between relays that follow plans: of each relay a seed of its own.
func newMesh(t *testing.T, seed uint64, plans func(seed uint64) func(n uint64) relay.Plan, args ...string) *mesh {
	t.Helper()
	m := &mesh{t: t, load: newLoad(t), sink: newSink(t), relays: map[string]*relay.Relay{}}
	between := func(name, target string, harmed func([]byte, relay.Fault)) string {
		seed++
		r, err := relay.Start(target, plans(seed), harmed)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		m.relays[name], m.names = r, append(m.names, name)
		return r.Addr
	}
	application := between("sidecar and application", m.load.server(), m.load.harmed)
	upstream := between("sidecar and upstream", m.load.server(), m.load.harmed)
	collector := between("sidecar and collector", m.sink.url, nil)
	bin := sidecar.Binary(t)
	all := []string{"run", "--service-name", "shop", "--loops", "2", "--inbound", "127.0.0.1:0=" + application, "--outbound",
		"127.0.0.1:0=" + upstream, "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--exporter", "otlp", "--otlp-endpoint", "http://" + collector}
	if m.verified = verifies(bin); m.verified {
		all = append(all, "--verify")
	}
	m.Process = sidecar.Launch(t, bin, nil, append(all, args...)...)
	between("client and sidecar", m.Inbound, m.load.harmed)
	between("application and sidecar", m.Outbound, m.load.harmed)
	m.Scrape()
	m.files = m.Descriptors()
	return m
}

// verifies reports whether the program can check its own relaying.
func verifies(bin string) bool {
	out, _ := exec.Command(bin, "run", "--help").CombinedOutput()
	return strings.Contains(string(out), "--verify")
}

// run has clients converse on both sides until the time is over.
func (m *mesh) run(clients int, until time.Time) {
	var wg sync.WaitGroup
	wg.Go(func() { m.load.run(m.relays["client and sidecar"].Addr, false, clients, until) })
	wg.Go(func() { m.load.run(m.relays["application and sidecar"].Addr, true, clients, until) })
	wg.Wait()
}

// judged judges the load and reports the first faults.
func (m *mesh) judged() tally {
	m.t.Helper()
	sum, faults := m.load.judge()
	for _, f := range faults[:min(30, len(faults))] {
		m.t.Error(f)
	}
	if n := len(faults); n > 30 {
		m.t.Errorf("and %d more", n-30)
	}
	return sum
}

// settle waits until nothing moves: the sidecar has no session, its spans have been sent, and its descriptors are what they were.
func (m *mesh) settle() {
	m.t.Helper()
	m.Await("the sessions to end", func() bool { return m.Sum("spanwire_sessions") == 0 })
	m.relays["sidecar and collector"].Follow(relay.Calm)
	m.relays["sidecar and collector"].Sever() // what hangs there is tried again at once
	m.Await("the spans to be sent", func() bool { return m.Sum("spanwire_spans_queued") == 0 })
	m.relays["sidecar and collector"].Close()
	m.Await(fmt.Sprintf("%d descriptors", m.files), func() bool { return m.Descriptors() <= m.files })
	for _, name := range m.names {
		r := m.relays[name]
		m.Await("the relay between "+name+" to be idle", func() bool { return r.Open() == 0 })
		if n := r.Unreached(); n > 0 {
			m.t.Errorf("between %s: %d connections found no target", name, n)
		}
	}
}

// balance checks the accounts: of every request that a server has seen whole there is exactly one span, or it was counted as dropped;
// there is none of a request that was not sent. Requests behind a FIN of the server are not parsed any more, for nothing can answer them: where a
// relay has sent one, spans may be missing.
func (m *mesh) balance(sum tally) (figures []proof.Figure) {
	t := m.t
	t.Helper()
	recorded, exported, dropped := m.Sum("spanwire_spans_recorded_total"), m.Sum("spanwire_spans_exported_total"), m.Sum("spanwire_spans_dropped_total")
	requests, connects := m.Sum("spanwire_requests_total"), m.Sum("spanwire_connect_spans_total")
	if recorded != requests+connects || recorded != exported+dropped {
		t.Errorf("spans: recorded %v of %v requests and %v dials; exported %v + dropped %v", recorded, requests, connects, exported, dropped)
	}
	for side, name := range []string{"inbound", "outbound"} {
		seen := m.sides("spanwire_requests_total", name)
		if n := sum.requests[side]; seen < n.visible || seen > n.sent {
			t.Errorf("%s: the sidecar saw %d requests; %d were begun, %d arrived whole on connections without a FIN in mid-stream", name, seen, n.sent, n.visible)
		}
	}
	k := m.sink
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.spans); n < int(exported) || n > int(recorded) {
		t.Errorf("the collector has %d spans; recorded %v, exported %v", n, recorded, exported)
	}
	if len(k.twice) > 0 || len(k.strange) > 0 {
		t.Errorf("two spans each of %.10v; spans of nothing: %.10q", k.twice, k.strange)
	}
	missing := 0
	for token, r := range m.load.book {
		if s := newScript(token); s.kind != kindHTTP {
			continue
		}
		for i := range maxRequests {
			_, told := k.requests[request{token, uint8(i), r.outbound}]
			if told && i >= r.client.heads {
				t.Errorf("c-%08x: a span of request %d, which was not sent", token, i)
			}
			if !told && i < r.server.heads && !slices.Contains(r.harms, relay.Cut) {
				missing++
			}
		}
	}
	if missing > int(dropped) {
		t.Errorf("no span of %d requests that the servers have seen; %v dropped", missing, dropped)
	}
	altered, checked := m.Sum("spanwire_altered_bytes_total"), m.Sum("spanwire_verified_bytes_total")
	if m.verified && (altered != 0 || checked == 0) {
		t.Errorf("%v bytes verified, %v altered", checked, altered)
	}
	return []proof.Figure{
		proof.Figuref("conversations", "%d", sum.conversations), proof.Figuref("arrived whole", "%d", sum.whole),
		proof.Figuref("cut off by a relay, by whatever, a beginning arrived", "%d", sum.cut), proof.Figuref("altered", "%v bytes of %d MiB", altered, sum.bytes>>20),
		proof.Figuref("requests begun, seen by the sidecar, arrived whole", "%d, %v, %d", sum.requests[0].sent+sum.requests[1].sent, requests,
			sum.requests[0].served+sum.requests[1].served),
		proof.Figuref("spans recorded = exported + dropped", "%v = %v + %v", recorded, exported, dropped),
	}
}

// sides sums a metric over the series of one side.
func (m *mesh) sides(metric, side string) (n int) {
	for line := range strings.Lines(m.Scrape()) {
		if series, value, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(series, metric+"{") && strings.Contains(series, `side="`+side+`"`) {
			x, err := strconv.ParseFloat(value, 64)
			if err != nil {
				m.t.Fatal(err)
			}
			n += int(x)
		}
	}
	return n
}

// Relays that delay, split, drip, stall, cut and reset stand on every connection of the sidecar: between client and sidecar, sidecar and application,
// application and sidecar, sidecar and upstream, sidecar and collector. What they do not cut off arrives, whole and unchanged, and of what they
// do a beginning; a reset crosses as a reset; afterwards nothing is left, and the accounts of spans balance.
func TestFaultsBetweenAllParties(t *testing.T) {
	lasts, seed := duration(t), seed(t)
	t.Logf("%v, SPANWIRE_FAULTS_SEED=%d", lasts, seed)
	m := newMesh(t, seed, relay.Mixed)
	report := proof.Fault{Name: "Fault relays between all parties", What: fmt.Sprintf("For %v relays on all five kinds of connections delay, split, drip, stall, "+
		"half-close and reset at random, under %d conversations at once: HTTP/1 with bodies of all sizes and framings, pipelining, raw TCP.", lasts, 2*clients)}
	defer func() { proof.Write(t, report) }()
	m.run(clients, time.Now().Add(lasts))
	sum := m.judged()
	m.settle()
	report.Outcome = m.balance(sum)
	for _, name := range m.names {
		r := m.relays[name]
		struck := r.Struck()
		for f := relay.Delay; f < relay.Flip; f++ {
			if struck[f] == 0 && lasts >= 20*time.Second && name != "sidecar and collector" {
				t.Errorf("between %s: %s has not struck", name, f)
			}
		}
		report.Outcome = append(report.Outcome, proof.Figure{Name: "between " + name, Value: r.String()})
	}
	for _, f := range report.Outcome {
		t.Logf("%s: %s", f.Name, f.Value)
	}
	if sum.whole == 0 || sum.cut == 0 {
		t.Errorf("%+v: too tame", sum)
	}
	m.Stop()
}
