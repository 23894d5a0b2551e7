package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/proof"
)

// results writes results into a directory.
func results(t *testing.T, all ...proof.Result) string {
	t.Helper()
	t.Setenv(proof.CommitVariable, "abc")
	dir := t.TempDir()
	for _, r := range all {
		if err := proof.Save(dir, r); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var (
	goSuite = proof.Suite{Name: "Go net", Group: "Go", Direct: proof.Counts{Passed: 9}, Through: proof.Counts{Passed: 9}, Verified: 5, Verdict: proof.Held}
	flood   = proof.Attack{Name: "Flood", Verdict: proof.Held}
	hour    = proof.Soak{Name: "An hour", Verdict: proof.Held}
)

func TestWriteKeepsTheSoak(t *testing.T) {
	docs := t.TempDir()
	if err := run(docs, []string{"write", results(t, goSuite, hour)}); err != nil {
		t.Fatal(err)
	}
	if err := run(docs, []string{"write", results(t, goSuite, flood)}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docs, pageFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| Go net |", "| Flood |", "| An hour |"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}

func TestAddKeepsTheRest(t *testing.T) {
	docs := t.TempDir()
	if err := run(docs, []string{"write", results(t, goSuite, flood)}); err != nil {
		t.Fatal(err)
	}
	changed := flood
	changed.What = "More of it."
	if err := run(docs, []string{"add", results(t, changed, hour)}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(docs, pageFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| Go net |", "| Flood | More of it. |", "| An hour |"} {
		if strings.Count(string(page), want) != 1 {
			t.Errorf("%q is not there once in\n%s", want, page)
		}
	}
}

func TestWriteRefusesWhatIsNoProof(t *testing.T) {
	docs := t.TempDir()
	broken := flood
	broken.Verdict = proof.Broken
	if err := run(docs, []string{"write", results(t, broken)}); err == nil || !strings.Contains(err.Error(), "Flood") {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(docs); err != nil || len(left) > 0 {
		t.Errorf("written: %v, %v", left, err)
	}
}

// A page does not tell of what nobody knows the commit of.
func TestWriteWantsTheCommit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(proof.CommitVariable, "")
	if err := proof.Save(dir, flood); err != nil {
		t.Fatal(err)
	}
	if err := run(t.TempDir(), []string{"write", dir}); err == nil || !strings.Contains(err.Error(), `attack Flood: date "2`) {
		t.Errorf("error %v", err)
	}
}

func TestCheck(t *testing.T) {
	docs := t.TempDir()
	if err := run(docs, []string{"check", results(t, goSuite)}); err == nil {
		t.Error("there is no page, and the check says nothing")
	}
	if err := run(docs, []string{"write", results(t, goSuite, flood, hour)}); err != nil {
		t.Fatal(err)
	}
	altered, differs, fewer := goSuite, goSuite, goSuite
	fewer.Direct.Passed, fewer.Through.Passed = 8, 8
	altered.Altered = 1
	differs.Differences = []proof.Difference{{Tests: []string{"TestX"}, Reason: "Why."}}
	storm := proof.Attack{Name: "Storm", Verdict: proof.Held}
	for want, dir := range map[string]string{
		"":                                     results(t, goSuite, flood),
		"attack Flood: in docs/":               results(t, goSuite),
		"attack Storm: in this run, but not":   results(t, goSuite, flood, storm),
		"1 bytes were altered":                 results(t, altered, flood),
		"Go net: TestX differs, which docs do": results(t, differs, flood),
		"Go net: 8 tests, docs tell of 9":      results(t, fewer, flood),
	} {
		err := run(docs, []string{"check", dir})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("want %q, error %v", want, err)
		}
	}
	for _, args := range [][]string{nil, {"write"}, {"tell", "x"}, {"check", "x", "y"}} {
		if err := run(docs, args); err == nil || !strings.Contains(err.Error(), "usage") {
			t.Errorf("%q: error %v", args, err)
		}
	}
}
