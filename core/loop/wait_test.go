package loop

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNapsBeginAndEndWithTheTraffic(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		name    string
		napping bool
		count   int
		elapsed time.Duration
		want    bool
	}{
		{"too early to tell", false, 1000, window - 1, false},
		{"too early to stop", true, 0, window - 1, true},
		{"enough to begin", false, napFrom, window, true},
		{"too few to begin", false, napFrom - 1, window, false},
		{"enough to go on", true, sleepBelow, window, true},
		{"too few to go on", true, sleepBelow - 1, window, false},
		{"a burst, then silence", false, 5 * napFrom, 10 * window, false},
	} {
		w := &waiter{napping: c.napping, count: c.count, began: start}
		w.weigh(start.Add(c.elapsed))
		if w.napping != c.want {
			t.Errorf("%s: napping %v, want %v", c.name, w.napping, c.want)
		}
	}
}

// keepBusy sends an event a millisecond to the loop until the test ends.
func keepBusy(t *testing.T, l *Loop) {
	t.Helper()
	a, b := pair(t)
	buf := make([]byte, 64)
	do(t, l, func() {
		if err := l.AddSocket(b, ready(func(Events) { _, _ = unix.Read(b, buf) })); err != nil {
			t.Error(err)
		}
	})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_, _ = unix.Write(a, []byte{1})
			}
		}
	}()
	t.Cleanup(func() { close(stop); <-stopped })
}

// awaitNaps waits until the loop naps between its events.
func awaitNaps(t *testing.T, l *Loop) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for napping := false; !napping; time.Sleep(window / 10) {
		do(t, l, func() { napping = l.waiter.napping })
		if time.Now().After(deadline) {
			t.Fatal("the loop does not nap, whatever comes")
		}
	}
}

// What shares the loop's processor runs between naps: goroutines, timers, sockets of Go's own poller, and a collection of garbage.
func TestOthersRunWhileTheLoopNaps(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	l := start(t)
	keepBusy(t, l)
	awaitNaps(t, l)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			time.Sleep(time.Millisecond)
			runtime.GC()
		}
	}()
	wait(t, done)
}

// A loop that naps is woken by a posted function at once, and by Stop.
func TestPostEndsANap(t *testing.T) {
	l := start(t)
	keepBusy(t, l)
	awaitNaps(t, l)
	for range 20 {
		do(t, l, func() {})
	}
}
