package loop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testTimeout bounds whatever a test waits for; on a busy machine that takes long.
const testTimeout = time.Minute

// start runs a loop until the test ends.
func start(t *testing.T) *Loop {
	t.Helper()
	l, err := New(time.Now(), 100*time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	t.Cleanup(func() {
		_ = l.Stop()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(testTimeout):
			t.Error("Run does not return")
		}
	})
	return l
}

// do runs fn on the loop and waits for it.
func do(t *testing.T, l *Loop, fn func()) {
	t.Helper()
	done := make(chan struct{})
	if err := l.Post(func() { fn(); close(done) }); err != nil {
		t.Fatal(err)
	}
	wait(t, done)
}

// wait waits until c is closed or delivers.
func wait[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(testTimeout):
		t.Fatal("waited in vain")
	}
	return v
}

// ready is a Handler.
type ready func(Events)

func (f ready) Ready(ev Events) { f(ev) }

// pair returns two connected non-blocking sockets.
func pair(t *testing.T) (a, b int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
	return p[0], p[1]
}

func TestPostFromManyGoroutines(t *testing.T) {
	l := start(t)
	const posters, each = 16, 2000
	seen := make([]int, posters) // touched by the loop alone
	total := 0
	done := make(chan struct{})
	var wg sync.WaitGroup
	for p := range posters {
		wg.Go(func() {
			for i := range each {
				if err := l.Post(func() {
					if seen[p] != i {
						t.Errorf("poster %d: function %d ran after %d others", p, i, seen[p])
					}
					seen[p]++
					if total++; total == posters*each {
						close(done)
					}
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wait(t, done)
}

// The loop may post to itself.
func TestPostFromTheLoop(t *testing.T) {
	l := start(t)
	done := make(chan struct{})
	do(t, l, func() { _ = l.Post(func() { close(done) }) })
	wait(t, done)
}

func TestStop(t *testing.T) {
	before := descriptors(t)
	l, err := New(time.Now(), 100*time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, done); err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(); !errors.Is(err, ErrStopped) {
		t.Errorf("Stop again: %v", err)
	}
	if err := l.Post(func() { t.Error("ran after the end") }); !errors.Is(err, ErrStopped) {
		t.Errorf("Post after the end: %v", err)
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors, %d before", now, before)
	}
}

// Whoever posts while the loop ends must not write to its wake-up descriptor once that is closed: the number may be someone's
// socket by then, and its peer would get eight bytes out of nowhere. (gnet's wake-up flag stays set when the loop ends in a
// posted function.)
func TestPostWhileStoppingTouchesNoForeignDescriptor(t *testing.T) {
	for range 20 {
		l, err := New(time.Now(), 100*time.Microsecond)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- l.Run() }()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for l.Post(func() {}) == nil {
				}
			})
		}
		_ = l.Stop()
		if err := wait(t, done); err != nil {
			t.Fatal(err)
		}
		fresh := pairs(t, 4)
		wg.Wait()
		for _, fd := range fresh {
			if n, err := unix.Read(fd, make([]byte, 16)); err != unix.EAGAIN {
				t.Errorf("%d bytes (%v) in a socket nobody wrote to", n, err)
			}
		}
		for _, fd := range fresh {
			_ = unix.Close(fd)
		}
	}
}

// pairs returns n pairs of connected sockets in one list.
func pairs(t *testing.T, n int) (fds []int) {
	t.Helper()
	for range n {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, p[0], p[1])
	}
	return fds
}

// descriptors counts this process's descriptors.
func descriptors(t *testing.T) int {
	t.Helper()
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}

func TestSocketEvents(t *testing.T) {
	l := start(t)
	a, b := pair(t)
	events := make(chan Events, 16)
	do(t, l, func() {
		if err := l.AddSocket(a, ready(func(ev Events) { events <- ev })); err != nil {
			t.Error(err)
		}
	})
	if ev := wait(t, events); ev&Writable == 0 || ev&Readable != 0 {
		t.Errorf("at first: %#x", ev)
	}
	if _, err := unix.Write(b, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if ev := wait(t, events); ev&Readable == 0 || ev&PeerClosed != 0 {
		t.Errorf("data: %#x", ev)
	}
	// Edge-triggered: the byte was not read, and yet nothing more is said of it.
	do(t, l, func() {})
	if len(events) != 0 {
		t.Errorf("said again: %#x", <-events)
	}
	if err := unix.Shutdown(b, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	if ev := wait(t, events); ev&PeerClosed == 0 {
		t.Errorf("end: %#x", ev)
	}
}

// Forget drops the handler at once, also for an event of the batch in progress.
func TestForgetSilencesTheRestOfTheBatch(t *testing.T) {
	l := start(t)
	a, b := pair(t)
	c, d := pair(t)
	_, _ = unix.Write(b, []byte("x"))
	_, _ = unix.Write(d, []byte("x"))
	var called atomic.Int32
	do(t, l, func() {
		// Both are ready when they are added, so both stand in the next batch; the first to be called silences the other.
		for _, fds := range [][2]int{{a, c}, {c, a}} {
			if err := l.AddSocket(fds[0], ready(func(Events) { called.Add(1); l.Forget(fds[1]) })); err != nil {
				t.Error(err)
			}
		}
	})
	deadline := time.Now().Add(testTimeout)
	for called.Load() == 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	do(t, l, func() {})
	if n := called.Load(); n != 1 {
		t.Errorf("%d handlers were called", n)
	}
}

// A descriptor that the loop never heard of may be forgotten: that of a listener that is closed before it has begun.
func TestForgetOfAnUnknownDescriptor(t *testing.T) {
	l := start(t)
	do(t, l, func() { l.Forget(1 << 20) })
}

// A descriptor that is closed in a batch and whose number is given to a new one gets an event that was meant for the old one:
// the loop cannot tell them apart, so the handler that is registered now is called. That is why handlers believe only system
// calls; what must never happen is that the old handler is called.
func TestStaleEventReachesTheNewHandlerOnly(t *testing.T) {
	l := start(t)
	a, b := pair(t)
	c, d := pair(t)
	_, _ = unix.Write(b, []byte("x"))
	_, _ = unix.Write(d, []byte("x"))
	fresh := make(chan int, 8)
	do(t, l, func() {
		reuse := func(other int) ready {
			return func(Events) {
				l.Forget(other)
				_ = unix.Close(other)
				p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
				if err != nil || p[0] != other && p[1] != other {
					fresh <- -1
					return
				}
				t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
				if err := l.AddSocket(other, ready(func(Events) {
					_, err := unix.Read(other, make([]byte, 1))
					if err == unix.EAGAIN {
						fresh <- other
					}
				})); err != nil {
					fresh <- -1
				}
			}
		}
		old := func(other int) Handler {
			f, called := reuse(other), false
			return ready(func(ev Events) {
				if called {
					return
				}
				called = true
				f(ev)
			})
		}
		if err := errors.Join(l.AddSocket(a, old(c)), l.AddSocket(c, old(a))); err != nil {
			t.Error(err)
		}
	})
	if got := wait(t, fresh); got != a && got != c {
		t.Errorf("the number was not reused (%d)", got)
	}
}

// A listener is level-triggered: a connection that one turn leaves wakes the next. Pause stops that without losing it.
func TestListenerPauseAndResume(t *testing.T) {
	l := start(t)
	fd, addr := listener(t)
	var calls atomic.Int32
	takeOne := ready(func(Events) {
		calls.Add(1)
		if c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC); err == nil {
			_ = unix.Close(c)
		}
	})
	connect := func(n int) {
		for range n {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}
	until := func(n int32) {
		t.Helper()
		deadline := time.Now().Add(testTimeout)
		for calls.Load() < n {
			if time.Now().After(deadline) {
				t.Fatalf("%d calls, want %d", calls.Load(), n)
			}
			time.Sleep(time.Millisecond)
		}
	}
	do(t, l, func() {
		if err := l.AddListener(fd, takeOne); err != nil {
			t.Error(err)
		}
	})
	connect(3)
	until(3)
	do(t, l, func() {
		if err := l.Pause(fd); err != nil {
			t.Error(err)
		}
	})
	connect(2)
	time.Sleep(20 * time.Millisecond) // for what must not happen
	if n := calls.Load(); n != 3 {
		t.Fatalf("%d calls while paused", n-3)
	}
	do(t, l, func() {
		if err := l.AddListener(fd, takeOne); err != nil {
			t.Error(err)
		}
	})
	until(5)
}

// listener returns a non-blocking listening socket and its address.
func listener(t *testing.T) (fd int, addr string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 16)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}
