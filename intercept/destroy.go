package intercept

import (
	"encoding/binary"
	"errors"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Of include/uapi/linux/sock_diag.h and inet_diag.h. A message about a socket (inet_diag_msg) begins with its family, and has its identity
// (inet_diag_sockid: ports, addresses, interface, cookie) behind three bytes more.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21
	idOffset         = 4
	idSize           = 48
)

// resetSessions resets the connections that were redirected to port, at both ends, while the rules are still there to bring the resets to the
// clients. Without, a client that waits for an answer would wait for ever: what the sidecar sends no longer looks like an answer to it.
// It returns how many it reset, and how many it could not: a kernel that lacks CONFIG_INET_DIAG_DESTROY leaves them to what the missing rules do.
//
// Each is named by its cookie too. By its addresses alone the kernel would take, for a connection that has ended meanwhile, the socket that
// listens there.
func resetSessions(port uint16) (reset, left int) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, nil)
	if err != nil {
		return 0, Sessions(port)
	}
	defer func() { _ = conn.Close() }()
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		ids, err := redirectedTo(conn, family, port)
		if err != nil {
			return reset, Sessions(port) // those of the other family that were left are among them
		}
		for _, id := range ids {
			_, err := conn.Execute(netlink.Message{
				Header: netlink.Header{Type: sockDestroy, Flags: netlink.Request | netlink.Acknowledge}, Data: diagRequest(family, id)})
			switch {
			case err == nil:
				reset++
			case !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ESTALE): // else it has ended by itself
				left++
			}
		}
	}
	return reset, left
}

// redirectedTo returns the identities of the family's sockets at port that have neither ended nor listen (socketLine.redirected).
func redirectedTo(conn *netlink.Conn, family byte, port uint16) (ids [][]byte, err error) {
	found, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: sockDiagByFamily, Flags: netlink.Request | netlink.Dump}, Data: diagRequest(family, make([]byte, idSize))})
	for _, m := range found {
		if len(m.Data) < idOffset+idSize || binary.BigEndian.Uint16(m.Data[idOffset:]) != port {
			continue
		}
		ids = append(ids, m.Data[idOffset:idOffset+idSize])
	}
	return ids, err
}

// diagRequest is struct inet_diag_req_v2 (man 7 sock_diag): a question about sockets of the family in any state but those of socketLine.redirected,
// or about the one with that identity.
func diagRequest(family byte, id []byte) []byte {
	const states = ^uint32(1<<stateListen | 1<<stateTimeWait | 1<<stateClose)
	b := append(make([]byte, 0, 8+idSize), family, unix.IPPROTO_TCP, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, states)
	return append(b, id...)
}
