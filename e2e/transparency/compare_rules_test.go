package transparency

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/proof"
)

func TestTheListIsShortAndSaysWhy(t *testing.T) {
	if len(accepted) > proof.MaxDifferences {
		t.Errorf("%d differences, at most %d", len(accepted), proof.MaxDifferences)
	}
	seen := map[string]bool{}
	for _, d := range accepted {
		for suite, tests := range d.tests {
			for _, test := range tests {
				if seen[suite+" "+test] {
					t.Errorf("%s %s is there twice", suite, test)
				}
				seen[suite+" "+test] = true
			}
		}
		if d.reason == "" || !strings.HasSuffix(d.reason, ".") || strings.Contains(d.reason, ". ") {
			t.Errorf("%v: the reason is to be one sentence: %q", d.tests, d.reason)
		}
	}
}

func end(o outcome) ending { return ending{outcome: o} }

func TestJudge(t *testing.T) {
	list := []difference{
		{tests: map[string][]string{"s": {"T"}, "other": {"T"}}, reason: "R."}, {tests: map[string][]string{"s": {"V"}}, reason: "R.", needs: "/nowhere"},
	}
	for name, c := range map[string]struct {
		direct, through results
		accepted        int
		problem         string // "" = none
	}{
		"a listed difference":       {results{"T": end(passed)}, results{"T": end(failed)}, 1, ""},
		"a listed one is skipped":   {results{"T": end(passed)}, results{"T": end(skipped)}, 1, ""},
		"a listed one passes":       {results{"T": end(passed)}, results{"T": end(passed)}, 1, "take it off"},
		"a listed one fails anyway": {results{"T": end(failed)}, results{"T": end(failed)}, 1, "take it off"},
		"a listed one is gone":      {results{}, results{}, 1, "take it off"},
		"an unlisted difference":    {results{"T": end(passed), "U": end(passed)}, results{"T": end(failed), "U": end(failed)}, 1, "U fails through"},
		"skipped directly":          {results{"T": end(passed), "U": end(skipped)}, results{"T": end(failed), "U": end(failed)}, 1, "U fails through"},
		"skipped through":           {results{"T": end(passed), "U": end(passed)}, results{"T": end(failed), "U": end(skipped)}, 1, "U passes directly and is skipped"},
		"fails directly too":        {results{"T": end(passed), "U": end(failed)}, results{"T": end(failed), "U": end(failed)}, 1, ""},
		"fails directly only":       {results{"T": end(passed), "U": end(failed)}, results{"T": end(failed), "U": end(passed)}, 1, ""},
		"missing through":           {results{"T": end(passed), "U": end(passed)}, results{"T": end(failed)}, 1, "U ran directly only"},
		"missing directly":          {results{"T": end(passed)}, results{"T": end(failed), "U": end(passed)}, 1, "U ran through the sidecar only"},
	} {
		cmp := comparison{suite: "s", direct: c.direct, through: c.through}
		got, problems := cmp.judge(list)
		ok := len(problems) == 0
		if c.problem != "" {
			ok = len(problems) == 1 && strings.Contains(problems[0], c.problem)
		}
		if len(got) != c.accepted || !ok {
			t.Errorf("%s: accepted %v, problems %q", name, got, problems)
		}
	}
}

// What a race decides is on the page whichever way it went.
func TestJudgeRaces(t *testing.T) {
	list := []difference{{tests: map[string][]string{"s": {"W"}}, reason: "R.", sometimes: true}}
	for name, c := range map[string]struct {
		direct, through results
		problem         bool
	}{
		"lost":        {results{"W": end(passed)}, results{"W": end(failed)}, false},
		"won":         {results{"W": end(passed)}, results{"W": end(passed)}, false},
		"lost always": {results{"W": end(failed)}, results{"W": end(failed)}, false},
		"gone":        {results{}, results{}, true},
	} {
		cmp := comparison{suite: "s", direct: c.direct, through: c.through}
		got, problems := cmp.judge(list)
		if len(got) != 1 || !got[0].Sometimes || (len(problems) > 0) != c.problem {
			t.Errorf("%s: accepted %+v, problems %q", name, got, problems)
		}
	}
}

func TestRetries(t *testing.T) {
	c := comparison{
		suite: "s",
		direct: results{"A": end(passed), "B": end(failed), "C": end(passed), "D": end(passed), "T": end(passed), "U": end(passed), "V": end(passed),
			"W": end(passed)},
		through: results{"A": end(passed), "B": end(passed), "C": end(failed), "D": end(failed), "T": end(failed), "U": end(passed), "V": end(passed),
			"W": end(passed)},
	}
	list := []difference{{tests: map[string][]string{"s": {"T", "U", "V"}}}, {tests: map[string][]string{"s": {"W"}}, sometimes: true}}
	if got := c.suspects(list); !reflect.DeepEqual(got, []string{"B", "C", "D", "U", "V"}) {
		t.Fatalf("suspects %q", got)
	}
	c.replace(c.direct, "direct", results{"B": end(passed), "C": end(failed), "D": end(passed), "U": end(passed), "V": end(failed)}, nil)
	c.replace(c.through, "through", results{"B": end(passed), "C": end(passed), "D": end(failed), "U": end(failed), "V": end(passed)}, list)
	if c.direct["V"].outcome != passed || c.through["U"].outcome != failed || c.through["V"].outcome != passed {
		t.Errorf("what is to differ: %v, %v", c.direct, c.through)
	}
	want := []proof.Retry{{Test: "B", Where: "direct"}, {Test: "C", Where: "through"}}
	if !reflect.DeepEqual(c.retries, want) {
		t.Errorf("retries %v, want %v", c.retries, want)
	}
	if c.direct["C"].outcome != passed || c.through["C"].outcome != passed || c.through["D"].outcome != failed {
		t.Errorf("after the retries: %v, %v", c.direct, c.through)
	}
}

func TestParseGo(t *testing.T) {
	for output, want := range map[string]outcome{
		"=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\n":                                        passed,
		"=== RUN   TestX\n    --- FAIL: TestX/sub (0.00s)\n--- FAIL: TestX (0.00s)\nFAIL\n":       failed,
		"=== RUN   TestX\n    x.go:1: no\n--- SKIP: TestX (0.00s)\nPASS\n":                        skipped,
		"=== RUN   TestX\npanic: here\n":                                                          failed,
		"=== RUN   TestX\n--- PASS: TestX (0.00s)\npanic: in a goroutine left behind\n":           failed,
		"=== RUN   TestX\n--- PASS: TestX (0.00s)\nPASS\nToo many goroutines running after it.\n": failed,
		"testing: warning: no tests to run\nPASS\n":                                               failed,
	} {
		exitedWith0 := strings.HasSuffix(output, "PASS\n")
		if got := parseGo("TestX", output, exitedWith0); got.outcome != want {
			t.Errorf("%q: outcome %d, want %d", output, got.outcome, want)
		}
	}
}

func TestParseVerbose(t *testing.T) {
	got := parseVerbose("=== RUN   Test\n=== RUN   Test/A\n=== RUN   Test/A/deeper\n=== RUN   Test/B\n--- FAIL: Test (0.00s)\n    --- PASS: Test/A (0.00s)\n" +
		"        --- PASS: Test/A/deeper (0.00s)\n    --- FAIL: Test/B (0.00s)\n=== RUN   TestC\n--- SKIP: TestC (0.00s)\n=== RUN   TestD\npanic: here\n")
	want := map[string]outcome{"Test/A": passed, "Test/B": failed, "TestC": skipped, "TestD": failed}
	for name, o := range want {
		if got[name].outcome != o {
			t.Errorf("%s: outcome %d, want %d", name, got[name].outcome, o)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d tests, want %d: %v", len(got), len(want), got)
	}
}

func TestNeedsInternet(t *testing.T) {
	const source = "func helper() { mustHaveExternalNetwork(t) }\nfunc TestA(t *testing.T) {\n\ttestenv.MustHaveExternalNetwork(t)\n}\n\nfunc TestB(t *testing.T) {\n\tx()\n}\nfunc TestC(t *testing.T) {\n\tmustHaveExternalNetwork(t)\n}\n"
	if got := needInternet(source); !reflect.DeepEqual(got, []string{"TestA", "TestC"}) {
		t.Errorf("need the Internet: %q", got)
	}
}

func TestParsePython(t *testing.T) {
	got, err := parsePython([]byte(`["test.test_x.T.a", "passed", ""]
["test.test_x.T.b", "skipped", "why"]
["test.test_x.T.c", "failed", "trace"]
["test.test_x.T.c", "passed", ""]
`))
	want := results{"test_x.T.a": end(passed), "test_x.T.b": {skipped, "why"}, "test_x.T.c": {failed, "trace"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"x", `["a", "ok", ""]`} {
		if _, err := parsePython([]byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
