package loop

import (
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// chances gives a spinner n chances, each with an answer due; found says whether the i-th spin finds something. It returns how many it took.
func chances(s *spinner, n int, found func(i int) bool) int {
	spins := 0
	for range n {
		s.due = true
		if s.begins(false) {
			s.learn(found(spins))
			spins++
		}
	}
	return spins
}

func TestSpinsWhileTheyPay(t *testing.T) {
	for _, c := range []struct {
		name     string
		found    func(int) bool
		min, max int // spins of 6400 chances
	}{
		{"every answer in time", func(int) bool { return true }, 6400 - retryAfter, 6400},
		{"nine of ten", func(i int) bool { return i%10 != 9 }, 6400 - 2*retryAfter, 6400},
		{"none", func(int) bool { return false }, 6400 / retryAfter, 6400 / retryAfter},
		{"every other", func(i int) bool { return i%2 == 0 }, 1, 6400 / retryAfter * 3},
	} {
		s := &spinner{limit: time.Microsecond}
		if n := chances(s, 6400, c.found); n < c.min || n > c.max {
			t.Errorf("%s: %d spins, want %d to %d", c.name, n, c.min, c.max)
		}
	}
	s := &spinner{limit: time.Microsecond}
	chances(s, 6400, func(int) bool { return true })
	if n := chances(s, creditMax, func(int) bool { return false }); n != creditMax/creditVain {
		t.Errorf("%d spins in vain once answers are late, want %d", n, creditMax/creditVain)
	}
}

func TestNoSpinUnlessAnAnswerIsDue(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration
		due   bool
		busy  bool
		want  bool
	}{
		{"due", time.Microsecond, true, false, true},
		{"nothing is due", time.Microsecond, false, false, false},
		{"busy", time.Microsecond, true, true, false},
		{"switched off", 0, true, false, false},
	} {
		s := &spinner{limit: c.limit, credit: creditMax, due: c.due}
		if got := s.begins(c.busy); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if s.due {
			t.Errorf("%s: the answer is due for ever", c.name)
		}
	}
}

func TestBusyLoopsDoNotSpin(t *testing.T) {
	start := time.Now()
	for _, c := range []struct {
		count   int
		elapsed time.Duration
		want    bool
	}{
		{quietBelow, window, false},
		{quietBelow + 1, window, true},
		{5*quietBelow + 5, 10 * window, false},
	} {
		w := &waiter{count: c.count, began: start}
		w.weigh(start.Add(c.elapsed))
		if w.busy != c.want {
			t.Errorf("%d events in %v: busy %v, want %v", c.count, c.elapsed, w.busy, c.want)
		}
	}
}

// pingPong has the loop send a byte and expect an answer, from a peer that takes delay for each, until the test ends.
func pingPong(t *testing.T, l *Loop, delay time.Duration) {
	t.Helper()
	a, b := pair(t)
	ask := func() {
		_, _ = unix.Write(b, []byte{1})
		l.ExpectAnswer()
	}
	do(t, l, func() {
		buf := make([]byte, 64)
		// Read events alone: a Unix socket has one for writing each time that its peer reads, which TCP does not.
		if err := l.AddListener(b, ready(func(Events) {
			if n, _ := unix.Read(b, buf); n > 0 {
				ask()
			}
		})); err != nil {
			t.Error(err)
		}
		ask()
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		runtime.LockOSThread() // its own thread blocks, as a process of its own would
		buf := make([]byte, 1)
		fds := []unix.PollFd{{Fd: int32(a), Events: unix.POLLIN}}
		for {
			_, _ = unix.Poll(fds, -1)
			if n, err := unix.Read(a, buf); n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
				return
			}
			if delay > 0 {
				time.Sleep(delay)
			}
			_, _ = unix.Write(a, buf)
		}
	}()
	t.Cleanup(func() { _ = unix.Shutdown(a, unix.SHUT_RDWR); <-stopped })
}

// polls waits until the loop has waited awake n times, and returns its counts.
func polls(t *testing.T, l *Loop, n uint64) BusyPolls {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for {
		var p BusyPolls
		do(t, l, func() { p = l.BusyPolls() })
		if p.Found+p.Vain >= n {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("the loop waited awake %d times in %v, want %d", p.Found+p.Vain, testTimeout, n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestAnswersAreFoundAwake(t *testing.T) {
	l := start(t)
	l.waiter.spinner.limit = time.Second // however slow the machine
	pingPong(t, l, 0)
	if p := polls(t, l, 100); p.Found < 9*p.Vain {
		t.Errorf("%d spins found something, %d did not", p.Found, p.Vain)
	}
}

func TestSpinsEndInTime(t *testing.T) {
	l := start(t)
	pingPong(t, l, 2*time.Millisecond) // 20 times as long as a spin
	if p := polls(t, l, 3); p.Vain < p.Found {
		t.Errorf("%d spins found something, %d did not", p.Found, p.Vain)
	}
}
