package netramesh

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/netns"
	program "github.com/spanwire/spanwire/internal/sidecar"
)

// The tests of this file redirect connections as a pod's do. They run in a network namespace that each makes for itself, and need root.

const (
	// roleVariable names what this binary does instead of testing.
	roleVariable = "SPANWIRE_TEST_ROLE"
	callerRole   = "caller"

	// Whom the processes run as: Netramesh's sidecar, and an application.
	sidecarUser = 1337
	appUser     = 65534
)

// The addresses of the host under test, and of the one outside of it.
const (
	hostV4, hostV6       = "10.9.0.1", "fd00:9::1"
	outsideV4, outsideV6 = "10.9.0.9", "fd00:9::9"
)

// beCaller is a service that knows nothing of tracing: for each line "serve PORT URL" it serves, and calls URL ("-": nobody) for each request,
// passing on the request id; for each line "get URL" it makes a call, for each "reach ADDRESS" a connection. It answers each line with one.
func beCaller() int {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "serve":
			l, err := net.Listen("tcp", ":"+words[1])
			if err != nil {
				fmt.Println(err)
				continue
			}
			go func() {
				_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveOne(w, r, words[2]) }))
			}()
			fmt.Println("serving")
		case "get":
			fmt.Println(call(words[1], ""))
		case "reach":
			fmt.Println(end(words[1]))
		}
	}
	return 0
}

func serveOne(w http.ResponseWriter, r *http.Request, url string) {
	if url != "-" {
		fmt.Fprint(w, call(url, r.Header.Get("X-Request-Id")), " by ")
	}
	fmt.Fprint(w, r.Context().Value(http.LocalAddrContextKey))
}

// end connects, says nothing, and returns how the connection ends, nil for a clean end. Of a reset the kernel tells once: connecting here, or reading.
func end(addr string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err == nil {
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.Copy(io.Discard, c)
	}
	return err
}

// call returns the first line of the answer, or the error.
func call(url, id string) string {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err.Error()
	}
	if id != "" {
		req.Header.Set("X-Request-Id", id)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return first
}

// caller is a process that plays such a service.
type caller struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	pid int
}

func newCaller(t *testing.T, attr *syscall.SysProcAttr) *caller {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+callerRole)
	cmd.SysProcAttr, cmd.Stderr = attr, os.Stderr
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
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return &caller{t, in, bufio.NewReader(out), cmd.Process.Pid}
}

// do has the caller do a line and returns what it says.
func (c *caller) do(format string, args ...any) string {
	c.t.Helper()
	fmt.Fprintf(c.in, format+"\n", args...)
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// pod is a host with an application, and another host outside of it.
type pod struct{ app, outside *caller }

// newPod makes the second namespace, joined to this one by a pair of interfaces. Outside serves port 9090; the application serves 8080, where
// each request makes it call outside, and 8081, where none does.
func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{outside: newCaller(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})}
	pid := fmt.Sprint(p.outside.pid)
	there := func(args ...string) {
		netns.Run(t, "nsenter", append([]string{"-t", pid, "-n", need.Tool(t, "ip")}, args...)...)
	}
	netns.Run(t, "ip", "link", "add", "host0", "type", "veth", "peer", "name", "out0", "netns", pid)
	netns.Run(t, "ip", netns.Address(hostV4, "host0")...)
	netns.Run(t, "ip", netns.Address(hostV6, "host0")...)
	netns.Run(t, "ip", "link", "set", "host0", "up")
	there("link", "set", "lo", "up") // Go asks ::1 whether there is IPv6
	there(netns.Address(outsideV4, "out0")...)
	there(netns.Address(outsideV6, "out0")...)
	there("link", "set", "out0", "up")
	p.app = newCaller(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}})
	for _, c := range []struct {
		who     *caller
		command string
	}{{p.outside, "serve 9090 -"}, {p.app, "serve 8080 http://" + outsideV4 + ":9090/out"}, {p.app, "serve 8081 -"}} {
		if got := c.who.do("%s", c.command); got != "serving" {
			t.Fatal(got)
		}
	}
	return p
}

// redirect runs `spanwire intercept add`.
func redirect(t *testing.T, env []string, flags ...string) {
	t.Helper()
	if out, err := command(env, append([]string{"intercept", "add"}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("intercept add: %v\n%s", err, out)
	}
}

// asSidecar starts `spanwire --service-name x` as that user and group.
func asSidecar(t *testing.T, id uint32, env ...string) *sidecar {
	t.Helper()
	cmd := command(env, "--service-name", "x")
	cmd.Path = program.PublicCopy(t, binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	return start(t, cmd)
}

// opened returns how many connections of each side were redirected so far.
func (s *sidecar) opened() (inbound, outbound float64) {
	s.t.Helper()
	return s.Metric(`spanwire_sessions_total{side="inbound"}`), s.Metric(`spanwire_sessions_total{side="outbound"}`)
}

// A pod of a Netramesh with another image: the same two variables, every default. Ports 14956, 14957, 14958, user 1337, agent at
// localhost:6831, all ports redirected; inbound and outbound are told apart, and joined by the request id that the application passes on.
func TestDefaultsBehindRedirectRules(t *testing.T) {
	if !netns.Enter(t, 5*time.Minute, "nft", "nsenter") {
		return
	}
	p := newPod(t)
	a := newAgent(t, 6831)
	s := asSidecar(t, sidecarUser, "JAEGER_SAMPLER_TYPE=const", "JAEGER_SAMPLER_PARAM=1")
	s.logged("transparent=[::]:14956 admin=127.0.0.1:14957 metrics=[::]:14958")
	redirect(t, nil)
	if got := p.outside.do("get http://%s:8080/in", hostV4); got != outsideV4+":9090 by "+hostV4+":8080" {
		t.Fatalf("the call through the pod: %q", got)
	}
	all := a.spans(2)
	server, client := find(t, all, "server", "/in"), find(t, all, "client", outsideV4+":9090/out")
	if client.Trace != server.Trace || client.Parent != server.ID || server.Parent != 0 {
		t.Errorf("not one trace: %+v, %+v", server, client)
	}
	if server.Service != "x" || client.Tags["remote_addr"] != outsideV4+":9090" || !strings.HasPrefix(fmt.Sprint(server.Tags["remote_addr"]), outsideV4+":") {
		t.Errorf("server %v, client %v", server.Tags, client.Tags)
	}
	// A scraper from outside may ask any path of the metrics; profiles are for the host alone.
	if got := p.outside.do("get http://%s:14958/any", hostV4); !strings.HasPrefix(got, "#") {
		t.Errorf("metrics from outside: %q", got)
	}
	if got := p.outside.do("get http://%s:14957/debug/pprof/", hostV4); !strings.Contains(got, "refused") {
		t.Errorf("profiles from outside: %q", got)
	}
}

// Undone: a connection to the sidecar's own port is dialled all the same when the kernel names that port as the original destination, which
// it does once there are rules: it then tracks every connection, those that no rule redirects too.
func TestDefect13OwnPortIsRefusedBehindRules(t *testing.T) {
	if !netns.Enter(t, 5*time.Minute, "nft", "nsenter") {
		return
	}
	p := newPod(t)
	s := asSidecar(t, sidecarUser, "NETRA_HTTP_PORTS=")
	redirect(t, nil)
	asked := 0.0
	for _, c := range []struct {
		who  *caller
		host string
	}{{p.outside, hostV4}, {p.outside, "[" + hostV6 + "]"}, {p.app, "127.0.0.1"}, {p.app, "[::1]"}, {p.app, hostV4}} {
		if got := c.who.do("reach %s:14956", c.host); !strings.HasSuffix(got, "connection reset by peer") {
			t.Errorf("%s: %q, want a reset", c.host, got)
		}
		asked++
	}
	s.AwaitMetric(`spanwire_refused_total{reason="self"}`, asked)
	if in, out := s.opened(); in != 0 || out != 0 {
		t.Errorf("%v and %v sessions", in, out)
	}
}

// Where to redirect, and whose traffic not to.
func TestRowRulesOfTheSidecar(t *testing.T) {
	if !netns.Enter(t, 5*time.Minute, "nft", "nsenter") {
		return
	}
	const other = 1400
	p := newPod(t)
	s := asSidecar(t, other, "NETRA_PORT=15001")
	redirect(t, []string{"NETRA_SIDECAR_PORT=15001", "NETRA_SIDECAR_USER_ID=1400", "NETRA_SIDECAR_GROUP_ID=1400"})
	if got := p.outside.do("get http://%s:8080/in", hostV4); !strings.HasPrefix(got, outsideV4) {
		t.Fatalf("the call through the pod: %q", got)
	}
	if in, out := s.opened(); in != 1 || out != 1 {
		t.Errorf("redirected %v and %v, want 1 and 1", in, out)
	}
	for _, name := range []string{"NETRA_SIDECAR_PORT", "NETRA_SIDECAR_USER_ID", "NETRA_SIDECAR_GROUP_ID"} {
		out, err := command([]string{name + "=x"}, "intercept", "add").CombinedOutput()
		if err == nil || !strings.Contains(string(out), name+` "x"`) {
			t.Errorf("%s=x: %v, %s", name, err, out)
		}
	}
}

// Which ports, and which share of the connections.
func TestRowRulesOfPortsAndShares(t *testing.T) {
	if !netns.Enter(t, 5*time.Minute, "nft", "nsenter") {
		return
	}
	p := newPod(t)
	s := asSidecar(t, sidecarUser, "NETRA_HTTP_PORTS=")
	for _, c := range []struct {
		name    string
		env     []string
		in, out float64 // redirected of one call to 8080, which calls 9090, and one to 8081
	}{
		{"all", nil, 2, 1},
		{"inbound ports", []string{"INBOUND_INTERCEPT_PORTS=8081"}, 1, 1},
		{"outbound ports", []string{"INBOUND_INTERCEPT_PORTS=8080,8081", "OUTBOUND_INTERCEPT_PORTS=80"}, 2, 0},
		{"outbound ports, listed", []string{"INBOUND_INTERCEPT_PORTS=*", "OUTBOUND_INTERCEPT_PORTS=9090,9091"}, 2, 1},
		{"no inbound", []string{"NETRA_INBOUND_PROBABILITY=0"}, 0, 1},
		{"no outbound", []string{"NETRA_OUTBOUND_PROBABILITY=0", "NETRA_INBOUND_PROBABILITY=1"}, 2, 0},
	} {
		redirect(t, c.env)
		inBefore, outBefore := s.opened()
		for _, port := range []int{8080, 8081} {
			if got := p.outside.do("get http://%s:%d/in", hostV4, port); !strings.HasSuffix(got, fmt.Sprintf("%s:%d", hostV4, port)) {
				t.Errorf("%s: the call to %d: %q", c.name, port, got)
			}
		}
		if in, out := s.opened(); in-inBefore != c.in || out-outBefore != c.out {
			t.Errorf("%s: redirected %v and %v, want %v and %v", c.name, in-inBefore, out-outBefore, c.in, c.out)
		}
	}
}

// Values that say no ports and no share; the rules are only printed, and need neither root nor a kernel.
func TestRowRulesOfPortsAndSharesThatAreNone(t *testing.T) {
	for name, bad := range map[string][]string{
		"INBOUND_INTERCEPT_PORTS": {"http", "70000", "1-", "-1"}, "OUTBOUND_INTERCEPT_PORTS": {"80,x", "**"},
		"NETRA_INBOUND_PROBABILITY": {"2", "-1", "half", "NaN"}, "NETRA_OUTBOUND_PROBABILITY": {"1.1", "x", "Inf"},
	} {
		for _, v := range bad {
			cmd := command([]string{name + "=" + v}, "intercept", "add", "--dry-run")
			out, _ := cmd.CombinedOutput() // the exit code says it
			if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), name+` "`) {
				t.Errorf("%s=%s: code %d, %s", name, v, code, out)
			}
		}
	}
}

// Undone: add appends to the rules that are there; only 127.0.0.1 is exempt; rules are for IPv4; nothing can be left out.
func TestDefect23RulesAreIdempotentAndComplete(t *testing.T) {
	if !netns.Enter(t, 5*time.Minute, "nft", "nsenter") {
		return
	}
	p := newPod(t)
	s := asSidecar(t, sidecarUser, "NETRA_HTTP_PORTS=")
	redirect(t, nil)
	first := netns.Run(t, "nft", "-s", "list", "ruleset")
	redirect(t, nil)
	if again := netns.Run(t, "nft", "-s", "list", "ruleset"); again != first {
		t.Errorf("a second add changed the rules:\n%s\nthen\n%s", first, again)
	}
	check := func(what string, who *caller, url string, in, out float64) {
		t.Helper()
		inBefore, outBefore := s.opened()
		if got := who.do("get %s", url); !strings.Contains(url, strings.ReplaceAll(got[strings.LastIndex(got, " ")+1:], "::ffff:", "")) {
			t.Errorf("%s: %q", what, got)
		}
		if in2, out2 := s.opened(); in2-inBefore != in || out2-outBefore != out {
			t.Errorf("%s: redirected %v and %v, want %v and %v", what, in2-inBefore, out2-outBefore, in, out)
		}
	}
	check("once, not twice", p.outside, "http://"+hostV4+":8080/", 1, 1)
	check("IPv6 inbound", p.outside, "http://["+hostV6+"]:8081/", 1, 0)
	check("IPv6 outbound", p.app, "http://["+outsideV6+"]:9090/", 0, 1)
	for _, loopback := range []string{"127.0.0.1", "127.0.0.2", "[::1]"} {
		check("loopback", p.app, "http://"+loopback+":8081/", 0, 0)
	}
	redirect(t, nil, "--exclude-inbound-ports", "8081", "--exclude-cidr", outsideV6+"/128")
	check("excluded port", p.outside, "http://"+hostV4+":8081/", 0, 0)
	check("excluded address", p.app, "http://["+outsideV6+"]:9090/", 0, 0)
	check("the others", p.app, "http://"+outsideV4+":9090/", 0, 1)
	if out, err := command(nil, "intercept", "remove", "--now").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	check("removed", p.outside, "http://"+hostV4+":8081/", 0, 0)
}
