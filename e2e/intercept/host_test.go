//go:build e2e

// Package intercept tests `spanwire intercept` and what it redirects to: the built binary, real servers and clients, IPv4 and IPv6, in network
// namespaces that the test makes for itself. The machine's own network is not touched, and what was made ends with the processes in it.
package intercept

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/netns"
	program "github.com/spanwire/spanwire/internal/sidecar"
)

// patience bounds whatever a test waits for.
const patience = 15 * time.Second

// The users: the application's connections are redirected, the sidecar's are not.
const (
	appUser     = 65534
	sidecarUser = 1337
)

// The addresses: the host under test has two of each family, the outside one to be redirected and one to be excluded.
var (
	hostAddrs     = []string{"10.9.0.1", "10.9.0.2", "fd00:9::1", "fd00:9::2"}
	outsideAddrs  = []string{"10.9.0.9", "fd00:9::9"}
	excludedAddrs = []string{"10.9.7.9", "fd00:9:0:7::9"}
)

const excludedCIDRs = "10.9.7.0/24,fd00:9:0:7::/64"

// host is the host under test: the namespace that the test runs in, with what runs there.
type host struct {
	t       *testing.T
	backend string
	bin     string // spanwire, where every user can run it
	out     *peer  // outside, with servers at ports 9090 and 9091
	app     *peer  // the application, with servers at ports 8080 and 8082, and at 127.0.0.1:8081
}

// isolated runs body in a network namespace of its own.
func isolated(t *testing.T, backend string, body func(h *host)) {
	t.Helper()
	netns.Isolated(t, 3*time.Minute, []string{"nft", "iptables", "ip6tables", "nsenter"}, func() { body(newHost(t, backend)) })
}

// newHost sets the namespace up.
func newHost(t *testing.T, backend string) *host {
	t.Helper()
	h := &host{t: t, backend: backend, bin: program.PublicCopy(t, program.Binary(t))}
	h.out = startPeer(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	pid := fmt.Sprint(h.out.pid)
	h.run("ip", "link", "add", "host0", "type", "veth", "peer", "name", "out0", "netns", pid)
	for _, a := range hostAddrs {
		h.run("ip", netns.Address(a, "host0")...)
	}
	h.run("ip", "link", "set", "host0", "up")
	there := func(args ...string) {
		h.run("nsenter", append([]string{"-t", pid, "-n", need.Tool(t, "ip")}, args...)...)
	}
	there("link", "set", "lo", "up")
	for _, a := range append(outsideAddrs, excludedAddrs...) {
		there(netns.Address(a, "out0")...)
	}
	there("link", "set", "out0", "up")
	for _, r := range strings.Split(excludedCIDRs, ",") {
		h.run("ip", "route", "replace", r, "dev", "host0")
	}
	h.app = startPeer(t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}})
	for _, s := range []struct {
		p    *peer
		addr string
	}{{h.out, ":9090"}, {h.out, ":9091"}, {h.app, ":8080"}, {h.app, ":8082"}, {h.app, "127.0.0.1:8081"}} {
		if got := s.p.do("serve %s", s.addr); got != "serving" {
			t.Fatal(got)
		}
	}
	return h
}

// run runs a tool and returns what it wrote.
func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	return netns.Run(h.t, name, args...)
}

// intercept runs `spanwire intercept` with the test's back end and returns what it wrote, and its exit code.
func (h *host) intercept(args ...string) (string, int) {
	h.t.Helper()
	args = append([]string{"intercept", args[0], "--backend", h.backend}, args[1:]...)
	cmd := exec.Command(h.bin, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// must is intercept that has to succeed.
func (h *host) must(args ...string) string {
	h.t.Helper()
	out, code := h.intercept(args...)
	if code != 0 {
		h.t.Fatalf("intercept %s: code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// rules returns what the tools say of nat and filter, and our table, as far as there is one.
func (h *host) rules() string {
	h.t.Helper()
	var all []string
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, table := range []string{"nat", "filter"} {
			all = append(all, h.run(tool, "-t", table, "-S"))
		}
	}
	ours := "no table inet spanwire"
	if strings.Contains(h.run("nft", "list", "tables"), "inet spanwire") {
		ours = h.run("nft", "list", "table", "inet", "spanwire")
	}
	return strings.Join(append(all, ours, ""), "\n")
}

// sidecar is a running sidecar.
type sidecar struct {
	*program.Process
	t *testing.T
}

// start starts a sidecar as its user and waits until it is ready.
func (h *host) start(args ...string) *sidecar {
	h.t.Helper()
	cmd := exec.Command(h.bin, append([]string{"--service-name", "host"}, args...)...)
	if !slices.Contains(args, "--exporter") {
		cmd.Args = append(cmd.Args, "--exporter", "none")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: sidecarUser, Gid: sidecarUser}}
	s := &sidecar{program.Start(h.t, cmd), h.t}
	if out, err := exec.Command(h.bin, "wait", "--timeout", patience.String()).CombinedOutput(); err != nil {
		h.t.Fatalf("%v: %s", err, out)
	}
	return s
}

// sessions returns how many connections the sidecar has taken.
func (s *sidecar) sessions() int {
	s.t.Helper()
	return int(s.Sum("spanwire_sessions_total"))
}

// eventually waits until cond holds, at most d.
func (h *host) eventually(what string, d time.Duration, cond func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(d); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("waited %v in vain: %s", d, what)
		}
	}
}

// at joins address and port.
func at(addr, port string) string { return net.JoinHostPort(addr, port) }
