package intercept

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// sockDestroy is SOCK_DESTROY (include/uapi/linux/sock_diag.h), and noCookie what stands for any socket of that address
// (INET_DIAG_NOCOOKIE, include/uapi/linux/inet_diag.h).
const (
	sockDestroy = 21
	noCookie    = 0xffffffff
)

// resetSessions resets the connections that were redirected to port, at both ends, while the rules are still there to bring the resets to the
// clients. Without, a client that waits for an answer would wait for ever: what the sidecar sends no longer looks like an answer to it.
// It returns how many it reset, and how many it could not: a kernel that lacks CONFIG_INET_DIAG_DESTROY leaves them to what the missing rules do.
func resetSessions(port uint16) (reset, left int) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err == nil {
		defer func() { _ = conn.Close() }()
	}
	var found []socketLine
	sockets(func(s socketLine) {
		if s.redirected(port) {
			found = append(found, s)
		}
	})
	for _, s := range found {
		failed := err
		if failed == nil {
			_, failed = conn.Execute(netlink.Message{
				Header: netlink.Header{Type: sockDestroy, Flags: netlink.Request | netlink.Acknowledge}, Data: diagRequest(s)})
		}
		switch {
		case failed == nil:
			reset++
		case !errors.Is(failed, unix.ENOENT): // else it has ended by itself
			left++
		}
	}
	return reset, left
}

// diagRequest is struct inet_diag_req_v2 (man 7 sock_diag) that names the socket.
func diagRequest(s socketLine) []byte {
	b := make([]byte, 0, 56)
	family := byte(unix.AF_INET)
	if s.v6 {
		family = unix.AF_INET6
	}
	b = append(b, family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 0xffffffff) // any state
	b = binary.BigEndian.AppendUint16(b, s.local.Port())
	b = binary.BigEndian.AppendUint16(b, s.remote.Port())
	for _, a := range [...]netip.Addr{s.local.Addr(), s.remote.Addr()} {
		var words [16]byte
		switch {
		case !s.v6:
			v4 := a.As4()
			copy(words[:], v4[:])
		default:
			words = a.As16() // a v4 address of a socket that takes both is mapped
		}
		b = append(b, words[:]...)
	}
	b = binary.NativeEndian.AppendUint32(b, 0) // any interface
	b = binary.NativeEndian.AppendUint32(b, noCookie)
	return binary.NativeEndian.AppendUint32(b, noCookie)
}
