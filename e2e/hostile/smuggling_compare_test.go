//go:build e2e

package hostile

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/smuggling"
)

// maxTries is how often a vector is sent directly again when the sidecar's way gave another outcome: some servers answer now so, now so, by how much
// of the bytes they find at their first read.
const maxTries = 40

// way is how a vector gets to a server.
type way struct {
	name, addr string
	cuts       []int
	patience   time.Duration // for an answer, before the half-close
}

// outcome is what a server made of a vector.
type outcome struct {
	seen   []string // the lines of its log
	answer string
	early  string // what of it came before the half-close
}

func (o outcome) equal(p outcome) bool { return o.answer == p.answer && slices.Equal(o.seen, p.seen) }

// playServers sends v to each server, directly and by every way through the sidecar, whose state is before; it returns that afterwards.
func (x *beside) playServers(t *testing.T, v *smuggling.Vector, before state, servers []*server, n *tally) state {
	var wg sync.WaitGroup
	counts := make([]int, len(servers))
	for i, s := range servers {
		wg.Go(func() { counts[i] = x.compare(t, v, s) })
	}
	wg.Wait()
	after := x.settled()
	got := after.requests - before.requests
	bound := 0
	for i, s := range servers {
		s.requests += counts[i]
		n.requests += counts[i]
		s.varied += s.variedNow
		n.varied += s.variedNow
		got -= s.through
		s.through, s.variedNow = 0, 0
		certain := v.Spans
		if len(v.Answers) > 0 {
			certain = max(certain, counts[i]) // the table's number is for the answers of its script
		}
		bound += 3 * certain
	}
	n.sessions += 3 * len(servers)
	n.spans += got
	if got > bound {
		t.Errorf("%s: %d requests recorded, where at most %d are certain", v, got, bound)
	}
	return after
}

// compare sends v to s and returns how many requests it saw directly.
func (x *beside) compare(t *testing.T, v *smuggling.Vector, s *server) int {
	thirds := []int{len(v.Client) / 3, 2 * len(v.Client) / 3}
	if len(v.Client) < 3 {
		thirds = nil
	}
	direct, err := s.outcome(way{addr: s.addr}, v)
	if err != nil {
		t.Errorf("%s: %s directly: %v", v, s.name, err)
		return 0
	}
	for _, w := range []way{
		{name: "inbound", addr: x.inbound[s.addr]}, {name: "outbound", addr: x.outbound[s.addr]},
		{name: "inbound in pieces", addr: x.inbound[s.addr], cuts: thirds},
	} {
		through, err := s.outcome(w, v)
		if err != nil {
			t.Errorf("%s: %s %s: %v", v, s.name, w.name, err)
			continue
		}
		if through.equal(direct) {
			continue
		}
		if !s.varies(v, w.cuts, through) {
			t.Errorf("%s: %s %s saw %q and answered %q; directly it saw %q and answered %q\nsent %q", v, s.name, w.name, through.seen, through.answer,
				direct.seen, direct.answer, v.Client[:min(len(v.Client), 2000)])
			continue
		}
		s.variedNow++
		t.Logf("%s: %s answers now %q, now %q", v, s.name, statusLines(direct.answer), statusLines(through.answer))
	}
	return len(direct.seen)
}

// outcome sends v by way w.
func (s *server) outcome(w way, v *smuggling.Vector) (o outcome, err error) {
	var failed error
	before := func(c *clientConn) error {
		err := s.settle(w.addr)
		for deadline := time.Now().Add(w.patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if n, done := c.heard(); n > 0 || done {
				break
			}
		}
		return err
	}
	o.seen, err = s.seen(func() { o.answer, o.early, failed = s.exchange(w.addr, v.Client, w.cuts, before) })
	if failed != nil {
		err = failed
	}
	return o, err
}

// varies reports whether s gives the outcome directly too, at the same cuts, or at some of them: what has not been read when more comes is read with
// it, here as on any way, and a server may log of a request that it refuses no more than its first read.
func (s *server) varies(v *smuggling.Vector, cuts []int, want outcome) bool {
	some := [][]int{cuts, nil}
	for _, cut := range cuts {
		some = append(some, []int{cut})
	}
	for i := range maxTries {
		if got, err := s.outcome(way{addr: s.addr, cuts: some[i%len(some)]}, v); err == nil && got.equal(want) {
			return true
		}
	}
	return false
}

// statusLines returns the status lines of answers.
func statusLines(answer string) (lines []string) {
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "HTTP/1.") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
