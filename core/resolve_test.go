package core

import (
	"net"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/internal/need"
)

// A name that does not resolve refuses with its own reason, and is looked up again because a dial has failed: the ticker of keepResolved
// would heal it too, so here it never ticks. However many dials fail, look-ups stand resolveGap apart.
func TestNameThatFailsAndHeals(t *testing.T) {
	t.Parallel()
	up := newBackend(t)
	_, port, _ := net.SplitHostPort(up.addr)
	name := "late-" + port + ".test" // of this run alone
	e, addr := startWith(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: name + ":" + port, Kind: span.Server}}},
		func(e *Engine) { e.resolveEvery = time.Hour })
	wantRefused(t, addr, request)
	if s := spans(t, e, 1)[0]; s.Failure != span.FailureUnresolved {
		t.Fatalf("failure %v", s.Failure)
	}
	if st := e.Stats(); st.Refused[RefusedUnresolved] != 1 {
		t.Fatalf("refused: %v", st.Refused)
	}
	eventually(t, "another look-up, in vain", func() bool {
		wantRefused(t, addr, "")
		return len(names.lookUps(name)) > 1
	})
	names.set(name, "127.0.0.1")
	t.Cleanup(func() { names.forget(name) })
	eventually(t, "the name to heal", func() bool {
		c, err := net.DialTimeout("tcp", addr, testTimeout) // which may be reset at once, as long as the name does not resolve
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		_ = up.l.SetDeadline(time.Now().Add(100 * time.Millisecond))
		s, err := up.l.Accept()
		if err != nil {
			return false
		}
		_ = s.Close()
		return true
	})
	at := names.lookUps(name)
	for i := 1; i < len(at); i++ {
		if gap := at[i].Sub(at[i-1]); gap < time.Second {
			t.Errorf("look-up %d of %d came %v after the one before", i+1, len(at), gap)
		}
	}
}

// A name that has IPv6 addresses only.
func TestNameOfIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		need.Missing(t, "IPv6 at ::1", err.Error())
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	names.set("six.test", "::1")
	e, addr := inboundTo(t, "six.test:"+port, Config{})
	c := dial(t, addr)
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(testTimeout))
	s, err := l.Accept()
	if err != nil {
		t.Fatalf("%v; refused: %v", err, e.Stats().Refused)
	}
	defer func() { _ = s.Close() }()
	mustWrite(t, s, "hi")
	if got := mustRead(t, c, 2); got != "hi" {
		t.Fatal(got)
	}
}

// A name that moves while the old address still answers, as a Service's does: without the ticker of keepResolved it would be called at the
// old one for ever.
func TestNameIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	before := newBackend(t)
	_, port, _ := net.SplitHostPort(before.addr)
	after, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = after.Close() }()
	names.set("moves.test", "127.0.0.1")
	_, addr := startWith(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: "moves.test:" + port}}}, func(e *Engine) {
		if e.resolveEvery != 30*time.Second {
			t.Errorf("names are looked up every %v", e.resolveEvery)
		}
		e.resolveEvery = 50 * time.Millisecond
	})
	dial(t, addr)
	before.accept()
	names.set("moves.test", "127.0.0.2")
	eventually(t, "a connection to the new address", func() bool {
		_ = dial(t, addr).Close()
		_ = after.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
		s, err := after.Accept()
		if err != nil {
			return false
		}
		_ = s.Close()
		return true
	})
}
