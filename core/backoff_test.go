package core

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The two pauses of the engine: each lasts twice as long as the one before, up to backoffMax. One that stays short would spin for as long as
// the lack does; one that grows for ever would leave its clients waiting long after it.
func TestPausesOfTheEngine(t *testing.T) {
	t.Run("accepting", func(t *testing.T) {
		t.Parallel()
		e, addr := inboundTo(t, newBackend(t).addr, Config{})
		l := e.listeners[0]
		wantPauses(t, e, &l.pause, func() { l.backOff(unix.EMFILE) }, func() bool { return !l.timer.Active() })
		_ = dial(t, addr)
		eventually(t, "a connection to end the row of pauses", func() (over bool) {
			onLoop(t, e, func() { over = l.pause == 0 })
			return over
		})
	})
	t.Run("dialing", func(t *testing.T) {
		t.Parallel()
		e := startLate(t, "\x00").e
		var s *session
		onLoop(t, e, func() {
			s = e.workers[0].sessions
			s.dialUntil += int64(testTimeout)
		})
		wantPauses(t, e, &s.retryIn, func() { s.dialLater(unix.EMFILE, RefusedDescriptors) }, func() bool { return s.socks[server].fd != noFD })
	})
}

// wantPauses has the engine run out of something again each time that the pause for it is over, and checks that its pauses are first 20 ms,
// then twice as long each. last is where the length of the last one is kept. All run on the loop, by whose clock is measured.
func wantPauses(t *testing.T, e *Engine, last *time.Duration, lack func(), over func() bool) {
	t.Helper()
	w := e.workers[0]
	for want := 20 * time.Millisecond; want < 200*time.Millisecond; want *= 2 {
		var begun int64
		var told, lasted time.Duration
		onLoop(t, e, func() {
			begun = w.loop.Now()
			lack()
			told = *last
		})
		eventually(t, "the end of the pause", func() (ended bool) {
			onLoop(t, e, func() { ended, lasted = over(), time.Duration(w.loop.Now()-begun) })
			return ended
		})
		if told != want || lasted < want {
			t.Errorf("a pause of %v lasted %v, want %v", told, lasted, want)
		}
	}
	var told time.Duration
	onLoop(t, e, func() {
		*last = 900 * time.Millisecond
		lack()
		told = *last
	})
	if told != time.Second {
		t.Errorf("a long pause lasts %v", told)
	}
	eventually(t, "the end of the pause", func() (ended bool) {
		onLoop(t, e, func() { ended = over() })
		return ended
	})
}

// onLoop runs do on the first loop of e and waits for its end.
func onLoop(t *testing.T, e *Engine, do func()) {
	t.Helper()
	done := make(chan struct{})
	if err := e.workers[0].loop.Post(func() { do(); close(done) }); err != nil {
		t.Fatal(err)
	}
	<-done
}
