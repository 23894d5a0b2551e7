package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// held is a report without problems.
func held() Report {
	return Report{
		Suites: []Suite{{
			Name: "Go net/http", Group: "Go", Version: "go1.26", How: "as it is", Direct: Counts{Passed: 3, Failed: 1}, Through: Counts{Passed: 2, Failed: 2, Skipped: 1},
			FailDirectly: []string{"TestDNS"}, Differences: []Difference{{Tests: []string{"TestDump"}, Reason: "It compares the whole head."},
				{Tests: []string{"TestLate"}, Reason: "It is a race.", Sometimes: true}},
			Retries: []Retry{{Test: "TestSlow", Where: Directly, Rounds: 10, Directly: 3, Through: 1}}, Connections: 9, Spans: 7, Verified: 99, Seconds: 1.5, Verdict: Held,
		}},
		Attacks: []Attack{{Name: "Slowloris", What: "Heads that never end.", Outcome: []Figure{Figuref("p99", "%d ms", 3)}, Verdict: Held}},
		Faults:  []Fault{{Name: "Disk full", What: "No room for the access log.", Verdict: Held}},
		Soaks:   []Soak{{Name: "60 minutes", What: "Mixed traffic.", Verdict: Held}},
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
	r.Suites[0].Retries = slices.Repeat([]Retry{once}, MaxOneOffs)
	for _, other := range []Retry{{Where: Directly, Rounds: 10}, {Where: InBothWays, Rounds: 10}, {Where: Through, Rounds: 10, Directly: 1, Through: 3}} {
		r.Suites[0].Retries = append(r.Suites[0].Retries, other)
	}
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

func TestSlug(t *testing.T) {
	for name, want := range map[string]string{"Go net/http": "go-net-http", "CPython test_ssl": "cpython-test-ssl", " p99 ≤ 3 × ": "p99-3", "": ""} {
		if got := Slug(name); got != want {
			t.Errorf("Slug(%q) = %q, want %q", name, got, want)
		}
	}
}
