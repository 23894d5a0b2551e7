//go:build e2e

// Package hostile sends the built program what an attacker would, and looks at what arrives, what is recorded, and what others see meanwhile.
package hostile

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
	"github.com/spanwire/spanwire/internal/smuggling"
)

// TestRequestSmuggling sends every published desync vector through the sidecar, inbound and outbound. In front of a server that records, in many segmentations:
// the bytes arrive unchanged, our lines are where the table of vectors says and nowhere else, and so many requests are recorded as it says. In
// front of real servers: they see the same requests and give the same answers as without the sidecar. And they agree on the heads that are edited.
func TestRequestSmuggling(t *testing.T) {
	vectors, err := smuggling.All()
	if err != nil {
		t.Fatal(err)
	}
	recorders := startRecorders(t)
	servers := startServers(t)
	var upstreams []string
	for _, r := range recorders {
		upstreams = append(upstreams, r.addr)
	}
	for _, s := range servers {
		upstreams = append(upstreams, s.addr)
	}
	x := startBeside(t, upstreams)
	for _, class := range classes(vectors) {
		t.Run(class[0].Class, func(t *testing.T) { x.playClass(t, class, recorders, servers) })
	}
	x.balance(t)
	for _, s := range servers {
		t.Logf("%s: %d requests seen directly, and the same ones three times through; %d outcomes that vary by chance, directly too", s.name, s.requests, s.varied)
	}
}

// classes groups the vectors by class, in their order.
func classes(vectors []smuggling.Vector) (all [][]smuggling.Vector) {
	for i := range vectors {
		if n := len(all); n > 0 && all[n-1][0].Class == vectors[i].Class {
			all[n-1] = append(all[n-1], vectors[i])
		} else {
			all = append(all, vectors[i:i+1:i+1])
		}
	}
	return all
}

// tally is what became of a class.
type tally struct {
	sessions, heads, spans, requests, varied, altered int

	edited, refused, different int // vectors with edited heads, and what the servers make of them directly
}

// playClass plays the vectors of one class and reports what came of them.
func (x *beside) playClass(t *testing.T, class []smuggling.Vector, recorders []*recorder, servers []*server) {
	var n tally
	now := x.settled()
	altered := now.altered
	defer func() {
		n.altered = now.altered - altered
		if n.altered != 0 {
			t.Errorf("%d bytes were altered", n.altered)
		}
		names := make([]string, len(servers))
		for i, s := range servers {
			names[i] = s.name
		}
		proof.Write(t, proof.Attack{
			Name: "Request smuggling: " + strings.ReplaceAll(class[0].Class, "_", " "),
			What: class[0].Title + ".",
			Outcome: []proof.Figure{
				proof.Figuref("vectors", "%d", len(class)),
				proof.Figuref("sessions", "%d", n.sessions),
				proof.Figuref("bytes altered", "%d", n.altered),
				proof.Figuref("heads edited", "%d", n.heads),
				proof.Figuref("vectors with such heads", "%d", n.edited),
				proof.Figuref("of these refused by a server", "%d", n.refused),
				proof.Figuref("of these framed differently by two servers", "%d", n.different),
				proof.Figuref("spans, none too many", "%d", n.spans),
				proof.Figuref("requests seen by "+strings.Join(names, ", "), "%d directly, the same through", n.requests),
				proof.Figuref("outcomes by chance (directly too)", "%d of %d", n.varied, 3*len(servers)*len(class)),
			},
		})
	}()
	for i := range class {
		v := &class[i]
		now = x.playArrival(t, v, now, recorders, &n)
		now = x.playServers(t, v, now, servers, &n)
		agree(t, v, servers, &n)
	}
}

// beside is a sidecar with an inbound and an outbound listener for each upstream.
type beside struct {
	p                 *sidecar.Process
	inbound, outbound map[string]string // by upstream
	missing           int               // heads that were not edited although they are certain
}

var pairs = regexp.MustCompile(`(127\.0\.0\.1:\d+) -> (127\.0\.0\.1:\d+)`)

// startBeside starts one. It verifies what it relays, on one loop: what comes later is done later, which server.settle relies on.
func startBeside(t *testing.T, upstreams []string) *beside {
	args := []string{"--service-name", "x", "--exporter", "none", "--admin", "off", "--metrics", "127.0.0.1:0", "--verify", "--loops", "1"}
	for _, u := range upstreams {
		args = append(args, "--inbound", "127.0.0.1:0="+u, "--outbound", "127.0.0.1:0="+u)
	}
	x := &beside{inbound: map[string]string{}, outbound: map[string]string{}}
	x.p = sidecar.Launch(t, sidecar.Binary(t), nil, args...)
	line, _, _ := strings.Cut(x.p.Log.String(), "\n")
	in, out, _ := strings.Cut(line, "outbound=")
	for _, m := range pairs.FindAllStringSubmatch(in, -1) {
		x.inbound[m[2]] = m[1]
	}
	for _, m := range pairs.FindAllStringSubmatch(out, -1) {
		x.outbound[m[2]] = m[1]
	}
	if len(x.inbound) != len(upstreams) || len(x.outbound) != len(upstreams) {
		t.Fatalf("%d and %d listeners for %d upstreams: %s", len(x.inbound), len(x.outbound), len(upstreams), line)
	}
	return x
}

// state is what the sidecar's metrics say when no session is open.
type state struct {
	requests, slow, altered int
	opaque                  map[string]int // by reason
}

var series = regexp.MustCompile(`(?m)^(spanwire_(?:sessions|requests_total|opaque_total|unedited_total|altered_bytes_total))(?:\{(?:.*reason="([a-z0-9_]+)")?.*\})? (\d+)`)

// settled waits until no session is open. One scrape tells all, for it is what costs here.
func (x *beside) settled() (s state) {
	x.p.Await("no session to be open", func() bool {
		s = state{opaque: map[string]int{}}
		sessions := -1
		for _, m := range series.FindAllStringSubmatch(x.p.Scrape(), -1) {
			name, reason, n := m[1], m[2], atoi(m[3])
			switch {
			case name == "spanwire_sessions":
				sessions = max(sessions, 0) + n
			case name == "spanwire_requests_total":
				s.requests += n
			case name == "spanwire_opaque_total":
				s.opaque[reason] = n
			case name == "spanwire_altered_bytes_total":
				s.altered += n
			case reason == "slow_head":
				s.slow = n
			}
		}
		return sessions == 0
	})
	return s
}

// balance holds the accounts of the whole test: every request counted has a span, every byte was compared and none altered.
func (x *beside) balance(t *testing.T) {
	requests := x.settled().requests
	spans := func() int {
		return int(x.p.Sum("spanwire_spans_recorded_total") - x.p.Sum("spanwire_connect_spans_total"))
	}
	x.p.Await("every request to have its span", func() bool { return spans() >= requests })
	if n := spans(); n != requests {
		t.Errorf("%d spans of %d requests", n, requests)
	}
	if x.p.Sum("spanwire_altered_bytes_total") != 0 || x.p.Sum("spanwire_verified_bytes_total") == 0 {
		t.Errorf("altered %v of %v bytes", x.p.Sum("spanwire_altered_bytes_total"), x.p.Sum("spanwire_verified_bytes_total"))
	}
	t.Logf("%d requests; %d heads were let go unedited since they came slowly", requests, x.missing)
}
