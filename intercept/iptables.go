package intercept

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// iptables is the back end that runs iptables and ip6tables.
type iptables struct {
	families []family
}

// family is the tool of one family.
type family struct {
	path   string
	v6     bool
	legacy bool // it speaks to the kernel's old interface, not to nftables
}

// newFamily returns the tool at path, or why it does not run.
func newFamily(path string, v6 bool) (family, error) {
	version, err := execTool(path, "", "-V")
	return family{path: path, v6: v6, legacy: !strings.Contains(version, "nf_tables")}, err
}

// lockWait is how many seconds another iptables is waited for.
const lockWait = "5"

// variants are the names that the tools go by; what the distribution chose is asked first.
var variants = [...]string{"", "-legacy", "-nft"}

// newIPTables finds the tools that work: IPv4's always, IPv6's where the host has IPv6. Why none does is in the error.
func newIPTables() (*iptables, error) {
	var problems []error
	for _, v := range variants {
		t, err := probeVariant(v)
		if err == nil {
			return t, nil
		}
		problems = append(problems, err)
	}
	if os.Geteuid() != 0 && errors.Is(errors.Join(problems...), ErrPermission) {
		return nil, ErrPermission
	}
	return nil, fmt.Errorf("iptables: %w: %w", ErrUnsupported, problems[0])
}

// probeVariant returns the back end with the variant's tools, once each has made and deleted a chain in nat.
func probeVariant(variant string) (*iptables, error) {
	t := &iptables{}
	for _, v6 := range [...]bool{false, true} {
		if v6 && !HostHasIPv6() {
			continue
		}
		path := findTool(toolName(v6) + variant)
		if path == "" {
			return nil, fmt.Errorf("%s%s is not installed", toolName(v6), variant)
		}
		f, err := newFamily(path, v6)
		if err != nil {
			return nil, err
		}
		const probe = chainPrefix + "PROBE"
		_, _ = f.run("", "-t", "nat", "-X", probe) // left by a probe that was killed
		if _, err := f.run("", "-t", "nat", "-N", probe); err != nil {
			return nil, err
		}
		if _, err := f.run("", "-t", "nat", "-X", probe); err != nil {
			return nil, err
		}
		t.families = append(t.families, f)
	}
	return t, nil
}

func toolName(v6 bool) string {
	if v6 {
		return "ip6tables"
	}
	return "iptables"
}

// findTool looks in PATH, then where an ordinary user's PATH does not; "" when it is nowhere.
func findTool(name string) string {
	for _, dir := range [...]string{"", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path
		}
	}
	return ""
}

func (*iptables) name() Backend { return IPTables }

// run runs the tool with the arguments and stdin, and returns what it wrote.
func (f family) run(stdin string, args ...string) (string, error) {
	return execTool(f.path, stdin, append([]string{"-w", lockWait}, args...)...)
}

// restore runs the tool's restore.
func (f family) restore(input string, args ...string) error {
	_, err := execTool(f.path+"-restore", input, append([]string{"-w", lockWait, "--noflush"}, args...)...)
	return err
}

// execTool runs path; the error is the first line that it wrote.
func execTool(path, stdin string, args ...string) (string, error) {
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err == nil {
		return string(out), nil
	}
	text := strings.TrimSpace(stderr.String())
	if strings.Contains(text, "Permission denied") || strings.Contains(text, "Operation not permitted") {
		return "", ErrPermission
	}
	text, _, _ = strings.Cut(text, "\n")
	if text == "" {
		text = err.Error()
	}
	return "", fmt.Errorf("%s: %s", path[strings.LastIndexByte(path, '/')+1:], text)
}

// lines returns the lines of `iptables -S` by table. A table of the old interface that is not there is not asked for: asking makes it.
func (f family) lines() (map[string][]string, error) {
	present := map[string][]string{}
	for _, table := range [...]string{"nat", "filter"} {
		if f.legacy && !legacyTable(f.v6, table) {
			continue
		}
		out, err := f.run("", "-t", table, "-S")
		if err != nil {
			return nil, err
		}
		present[table] = strings.Split(strings.TrimSpace(out), "\n")
	}
	return present, nil
}

// add installs the plan. Every table is tried before the first is changed, and each is changed at once.
func (t *iptables) add(p *Plan) error {
	inputs := make([]string, len(t.families))
	for i, f := range t.families {
		present, err := f.lines()
		if err != nil {
			return err
		}
		inputs[i] = p.restore(f.v6, present)
		if err := f.restore(inputs[i], "--test"); err != nil {
			return fmt.Errorf("%w: %w", ErrUnsupported, err)
		}
	}
	for i, f := range t.families {
		if err := f.restore(inputs[i]); err != nil {
			return errors.Join(fmt.Errorf("%w: %w", ErrUnsupported, err), t.clear())
		}
	}
	return nil
}

// drop removes our chains apart from those to keep.
func (t *iptables) drop(keep ...string) error {
	for _, f := range t.families {
		present, err := f.lines()
		if err != nil {
			return err
		}
		var b strings.Builder
		for _, table := range [...]string{"nat", "filter"} {
			if lines := dropChains(present[table], keep); len(lines) > 0 {
				fmt.Fprintf(&b, "*%s\n%s\nCOMMIT\n", table, strings.Join(lines, "\n"))
			}
		}
		if b.Len() == 0 {
			continue
		}
		if err := f.restore(b.String()); err != nil {
			return err
		}
	}
	return nil
}

// stop takes away what redirects; the chain with the rule that asks for the state stays.
func (t *iptables) stop() error { return t.drop(iptablesName(chainKept)) }

// clear deletes everything.
func (t *iptables) clear() error { return t.drop() }

// installed reads what is there; nil when nothing is.
func (t *iptables) installed() (*Installed, error) {
	var all *Installed
	for _, f := range t.families {
		in, err := f.installed()
		switch {
		case err != nil:
			return nil, err
		case in == nil && all != nil:
			if HostHasIPv6() {
				all.alter("IPv6 is not covered: ip6tables has no rules")
			}
		case in == nil:
		case all == nil:
			all = in
			if f.v6 {
				all.alter("IPv4 is not covered: iptables has no rules")
			}
		default:
			all.AliveV6 = in.AliveV6
			all.Active = all.Active || in.Active
			for _, p := range in.Problems {
				if !slices.Contains(all.Problems, p) {
					all.Problems = append(all.Problems, p)
				}
			}
		}
	}
	if all != nil && len(t.families) == 1 && HostHasIPv6() {
		all.Problems = append(all.Problems, Finding{"IPv6 is not covered: ip6tables does not work here",
			"install ip6tables, then run spanwire intercept add with your settings again, or choose --backend nft"})
	}
	return all, nil
}

// installed reads the rules of one family.
func (f family) installed() (*Installed, error) {
	present, err := f.lines()
	if err != nil {
		return nil, err
	}
	in := readRules(present, f.v6)
	if in != nil && in.Active && in.Config.FailOpen {
		alive := recentlyAlive(f.v6)
		in.AliveV4, in.AliveV6 = alive && !f.v6, alive && f.v6
	}
	return in, nil
}

// readRules makes out which of our rules are among the lines of `iptables -S`, by table; nil = none.
func readRules(present map[string][]string, v6 bool) *Installed {
	counts, notes, jumps := map[string]int{}, []string(nil), 0
	for _, line := range slices.Concat(present["nat"], present["filter"]) {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 2:
		case fields[0] == "-N" && strings.HasPrefix(fields[1], chainPrefix):
			counts[planName(fields[1])] += 0
		case fields[0] == "-A" && strings.HasPrefix(fields[1], chainPrefix):
			counts[planName(fields[1])]++
			if _, rest, ok := strings.Cut(line, `--comment "`); ok {
				note, _, _ := strings.Cut(rest, `"`)
				notes = append(notes, note)
			}
		case fields[0] == "-A" && strings.HasPrefix(fields[len(fields)-1], chainPrefix):
			jumps++
		}
	}
	if len(counts) == 0 {
		return nil
	}
	in := &Installed{Backend: IPTables, Active: jumps > 0}
	in.judgeFamily(notes, counts, v6)
	if want := in.plan().jumpCount(); in.Active && jumps != want {
		in.alter("%s: %d of %d jumps to the chains are there", toolName(v6), jumps, want)
	}
	return in
}

// planName is the inverse of iptablesName.
func planName(name string) string { return strings.ToLower(strings.TrimPrefix(name, chainPrefix)) }

// jumpCount is how many jumps from the system's chains the plan has.
func (p *Plan) jumpCount() (n int) {
	for _, c := range p.chains {
		if c.hook != hookNone {
			n++
		}
	}
	return n
}

// lacking names what the plan needs and the tools refuse, by trying each in a chain of its own.
func (t *iptables) lacking(p *Plan) []string {
	const probe = chainPrefix + "PROBE"
	var missing []string
	for _, f := range t.families {
		for _, need := range p.features() {
			text, ok := need.rule.iptables(1, f.v6)
			if !ok {
				continue
			}
			input := "*nat\n:" + probe + " - [0:0]\n-A " + probe + text + "\nCOMMIT\n"
			err := f.restore(input)
			if err == nil {
				err = f.restore("*nat\n-F " + probe + "\n-X " + probe + "\nCOMMIT\n")
			}
			if err != nil {
				missing = append(missing, toolName(f.v6)+" "+need.iptables)
			}
		}
	}
	return missing
}

// otherIPTables returns the back ends of the variants that may hold rules of ours, without making a table where there is none.
func otherIPTables() []*iptables {
	var found []*iptables
	seen := map[string]bool{}
	for _, v := range variants {
		t := &iptables{}
		for _, v6 := range [...]bool{false, true} {
			path := findTool(toolName(v6) + v)
			if path == "" {
				continue
			}
			f, err := newFamily(path, v6)
			kind := fmt.Sprint(v6, f.legacy)
			if err != nil || seen[kind] || f.legacy && !legacyTable(v6, "nat") {
				continue
			}
			seen[kind] = true
			t.families = append(t.families, f)
		}
		if len(t.families) > 0 {
			found = append(found, t)
		}
	}
	return found
}

// legacyTable reports whether the old interface has the table in this namespace.
func legacyTable(v6 bool, table string) bool {
	file := "/proc/self/net/ip_tables_names"
	if v6 {
		file = "/proc/self/net/ip6_tables_names"
	}
	b, err := os.ReadFile(file)
	return err == nil && slices.Contains(strings.Fields(string(b)), table)
}
