//go:build e2e

package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/e2e/faults/relay"
)

// The judge is held to account, without a sidecar: a relay that changes a bit, one that cuts connections off and keeps it to itself, and one that turns
// resets into ends are found; one that does nothing, or says what it does, is not.
func TestTheJudgeFindsWhatIsWrong(t *testing.T) {
	always := func(f relay.Fault) func(uint64) relay.Plan {
		return func(n uint64) relay.Plan { return relay.Plan{Fault: f, Dir: int(n % 2), After: 40} }
	}
	for _, c := range []struct {
		name   string
		plan   func(uint64) relay.Plan
		secret bool // nobody is told of what was cut off
		lie    bool // it is told as a reset
		want   string
	}{
		{"nothing befalls", relay.Calm, false, false, ""},
		{"everything that is told", relay.Mixed(1), false, false, ""},
		{"a bit", always(relay.Flip), false, false, "ALTERED"},
		{"secret resets", always(relay.Reset), true, false, "ended early"},
		{"secret ends", always(relay.Cut), true, false, "ended early"},
		{"ends for resets", always(relay.Cut), false, true, "as an end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLoad(t)
			harmed := func(first []byte, f relay.Fault) {
				if c.lie {
					f = relay.Reset
				}
				if !c.secret {
					l.harmed(first, f)
				}
			}
			r, err := relay.Start(l.server(), c.plan, harmed)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			over := make(chan struct{})
			enough := l.ended
			if c.want == "" {
				enough = l.whole
			}
			go func() { // half a second from the first conversation on, however long that takes
				for deadline := time.Now().Add(stuck); enough() == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
				}
				time.Sleep(500 * time.Millisecond)
				close(over)
			}()
			l.run(r.Addr, false, 8, over)
			sum, faults := l.judge()
			all := strings.Join(faults, "\n")
			if c.want == "" && all != "" || !strings.Contains(all, c.want) {
				t.Errorf("want %q, got %.2000q", c.want, all)
			}
			if sum.conversations == 0 || c.want == "" && sum.whole == 0 {
				t.Errorf("%+v", sum)
			}
		})
	}
}
