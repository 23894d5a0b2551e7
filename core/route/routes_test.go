package route

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// ask waits for what the resolver says.
func ask(t *testing.T, target *Target) *Answer {
	t.Helper()
	done := make(chan struct{})
	target.Ask(func() { close(done) })
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	return target.Answer()
}

func TestAnswersOfTheResolverAreJudgedAndHold(t *testing.T) {
	r := newRoutes(t)
	var asked atomic.Int64
	answers := []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("169.254.169.254")}
	var fail error
	r.lookup = func(context.Context, string) ([]netip.Addr, error) {
		asked.Add(1)
		return answers, fail
	}
	target := r.Parse([]byte("a=svc:81")).Find([]byte("a"))
	if target.Answer() != nil {
		t.Fatal("known before it was asked for")
	}
	a := ask(t, target)
	if a.Refused || len(a.Addrs) != 1 || a.Addrs[0].String() != "10.0.0.7:81" {
		t.Errorf("%+v", a)
	}
	if d := time.Until(a.until); d <= 0 || d > TTL {
		t.Errorf("holds for %v", d)
	}
	expired := *a
	expired.until = time.Now().Add(-time.Second)
	target.answer.Store(&expired)
	if target.Answer() != nil {
		t.Error("holds for longer than its lifetime")
	}
	fail = errors.New("away")
	if a = ask(t, target); len(a.Addrs) != 1 || time.Until(a.until) > failTTL {
		t.Errorf("while the resolver is away: %+v", a)
	}
	fail, answers = nil, answers[2:]
	if a = ask(t, target); !a.Refused || len(a.Addrs) != 0 {
		t.Errorf("a name that leads to a metadata address: %+v", a)
	}
	r.SetOwn(func(ap netip.AddrPort) bool { return ap.Port() == 81 })
	answers = []netip.Addr{netip.MustParseAddr("10.0.0.7")}
	if a = ask(t, target); !a.Refused {
		t.Errorf("a listener of this process: %+v", a)
	}
	if asked.Load() != 4 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestOneQuestionForAllWhoWait(t *testing.T) {
	r := newRoutes(t)
	gate, asked := make(chan struct{}), new(atomic.Int64)
	r.lookup = func(context.Context, string) ([]netip.Addr, error) {
		asked.Add(1)
		<-gate
		return []netip.Addr{netip.MustParseAddr("10.0.0.7")}, nil
	}
	target := r.Parse([]byte("a=svc")).Find([]byte("a"))
	answers := make(chan struct{}, 10)
	for range cap(answers) {
		target.Ask(func() { answers <- struct{}{} })
	}
	close(gate)
	for range cap(answers) {
		<-answers
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times", asked.Load())
	}
}
