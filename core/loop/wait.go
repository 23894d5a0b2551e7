package loop

import (
	"reflect"
	"runtime"
	"time"
	"unsafe"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

const (
	// maxEvents is how many events one wait brings at most; more come with the next, each descriptor in its turn (man 2 epoll_wait).
	maxEvents = 256
	// napMs is the longest wait (ms) that is hidden from the Go scheduler. The goroutines that share the loop's processor wait for as long, so
	// it is shorter than the 10 ms after which the scheduler itself interrupts a loop that is busy. What stops the world interrupts a nap
	// by its signal.
	napMs = 8
	// window is the time over which events are counted to tell whether naps are worth while.
	window = 100 * time.Millisecond
	// A loop naps from napFrom events in a window on, and sleeps again below sleepBelow. Naps cost two wake-ups in 10 ms (the nap's own, and that
	// of the scheduler's monitor, which stays awake) and some fifty when they begin; a sleep costs four to eight more at each event.
	napFrom    = 10
	sleepBelow = 5
)

// waiter takes events from the poller's epoll instance. It stands in for gnet's own Polling, which tells the Go scheduler of each wait that
// may block: in a process that is otherwise at rest each event then wakes the scheduler's monitor thread and a second one that looks for
// work. At a thousand requests a second that was ten context switches and three times the CPU for each request. While events keep coming, the loop
// waits the way it reads: without telling.
type waiter struct {
	epoll  int
	events [maxEvents]unix.EpollEvent // on the heap, as part of a Loop: the kernel writes to it

	spinner spinner

	napping bool
	busy    bool      // the last window had too many events to spin
	began   time.Time // the window
	count   int       // events in it
}

// descriptorOf returns the poller's epoll descriptor, which it keeps to itself. It panics where gnet has no such field: the version is
// pinned, and every test of this package would show it.
func descriptorOf(p *netpoll.Poller) int {
	fd := reflect.ValueOf(p).Elem().FieldByName("fd")
	if !fd.IsValid() || !fd.CanInt() {
		panic("BUG: gnet's Poller has no descriptor in a field fd")
	}
	return int(fd.Int())
}

// wait returns the next events, valid until the next call; none when it was interrupted, or a nap is over. Finding no event it lets other
// goroutines run before it waits.
func (w *waiter) wait() ([]unix.EpollEvent, error) {
	n, err := w.look(0)
	if n == 0 && err == nil {
		runtime.Gosched()
		now := time.Now()
		w.weigh(now)
		if w.spinner.begins(w.busy) {
			n, err = w.spin(now)
		}
		switch {
		case n > 0 || err != nil:
		case w.napping:
			n, err = w.look(napMs)
		default:
			n, err = w.sleep()
		}
	}
	w.count += n
	return w.events[:n], err
}

// weigh decides between naps and sleeps at the end of a window, and whether the loop is too busy to spin.
func (w *waiter) weigh(now time.Time) {
	elapsed := now.Sub(w.began)
	if elapsed < window {
		return
	}
	enough := napFrom
	if w.napping {
		enough = sleepBelow
	}
	windows := int(elapsed / window)
	w.napping = w.count >= enough*windows
	w.busy = w.count > quietBelow*windows
	w.began, w.count = now, 0
}

// look waits for at most ms milliseconds, 0 = not at all, without telling the scheduler. An interruption counts as no event.
func (w *waiter) look(ms int) (int, error) {
	// Safety: w is part of a Loop, on the heap; the kernel writes at most maxEvents events.
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.epoll), uintptr(unsafe.Pointer(&w.events[0])), maxEvents, uintptr(ms), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, errno
}

// sleep waits for an event however long that takes; the scheduler may give the processor away meanwhile.
func (w *waiter) sleep() (int, error) {
	n, err := unix.EpollWait(w.epoll, w.events[:], -1)
	if err == unix.EINTR {
		return 0, nil
	}
	return max(n, 0), err
}
