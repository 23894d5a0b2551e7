package core

import (
	"net/netip"
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

// address is the space for one socket address, or option, in a call; it lives in the worker, on the heap. Its calls never block, so the
// scheduler is not told of them.
type address struct {
	raw unix.RawSockaddrInet6 // the larger of the two that are used
	len uint32
	one int32 // the value of an option
}

// dialer makes a non-blocking socket to dial from, for relaying (setRelayOptions).
func (a *address) dialer(family int) (int, syscall.Errno) {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return noFD, errno
	}
	a.one = 1
	for _, o := range relayOptions() {
		// Safety: a is part of a worker, on the heap; the kernel reads the four bytes of a.one.
		_, _, errno = unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, o.level, o.name, uintptr(unsafe.Pointer(&a.one)), unsafe.Sizeof(a.one), 0)
		if errno != 0 {
			closeFD(int(fd))
			return noFD, errno
		}
	}
	return int(fd), 0
}

// accept takes a connection from a listening socket (man 2 accept4), non-blocking and close-on-exec, and leaves its peer in a. The
// library's version asks two questions more.
func (a *address) accept(listener int) (int, syscall.Errno) {
	a.len = unix.SizeofSockaddrInet6
	// Safety: a is part of a worker, on the heap; the kernel writes at most a.len bytes, the size of a.raw.
	fd, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(listener), uintptr(unsafe.Pointer(&a.raw)), uintptr(unsafe.Pointer(&a.len)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return noFD, errno
	}
	return int(fd), 0
}

// connect starts a connection to ap (man 2 connect): 0 when it stands already, EINPROGRESS when it will. zone is the interface of a
// link-local address.
func (a *address) connect(fd int, ap netip.AddrPort, zone uint32) syscall.Errno {
	a.set(ap, zone)
	// Safety: as in accept; the kernel reads a.len bytes, which set has filled in.
	_, _, errno := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&a.raw)), uintptr(a.len))
	return errno
}

// set stores ap.
func (a *address) set(ap netip.AddrPort, zone uint32) {
	port := ap.Port()<<8 | ap.Port()>>8 // to network order; both architectures are little-endian
	if ap.Addr().Is4() {
		ip := ap.Addr().As4()
		// struct sockaddr_in: family, port, address, of which the last stands where sockaddr_in6 has its flow label.
		a.raw = unix.RawSockaddrInet6{Family: unix.AF_INET, Port: port, Flowinfo: *(*uint32)(unsafe.Pointer(&ip))} // Safety: four bytes as a word
		a.len = unix.SizeofSockaddrInet4
		return
	}
	a.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: ap.Addr().As16(), Scope_id: zone}
	a.len = unix.SizeofSockaddrInet6
}

// addrPort returns what the kernel stored, IPv4-mapped addresses unmapped; the zero value for other families.
func (a *address) addrPort() netip.AddrPort {
	port := a.raw.Port<<8 | a.raw.Port>>8
	switch a.raw.Family {
	case unix.AF_INET:
		ip := *(*[4]byte)(unsafe.Pointer(&a.raw.Flowinfo)) // Safety: a word as four bytes
		return netip.AddrPortFrom(netip.AddrFrom4(ip), port)
	case unix.AF_INET6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.raw.Addr).Unmap(), port)
	}
	return netip.AddrPort{}
}

// closeFD closes a descriptor of ours; without SO_LINGER that does not wait. Errors of close(2) on a socket say nothing that could be acted on.
func closeFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// shutdownFD sends FIN (man 2 shutdown). ENOTCONN means that the peer has reset meanwhile; reading will say so.
func shutdownFD(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0) }

// resetFD closes fd so that the peer sees a reset: SO_LINGER with a zero time (man 7 socket, RFC 9293 §3.10.5).
func resetFD(fd int) {
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0})
	closeFD(fd)
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
	for _, o := range relayOptions() {
		if err := unix.SetsockoptInt(fd, int(o.level), int(o.name), 1); err != nil {
			return err
		}
	}
	return nil
}

// option is a socket option that is on or off.
type option struct{ level, name uintptr }

// relayOptions are those of setRelayOptions.
func relayOptions() [3]option {
	return [...]option{{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.SOL_SOCKET, unix.SO_OOBINLINE}}
}
