package core

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/trace"
)

// relayRole is a process that does nothing but relay: its arguments come in environment variables, its answers go to stdout, and
// each line on stdin is a command.
const (
	upstreamVariable = "SPANWIRE_TEST_UPSTREAM"
	limitVariable    = "SPANWIRE_TEST_DESCRIPTORS"
	timeoutVariable  = "SPANWIRE_TEST_DIAL_TIMEOUT"
)

// runRelay is the process of relayRole: it prints the listener's address, then answers "stats" with the counters that tests ask
// for.
func runRelay() error {
	shared, err := trace.NewShared(trace.Config{})
	if err != nil {
		return err
	}
	timeout, err := time.ParseDuration(os.Getenv(timeoutVariable))
	if err != nil {
		return err
	}
	e, err := New(Config{Loops: 1, Trace: shared, DialTimeout: timeout,
		Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: os.Getenv(upstreamVariable)}}})
	if err != nil {
		return err
	}
	if err := e.Start(); err != nil {
		return err
	}
	defer e.Close()
	if n := os.Getenv(limitVariable); n != "" {
		spare, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		if err := leaveDescriptors(spare); err != nil {
			return err
		}
	}
	fmt.Println(e.Listeners()[0].Addr)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		s := e.Stats()
		fmt.Println(s.Sessions[0], s.Backoffs, s.Refused[RefusedDescriptors], s.Refused[RefusedPorts], s.Refused[RefusedDialTimeout])
	}
	return in.Err()
}

// relayProcess is a running relayRole.
type relayProcess struct {
	t    *testing.T
	addr string
	in   io.Writer
	out  *bufio.Reader
}

// startRelay runs relayRole with the given environment.
func startRelay(t *testing.T, upstream string, env ...string) *relayProcess {
	t.Helper()
	cmd := role(t, "relay")
	cmd.Env = append(cmd.Env, upstreamVariable+"="+upstream)
	cmd.Env = append(cmd.Env, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	p := &relayProcess{t: t, in: in, out: bufio.NewReader(out)}
	p.addr = p.line()
	return p
}

func (p *relayProcess) line() string {
	p.t.Helper()
	s, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(s)
}

// counters asks the relay what it counted.
func (p *relayProcess) counters() (c struct{ sessions, backoffs, descriptors, ports, timeouts int }) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, "stats\n"); err != nil {
		p.t.Fatal(err)
	}
	if _, err := fmt.Sscan(p.line(), &c.sessions, &c.backoffs, &c.descriptors, &c.ports, &c.timeouts); err != nil {
		p.t.Fatal(err)
	}
	return c
}

// answered reports whether a request through addr is answered.
func answered(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, testTimeout)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return false
	}
	b := make([]byte, len(response))
	_, err = io.ReadFull(c, b)
	return err == nil
}

// answering is a backend that answers every request.
func answering(t *testing.T) string {
	return serve(t, func(c *net.TCPConn) {
		b := make([]byte, 4096)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := io.WriteString(c, response); err != nil {
				return
			}
		}
	})
}

// leaveDescriptors lowers this process's limit so that n more descriptors can be opened.
func leaveDescriptors(n int) error {
	limit := uint64(0)
	for ; n > 0; limit++ {
		if _, err := unix.FcntlInt(uintptr(limit), unix.F_GETFD, 0); err != nil {
			n--
		}
	}
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: limit})
}

// openDescriptors counts this process's descriptors.
func openDescriptors() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(d) - 1 // the directory's own
}

// With ten descriptors to spare twenty clients come: some wait in the kernel's queue, one may lack its upstream socket. No one
// is reset, the relay does not spin, and as clients leave the others are served. Without the back-off the level-triggered
// listener would burn a core, or, had it been edge-triggered, never accept again.
func TestOutOfDescriptors(t *testing.T) {
	p := startRelay(t, answering(t), limitVariable+"=11", timeoutVariable+"=10s")
	var clients []net.Conn
	for range 20 {
		c := dial(t, p.addr)
		mustWrite(t, c, request)
		clients = append(clients, c)
	}
	eventually(t, "a back-off", func() bool { return p.counters().backoffs > 1 })
	if c := p.counters(); c.backoffs > 200 || c.sessions > 11 {
		t.Errorf("%+v: does not back off", c)
	}
	for _, c := range clients {
		if got := mustRead(t, c, len(response)); got != response {
			t.Fatalf("got %q", got)
		}
		_ = c.Close()
	}
	eventually(t, "recovery", func() bool { return answered(p.addr) && p.counters().sessions == 0 })
}

// A session that waits for a descriptor to dial with gives up at the dial timeout, and says what was missing.
func TestOutOfDescriptorsForTheDial(t *testing.T) {
	p := startRelay(t, answering(t), limitVariable+"=1", timeoutVariable+"=60ms")
	c := dial(t, p.addr)
	if got := wantReset(t, c); got != "" {
		t.Fatalf("got %q", got)
	}
	eventually(t, "the count", func() bool { return p.counters().descriptors > 0 })
	if c := p.counters(); c.ports != 0 || c.timeouts != 0 || c.backoffs < 2 {
		t.Errorf("%+v", c)
	}
}
