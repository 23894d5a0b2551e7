package core

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// recv reads from a non-blocking socket (man 2 recv): n > 0 bytes, or 0 at the end of the stream, or an error; EAGAIN when there is
// nothing yet. It holds the P for as long as the kernel copies (RawSyscall), which for a non-blocking call is cheaper than telling
// the scheduler. len(b) > 0.
func recv(fd int, b []byte) (int, syscall.Errno) {
	for {
		// Safety: b is heap memory of the loop's scratch buffer, converted within the call expression; the kernel writes at most len(b).
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return -1, errno
		}
		return int(n), 0
	}
}

// send writes to a non-blocking socket (man 2 send) and returns how many bytes the kernel took. len(b) > 0.
func send(fd int, b []byte) (int, syscall.Errno) {
	for {
		// Safety: as in recv; the kernel reads at most len(b).
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

// gather is the argument block of a two-part send; it lives in the worker, on the heap.
type gather struct {
	msg unix.Msghdr
	iov [2]unix.Iovec
}

// send writes a, then b, in one call (man 2 sendmsg), and returns how many bytes of both the kernel took. Neither is empty.
func (g *gather) send(fd int, a, b []byte) (int, syscall.Errno) {
	g.iov[0].Base, g.iov[1].Base = unsafe.SliceData(a), unsafe.SliceData(b)
	g.iov[0].SetLen(len(a))
	g.iov[1].SetLen(len(b))
	g.msg = unix.Msghdr{Iov: &g.iov[0], Iovlen: 2}
	for {
		// Safety: g is part of a worker, on the heap; it keeps a and b alive during the call and drops them after it.
		n, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&g.msg)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == unix.EINTR {
			continue
		}
		g.iov[0].Base, g.iov[1].Base = nil, nil
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}

// closeFD closes a descriptor of ours. Errors of close(2) on a socket say nothing that could be acted on.
func closeFD(fd int) { _ = unix.Close(fd) }

// resetFD closes fd so that the peer sees a reset: SO_LINGER with a zero time (man 7 socket, RFC 9293 §3.10.5).
func resetFD(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
	_ = unix.Close(fd)
}

// unsentBytes returns how many bytes of fd's send queue the peer has not acknowledged yet (SIOCOUTQ, man 7 tcp).
func unsentBytes(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// setRelayOptions prepares a socket whose bytes we relay: no Nagle delay on top of the peer's own, keepalive so that a vanished
// host is noticed, and urgent data in line, or its byte would vanish from the stream. Accepted sockets inherit all three from
// their listener (man 7 socket, man 7 tcp).
func setRelayOptions(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
}
