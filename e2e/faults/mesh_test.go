//go:build e2e

package faults

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/spanwire/spanwire/e2e/faults/relay"
	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// mesh is a sidecar whose every connection crosses a relay.
type mesh struct {
	*sidecar.Process
	t      *testing.T
	load   *load
	sink   *sink
	relays map[string]*relay.Relay // by the parties that it stands between
	names  []string                // of the relays
	files  int                     // descriptors before the load
	leave  func()                  // ends the connections of a collector of its own; nil: there is none
}

// setup says how a mesh differs from one in which nothing happens.
type setup struct {
	plans     func(seed uint64) func(n uint64) relay.Plan // of the relays; nil: nothing befalls
	seed      uint64
	env, args []string // of the sidecar
	wrap      []string // the sidecar is started by this command
	collector string   // where spans go; "" = to the sink, over a relay
	leave     func()   // ends that collector's connections
	names     bool     // the upstreams are given as names: app.test, up.test, col.test
}

// newMesh starts a sidecar between relays.
func newMesh(t *testing.T, s setup) *mesh {
	t.Helper()
	if s.plans == nil {
		s.plans = func(uint64) func(uint64) relay.Plan { return relay.Calm }
	}
	m := &mesh{t: t, load: newLoad(t), sink: newSink(t), relays: map[string]*relay.Relay{}, leave: s.leave}
	between := func(name, target string, harmed func([]byte, relay.Fault)) string {
		s.seed++
		r, err := relay.Start(target, s.plans(s.seed), harmed)
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
	if s.names {
		application, upstream = named("app.test", application), named("up.test", upstream)
		collector = named("col.test", collector)
	}
	if s.collector != "" {
		collector = s.collector
	}
	command := append(append([]string(nil), s.wrap...), sidecar.Binary(t), "run", "--service-name", "shop", "--loops", "2",
		"--inbound", "127.0.0.1:0="+application, "--outbound", "127.0.0.1:0="+upstream, "--admin", "127.0.0.1:0", "--metrics", "127.0.0.1:0",
		"--exporter", "otlp", "--otlp-endpoint", "http://"+collector, "--verify")
	cmd := exec.Command(command[0], append(command[1:], s.args...)...)
	cmd.Env = sidecar.Environment(s.env...)
	m.Process = sidecar.Start(t, cmd)
	between("client and sidecar", m.Inbound, m.load.harmed)
	between("application and sidecar", m.Outbound, m.load.harmed)
	m.Scrape()
	m.files = m.Descriptors()
	return m
}

// named puts a name in the place of the host of an address.
func named(name, addr string) string {
	_, port, _ := strings.Cut(addr, ":")
	return name + ":" + port
}

// begin has as many clients converse on each side until stop is called, which waits for the conversations that are under way.
func (m *mesh) begin(clients int) (stop func()) {
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { m.load.run(m.relays["client and sidecar"].Addr, false, clients, over) })
	wg.Go(func() { m.load.run(m.relays["application and sidecar"].Addr, true, clients, over) })
	return sync.OnceFunc(func() {
		close(over)
		wg.Wait()
	})
}

// goesOn waits until n more conversations have ended as they should.
func (m *mesh) goesOn(n int, what string) {
	m.t.Helper()
	before := m.load.whole()
	m.Await(what, func() bool { return m.load.whole() >= before+n })
}

// finish ends the load and checks everything: all that was not cut off arrived, nothing is left, the accounts balance.
func (m *mesh) finish(stop func()) (tally, []proof.Figure) {
	m.t.Helper()
	stop()
	sum := m.judged()
	m.settle()
	return sum, m.balance(sum)
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
	if m.leave != nil {
		m.leave()
	}
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
	if altered != 0 || checked == 0 {
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
