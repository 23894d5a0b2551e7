//go:build e2e

package hostile

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// awaitRead waits until the socket at the other end of c has been read empty, so that what is sent next comes in a read of its own. The kernel says so
// (man 7 sock_diag).
func awaitRead(c *net.TCPConn) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return fmt.Errorf("sock_diag: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	req := queueRequest(c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort())
	buf := make([]byte, 4096)
	for deadline := time.Now().Add(sessionPatience); time.Now().Before(deadline); runtime.Gosched() {
		queued, err := queue(fd, req, buf)
		if err != nil {
			return err
		}
		if queued == 0 {
			return nil
		}
	}
	return fmt.Errorf("%s does not read", c.RemoteAddr())
}

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY, linux/sock_diag.h
	netlinkHeader    = 16
	queueOffset      = netlinkHeader + 4 + 48 + 4 // idiag_rqueue, linux/inet_diag.h
)

// queueRequest returns the request for the socket at local with the peer remote (struct inet_diag_req_v2).
func queueRequest(local, remote netip.AddrPort) []byte {
	b := make([]byte, netlinkHeader+56)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	body := b[netlinkHeader:]
	body[0], body[1] = unix.AF_INET, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(body[4:], ^uint32(0)) // in any state
	binary.BigEndian.PutUint16(body[8:], local.Port())
	binary.BigEndian.PutUint16(body[10:], remote.Port())
	copy(body[12:], local.Addr().AsSlice())
	copy(body[28:], remote.Addr().AsSlice())
	binary.NativeEndian.PutUint64(body[48:], ^uint64(0)) // no cookie
	return b
}

// queue returns how many bytes the socket that req asks for has not been read of; 0 when there is no such socket any more.
func queue(fd int, req, buf []byte) (int, error) {
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w", err)
	}
	if n < queueOffset+4 || binary.NativeEndian.Uint16(buf[4:]) != sockDiagByFamily {
		if n >= netlinkHeader+4 && unix.Errno(-int32(binary.NativeEndian.Uint32(buf[netlinkHeader:]))) == unix.ENOENT {
			return 0, nil
		}
		return 0, fmt.Errorf("sock_diag answers %x", buf[:n])
	}
	return int(binary.NativeEndian.Uint32(buf[queueOffset:])), nil
}
