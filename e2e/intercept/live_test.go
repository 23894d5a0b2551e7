//go:build e2e

package intercept

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// underLoad: connections that are established when rules are added go on untouched, and new ones are redirected; when they are removed the
// redirected ones go on, and new ones are direct at once. Nothing fails meanwhile.
func underLoad(h *host) {
	s := h.start()
	var in, out []string
	for _, a := range hostAddrs {
		in = append(in, at(a, "8080")+"/slow")
	}
	for _, a := range outsideAddrs {
		out = append(out, at(a, "9090")+"/slow")
	}
	begin := func() {
		h.out.do("load %s", strings.Join(in, " "))
		h.app.do("load %s", strings.Join(out, " "))
		time.Sleep(300 * time.Millisecond) // a load that lasts
	}
	end := func(what string, someDirect bool) {
		for _, p := range []*peer{h.out, h.app} {
			answered, traced := p.stopLoad()
			if traced == 0 || someDirect && traced == answered {
				h.t.Errorf("%s: %d of %d traced", what, traced, answered)
			}
		}
	}
	begin()
	h.must("add")
	h.must("add", "--exclude-inbound-ports", "8082") // replaced under load
	time.Sleep(500 * time.Millisecond)
	end("add", true)

	begin()
	said := h.must("remove")
	if !strings.Contains(said, "redirected connections live on") {
		h.t.Errorf("remove under load: %q", said)
	}
	for _, a := range hostAddrs {
		h.out.wants(at(a, "8080"), "direct")
	}
	for _, a := range outsideAddrs {
		h.app.wants(at(a, "9090"), "direct")
	}
	if out, code := h.intercept("check"); code != 1 || !strings.Contains(out, "the rules were removed") {
		h.t.Errorf("check after remove: %d, %s", code, out)
	}
	time.Sleep(500 * time.Millisecond)
	if out, code := h.intercept("remove", "--wait", "--timeout", "200ms"); code != 1 || !strings.Contains(out, "live on") {
		h.t.Errorf("remove --wait --timeout: %d, %s", code, out)
	}
	waited := make(chan string, 1)
	go func() {
		out, _ := exec.Command(h.bin, "intercept", "remove", "--backend", h.backend, "--wait").CombinedOutput()
		waited <- string(out)
	}()
	select {
	case out := <-waited:
		h.t.Errorf("remove --wait returned under load: %s", out)
	case <-time.After(300 * time.Millisecond):
	}
	end("remove", true)
	select {
	case out := <-waited:
		if out != "removed\n" {
			h.t.Errorf("remove --wait: %q", out)
		}
	case <-time.After(patience):
		h.t.Fatal("remove --wait does not return")
	}
	if out := h.must("show"); out != "no rules are installed\n" {
		h.t.Errorf("show: %q", out)
	}

	before := h.rules()
	h.must("add")
	begin()
	held := len(in) + len(out)
	h.out.hold(hostAddrs, "8080")
	h.app.hold(outsideAddrs, "9090")
	var n int
	said = h.must("remove", "--now")
	if _, err := fmt.Sscanf(said, "removed; %d connections are reset", &n); err != nil || n < held || strings.Contains(said, "more are cut off") {
		h.t.Errorf("remove --now, with %d connections held: %q", held, said)
	}
	for _, p := range []*peer{h.out, h.app} {
		if got := p.do("held"); got != "all reset" {
			h.t.Errorf("connections that were redirected, after remove --now: %s", got)
		}
	}
	if out := h.must("show"); out != "no rules are installed\n" {
		h.t.Errorf("show after remove --now: %q", out)
	}
	if got := h.rules(); got != before {
		h.t.Errorf("after remove --now:\n%s\nbefore add:\n%s", got, before)
	}
	for _, a := range hostAddrs {
		h.out.wants(at(a, "8080"), "direct")
	}
	for _, a := range outsideAddrs {
		h.app.wants(at(a, "9090"), "direct")
	}
	for _, p := range []*peer{h.out, h.app} {
		answered, _, failed, line := p.endLoad()
		if clients := clientsEach * max(len(in), len(out)); answered == 0 || failed > clients {
			h.t.Errorf("a load of at most %d clients, of each of which one request may be cut off: %s", clients, line)
		}
	}
	h.eventually("the sidecar to have no session", patience, func() bool { return s.Sum("spanwire_sessions") == 0 })
	h.must("add")
	h.out.hold(hostAddrs, "8080")
	if said := h.must("remove", "--now"); said != fmt.Sprintf("removed; %d connections are reset\n", len(hostAddrs)) {
		h.t.Errorf("remove --now, with %d connections in all: %q", len(hostAddrs), said)
	}
	if got := h.out.do("held"); got != "all reset" {
		h.t.Errorf("connections that were redirected, after remove --now: %s", got)
	}
}

// failOpen: with the sidecar killed new connections go directly within three seconds, and are traced again when it is back, both ways and in
// both families. Without a sidecar at all nothing is redirected.
func failOpen(h *host) {
	h.must("add", "--fail-open")
	all := func(how string) {
		h.t.Helper()
		for _, a := range hostAddrs {
			h.out.wants(at(a, "8080"), how)
		}
		for _, a := range outsideAddrs {
			h.app.wants(at(a, "9090"), how)
		}
	}
	// becomes waits until every way is as it should be, and returns how long that took.
	becomes := func(how string) time.Duration {
		h.t.Helper()
		began := time.Now()
		h.eventually("every connection to be "+how, patience, func() bool {
			for _, a := range hostAddrs {
				if h.out.do("ask %s", at(a, "8080")) != at(a, "8080")+" "+how {
					return false
				}
			}
			for _, a := range outsideAddrs {
				if h.app.do("ask %s", at(a, "9090")) != at(a, "9090")+" "+how {
					return false
				}
			}
			return true
		})
		took := time.Since(began)
		all(how)
		return took
	}
	all("direct")
	// What a busy machine adds to one try is not the rules': the best of several is within three seconds.
	const within, tries = 3 * time.Second, 5
	traced, direct := time.Hour, time.Hour
	for n := 0; n < 2 || n < tries && max(traced, direct) > within; n++ {
		s := h.start("--heartbeat")
		traced = min(traced, becomes("traced"))
		s.Kill()
		direct = min(direct, becomes("direct"))
	}
	if max(traced, direct) > within {
		h.t.Errorf("at best %v until every connection is traced, %v until it is direct; want %v", traced, direct, within)
	}
	// A sidecar that ends in order lets connections find their way past before it stops to take them: none fails.
	s := h.start("--heartbeat")
	becomes("traced")
	var addrs []string
	for _, a := range hostAddrs {
		addrs = append(addrs, at(a, "8080"))
	}
	h.out.do("gets %s", strings.Join(addrs, " ")) // idle connections are closed between requests
	time.Sleep(200 * time.Millisecond)
	s.Signal(syscall.SIGTERM)
	h.eventually("new connections to go past the sidecar", patience, func() bool {
		return h.app.do("ask %s", at(outsideAddrs[0], "9090")) == at(outsideAddrs[0], "9090")+" direct"
	})
	h.out.stopLoad()
	s.Exit(0)
	all("direct")
	h.must("remove")
}

// finds runs check and fails unless it says what is wanted and ends with 1.
func (h *host) finds(want ...string) {
	h.t.Helper()
	out, code := h.intercept("check")
	for _, w := range want {
		if code != 1 || !strings.Contains(out, w) {
			h.t.Errorf("check: code %d, want %q in:\n%s", code, w, out)
		}
	}
}

// checkFinds: each thing that can be wrong is named, with what to do.
func checkFinds(h *host) {
	h.finds("no rules are installed: run spanwire intercept add", "nothing listens at port 14956")
	h.must("add")
	h.finds("nothing listens at port 14956")
	s := h.start("--listen", "0.0.0.0:14956")
	h.finds("IPv6 is not covered: port 14956 is listened at on IPv4 only: start the sidecar with --listen :14956")
	s.Kill()
	s = h.start("--listen", "127.0.0.1:14956")
	h.finds("not listened at on every address")
	s.Kill()
	h.start()
	if out := h.must("check"); out != "all is well\n" {
		h.t.Error(out)
	}
	h.must("add", "--uid", "1338")
	h.finds("belongs to user 1337, and the rules spare user 1338")
	h.must("add")
	h.run("nft", "add", "rule", "inet", "spanwire", "inbound", "tcp", "dport", "99", "return")
	h.finds("the chain inbound has rules that are not spanwire's")
	h.must("add")
	h.run("nft", "flush", "chain", "inet", "spanwire", "outbound_redirect")
	h.finds("the chain outbound_redirect has 0 rules where there should be 1")
	h.must("add")
	// One rule in the place of another, with its comment: one port more is spared.
	listed := h.run("nft", "-a", "list", "chain", "inet", "spanwire", "inbound")
	ports := regexp.MustCompile(`tcp dport 14956-14958 return comment "(.*)" # handle (\d+)`).FindStringSubmatch(listed)
	if ports == nil {
		h.t.Fatalf("no rule spares the ports of the sidecar:\n%s", listed)
	}
	h.run("nft", "replace rule inet spanwire inbound handle "+ports[2]+` tcp dport 14956-14959 return comment "`+ports[1]+`"`)
	h.finds("of the chain inbound is another than was installed: run spanwire intercept add")
	if out := h.must("show"); !strings.Contains(out, "# not as it was installed: rule ") {
		h.t.Errorf("show: %s", out)
	}
	h.must("add")
	h.must("remove")

	h.backend = "iptables"
	h.must("add")
	if out := h.must("check"); out != "all is well\n" {
		h.t.Error(out)
	}
	h.run("ip6tables", "-t", "nat", "-F", "PREROUTING")
	h.finds("ip6tables: 1 of 2 jumps to the chains are there")
	h.run("ip6tables", "-t", "nat", "-F")
	h.run("ip6tables", "-t", "nat", "-X")
	h.finds("IPv6 is not covered: ip6tables has no rules")
	h.must("add")
	path := os.Getenv("PATH")
	h.lackingTool("no-ipv6", `case "$0" in *ip6tables*) echo "ip6tables is broken" >&2; exit 1;; esac`)
	h.finds("IPv6 is not covered: ip6tables does not work here: install ip6tables")
	h.t.Setenv("PATH", path)
	h.must("remove")
	h.lackingTool("no-nat", `case "$*" in *"-t nat"*) echo "can't initialize iptables table 'nat': Table does not exist (do you need to insmod?)" >&2; exit 3;; esac`)
	h.finds("Table does not exist")
}

// noIPv6: on a host that has switched IPv6 off all is well without its rules.
func noIPv6(h *host) {
	h.start()
	for _, scope := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0o600); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, backend := range []string{"nft", "iptables"} {
		h.backend = backend
		h.must("add")
		if out := h.must("check"); out != "all is well\n" {
			h.t.Errorf("check: %s", out)
		}
		h.out.wants(at(hostAddrs[0], "8080"), "traced")
		h.app.wants(at(outsideAddrs[0], "9090"), "traced")
		h.must("remove", "--now")
	}
}

// whatIsPrinted: what add --dry-run prints makes, read by the tools, what add makes.
func whatIsPrinted(h *host) {
	h.start()
	for _, args := range [][]string{
		{}, {"--fail-open"}, {"--inbound-ports", "80,8000-8080", "--outbound-ports", "9090", "--include-cidr", excludedCIDRs + ",0.0.0.0/0"},
		{"--exclude-cidr", "10.1.2.3," + excludedCIDRs, "--exclude-uid", "7,9", "--exclude-inbound-ports", "22", "--exclude-outbound-ports", "1-1024"},
		{"--inbound-probability", "0.25", "--outbound-probability", "0.999999", "--uid", "2000", "--gid", "0", "--redirect-port", "15000"},
	} {
		for _, backend := range []string{"nft", "iptables"} {
			h.backend = backend
			text := h.must(append([]string{"add", "--dry-run"}, args...)...)
			h.must(append([]string{"add"}, args...)...)
			added := h.rules()
			h.must("remove", "--now")
			before := h.rules()
			if backend == "nft" {
				h.reads(text, "nft", "-f", "-")
			} else {
				v4, v6, ok := strings.Cut(text, "# ip6tables-restore --noflush\n")
				if !ok {
					h.t.Fatalf("printed for iptables:\n%s", text)
				}
				h.reads(v4, "iptables-restore", "--noflush")
				h.reads(v6, "ip6tables-restore", "--noflush")
			}
			got := h.rules()
			if sorted(got) != sorted(added) || got == before {
				h.t.Errorf("%s %q: by what is printed:\n%s\nby add:\n%s", backend, args, got, added)
			}
			h.must("remove", "--now")
		}
	}
}

// sorted puts the chains of what nft lists, and all behind, in order: nft wants one to stand before what goes there.
func sorted(rules string) string {
	parts := strings.Split(strings.NewReplacer("spanwire {\n", "spanwire {\n\n", "\n}", "\n\n}").Replace(strings.TrimSpace(rules)), "\n\n")
	slices.Sort(parts)
	return strings.Join(parts, "\n\n")
}

// reads runs a tool with text for its input.
func (h *host) reads(text, name string, args ...string) {
	h.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v, %s\n%s", name, err, out, text)
	}
}

// checkFindsHeartbeat: a sidecar without a heartbeat behind a redirect that wants one; and a kernel that cannot do it is said to be such,
// by add, which then leaves no rule behind.
func checkFindsHeartbeat(h *host) {
	h.must("add", "--fail-open")
	s := h.start()
	h.finds("no heartbeat comes, so connections go past the sidecar")
	s.Kill()
	h.start("--heartbeat")
	h.must("add", "--fail-open")
	if out := h.must("check"); out != "all is well\n" { // the rules have had no heartbeat yet
		h.t.Error(out)
	}
	h.must("remove")

	h.backend = "iptables"
	h.lackingTool("no-recent", `case "$0" in *-restore) input=$(cat); case "$input" in *"-m recent"*)
	echo "iptables-restore: Couldn't load match \"recent\"" >&2; exit 2;; esac; echo "$input" | exec "$real" "$@";; esac`)
	out, code := h.intercept("add", "--fail-open")
	if code != 1 || !strings.Contains(out, "--fail-open") || !strings.Contains(out, "xt_recent") {
		h.t.Errorf("add --fail-open without xt_recent: code %d, %s", code, out)
	}
	if got := h.run("iptables", "-t", "nat", "-S"); strings.Contains(got, "SPANWIRE") {
		h.t.Errorf("left behind:\n%s", got)
	}
	if out := h.must("show"); out != "no rules are installed\n" {
		h.t.Error(out)
	}
}

// lackingTool puts iptables and ip6tables into PATH that lack something: script runs first, with the real tool in $real.
func (h *host) lackingTool(name, script string) {
	h.t.Helper()
	dir := filepath.Join(h.t.TempDir(), name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-restore"} {
			for _, variant := range []string{"", "-legacy", "-nft"} {
				real, err := exec.LookPath("/usr/sbin/" + tool + variant + suffix)
				if err != nil {
					continue
				}
				text := "#!/bin/sh\nreal=" + real + "\n" + script + "\nexec $real \"$@\"\n"
				if err := os.WriteFile(filepath.Join(dir, tool+variant+suffix), []byte(text), 0o700); err != nil { //nolint:gosec // a script
					h.t.Fatal(err)
				}
			}
		}
	}
	h.t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
