package intercept

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// States of a TCP socket as /proc/net/tcp has them (include/net/tcp_states.h).
const (
	stateTimeWait = 6
	stateClose    = 7
	stateListen   = 10
)

// socketLine is what a line of /proc/net/tcp says.
type socketLine struct {
	local, remote netip.AddrPort
	state         uint8
	uid           uint32
	inode         uint64
}

// redirected reports whether it is the sidecar's end of a redirected connection that has not ended: a socket at its port. Those that the
// sidecar has yet to accept are among them.
func (s *socketLine) redirected(port uint16) bool {
	return s.local.Port() == port && s.state != stateListen && s.state != stateTimeWait && s.state != stateClose
}

// sockets calls f for each TCP socket of this network namespace.
func sockets(f func(socketLine)) {
	for _, file := range [...]string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		r, err := os.Open(file)
		if err != nil {
			continue // a host without IPv6
		}
		for lines := bufio.NewScanner(r); lines.Scan(); {
			if s, ok := parseSocket(lines.Text()); ok {
				f(s)
			}
		}
		_ = r.Close()
	}
}

// parseSocket reads a line of /proc/net/tcp or tcp6: "sl local rem st tx:rx tr:when retrnsmt uid timeout inode …"; false for the head and for what is no
// such line.
func parseSocket(line string) (socketLine, bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return socketLine{}, false
	}
	local, ok := parseHexAddr(f[1])
	remote, ok2 := parseHexAddr(f[2])
	state, err := strconv.ParseUint(f[3], 16, 8)
	uid, err2 := strconv.ParseUint(f[7], 10, 32)
	inode, err3 := strconv.ParseUint(f[9], 10, 64)
	if !ok || !ok2 || err != nil || err2 != nil || err3 != nil {
		return socketLine{}, false
	}
	return socketLine{local, remote, uint8(state), uint32(uid), inode}, true
}

// parseHexAddr reads an address as the kernel prints it: words of four bytes in the host's order. Every platform that this builds for is
// little-endian, but that a word is its own reverse there decides nothing here: an address is only asked whether it is zero, loopback or
// v4 in v6, after the words are turned.
func parseHexAddr(s string) (netip.AddrPort, bool) {
	host, portText, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	port, err2 := strconv.ParseUint(portText, 16, 16)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), true
}

// Sessions counts the connections that were redirected to port and have not ended.
func Sessions(port uint16) (n int) {
	sockets(func(s socketLine) {
		if s.redirected(port) {
			n++
		}
	})
	return n
}

// Listener is how a port is listened at.
type Listener struct {
	V4, V6 bool   // at every address of the family
	Some   bool   // at all
	UID    uint32 // whose socket it is
	inode  uint64
}

// listenerAt looks who listens at port. A socket at [::] takes IPv4 too unless it was told otherwise, which /proc does not say; two sockets
// then stand side by side.
func listenerAt(port uint16) (l Listener) {
	sockets(func(s socketLine) {
		if s.local.Port() != port || s.state != stateListen {
			return
		}
		l.Some, l.UID, l.inode = true, s.uid, s.inode
		if s.local.Addr().IsUnspecified() {
			l.V4 = true
			l.V6 = l.V6 || s.local.Addr().Is6()
		}
	})
	return l
}

// groupOf returns the group that a process runs as which holds the socket; false where none can be found: it may be in another namespace of
// processes, or not for us to look at.
func groupOf(inode uint64) (gid uint32, ok bool) {
	want := "socket:[" + strconv.FormatUint(inode, 10) + "]"
	held, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	for _, fd := range held {
		if to, err := os.Readlink(fd); err != nil || to != want {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(fd)), "status"))
		if err != nil {
			continue
		}
		// "Gid: real effective saved filesystem": the kernel's rules look at the last (man 5 proc_pid_status).
		_, rest, _ := strings.Cut(string(status), "\nGid:")
		line, _, _ := strings.Cut(rest, "\n")
		if f := strings.Fields(line); len(f) == 4 {
			if id, err := strconv.ParseUint(f[3], 10, 32); err == nil {
				return uint32(id), true
			}
		}
	}
	return 0, false
}

// HostHasIPv6 reports whether an interface of this network namespace has an IPv6 address.
func HostHasIPv6() bool {
	b, err := os.ReadFile("/proc/self/net/if_inet6")
	return err == nil && len(b) > 0
}

// recentlyAlive reports whether the list of heartbeats of xt_recent has one that is new. The file says when in jiffies, whose rate it does
// not say, so that it is asked twice: the sidecar beats every half second.
func recentlyAlive(v6 bool) bool {
	file := "/proc/self/net/xt_recent/spanwire4"
	if v6 {
		file = "/proc/self/net/xt_recent/spanwire6"
	}
	before, err := os.ReadFile(file)
	if err != nil || len(before) == 0 {
		return false
	}
	for range 10 {
		time.Sleep(150 * time.Millisecond)
		if now, err := os.ReadFile(file); err != nil || string(now) != string(before) {
			return err == nil
		}
	}
	return false
}
