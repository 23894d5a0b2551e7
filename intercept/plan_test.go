package intercept

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Whatever the settings: what redirects matches SYN alone, no established connection; a random choice is made at most once for a
// connection; the sidecar and loopback are left alone before anything is sent on.
func TestEveryPlanKeepsTheRules(t *testing.T) {
	for _, flags := range []map[string][]string{
		{},
		{"fail-open": {"true"}, "inbound-probability": {"0.5"}},
		{"inbound-ports": {"80,443,1000-2000"}, "outbound-ports": {"none"}, "include-cidr": {"10.0.0.0/8,fd00::/8"}},
	} {
		c, _, err := Load(DefaultConfig(), flags, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := NewPlan(c)
		for _, ch := range p.chains {
			for i, r := range ch.rules {
				if r.do == actRedirect && (r.matches[0].kind != matchSYN || i > 0) {
					t.Errorf("%v: %s redirects by %+v", flags, ch.name, r)
				}
				if r.do == actGoto && !slices.ContainsFunc(p.chains, func(x chain) bool { return x.name == r.to && x.hook == hookNone }) {
					t.Errorf("%v: %s goes to %q, which there is not", flags, ch.name, r.to)
				}
			}
			first := slices.IndexFunc(ch.rules, func(r rule) bool { return r.do == actGoto })
			if ch.name != chainOutbound || first < 0 {
				continue
			}
			for _, k := range []kind{matchUID, matchGID, matchTo, matchPorts} {
				if i := slices.IndexFunc(ch.rules, func(r rule) bool { return len(r.matches) > 0 && r.matches[0].kind == k }); i < 0 || i > first {
					t.Errorf("%v: match %d stands at %d, the first goto at %d", flags, k, i, first)
				}
			}
		}
	}
}

// Where all ports are left alone, whichever list says so, nothing is redirected.
func TestAllPortsLeftAloneRedirectNothing(t *testing.T) {
	for name, chains := range map[string][]string{"exclude-inbound-ports": {chainInbound}, "exclude-outbound-ports": {chainOutbound}, "sidecar-ports": {chainInbound, chainOutbound}} {
		c, _, err := Load(DefaultConfig(), map[string][]string{name: {"*"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, ch := range NewPlan(c).chains {
			if !slices.Contains(chains, ch.name) {
				continue
			}
			all := slices.IndexFunc(ch.rules, func(r rule) bool { return r.do == actReturn && slices.Equal(r.matches, []match{{kind: matchTCP}}) })
			onward := slices.IndexFunc(ch.rules, func(r rule) bool { return r.do == actGoto })
			if all < 0 || onward >= 0 && onward < all {
				t.Errorf("--%s '*': %s leaves all alone in rule %d and goes on in rule %d", name, ch.name, all, onward)
			}
		}
	}
}

// ip6tables gets no rule for an IPv4 network and the other way round, and every chain stands before what goes there.
func TestIPTablesTextIsOfOneFamily(t *testing.T) {
	c, _, err := Load(DefaultConfig(), map[string][]string{"exclude-cidr": {"10.0.0.0/8,fd00::/8"}, "fail-open": {"true"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v4, v6 := NewPlan(c).IPTables(false), NewPlan(c).IPTables(true)
	if !strings.Contains(v4, "-d 10.0.0.0/8 ") || strings.Contains(v4, "-d fd00") || strings.Contains(v4, "-d ::1") || !strings.Contains(v6, "-d fd00::/8 ") || strings.Contains(v6, "-d 127.") || strings.Contains(v6, "-d 10.") {
		t.Errorf("%s\n%s", v4, v6)
	}
}

// Jumps that are there stay, chains that the plan lacks go with the jumps to them, and what is not ours is not touched.
func TestIPTablesReplacesOnlyItsOwn(t *testing.T) {
	present := map[string][]string{
		"nat": {"-P PREROUTING ACCEPT", "-N DOCKER", "-N SPANWIRE_INBOUND", "-N SPANWIRE_OUTBOUND_TO", "-A PREROUTING -j DOCKER",
			"-A PREROUTING -j SPANWIRE_INBOUND", "-A SPANWIRE_OUTBOUND_TO -j RETURN"},
		"filter": {"-N SPANWIRE_HEARTBEAT", "-A OUTPUT -j SPANWIRE_HEARTBEAT"},
	}
	lines := strings.Split(NewPlan(DefaultConfig()).restore(false, present), "\n")
	for _, want := range []string{"-I OUTPUT -j SPANWIRE_OUTBOUND", "-F SPANWIRE_OUTBOUND_TO", "-X SPANWIRE_OUTBOUND_TO",
		"-D OUTPUT -j SPANWIRE_HEARTBEAT", "-X SPANWIRE_HEARTBEAT"} {
		if !slices.Contains(lines, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, line := range lines {
		if strings.Contains(line, "DOCKER") || line == "-A PREROUTING -j SPANWIRE_INBOUND" {
			t.Errorf("%q", line)
		}
	}
}

func TestSocketLines(t *testing.T) {
	for line, want := range map[string]string{
		"   0: 0100007F:3A6C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 5 1":        "127.0.0.1:14956 10 1337",
		"   1: 00000000000000000000000000000000:3A6C 00000000000000000000000000000000:0000 0A 0:0 00:0 0 7 0 5": "[::]:14956 10 7",
		"   1: 0000000000000000FFFF00000109000A:1F90 00000000000000000000000000000000:0000 01 0:0 00:0 0 0 0 5": "10.0.9.1:8080 1 0",
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout":            "",
		"": "", "a b c d e f g h": "", "0: 00:1 0:0 0A 0 0 0 0": "",
	} {
		s, ok := parseSocket(line)
		got := ""
		if ok {
			got = s.local.String() + " " + formatID(uint32(s.state)) + " " + formatID(s.uid)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func FuzzParseSocket(f *testing.F) {
	f.Add("   0: 0100007F:3A6C 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 5 1")
	f.Add("   1: 0000000000000000FFFF00000109000A:1F90 00000000000000000000000001000000:0000 01 0:0 00:0 0 0 0 5")
	f.Fuzz(func(t *testing.T, line string) {
		s, ok := parseSocket(line)
		if !ok {
			return
		}
		fields := strings.Fields(line)
		for i, a := range []netip.AddrPort{s.local, s.remote} {
			host, port, _ := strings.Cut(fields[1+i], ":")
			if n, err := strconv.ParseUint(port, 16, 16); err != nil || uint16(n) != a.Port() {
				t.Errorf("%q: port %d, %v", line, a.Port(), err)
			}
			if !strings.EqualFold(host, kernelAddr(a.Addr(), len(host) == 8)) {
				t.Errorf("%q: %v", line, a)
			}
		}
		if strconv.FormatUint(uint64(s.uid), 10) != strings.TrimLeft(fields[7], "0") && s.uid != 0 {
			t.Errorf("%q: uid %d", line, s.uid)
		}
	})
}

// kernelAddr writes an address as /proc/net/tcp (v4) or tcp6 does: words of four bytes, each a number of the host's order, little-endian here.
func kernelAddr(a netip.Addr, v4 bool) string {
	b := a.As16()
	words := b[:]
	if v4 {
		words = b[12:]
	}
	var text strings.Builder
	for ; len(words) > 0; words = words[4:] {
		fmt.Fprintf(&text, "%08X", binary.LittleEndian.Uint32(words))
	}
	return text.String()
}
