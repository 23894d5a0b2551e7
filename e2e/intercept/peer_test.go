//go:build e2e

package intercept

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// roleVariable names what this binary does instead of testing.
const roleVariable = "SPANWIRE_TEST_ROLE"

// TestMain lets the binary stand in for the processes of the test.
func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == "peer" {
		servePeer()
		return
	}
	os.Exit(m.Run())
}

// servePeer does what the lines on stdin say, each with one line of answer:
//
//	serve ADDR   serves HTTP there
//	ask ADDR     sends a request on a connection of its own and says what was answered, or the error
//	asks N ADDR  does so N times and says how many were traced
//	load ADDR…   sends requests to these addresses in turn, on connections of their own and on ones that stay open
//	gets ADDR…   the same, as clients do that send again what met a connection that was being closed
//	stop         ends the load and says what came of it
//	hold ADDR…   opens a connection to each, has one request answered on it, and keeps it
//	held         says what became of those connections
//	numbered ADDR…, received      the same with a path for each request, and which were answered
//	answered                      how many of them were, so far
//	application ADDR NEXT         serves as an application that calls another, see serveApplication
func servePeer() {
	var l *load
	var n *numbered
	var held []net.Conn
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		f := strings.Fields(lines.Text())
		switch f[0] {
		case "serve":
			if err := serve(f[1]); err != nil {
				fmt.Println("error:", err)
				continue
			}
			fmt.Println("serving")
		case "ask":
			fmt.Println(ask(newClient(false), f[1]))
		case "asks":
			n, traced := 0, 0
			_, _ = fmt.Sscan(f[1], &n)
			for range n {
				if strings.HasSuffix(ask(newClient(false), f[2]), " traced") {
					traced++
				}
			}
			fmt.Println(traced)
		case "load", "gets":
			l = startLoad(f[1:], f[0] == "gets")
			fmt.Println("loading")
		case "stop":
			fmt.Println(l.stop())
		case "hold":
			conns, err := hold(f[1:])
			held = conns
			fmt.Println("holding", err)
		case "held":
			fmt.Println(fate(held))
		case "numbered":
			n = startNumbered(f[1:])
			fmt.Println("loading")
		case "answered":
			fmt.Println(n.answered())
		case "received":
			fmt.Println(n.stop())
		case "application":
			serveApplication(f[1], f[2])
		}
	}
}

// serve answers requests at addr with the address that they arrived at, and whether a sidecar saw them.
func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		how := "direct"
		if r.Header.Get("traceparent") != "" {
			how = "traced"
		}
		if n := len(r.Header.Values("X-Request-Id")); n > 1 {
			how = fmt.Sprintf("traced %d times", n)
		}
		local := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String()
		if r.URL.Path == "/slow" {
			time.Sleep(20 * time.Millisecond)
		}
		_, _ = fmt.Fprintf(w, "%s %s", local, how)
	})
	go func() { _ = (&http.Server{Handler: handler, ReadHeaderTimeout: patience}).Serve(l) }()
	return nil
}

// newClient returns a client whose connections stay open, or bear one request each.
func newClient(keep bool) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: !keep, MaxIdleConnsPerHost: 64,
		DialContext: (&net.Dialer{Timeout: patience}).DialContext}}
}

// ask sends a request to addr, which may have a path, and returns the body of the answer, or the error, in one line. On a connection that is
// kept it is a POST: a GET whose connection breaks under it is sent again by the library, in silence.
func ask(c *http.Client, addr string) string { return askBy(c, addr, false) }

// askBy is ask, with a GET even on a connection that is kept if get is set.
func askBy(c *http.Client, addr string, get bool) string {
	if !strings.Contains(addr, "/") {
		addr += "/"
	}
	send := func(url string) (*http.Response, error) { return c.Post(url, "", nil) }
	if get || c.Transport.(*http.Transport).DisableKeepAlives {
		send = c.Get
	}
	resp, err := send("http://" + addr)
	if err != nil {
		return "error: " + strings.ReplaceAll(err.Error(), "\n", " ")
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<12))
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.ReplaceAll(string(b), "\n", " ")
}

// hold opens a connection to each address and has a request answered on it.
func hold(addrs []string) (held []net.Conn, err error) {
	for _, addr := range addrs {
		c, err := net.DialTimeout("tcp", addr, patience)
		if err != nil {
			return held, err
		}
		held = append(held, c)
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: held\r\n\r\n"); err != nil {
			return held, err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return held, err
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return held, err
		}
		if !strings.HasSuffix(string(b), " traced") {
			return held, fmt.Errorf("%s answers %q", addr, b)
		}
	}
	return held, nil
}

// fate says what became of held connections, and closes them.
func fate(held []net.Conn) string {
	var others []string
	for _, c := range held {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			others = append(others, fmt.Sprintf("%v: %v", c.RemoteAddr(), err))
		}
		_ = c.Close()
	}
	if len(others) == 0 && len(held) > 0 {
		return "all reset"
	}
	return fmt.Sprintf("%d of %d not reset: %s", len(others), len(held), strings.Join(others, ", "))
}

// load is requests that go on until it is stopped.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	answered, traced, failed atomic.Int64
	first                    atomic.Pointer[string]
}

// clientsEach is how many clients a load has for each address.
const clientsEach = 3

// startLoad begins a load: for each address two clients that keep their connection and one that does not.
func startLoad(addrs []string, gets bool) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for _, addr := range addrs {
		for _, keep := range []bool{true, true, false} {
			l.wg.Go(func() {
				c := newClient(keep)
				for ctx.Err() == nil {
					got := askBy(c, addr, gets)
					switch {
					case strings.HasPrefix(got, "error: "):
						l.failed.Add(1)
						l.first.CompareAndSwap(nil, &got)
					case strings.HasSuffix(got, " traced"):
						l.traced.Add(1)
					}
					l.answered.Add(1)
					time.Sleep(2 * time.Millisecond) // bounded: 500 requests a second for each client
				}
				c.CloseIdleConnections()
			})
		}
	}
	return l
}

// stop ends the load and tells how many answers came, how many of them traced, how many errors, and the first of these.
func (l *load) stop() string {
	l.cancel()
	l.wg.Wait()
	first := "none"
	if p := l.first.Load(); p != nil {
		first = *p
	}
	return fmt.Sprintf("%d %d %d %s", l.answered.Load(), l.traced.Load(), l.failed.Load(), first)
}

// peer is such a process.
type peer struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	pid int
}

// startPeer starts a peer, in a namespace of its own or as another user.
func startPeer(t *testing.T, attr *syscall.SysProcAttr) *peer {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"=peer")
	cmd.SysProcAttr = attr
	cmd.Stderr = os.Stderr
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
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return &peer{t: t, in: in, out: bufio.NewReader(out), pid: cmd.Process.Pid}
}

// do sends a line and returns the answer.
func (p *peer) do(format string, args ...any) string {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// wants asks addr and fails when the answer is another than that of a server there, traced or direct.
func (p *peer) wants(addr, how string) {
	p.t.Helper()
	if got := p.do("ask %s", addr); got != addr+" "+how {
		p.t.Errorf("%s: %q, want %s", addr, got, how)
	}
}

// hold has the peer hold a connection to port of each address.
func (p *peer) hold(addrs []string, port string) {
	p.t.Helper()
	line := "hold"
	for _, a := range addrs {
		line += " " + at(a, port)
	}
	if got := p.do("%s", line); got != "holding <nil>" {
		p.t.Fatal(got)
	}
}

// endLoad ends a load.
func (p *peer) endLoad() (answered, traced, failed int, line string) {
	p.t.Helper()
	line = p.do("stop")
	if _, err := fmt.Sscan(line, &answered, &traced, &failed); err != nil {
		p.t.Fatal(line)
	}
	return answered, traced, failed, line
}

// stopLoad ends a load and fails on any error.
func (p *peer) stopLoad() (answered, traced int) {
	p.t.Helper()
	answered, traced, failed, line := p.endLoad()
	if failed > 0 || answered == 0 {
		p.t.Errorf("load: %s", line)
	}
	return answered, traced
}
