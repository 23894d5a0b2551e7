package proof

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pageHead stands before the tables.
const pageHead = `# Proof: traffic is never broken

Made by ` + "`make transparency`" + ` from what the tests found (transparency.json); do not edit. Continuous integration runs all of it and
compares: a suite, attack or fault of this page that is missing there, a verdict other than *held*, another list of accepted differences, or another
number of tests of the same version, fails the run.

## Other people's test suites, through the sidecar

Each suite runs in a network namespace in which every TCP connection to a loopback address, IPv4 and IPv6, is redirected to a Spanwire that
traces everything, puts headers in, exports to a collector and compares each byte that leaves with what came (` + "`--verify`" + `). It runs directly and
then through the sidecar, and is compared test by test: a test may fail through the sidecar only if it fails directly too, or stands on the list
of accepted differences below. It gives at most ten reasons in all, each with every test that differs for it; a test of the list that no longer
differs fails the run as well, but where a race decides, which the list says. One that fails otherwise than its reason says, by what it prints, is not
accepted. A test that fails, in either way, is run again alone, ten times in both ways, to tell chance from difference, and up to forty times when it
failed again through the sidecar only: it may then fail through the sidecar if it fails directly, too, and not much more often, or if it never fails
again, or once more in forty. Those are listed below with how often they failed; at most five in all may be of the last two kinds.
`

// attacksHead stands before the table of attacks, without the title.
const attacksHead = `Attacks that wear a proxy out are made on HAProxy's TCP mode and on the sidecar by turns, in the same run, with the same victims. A round
counts when the attacker reached at least a third of its pace on both, and not twice as much on one as on the other. The ratio is that of the victims'
p99 here to theirs behind HAProxy, round by round; its median must be at most 3, where p99 is above 1 ms: below that a wakeup more or less makes a ratio.
`

// elsewhere stands below the faults: it is for what these tests cannot do to a process from outside.
const elsewhere = `
A loop that stands still and a clock that is set are made in the process itself: TestStalledLoop and TestSteppedClock of core/disturbed_test.go, which every
` + "`go test ./core`" + ` runs.
`

// Markdown returns the page that tells of r: docs/transparency.md.
func (r Report) Markdown() string {
	var b strings.Builder
	head, rest, _ := strings.Cut(pageHead, "\n## ")
	b.WriteString(head)
	r.stamps(&b)
	b.WriteString("\n## " + rest)
	r.suites(&b)
	attacks, faults, soaks := make([]Fault, 0, len(r.Attacks)), r.Faults, make([]Fault, 0, len(r.Soaks))
	for _, a := range r.Attacks {
		attacks = append(attacks, Fault(a))
	}
	for _, s := range r.Soaks {
		soaks = append(soaks, Fault(s))
	}
	trials(&b, "Hostile input", attacksHead, attacks)
	trials(&b, "Faults and shortages", "", faults)
	if len(faults) > 0 {
		b.WriteString(elsewhere)
	}
	trials(&b, "Soak", "", soaks)
	return b.String()
}

// stamps says when and of which commits the results were found.
func (r Report) stamps(b *strings.Builder) {
	counts := map[Stamp]map[Kind]int{}
	for _, x := range r.all() {
		kind, _ := x.kind()
		if counts[x.stamp()] == nil {
			counts[x.stamp()] = map[Kind]int{}
		}
		counts[x.stamp()][kind]++
	}
	order := slices.SortedFunc(maps.Keys(counts), func(x, y Stamp) int { return cmp.Or(cmp.Compare(x.Date, y.Date), cmp.Compare(x.Commit, y.Commit)) })
	b.WriteString("\nFound:\n\n")
	for _, s := range order {
		var said []string
		for _, kind := range []Kind{KindSuite, KindAttack, KindFault, KindSoak} {
			if n := counts[s][kind]; n > 0 {
				said = append(said, fmt.Sprintf("%s %d", kind+"s", n))
			}
		}
		fmt.Fprintf(b, "- on %s, of commit %s: %s\n", s.Date, s.Commit, strings.Join(said, ", "))
	}
}

func (r Report) suites(b *strings.Builder) {
	if len(r.Suites) == 0 {
		return
	}
	var sum Suite
	group := ""
	for _, s := range r.Suites {
		if s.Group != group {
			group = s.Group
			fmt.Fprintf(b, "\n### %s\n\n", group)
			b.WriteString("| suite | version | directly | through | connections | spans | verified | altered |\n|---|---|---|---|---:|---:|---:|---:|\n")
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %d | %d | %s | %d |\n", cell(s.Name), cell(s.Version), s.Direct, s.Through, s.Connections, s.Spans, size(s.Verified), s.Altered)
		sum.Direct.add(s.Direct)
		sum.Through.add(s.Through)
		sum.Connections += s.Connections
		sum.Spans += s.Spans
		sum.Verified += s.Verified
		sum.Altered += s.Altered
	}
	fmt.Fprintf(b, "\nIn all: directly %s; through %s; %d connections, %d spans, %s verified, %d bytes altered.\n",
		sum.Direct, sum.Through, sum.Connections, sum.Spans, size(sum.Verified), sum.Altered)
	r.how(b)
	r.differences(b)
	r.chance(b)
}

// differences lists the accepted differences by their reasons, in the order of the suites.
func (r Report) differences(b *strings.Builder) {
	var order []string
	tests, n := map[string][]string{}, 0
	for _, s := range r.Suites {
		for _, d := range s.Differences {
			if tests[d.Reason] == nil {
				order = append(order, d.Reason)
			}
			suite := s.Name
			if d.Sometimes {
				suite += " (in some runs)"
			}
			tests[d.Reason] = append(tests[d.Reason], suite+": "+strings.Join(d.Tests, ", "))
			n += len(d.Tests)
		}
	}
	fmt.Fprintf(b, "\n### Accepted differences\n\n%d tests differ, for %d reasons.\n\n| why | tests |\n|---|---|\n", n, len(order))
	for _, reason := range order {
		fmt.Fprintf(b, "| %s | %s |\n", cell(reason), cell(strings.Join(tests[reason], "; ")))
	}
}

// how says once for all suites that are run alike how they are.
func (r Report) how(b *strings.Builder) {
	var order []string
	suites := map[string][]string{}
	for _, s := range r.Suites {
		if suites[s.How] == nil {
			order = append(order, s.How)
		}
		suites[s.How] = append(suites[s.How], s.Name)
	}
	b.WriteString("\nHow they are run:\n\n")
	for _, how := range order {
		fmt.Fprintf(b, "- %s: %s.\n", strings.Join(suites[how], ", "), strings.TrimSuffix(how, "."))
	}
}

// chance tells of tests that fail without the sidecar, and of those that fail by chance.
func (r Report) chance(b *strings.Builder) {
	var directly, retried []string
	for _, s := range r.Suites {
		for _, name := range s.FailDirectly {
			directly = append(directly, fmt.Sprintf("- %s: %s\n", s.Name, name))
		}
		for _, again := range s.Retries {
			retried = append(retried, fmt.Sprintf("- %s: %s, %s; alone %d times in each way it failed %d times directly, %d through\n",
				s.Name, again.Test, again.Where, again.Rounds, again.Directly, again.Through))
		}
	}
	if len(directly) > 0 {
		fmt.Fprintf(b, "\nFail directly, without the sidecar:\n\n%s", strings.Join(directly, ""))
	}
	if len(retried) > 0 {
		fmt.Fprintf(b, "\nFailed at first and not always when run again alone, in this run:\n\n%s", strings.Join(retried, ""))
	}
}

// trials writes a table with its title and what stands before it, "" = nothing.
func trials(b *strings.Builder, title, head string, all []Fault) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n", title)
	if head != "" {
		b.WriteString("\n" + head)
	}
	b.WriteString("\n| | what is done | outcome | verdict |\n|---|---|---|---|\n")
	for _, f := range all {
		var outcome []string
		for _, o := range f.Outcome {
			outcome = append(outcome, cell(o.Name)+": "+cell(o.Value))
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", cell(f.Name), cell(f.What), strings.Join(outcome, "<br>"), cell(f.Verdict))
	}
}

// String says the counts, and what there is none of not.
func (c Counts) String() string {
	said := fmt.Sprintf("%d passed", c.Passed)
	if c.Failed > 0 {
		said += fmt.Sprintf(", %d failed", c.Failed)
	}
	if c.Skipped > 0 {
		said += fmt.Sprintf(", %d skipped", c.Skipped)
	}
	return said
}

func (c *Counts) add(more Counts) {
	c.Passed += more.Passed
	c.Failed += more.Failed
	c.Skipped += more.Skipped
}

// size writes a number of bytes in the largest unit that leaves at least one.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f := float64(n)
	for f >= 1024 && len(units) > 1 {
		f /= 1024
		units = units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[0])
}

// cell makes s fit for a cell of a table: one line, no bar.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(strings.TrimSpace(s))
}
