package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// found is when the results of these tests were.
var found = Stamp{Date: "2026-01-02", Commit: "abc"}

// held is a report without problems.
func held() Report {
	return Report{
		Suites: []Suite{{
			Name: "Go net/http", Group: "Go", Version: "go1.26", How: "as it is", Direct: Counts{Passed: 3, Failed: 1}, Through: Counts{Passed: 2, Failed: 2, Skipped: 1},
			FailDirectly: []string{"TestDNS"}, Differences: []Difference{{Tests: []string{"TestDump"}, Reason: "It compares the whole head."},
				{Tests: []string{"TestLate"}, Reason: "It is a race.", Sometimes: true}},
			Retries: []Retry{{Test: "TestSlow", Where: Directly, Rounds: 10, Directly: 3, Through: 1}}, Connections: 9, Spans: 7, Verified: 99, Seconds: 1.5, Verdict: Held, Stamp: found,
		}},
		Attacks: []Attack{{Name: "Slowloris", What: "Heads that never end.", Outcome: []Figure{Figuref("p99", "%d ms", 3)}, Verdict: Held, Stamp: found}},
		Faults:  []Fault{{Name: "Disk full", What: "No room for the access log.", Verdict: Held, Stamp: found}},
		Soaks:   []Soak{{Name: "60 minutes", What: "Mixed traffic.", Verdict: Held, Stamp: Stamp{Date: "2026-01-03", Commit: "def"}}},
	}
}

func TestWrittenResultsAreRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	t.Setenv(Variable, dir)
	want := held()
	Write(t, want.Soaks[0])
	Write(t, want.Faults[0])
	Write(t, want.Attacks[0])
	Write(t, want.Suites[0].judged("")) // the verdict is Write's own
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
	if p := got.Problems(); len(p) > 0 {
		t.Errorf("problems %q", p)
	}
	b, err := got.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "all")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := ReadReport(file); err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("read %+v, %v; want %+v", again, err, want)
	}
}

// What has no stamp gets one of today and of the commit that the environment names; a page tells of nothing without.
func TestResultsAreStamped(t *testing.T) {
	for commit, problems := range map[string]int{"abc": 0, "": 1} {
		dir := t.TempDir()
		t.Setenv(Variable, dir)
		t.Setenv(CommitVariable, commit)
		before := time.Now().UTC().Format(time.DateOnly)
		Write(t, Attack{Name: "x"})
		got, err := Read(dir)
		if err != nil || len(got.Attacks) != 1 {
			t.Fatal(got, err)
		}
		if s := got.Attacks[0].Stamp; s.Commit != commit || s.Date < before || s.Date > time.Now().UTC().Format(time.DateOnly) {
			t.Errorf("stamped %+v", s)
		}
		if p := got.Unstamped(); len(p) != problems {
			t.Errorf("commit %q: %q", commit, p)
		}
	}
	if p := held().Unstamped(); len(p) > 0 {
		t.Errorf("unstamped %q", p)
	}
}

// failed is a test that has failed.
type failed struct{ testing.TB }

func (failed) Failed() bool { return true }

func TestAFailedTestGivesABrokenVerdict(t *testing.T) {
	t.Setenv(Variable, t.TempDir())
	Write(failed{t}, Attack{Name: "x", Verdict: Held})
	got, err := Read(os.Getenv(Variable))
	if err != nil || len(got.Attacks) != 1 || got.Attacks[0].Verdict != Broken {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestNothingIsWrittenWithoutADirectory(t *testing.T) {
	t.Setenv(Variable, "")
	Write(t, Attack{}) // would fail for want of a name
}

func TestWhatIsNoResultIsRefused(t *testing.T) {
	for name, content := range map[string]string{"suite.x.json": `{"names":"x"}`, "other.x.json": `{}`, "attack.x.json": `{`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s with %s: error %v", name, content, err)
		}
	}
	if err := Save(t.TempDir(), Suite{Name: "–"}); err == nil {
		t.Error("a result without a name was written")
	}
}

func TestProblems(t *testing.T) {
	for want, change := range map[string]func(r *Report){
		"Go net/http: 1 bytes were altered":                                   func(r *Report) { r.Suites[0].Altered = 1 },
		"Go net/http: no byte was verified":                                   func(r *Report) { r.Suites[0].Verified = 0 },
		"Go net/http: no test passed":                                         func(r *Report) { r.Suites[0].Through.Passed = 0 },
		"Go net/http: TestDump differs without a reason":                      func(r *Report) { r.Suites[0].Differences[0].Reason = "" },
		`suite Go net/http: verdict "broken"`:                                 func(r *Report) { r.Suites[0].Verdict = Broken },
		`attack Slowloris: verdict "broken"`:                                  func(r *Report) { r.Attacks[0].Verdict = Broken },
		`fault Disk full: verdict ""`:                                         func(r *Report) { r.Faults[0].Verdict = "" },
		`soak 60 minutes: verdict "broken"`:                                   func(r *Report) { r.Soaks[0].Verdict = Broken },
		"attack Slowloris: there twice":                                       func(r *Report) { r.Attacks = append(r.Attacks, r.Attacks[0]) },
		"Go net/http: TestSlow fails through the sidecar only, 1 of 10 times": func(r *Report) { r.Suites[0].Retries[0].Directly = 0 },
		"6 tests failed once, through the sidecar only, at most 5": func(r *Report) {
			r.Suites[0].Retries = slices.Repeat([]Retry{{Test: "TestOnce", Where: Through, Rounds: 10}}, MaxOneOffs+1)
		},
		"Go net/http: TestTwice fails through the sidecar only, 2 of 40 times": func(r *Report) {
			r.Suites[0].Retries[0] = Retry{Test: "TestTwice", Where: Through, Rounds: MostRounds, Through: TwiceThrough}
		},
		"Go net/http: TestLate fails through the sidecar only, 1 of 39 times": func(r *Report) {
			r.Suites[0].Retries[0] = Retry{Test: "TestLate", Where: Through, Rounds: MostRounds - 1, Through: 1}
		},
		"11 accepted differences, at most 10": func(r *Report) { r.Suites[0].Differences = make11(r.Suites[0].Differences[0]) },
	} {
		r := held()
		change(&r)
		if got := r.Problems(); len(got) != 1 || got[0] != want {
			t.Errorf("problems %q, want %q", got, want)
		}
	}
}

func TestSomeOneOffsAreNoProblem(t *testing.T) {
	r := held()
	once := Retry{Test: "TestOnce", Where: Through, Rounds: 10}
	r.Suites[0].Retries = append(slices.Repeat([]Retry{once}, MaxOneOffs-1), Retry{Test: "TestAgain", Where: Through, Rounds: MostRounds, Through: 1})
	r.Suites[0].Retries = append(r.Suites[0].Retries, Retry{Where: Directly, Rounds: 10}, Retry{Where: InBothWays, Rounds: 10},
		Retry{Where: Through, Rounds: 10, Directly: 1, Through: 3})
	if got := r.Problems(); len(got) > 0 {
		t.Errorf("problems %q", got)
	}
}

func make11(d Difference) (all []Difference) {
	for i := range MaxDifferences + 1 {
		d.Reason = fmt.Sprintf("Reason %d.", i)
		all = append(all, d)
	}
	return all
}

func TestMissing(t *testing.T) {
	run := held()
	run.Faults = nil
	if got := run.Missing(held()); !reflect.DeepEqual(got, []string{"fault Disk full"}) {
		t.Errorf("missing %q", got)
	}
	if got := held().Missing(run); got != nil {
		t.Errorf("missing %q", got)
	}
}

// What a run must have in common with the page.
func TestAgainst(t *testing.T) {
	vectors := func(n string) []Figure { return []Figure{{"vectors", n}, {"p99", n}} }
	for want, change := range map[string]func(run, page *Report){
		"": func(run, _ *Report) { run.Attacks[0].Outcome[0].Value = "4 ms"; run.Suites[0].Spans++ },
		"Go net/http: 6 tests directly, 4 through the sidecar":                 func(run, _ *Report) { run.Suites[0].Direct.Passed++; run.Suites[0].Through.Passed-- },
		"Go net/http: 6 tests, docs tell of 5 of the same version":             func(run, _ *Report) { run.Suites[0].Direct.Passed++; run.Suites[0].Through.Passed++ },
		"Go net/http: 2 tests are skipped, docs tell of 0":                     func(run, _ *Report) { run.Suites[0].Direct = Counts{Passed: 3, Skipped: 2} },
		"Go net/http: TestNew differs, which docs do not tell of":              func(run, _ *Report) { run.Suites[0].Differences[0].Tests = []string{"TestDump", "TestNew"} },
		"Go net/http: TestDump differs for another reason than docs tell":      func(run, _ *Report) { run.Suites[0].Differences[0].Reason = "Another." },
		"Go net/http: TestLate differs for another reason than docs tell":      func(run, _ *Report) { run.Suites[0].Differences[1].Sometimes = false },
		"Go net/http: docs tell that TestLate differs, which is not on the li": func(run, _ *Report) { run.Suites[0].Differences = run.Suites[0].Differences[:1] },
		`Slowloris: vectors "3", docs tell of "4"`:                             func(run, page *Report) { run.Attacks[0].Outcome, page.Attacks[0].Outcome = vectors("3"), vectors("4") },
		`Slowloris: vectors "", docs tell of "4"`:                              func(_, page *Report) { page.Attacks[0].Outcome = vectors("4") },
		`Disk full: vectors "3", docs tell of "4"`:                             func(run, page *Report) { run.Faults[0].Outcome, page.Faults[0].Outcome = vectors("3"), vectors("4") },
	} {
		run, page := held(), held()
		for _, r := range []*Report{&run, &page} {
			r.Suites[0].Direct.Passed++ // as many tests as through
		}
		change(&run, &page)
		if got := run.Against(page); want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
			t.Errorf("against the page %q, want %q", got, want)
		}
	}
}

// Another version has other tests, and a machine may not be able to show a difference.
func TestAgainstAnotherMachine(t *testing.T) {
	run, page := held(), held()
	page.Suites[0].Direct.Passed++
	run.Suites[0].Direct, run.Suites[0].Through, run.Suites[0].Version = Counts{Passed: 9}, Counts{Passed: 9}, "go1.27"
	page.Suites[0].Differences[1].Needs = "/proc/x"
	run.Suites[0].Differences = run.Suites[0].Differences[:1]
	if got := run.Against(page); len(got) > 0 {
		t.Errorf("against the page %q", got)
	}
}

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{"Go net/http": "go-net-http", "CPython test_ssl": "cpython-test-ssl", " p99 ≤ 3 × ": "p99-3", "": ""} {
		if got := Slug(name); got != want {
			t.Errorf("Slug(%q) = %q, want %q", name, got, want)
		}
	}
}
