package loadtest

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxEvents is how many events one wait returns at most: enough to spare calls under load, few enough that a turn stays short
// (some 5 µs an event) beside the schedule.
const maxEvents = 128

// readiness events of a socket: registered once, edge-triggered, for both directions; epoll_ctl is never called again.
const readWriteEdge = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | uint32(unix.EPOLLET&0xffffffff)

// poller is an epoll instance with timeouts in nanoseconds. Loop goroutine only.
type poller struct {
	fd int
	// events and timeout live on the heap as part of poller: their addresses go to the kernel.
	events  [maxEvents]unix.EpollEvent
	timeout unix.Timespec
	// coarse is set where the kernel has no epoll_pwait2 (Linux < 5.11, or a seccomp filter): then short waits are spun.
	coarse bool
}

// openPoller makes an epoll instance.
func openPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) close() { _ = unix.Close(p.fd) }

// add registers a socket. slot and generation come back with its events, so that an event of a descriptor closed in the same
// turn can be told from one of its successor.
func (p *poller) add(fd int, slot int32, generation int32) error {
	ev := unix.EpollEvent{Events: readWriteEdge, Fd: slot, Pad: generation}
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev)
}

// wait returns the events at hand, or those that come within timeout; none after it. A timeout ≤ 0 only polls.
func (p *poller) wait(timeout time.Duration) []unix.EpollEvent {
	// Poll first, without telling the scheduler: under load there is nearly always something, and the call does not block.
	n := p.poll()
	if n > 0 || timeout <= 0 {
		return p.events[:n]
	}
	return p.events[:p.block(timeout)]
}

// poll asks for events without waiting.
func (p *poller) poll() int {
	// Safety: events is part of the heap-allocated poller and outlives the call; the pointer is converted in the call.
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), maxEvents, 0, 0, 0)
	if errno != 0 {
		return 0 // EINTR: the caller comes back
	}
	return int(n)
}

// block waits for events up to timeout, precisely (epoll_pwait2 takes nanoseconds, epoll_wait milliseconds).
func (p *poller) block(timeout time.Duration) int {
	if p.coarse {
		n, err := unix.EpollWait(p.fd, p.events[:], int(timeout/time.Millisecond))
		if err != nil {
			return 0
		}
		return n
	}
	p.timeout = unix.NsecToTimespec(int64(timeout))
	// Safety: both are parts of the heap-allocated poller and outlive the call; the pointers are converted in the call.
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), maxEvents,
		uintptr(unsafe.Pointer(&p.timeout)), 0, 0)
	if errno == unix.ENOSYS || errno == unix.EPERM {
		p.coarse = true
		return 0
	}
	if errno != 0 {
		return 0
	}
	return int(n)
}

// recv reads what is there into buf; EAGAIN when there is nothing. It never blocks, so the scheduler need not know of it.
func recv(fd int, buf []byte) (int, unix.Errno) {
	// Safety: buf is the loop's scratch buffer, heap-allocated and never empty; the pointer is converted in the call.
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// send writes as much of buf as the socket takes; EAGAIN when it takes nothing. It never blocks.
func send(fd int, buf []byte) (int, unix.Errno) {
	// Safety: buf is part of a prebuilt request, heap-allocated and never empty; the pointer is converted in the call.
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// preciseTimers asks the kernel to wake this thread on time (default slack: 50 µs). For the thread that a loop is locked to.
func preciseTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }
