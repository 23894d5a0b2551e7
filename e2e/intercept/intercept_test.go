//go:build e2e

package intercept

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spanwire/spanwire/internal/need"
)

// scene is a test that runs with a back end of choice; the core ones run with every.
type scene struct {
	name string
	core bool
	body func(h *host)
}

var scenes = []scene{
	{"every address of the host and outside", true, everyAddress},
	{"excludes", true, excludes},
	{"calls to oneself", true, selfCalls},
	{"own ports and own traffic", false, ownTraffic},
	{"a sidecar that would call itself", false, loops},
	{"many networks, and no privilege", false, manyNetworks},
	{"foreign rules", true, foreignRules},
	{"add and remove under load", true, underLoad},
	{"fail open", true, failOpen},
	{"a share of the connections", false, shares},
	{"what check finds", false, checkFinds},
	{"what check finds of fail open", false, checkFindsHeartbeat},
	{"a host without IPv6", false, noIPv6},
	{"what is printed", false, whatIsPrinted},
}

// TestNFT runs everything on nftables.
func TestNFT(t *testing.T) {
	for _, s := range scenes {
		t.Run(strings.ReplaceAll(s.name, " ", "_"), func(t *testing.T) { isolated(t, "nft", s.body) })
	}
}

// TestIPTables runs the core on iptables and ip6tables as the distribution has them.
func TestIPTables(t *testing.T) {
	for _, s := range scenes {
		if s.core {
			t.Run(strings.ReplaceAll(s.name, " ", "_"), func(t *testing.T) { isolated(t, "iptables", s.body) })
		}
	}
}

// TestIPTablesLegacy runs the core on the old kernel interface.
func TestIPTablesLegacy(t *testing.T) {
	need.Tool(t, "iptables-legacy")
	dir := t.TempDir()
	for _, tool := range []string{"iptables", "ip6tables", "iptables-restore", "ip6tables-restore"} {
		name, restore, _ := strings.Cut(tool, "-")
		legacy := need.Tool(t, name+"-legacy")
		if restore != "" {
			legacy += "-" + restore
		}
		if err := os.Symlink(legacy, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	for _, s := range scenes {
		if s.core {
			t.Run(strings.ReplaceAll(s.name, " ", "_"), func(t *testing.T) { isolated(t, "iptables", s.body) })
		}
	}
}

// Every address of the host is reached from outside, and every address outside from the application, each under its own name and traced.
func everyAddress(h *host) {
	h.start()
	h.must("add")
	for _, a := range hostAddrs {
		h.out.wants(at(a, "8080"), "traced")
	}
	for _, a := range outsideAddrs {
		h.app.wants(at(a, "9090"), "traced")
	}
	if out := h.must("check"); out != "all is well\n" {
		h.t.Errorf("check: %q", out)
	}
}

// What is excluded goes as if there were no rules: ports either way, networks, users; and with networks included, all others.
func excludes(h *host) {
	h.start()
	h.must("add", "--exclude-inbound-ports", "8082", "--exclude-outbound-ports", "9000-9090", "--exclude-cidr", excludedCIDRs, "--exclude-uid", "12345")
	other := startPeer(h.t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}})
	for _, a := range hostAddrs {
		h.out.wants(at(a, "8080"), "traced")
		h.out.wants(at(a, "8082"), "direct")
	}
	for _, a := range outsideAddrs {
		h.app.wants(at(a, "9090"), "direct")
		h.app.wants(at(a, "9091"), "traced")
		other.wants(at(a, "9091"), "direct")
	}
	for _, a := range excludedAddrs {
		h.app.wants(at(a, "9091"), "direct")
	}
	h.must("add", "--inbound-ports", "8080", "--outbound-ports", "9091", "--include-cidr", excludedCIDRs)
	for _, a := range hostAddrs {
		h.out.wants(at(a, "8080"), "traced")
		h.out.wants(at(a, "8082"), "direct")
	}
	for _, a := range outsideAddrs {
		h.app.wants(at(a, "9091"), "direct")
	}
	for _, a := range excludedAddrs {
		h.app.wants(at(a, "9091"), "traced")
		h.app.wants(at(a, "9090"), "direct")
	}
}

// A call to the host's own address reaches the application through the sidecar, once and not for ever. A call to loopback goes there and
// nowhere else. A listener on 127.0.0.1 only is reached from the host, and as little from outside as without rules.
func selfCalls(h *host) {
	s := h.start()
	h.must("add")
	for _, a := range hostAddrs {
		before := s.sessions()
		h.app.wants(at(a, "8080"), "traced")
		if n := s.sessions() - before; n != 1 {
			h.t.Errorf("%s: %d sessions", a, n)
		}
	}
	before := s.sessions()
	for _, addr := range []string{"127.0.0.1:8080", "[::1]:8080", "127.0.0.1:8081", "127.9.9.9:8080"} {
		h.app.wants(addr, "direct")
	}
	if n := s.sessions() - before; n != 0 {
		h.t.Errorf("loopback: %d sessions", n)
	}
	if got := h.out.do("ask %s", at(hostAddrs[0], "8081")); !strings.HasPrefix(got, "error: ") {
		h.t.Errorf("a listener on 127.0.0.1, from outside: %q", got)
	}
}

// The sidecar's metrics are reached from outside and not through itself; what it sends itself goes out directly; and whoever connects to its
// own port gets no loop.
func ownTraffic(h *host) {
	s := h.start()
	h.must("add")
	before := s.sessions()
	for _, a := range hostAddrs {
		if got := h.out.do("ask %s/metrics", at(a, "14958")); !strings.Contains(got, "spanwire_build_info") && !strings.HasPrefix(got, "# HELP") {
			h.t.Errorf("metrics at %s: %.100q", a, got)
		}
		if got := h.out.do("ask %s", at(a, "14956")); !strings.HasPrefix(got, "error: ") {
			h.t.Errorf("the sidecar's own port at %s: %q", a, got)
		}
	}
	own := startPeer(h.t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: sidecarUser, Gid: sidecarUser}})
	group := startPeer(h.t, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4242, Gid: sidecarUser}})
	for _, a := range outsideAddrs {
		own.wants(at(a, "9090"), "direct")
		group.wants(at(a, "9090"), "direct")
	}
	if n := s.sessions() - before; n != 0 {
		h.t.Errorf("%d sessions", n)
	}
}

// A sidecar that runs as root, behind rules that spare another user, would call itself without end: whichever comes second refuses.
func loops(h *host) {
	root := func() *exec.Cmd { return exec.Command(h.bin, "--service-name", "host", "--exporter", "none") }
	h.must("add")
	if out, err := root().CombinedOutput(); err == nil || !strings.Contains(string(out), "the redirect rules spare user 1337, and this is user 0") {
		h.t.Errorf("a sidecar behind the rules: %v, %s", err, out)
	}
	h.must("remove")
	s := root()
	if err := s.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = s.Process.Kill(); _ = s.Wait() })
	h.run(h.bin, "wait", "--timeout", patience.String())
	if out, code := h.intercept("add"); code != 1 || !strings.Contains(out, "runs as user 0, and the rules would spare user 1337") {
		h.t.Errorf("rules before the sidecar: code %d, %s", code, out)
	}
	h.must("add", "--uid", "0")
	h.out.wants(at(hostAddrs[0], "8080"), "traced")
	h.must("remove", "--now")
	_, _ = s.Process.Kill(), s.Wait()

	// One of another user is spared for its group, if that is the one of the rules.
	for _, c := range []struct {
		group uint32
		code  int
	}{{sidecarUser, 0}, {2000, 1}} {
		s := root()
		s.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2000, Gid: c.group}}
		if err := s.Start(); err != nil {
			h.t.Fatal(err)
		}
		h.run(h.bin, "wait", "--timeout", patience.String())
		out, code := h.intercept("add")
		if code != c.code || code != 0 && !strings.Contains(out, "runs as user 2000, and the rules would spare user 1337 and group 1337") {
			h.t.Errorf("rules for a sidecar of user 2000 and group %d: code %d, %s", c.group, code, out)
		}
		if code == 0 {
			h.out.wants(at(hostAddrs[0], "8080"), "traced")
		}
		h.must("remove", "--now")
		_, _ = s.Process.Kill(), s.Wait()
	}
}

// Thousands of networks are one batch like any other; and who lacks the privilege is told so, by every command.
func manyNetworks(h *host) {
	h.start()
	nets := []string{excludedCIDRs}
	for i := range 2000 {
		nets = append(nets, fmt.Sprintf("10.%d.%d.0/24", 100+i/256, i%256))
	}
	h.must("add", "--exclude-cidr", strings.Join(nets, ","))
	h.app.wants(at(excludedAddrs[0], "9090"), "direct")
	h.app.wants(at(outsideAddrs[0], "9090"), "traced")
	if out := h.must("check"); out != "all is well\n" {
		h.t.Errorf("check: %.200q", out)
	}
	for _, command := range []string{"add", "remove", "show", "check"} {
		cmd := exec.Command(h.bin, "intercept", command)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: appUser, Gid: appUser}}
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "needs CAP_NET_ADMIN: run as root") {
			h.t.Errorf("%s without the privilege: code %d, %s", command, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// docker are rules as Docker's daemon has them, with a published port.
const docker = `
iptables -t nat -N DOCKER
iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 18080 -j DNAT --to-destination 10.9.0.9:9090
iptables -N DOCKER-USER
iptables -I FORWARD -j DOCKER-USER
iptables -A DOCKER-USER -j RETURN
ip6tables -t nat -N DOCKER
ip6tables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
ip6tables -N DOCKER-USER
ip6tables -I FORWARD -j DOCKER-USER
`

// foreign is what somebody else has in nftables.
const foreign = `add table inet filter
add chain inet filter input { type filter hook input priority 0; policy accept; }
add rule inet filter input tcp dport 22 accept
add table ip redirects
add chain ip redirects prerouting { type nat hook prerouting priority -100; }
add rule ip redirects prerouting tcp dport 81 redirect to :8080`

// Add twice is add once, add with other settings replaces, and remove leaves everything else as it was. What others send elsewhere goes
// there still: a published port to its container, a redirected port to where it was redirected.
func foreignRules(h *host) {
	for _, line := range strings.Split(strings.TrimSpace(docker), "\n") {
		f := strings.Fields(line)
		h.run(f[0], f[1:]...)
	}
	for _, line := range strings.Split(foreign, "\n") {
		h.run("nft", line)
	}
	// Creating the tables that the tools share is no change to what others have there.
	h.run("iptables", "-S")
	rules := func() string {
		return h.rules() + h.run("nft", "list", "table", "inet", "filter") + h.run("nft", "list", "table", "ip", "redirects")
	}
	before := rules()
	h.start()
	h.must("add", "--fail-open")
	h.must("add", "--exclude-cidr", excludedCIDRs)
	replaced := rules()
	h.must("remove")
	if got := rules(); got != before {
		h.t.Errorf("after remove:\n%s\nbefore add:\n%s", got, before)
	}
	h.must("add", "--exclude-cidr", excludedCIDRs)
	once := rules()
	h.must("add", "--exclude-cidr", excludedCIDRs)
	if got := rules(); got != once || got != replaced {
		h.t.Errorf("added twice:\n%s\nonce:\n%s\nreplaced:\n%s", got, once, replaced)
	}
	for _, a := range hostAddrs {
		h.out.wants(at(a, "8080"), "traced")
	}
	h.app.wants(at(outsideAddrs[0], "9090"), "traced")
	if got := h.out.do("ask %s", at(hostAddrs[0], "81")); !strings.HasPrefix(got, "10.9.0.1:8080 ") {
		h.t.Errorf("a port that somebody redirects: %q", got)
	}
	if got := h.app.do("ask %s", at(hostAddrs[0], "18080")); got != "10.9.0.9:9090 traced" {
		h.t.Errorf("a published port, from the host: %q", got)
	}
	h.must("remove", "--wait", "--timeout", patience.String())
	if got := rules(); got != before {
		h.t.Errorf("after remove:\n%s\nbefore add:\n%s", got, before)
	}
	if out := h.must("remove"); out != "no rules are installed\n" {
		h.t.Errorf("remove again: %q", out)
	}
}

// A probability is one for each connection.
func shares(h *host) {
	h.start()
	const n = 200
	count := func(p *peer, addr string) int {
		traced, err := strconv.Atoi(p.do("asks %d %s", n, addr))
		if err != nil {
			h.t.Fatal(err)
		}
		return traced
	}
	h.must("add", "--inbound-probability", "0.5", "--outbound-probability", "0")
	// 200 tosses: 60 to 140 are six standard deviations either way.
	for _, a := range []string{hostAddrs[0], hostAddrs[2]} {
		if got := count(h.out, at(a, "8080")); got < 60 || got > 140 {
			h.t.Errorf("%s: %d of %d at one half", a, got, n)
		}
	}
	if got := count(h.app, at(outsideAddrs[0], "9090")); got != 0 {
		h.t.Errorf("%d of %d at nought", got, n)
	}
}
