//go:build e2e

// Package redirect tests the relay behind real redirect rules and under a real shortage of ports, in network namespaces that the
// test makes for itself: the machine's own network is not touched, and what was made ends with the processes in it.
package redirect

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/netns"
)

// patience bounds whatever a test waits for.
const patience = 10 * time.Second

// nobody is the user that the application runs as: its connections are redirected, the relay's are not.
const nobody = 65534

// The addresses: the host under test has two of each family, the outside one.
var (
	hostAddrs    = []string{"10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"}
	outsideAddrs = []string{"10.9.0.9", "fd00:9::9"}
)

// rules redirect what comes from outside for port 8080, and what the application sends to port 9090.
const rules = `
table inet relay {
	chain inbound {
		type nat hook prerouting priority -100; policy accept;
		iifname "host0" tcp dport 8080 redirect to :15001
	}
	chain outbound {
		type nat hook output priority -100; policy accept;
		meta skuid 65534 tcp dport 9090 redirect to :15001
	}
}
`

// self returns a command that runs this binary.
func self(args ...string) *exec.Cmd { return exec.Command("/proc/self/exe", args...) }

// roleVariable names what this binary does instead of testing.
const roleVariable = "SPANWIRE_TEST_ROLE"

// TestMain lets the binary stand in for the processes of the test.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "peer":
		servePeer()
	}
}

// servePeer serves on port 9090 and, for each line "ADDRESS" on stdin, connects there, sends a request, and prints what came:
// the body of the answer, or the error.
func servePeer() {
	var addr string
	for {
		if _, err := fmt.Fscanln(os.Stdin, &addr); err != nil {
			return
		}
		if addr == "serve" {
			if err := serve(":9090"); err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("serving")
			continue
		}
		fmt.Println(ask(addr))
	}
}

// serve answers requests at addr with the address they arrived at.
func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				buf := make([]byte, 4096)
				if _, err := c.Read(buf); err != nil {
					return
				}
				body := c.LocalAddr().String()
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
			}()
		}
	}()
	return nil
}

// ask sends a request to addr, which a comma and a route value may follow, and returns the body of the answer, or the error, in one line.
func ask(addr string) string {
	addr, value, _ := strings.Cut(addr, ",")
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "error: " + err.Error()
	}
	defer func() { _ = c.Close() }()
	if value != "" {
		value = "X-Route: " + value + "\r\n"
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "GET /here HTTP/1.1\r\nHost: a\r\n"+value+"\r\n"); err != nil {
		return "error: " + err.Error()
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return "error: " + err.Error()
	}
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	return body
}

// peer is a process that asks: the outside, or the application.
type peer struct {
	t   *testing.T
	in  io.Writer
	out io.Reader
	pid int
}

// startPeer starts a peer, in a namespace of its own or as another user.
func startPeer(t *testing.T, attr *syscall.SysProcAttr) *peer {
	t.Helper()
	cmd := self()
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
		_ = cmd.Wait()
	})
	return &peer{t: t, in: in, out: out, pid: cmd.Process.Pid}
}

// ask has the peer ask addr.
func (p *peer) ask(addr string) string {
	p.t.Helper()
	if _, err := fmt.Fprintln(p.in, addr); err != nil {
		p.t.Fatal(err)
	}
	var line []byte
	for one := make([]byte, 1); ; line = append(line, one[0]) {
		if _, err := p.out.Read(one); err != nil {
			p.t.Fatal(err)
		}
		if one[0] == '\n' {
			return string(line)
		}
	}
}

// outside makes a second namespace, joined to this one by a pair of interfaces, and returns the process in it.
func outside(t *testing.T) *peer {
	t.Helper()
	p := startPeer(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	pid := fmt.Sprint(p.pid)
	netns.Run(t, "ip", "link", "add", "host0", "type", "veth", "peer", "name", "out0", "netns", pid)
	for _, a := range hostAddrs {
		addAddress(t, a, "host0")
	}
	netns.Run(t, "ip", "link", "set", "host0", "up")
	nsenter := func(args ...string) {
		netns.Run(t, "nsenter", append([]string{"-t", pid, "-n", need.Tool(t, "ip")}, args...)...)
	}
	nsenter("link", "set", "lo", "up")
	for _, a := range outsideAddrs {
		nsenter(netns.Address(a, "out0")...)
	}
	nsenter("link", "set", "out0", "up")
	if got := p.ask("serve"); got != "serving" {
		t.Fatal(got)
	}
	return p
}

func addAddress(t *testing.T, a, dev string) {
	t.Helper()
	netns.Run(t, "ip", netns.Address(a, dev)...)
}

// startEngine starts an engine and closes it with the test.
func startEngine(t *testing.T, cfg core.Config) *core.Engine {
	t.Helper()
	return startTracing(t, cfg, trace.Config{})
}

// startTracing is startEngine with settings of tracing.
func startTracing(t *testing.T, cfg core.Config, tc trace.Config) *core.Engine {
	t.Helper()
	shared, err := trace.NewShared(tc)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Loops, cfg.Trace = 2, shared
	e, err := core.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// oneSpan waits for the next span.
func oneSpan(t *testing.T, e *core.Engine) span.Record {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, r := range e.Rings() {
			if s := r.Peek(); s != nil {
				var c span.Record
				s.CopyTo(&c)
				r.Release()
				return c
			}
		}
	}
	t.Fatal("no span")
	return span.Record{}
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// Every address of the host is reached from outside, and every address outside from the application, each under its own name:
// the original destination decides where the relay dials, and the address that the connection was accepted at which side it is.
// With the rule "inbound is what was sent to the accepted socket's own address", the second address of each family would be
// outbound, for a redirect on PREROUTING rewrites to the first.
func TestRedirectedConnections(t *testing.T) {
	if !netns.Enter(t, 3*time.Minute, "nft", "nsenter") {
		return
	}
	out := outside(t)
	netns.Load(t, rules)
	for _, port := range []string{":8080", ":9090"} {
		if err := serve(port); err != nil {
			t.Fatal(err)
		}
	}
	e := startEngine(t, core.Config{Transparent: ":15001", Explicit: []core.Listen{
		{Addr: "10.9.0.1:16001", Upstream: "127.0.0.1:8080", Kind: span.Server}, {Addr: "127.0.0.1:16002", Upstream: "10.9.0.9:9090", Kind: span.Client},
	}})
	app := startPeer(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})

	check := func(p *peer, addr string, kind span.Kind) {
		t.Run(kind.String()+" "+addr, func(t *testing.T) {
			if got := p.ask(addr); got != addr {
				t.Fatalf("arrived at %q", got)
			}
			s := oneSpan(t, e)
			if s.Kind != kind || s.Server != span.EndpointFrom(netip.MustParseAddrPort(addr)) || s.Status != 200 {
				t.Errorf("a %v span to %v, status %d", s.Kind, s.Server.AddrPort(), s.Status)
			}
		})
	}
	for _, a := range hostAddrs {
		check(out, net.JoinHostPort(a, "8080"), span.Server)
	}
	for _, a := range outsideAddrs {
		check(app, net.JoinHostPort(a, "9090"), span.Client)
	}
	// The application may call itself by an address of the host.
	for _, a := range hostAddrs {
		check(app, net.JoinHostPort(a, "9090"), span.Client)
	}
	t.Run("explicit listeners beside", func(t *testing.T) { besideExplicit(t, e, out, app) })
	// What comes to the relay's own port was not redirected, and would go round in circles.
	before := e.Stats().Refused[core.RefusedSelf]
	for _, a := range hostAddrs {
		if got := out.ask(net.JoinHostPort(a, "15001")); !strings.Contains(got, "reset") {
			t.Errorf("the relay's own port at %s: %q", a, got)
		}
	}
	if got := e.Stats().Refused[core.RefusedSelf] - before; got != uint64(len(hostAddrs)) {
		t.Errorf("%d refused", got)
	}
	// An address that refuses: the connection was accepted by the relay, so it is reset, and told as refused.
	netns.Run(t, "nft", "add", "rule", "inet", "relay", "outbound", "meta", "skuid", "65534", "tcp", "dport", "9091", "redirect", "to", ":15001")
	if got := app.ask("10.9.0.9:9091"); !strings.Contains(got, "reset") {
		t.Errorf("a closed port: %q", got)
	}
	if s := oneSpan(t, e); s.Failure != span.FailureRefused || s.Kind != span.Client {
		t.Errorf("failure %v", s.Failure)
	}
}

// besideExplicit has requests come to the explicit listeners of e while others are redirected: each goes where it should, on its own side.
func besideExplicit(t *testing.T, e *core.Engine, out, app *peer) {
	const n = 20
	answers, spans := make(map[string]int), make(map[string]int)
	explicit := make(chan string, 2*n)
	go func() {
		defer close(explicit)
		for range n {
			explicit <- ask("10.9.0.1:16001")
			explicit <- ask("127.0.0.1:16002")
		}
	}()
	for range n {
		answers[out.ask("10.9.0.2:8080")]++
		answers[app.ask("[fd00:9::9]:9090")]++
	}
	for a := range explicit {
		answers[a]++
	}
	for range 4 * n {
		s := oneSpan(t, e)
		spans[s.Kind.String()+" "+s.Server.AddrPort().String()]++
	}
	if want := map[string]int{"127.0.0.1:8080": n, "10.9.0.9:9090": n, "10.9.0.2:8080": n, "[fd00:9::9]:9090": n}; !maps.Equal(answers, want) {
		t.Errorf("arrived at %v", answers)
	}
	want := map[string]int{"server 127.0.0.1:8080": n, "client 10.9.0.9:9090": n, "server 10.9.0.2:8080": n, "client [fd00:9::9]:9090": n}
	if !maps.Equal(spans, want) {
		t.Errorf("spans: %v", spans)
	}
}

// A link-local address means something on its link only (RFC 4007 §6): the original destination comes with the interface, and the relay must
// dial there on that interface. Inbound only: what the application sends to a link never reaches ::1, where rules on OUTPUT redirect to.
func TestRedirectedLinkLocal(t *testing.T) {
	if !netns.Enter(t, 3*time.Minute, "nft", "nsenter") {
		return
	}
	out := outside(t)
	addAddress(t, "fe80::9:1", "host0")
	netns.Run(t, "nsenter", append([]string{"-t", fmt.Sprint(out.pid), "-n", need.Tool(t, "ip")}, netns.Address("fe80::9:9", "out0")...)...)
	netns.Load(t, rules)
	if err := serve(":8080"); err != nil {
		t.Fatal(err)
	}
	e := startEngine(t, core.Config{Transparent: ":15001"})
	if got := out.ask("[fe80::9:1%out0]:8080"); got != "[fe80::9:1%host0]:8080" {
		t.Fatalf("arrived at %q; refused: %v", got, e.Stats().Refused)
	}
	if s := oneSpan(t, e); s.Kind != span.Server || s.Server.AddrPort().String() != "[fe80::9:1]:8080" || s.Status != 200 {
		t.Errorf("a %v span to %v, status %d", s.Kind, s.Server.AddrPort(), s.Status)
	}
}

// Where IPv6 is switched off its loopback address is as good as refused; waiting for a local port would be in vain.
func TestWithoutIPv6(t *testing.T) {
	if !netns.Enter(t, 3*time.Minute, "nft", "nsenter") {
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	e := startEngine(t, core.Config{DialTimeout: patience, Explicit: []core.Listen{{Addr: "127.0.0.1:15001", Upstream: "[::1]:9000"}}})
	c, err := net.Dial("tcp", "127.0.0.1:15001")
	if err == nil { // else it was reset before that was told
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("%v, want a reset", err)
	}
	if st := e.Stats(); st.Refused[core.RefusedDial] != 1 || st.Backoffs != 0 {
		t.Errorf("refused %v, %d back-offs", st.Refused, st.Backoffs)
	}
}

// With four local ports towards an upstream, the fifth session waits until one is free, and is not refused; without the back-off
// it would be. One that waits for longer than the dial timeout is reset, and counted as out of ports.
func TestOutOfPorts(t *testing.T) {
	if !netns.Enter(t, 3*time.Minute, "nft", "nsenter") {
		return
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0); err != nil {
		t.Fatal(err)
	}
	backend, err := net.Listen("tcp", "127.0.0.1:9000")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := backend.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	// Who waits does so for as long as it takes a busy machine to free a port; who waits in vain, behind the second engine, not for long.
	const timeout = 700 * time.Millisecond
	e := startEngine(t, core.Config{DialTimeout: patience, Explicit: []core.Listen{{Addr: "127.0.0.1:15001", Upstream: "127.0.0.1:9000"}}})
	hasty := startEngine(t, core.Config{DialTimeout: timeout, Explicit: []core.Listen{{Addr: "127.0.0.1:15002", Upstream: "127.0.0.1:9000"}}})
	// The clients' own ports are outside of that range.
	next := 50000
	dial := func(to string) *net.TCPConn {
		t.Helper()
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: next}}
		next++
		c, err := d.Dial("tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, "\x00echo"); err != nil {
			t.Fatal(err)
		}
		return c.(*net.TCPConn)
	}
	echoed := func(c net.Conn) error {
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	var open []*net.TCPConn
	for range 4 {
		c := dial("127.0.0.1:15001")
		if err := echoed(c); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	waiting := dial("127.0.0.1:15001")
	eventually(t, "a back-off", func() bool { return e.Stats().Backoffs > 0 })
	if n := e.Stats().Refused; n != [core.NumRefusals]uint64{} {
		t.Errorf("refused: %v", n)
	}
	_ = open[0].SetLinger(0) // a reset leaves no TIME_WAIT behind
	_ = open[0].Close()
	if err := echoed(waiting); err != nil {
		t.Fatalf("the session that waited: %v", err)
	}
	begin := time.Now()
	if err := echoed(dial("127.0.0.1:15002")); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("without a port: %v", err)
	}
	if d := time.Since(begin); d < timeout {
		t.Errorf("gave up after %v", d)
	}
	if st := hasty.Stats(); st.Refused[core.RefusedPorts] != 1 || st.Backoffs > 20 {
		t.Errorf("refused %v, %d back-offs", st.Refused, st.Backoffs)
	}
	if st := e.Stats(); st.Refused != [core.NumRefusals]uint64{} || st.Backoffs > 20 {
		t.Errorf("the one with time: refused %v, %d back-offs", st.Refused, st.Backoffs)
	}
}
