package proof

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxDifferences is how many accepted differences there may be, over all suites: reasons, each of which tests of several suites may see.
const MaxDifferences = 10

// MaxOneOffs is how many tests of a whole run may fail once through the sidecar only, and never again: a busy machine's share. More are no chance.
const MaxOneOffs = 5

// MostRounds is how often a test is run again at most, in each way. One that fails once through the sidecar only in so many is one that failed once:
// from TwiceThrough on it is no chance.
const (
	MostRounds   = 40
	TwiceThrough = 2
)

// Report is all results of a run.
type Report struct {
	Suites  []Suite  `json:"suites"`
	Attacks []Attack `json:"attacks"`
	Faults  []Fault  `json:"faults"`
	Soaks   []Soak   `json:"soaks"`
}

// Read reads the results in dir. A file of no kind, or with a field that its kind does not have, is an error.
func Read(dir string) (Report, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return Report{}, err
	}
	var r Report
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return Report{}, err
		}
		kind, _, _ := strings.Cut(filepath.Base(file), ".")
		switch Kind(kind) {
		case KindSuite:
			err = add(&r.Suites, b)
		case KindAttack:
			err = add(&r.Attacks, b)
		case KindFault:
			err = add(&r.Faults, b)
		case KindSoak:
			err = add(&r.Soaks, b)
		default:
			err = fmt.Errorf("%q is no kind of result", kind)
		}
		if err != nil {
			return Report{}, fmt.Errorf("%s: %w", file, err)
		}
	}
	r.sort()
	return r, nil
}

// ReadReport reads a report that Encode made.
func ReadReport(file string) (r Report, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return Report{}, err
	}
	if err := decode(b, &r); err != nil {
		return Report{}, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Encode returns r as JSON.
func (r Report) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

func add[T any](to *[]T, b []byte) error {
	var v T
	if err := decode(b, &v); err != nil {
		return err
	}
	*to = append(*to, v)
	return nil
}

func decode(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// sort puts results in the order of the page, which does not depend on the order of the run.
func (r *Report) sort() {
	slices.SortFunc(r.Suites, func(a, b Suite) int { return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Name, b.Name)) })
	slices.SortFunc(r.Attacks, func(a, b Attack) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Faults, func(a, b Fault) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(r.Soaks, func(a, b Soak) int { return cmp.Compare(a.Name, b.Name) })
}

// all returns every result.
func (r Report) all() (all []Result) {
	for _, x := range r.Suites {
		all = append(all, x)
	}
	for _, x := range r.Attacks {
		all = append(all, x)
	}
	for _, x := range r.Faults {
		all = append(all, x)
	}
	for _, x := range r.Soaks {
		all = append(all, x)
	}
	return all
}

// names returns kind and name of every result.
func (r Report) names() (names []string) {
	for _, x := range r.all() {
		kind, name := x.kind()
		names = append(names, string(kind)+" "+name)
	}
	return names
}

// Unstamped says of which results nobody knows when and of which commit they were found; a page may have none.
func (r Report) Unstamped() (problems []string) {
	for _, x := range r.all() {
		if s := x.stamp(); s.Date == "" || s.Commit == "" {
			kind, name := x.kind()
			problems = append(problems, fmt.Sprintf("%s %s: date %q, commit %q; %s says the commit", kind, name, s.Date, s.Commit, CommitVariable))
		}
	}
	return problems
}

// Problems says in which respects r is no proof: altered bytes, a suite of which nothing was verified, too many differences, one without a
// reason, a test that fails through the sidecar only, however seldom, or too many that did once, a verdict that is not Held, a name twice.
func (r Report) Problems() (problems []string) {
	differences, oneOffs := map[string]bool{}, 0
	for _, s := range r.Suites {
		if s.Altered != 0 {
			problems = append(problems, fmt.Sprintf("%s: %d bytes were altered", s.Name, s.Altered))
		}
		if s.Verified == 0 {
			problems = append(problems, s.Name+": no byte was verified")
		}
		if s.Through.Passed == 0 {
			problems = append(problems, s.Name+": no test passed")
		}
		for _, d := range s.Differences {
			differences[d.Reason] = true
			if d.Reason == "" {
				problems = append(problems, fmt.Sprintf("%s: %s differs without a reason", s.Name, strings.Join(d.Tests, ", ")))
			}
		}
		for _, again := range s.Retries {
			if again.oneOff() {
				oneOffs++
			}
			if again.ThroughOnly() {
				problems = append(problems, fmt.Sprintf("%s: %s fails through the sidecar only, %d of %d times", s.Name, again.Test, again.Through, again.Rounds))
			}
		}
		problems = append(problems, unheld(s, s.Verdict)...)
	}
	for _, a := range r.Attacks {
		problems = append(problems, unheld(a, a.Verdict)...)
	}
	for _, f := range r.Faults {
		problems = append(problems, unheld(f, f.Verdict)...)
	}
	for _, s := range r.Soaks {
		problems = append(problems, unheld(s, s.Verdict)...)
	}
	if len(differences) > MaxDifferences {
		problems = append(problems, fmt.Sprintf("%d accepted differences, at most %d", len(differences), MaxDifferences))
	}
	if oneOffs > MaxOneOffs {
		problems = append(problems, fmt.Sprintf("%d tests failed once, through the sidecar only, at most %d", oneOffs, MaxOneOffs))
	}
	names := r.names()
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			problems = append(problems, names[i]+": there twice")
		}
	}
	return problems
}

func unheld(r Result, verdict string) []string {
	if verdict == Held {
		return nil
	}
	kind, name := r.kind()
	return []string{fmt.Sprintf("%s %s: verdict %q", kind, name, verdict)}
}

// Missing returns the results of want that r does not have, by kind and name: a run that leaves out what the page tells is not the run
// that the page tells of.
func (r Report) Missing(want Report) (missing []string) {
	have := r.names()
	for _, name := range want.names() {
		if !slices.Contains(have, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// Over returns r and what old has besides.
func (r Report) Over(old Report) Report {
	all := Report{over(r.Suites, old.Suites), over(r.Attacks, old.Attacks), over(r.Faults, old.Faults), over(r.Soaks, old.Soaks)}
	all.sort()
	return all
}

func over[T Result](results, old []T) []T {
	for _, x := range old {
		_, name := x.kind()
		if !slices.ContainsFunc(results, func(y T) bool { _, other := y.kind(); return name == other }) {
			results = append(results, x)
		}
	}
	return results
}
