package proof

import (
	"fmt"
	"maps"
	"slices"
)

// counted are the figures of attacks and faults that are the same in each run: how much was tried.
var counted = []string{"vectors"}

// Against says in which respects r is not the run that page tells of, beside what is missing: other accepted differences, and other counts where they
// must not differ.
func (r Report) Against(page Report) (problems []string) {
	for _, s := range r.Suites {
		if i := slices.IndexFunc(page.Suites, func(x Suite) bool { return x.Name == s.Name }); i >= 0 {
			problems = append(problems, s.against(page.Suites[i])...)
		}
	}
	for _, a := range r.Attacks {
		if i := slices.IndexFunc(page.Attacks, func(x Attack) bool { return x.Name == a.Name }); i >= 0 {
			problems = append(problems, against(a.Name, a.Outcome, page.Attacks[i].Outcome)...)
		}
	}
	for _, f := range r.Faults {
		if i := slices.IndexFunc(page.Faults, func(x Fault) bool { return x.Name == f.Name }); i >= 0 {
			problems = append(problems, against(f.Name, f.Outcome, page.Faults[i].Outcome)...)
		}
	}
	return problems
}

// against compares a suite with what the page has of it.
func (s Suite) against(page Suite) (problems []string) {
	said := func(format string, args ...any) {
		problems = append(problems, s.Name+": "+fmt.Sprintf(format, args...))
	}
	now, then := s.Direct.total(), page.Direct.total()
	switch {
	case now != s.Through.total():
		said("%d tests directly, %d through the sidecar", now, s.Through.total())
	case s.Version != page.Version: // another version has other tests
	case now != then:
		said("%d tests, docs tell of %d of the same version; run make transparency", now, then)
	case s.Direct.Skipped > page.Direct.Skipped+then/20: // some are skipped for what this kernel lacks
		said("%d tests are skipped, docs tell of %d", s.Direct.Skipped, page.Direct.Skipped)
	}
	have, want := s.listed(), page.listed()
	for _, name := range slices.Sorted(maps.Keys(have)) {
		d, known := want[name]
		switch {
		case !known:
			said("%s differs, which docs do not tell of; run make transparency", name)
		case d.Reason != have[name].Reason || d.Sometimes != have[name].Sometimes || d.Needs != have[name].Needs:
			said("%s differs for another reason than docs tell; run make transparency", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, there := have[name]; !there && want[name].Needs == "" {
			said("docs tell that %s differs, which is not on the list; run make transparency", name)
		}
	}
	return problems
}

// listed are the accepted differences by test.
func (s Suite) listed() map[string]Difference {
	all := map[string]Difference{}
	for _, d := range s.Differences {
		for _, test := range d.Tests {
			all[test] = d
		}
	}
	return all
}

// against compares the figures that must not differ.
func against(name string, have, want []Figure) (problems []string) {
	for _, figure := range counted {
		if now, then := valueOf(have, figure), valueOf(want, figure); now != then {
			problems = append(problems, fmt.Sprintf("%s: %s %q, docs tell of %q; run make transparency", name, figure, now, then))
		}
	}
	return problems
}

// valueOf returns the value of a figure; "" = it is not there.
func valueOf(figures []Figure, name string) string {
	for _, f := range figures {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func (c Counts) total() int { return c.Passed + c.Failed + c.Skipped }
