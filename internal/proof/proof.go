// Package proof is the form in which the tests behind docs/transparency.md report what they found: one JSON file for each suite, client,
// attack, fault and soak, in the directory that SPANWIRE_RESULTS names. tools/proof makes the page from them. It is for tests, and
// for tools/proof.
package proof

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Variable names the directory that results are written to, in the environment; without it none are. CommitVariable is the commit of the tree
// that they are of.
const (
	Variable       = "SPANWIRE_RESULTS"
	CommitVariable = "SPANWIRE_COMMIT"
)

// Stamp says when a result was found and of which commit: those of a page come from different runs.
type Stamp struct {
	Date   string `json:"date"` // 2006-01-02, UTC
	Commit string `json:"commit"`
}

// now is the stamp of what is found now.
func now() Stamp {
	return Stamp{Date: time.Now().UTC().Format(time.DateOnly), Commit: os.Getenv(CommitVariable)}
}

// Kind says in which part of the page a result stands.
type Kind string

// The kinds of results.
const (
	KindSuite  Kind = "suite"
	KindAttack Kind = "attack"
	KindFault  Kind = "fault"
	KindSoak   Kind = "soak"
)

// Verdicts: what was to be shown held in every respect that the test looked at, or did not.
const (
	Held   = "held"
	Broken = "broken"
)

// Counts are tests by how they ended. A test that was run again counts once, as failed if it failed each time.
type Counts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
}

// Difference is a test that fails through the sidecar and passes without it, or some of one class that do for one cause, and why that is
// right.
type Difference struct {
	Tests  []string `json:"tests"`
	Reason string   `json:"reason"` // one sentence
	// Sometimes: a race decides, so that in any one run all, some or none of Tests differ.
	Sometimes bool `json:"sometimes,omitempty"`
	// Needs is a file of the kernel's without which, or with 0 in which, a machine cannot show the difference.
	Needs string `json:"needs,omitempty"`
}

// Where a test failed in the first run.
const (
	Directly   = "directly"
	Through    = "through the sidecar"
	InBothWays = "in both ways"
)

// Retry is a test that failed in the first run and does not always fail directly, and how often it failed when it was run again alone.
type Retry struct {
	Test     string `json:"test"`
	Where    string `json:"where"`    // Directly, Through or InBothWays
	Rounds   int    `json:"rounds"`   // how often it was run again in each way
	Directly int    `json:"directly"` // of Rounds: it failed directly
	Through  int    `json:"through"`  // it failed through the sidecar
}

// ThroughOnly reports whether the test fails through the sidecar and not directly, as far as it was run again. Once more in MostRounds, in addition to
// the first run, is what a test does that fails as seldom directly.
func (r Retry) ThroughOnly() bool {
	return r.Directly == 0 && (r.Through >= TwiceThrough || r.Through > 0 && r.Rounds < MostRounds)
}

// oneOff reports whether the test failed through the sidecar only, and then not again, or once more in MostRounds: that was chance, as far as
// so many runs can tell.
func (r Retry) oneOff() bool {
	return r.Directly == 0 && !r.ThroughOnly() && (r.Where == Through || r.Through > 0)
}

// Suite is the run of a test suite, or of a client with its server, directly and through the sidecar.
type Suite struct {
	Name    string `json:"name"`    // Go net/http
	Group   string `json:"group"`   // Go standard library; suites of a group stand together
	Version string `json:"version"` // go1.26.8
	How     string `json:"how"`     // one process for each test
	Direct  Counts `json:"direct"`
	Through Counts `json:"through"`
	// FailDirectly are tests that fail without the sidecar too (no route to the Internet in the namespace, and the like).
	FailDirectly []string     `json:"fail_directly,omitempty"`
	Differences  []Difference `json:"differences,omitempty"` // all accepted; one that is not fails the test
	Retries      []Retry      `json:"retries,omitempty"`
	Connections  int64        `json:"connections"` // that the sidecar relayed for it
	Spans        int64        `json:"spans"`       // that the collector received
	Verified     int64        `json:"verified_bytes"`
	Altered      int64        `json:"altered_bytes"`
	Seconds      float64      `json:"seconds"`
	Verdict      string       `json:"verdict"`
	Stamp
}

// Figure is one figure of an outcome: a name and a value with its unit, as a reader is to see them.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Figuref returns a Figure with a formatted value.
func Figuref(name, format string, args ...any) Figure {
	return Figure{name, fmt.Sprintf(format, args...)}
}

// Attack is hostile input and what came of it.
type Attack struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`    // what is sent, in one sentence
	Outcome []Figure `json:"outcome"` // in the order they are to be read
	Verdict string   `json:"verdict"`
	Stamp
}

// Fault is a fault or a shortage under load and what came of it.
type Fault struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Outcome []Figure `json:"outcome"`
	Verdict string   `json:"verdict"`
	Stamp
}

// Soak is the summary of a long run.
type Soak struct {
	Name    string   `json:"name"`
	What    string   `json:"what"`
	Outcome []Figure `json:"outcome"`
	Verdict string   `json:"verdict"`
	Stamp
}

// Result is a Suite, Attack, Fault or Soak.
type Result interface {
	kind() (Kind, string)
	judged(verdict string) Result
	// stamp returns when and of what it was found; stamped is the same result with s.
	stamp() Stamp
	stamped(s Stamp) Result
}

func (s Suite) kind() (Kind, string)  { return KindSuite, s.Name }
func (a Attack) kind() (Kind, string) { return KindAttack, a.Name }
func (f Fault) kind() (Kind, string)  { return KindFault, f.Name }
func (s Soak) kind() (Kind, string)   { return KindSoak, s.Name }

func (s Suite) judged(v string) Result  { s.Verdict = v; return s }
func (a Attack) judged(v string) Result { a.Verdict = v; return a }
func (f Fault) judged(v string) Result  { f.Verdict = v; return f }
func (s Soak) judged(v string) Result   { s.Verdict = v; return s }

func (s Suite) stamped(x Stamp) Result  { s.Stamp = x; return s }
func (a Attack) stamped(x Stamp) Result { a.Stamp = x; return a }
func (f Fault) stamped(x Stamp) Result  { f.Stamp = x; return f }
func (s Soak) stamped(x Stamp) Result   { s.Stamp = x; return s }

func (s Stamp) stamp() Stamp { return s }

// Write writes r to its file in the directory that Variable names, and logs it; without Variable it does nothing. It gives the verdict
// itself: Broken if the test has failed by then, else Held. So it is to be the last thing that a test does, deferred where
// the test may end before.
func Write(t testing.TB, r Result) {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		return
	}
	verdict := Held
	if t.Failed() {
		verdict = Broken
	}
	if err := Save(dir, r.judged(verdict)); err != nil {
		t.Errorf("%s: %v", Variable, err)
	}
}

// Save writes r, with the verdict it has, to its file in dir; an earlier one of the same kind and name is replaced. If it has no stamp it gets
// one. It is for programs; tests call Write.
func Save(dir string, r Result) error {
	kind, name := r.kind()
	if Slug(name) == "" {
		return fmt.Errorf("a %s without a name", kind)
	}
	if r.stamp() == (Stamp{}) {
		r = r.stamped(now())
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everyone to read
		return err
	}
	return os.WriteFile(filepath.Join(dir, string(kind)+"."+Slug(name)+".json"), append(b, '\n'), 0o644) //nolint:gosec // the same
}

// Slug returns name as a file name: lower case, each run of anything but ASCII letters and digits one dash.
func Slug(name string) string {
	fields := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	return strings.Join(fields, "-")
}
