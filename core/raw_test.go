package core

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// msgOOB marks the last byte of a send as urgent (man 2 send).
const msgOOB = unix.MSG_OOB

// rawConn returns the raw connection behind c, a *net.TCPConn.
func rawConn(t *testing.T, c any) syscall.RawConn {
	t.Helper()
	raw, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// sendRaw sends s in one call with flags; it is short enough to be taken whole.
func sendRaw(t *testing.T, c syscall.RawConn, s string, flags int) {
	t.Helper()
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.Send(int(fd), []byte(s), flags) }); cerr != nil {
		t.Fatal(cerr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// inLine lets the test read urgent bytes of c where they stand.
func inLine(t *testing.T, c any) {
	t.Helper()
	var err error
	if cerr := rawConn(t, c).Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
}

// drained waits until the peer's kernel has acknowledged all that was written to c.
func drained(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if !drainedBy(c, time.Now().Add(testTimeout)) {
		t.Fatal("the send queue does not drain")
	}
}

// drainedBy is drained without a test, and reports whether it came true before the deadline.
func drainedBy(c *net.TCPConn, deadline time.Time) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	for time.Now().Before(deadline) {
		left := -1
		_ = raw.Control(func(fd uintptr) { left = unsentBytes(int(fd)) })
		if left == 0 {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// readAll reads c to its end, however it ends.
func readAll(c net.Conn) string {
	b, _ := io.ReadAll(c)
	return string(b)
}

// head reads a head up to its empty line, and nothing behind it.
func head(t *testing.T, c net.Conn) string {
	t.Helper()
	var b []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(b), "\r\n\r\n") {
		if _, err := c.Read(one); err != nil {
			t.Fatalf("after %q: %v", b, err)
		}
		b = append(b, one[0])
	}
	return string(b)
}

// missingOptions names the options that setRelayOptions sets and fd lacks.
func missingOptions(fd int) (missing []string) {
	for _, o := range []struct {
		name          string
		level, option int
	}{{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY}, {"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE},
		{"SO_OOBINLINE", unix.SOL_SOCKET, unix.SO_OOBINLINE}} {
		if v, err := unix.GetsockoptInt(fd, o.level, o.option); err != nil || v == 0 {
			missing = append(missing, o.name)
		}
	}
	return missing
}
