package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/fake"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
	"github.com/spanwire/spanwire/internal/need"
)

// asSpanbench makes the test's executable spanbench itself, for a test that sends it a signal.
const asSpanbench = "SPANBENCH_TEST_MAIN"

// realPrograms builds spanload, once.
var realPrograms = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "spanbench-cmd-test-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "../spanload").CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	fake.Main()
	if os.Getenv(asSpanbench) != "" {
		main()
	}
	built := false
	build := realPrograms
	realPrograms = func() (string, error) { built = true; return build() }
	code := m.Run()
	if built {
		dir, _ := build()
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// short returns the arguments of a short run with a sidecar that is none, and the directory of its report.
func short(t *testing.T, mode fake.Mode, more ...string) (args []string, dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	if _, err := (peer.Tools{}).Find(peer.Nginx); err != nil {
		need.Missing(t, "nginx", err.Error())
	}
	programs, err := realPrograms()
	if err != nil {
		t.Fatal(err)
	}
	bin, _ := fake.Install(t, mode, programs)
	dir = filepath.Join(t.TempDir(), "report")
	return append([]string{"run", "--bin", bin, "--out", dir, "--unpinned", "--short", "200ms", "--runs", "1", "--only", "small"}, more...), dir
}

// written reads results.json and the page of a report.
func written(t *testing.T, dir string) (*bench.Result, string) {
	t.Helper()
	r, err := bench.Read(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	return r, string(page)
}

// TestRunFailsWithItsRuns: exit 0 when all is right; 1, and the report all the same, when a span was lost.
func TestRunFailsWithItsRuns(t *testing.T) {
	for mode, want := range map[fake.Mode]int{fake.Honest: 0, fake.Lossy: exitFailed} {
		args, dir := short(t, mode, "--peers", peer.SpanwireOTLP)
		code, out, diagnostics := run(t, args...)
		if code != want || strings.Contains(diagnostics, "LOST SPANS") != (mode == fake.Lossy) || !strings.Contains(out, "Measured ") {
			t.Errorf("%s: exit %d, want %d:\n%s%s", mode, code, want, out, diagnostics)
		}
		if !strings.Contains(diagnostics, "small: spanwire-otlp, run 1 of 1") {
			t.Errorf("%s: no progress: %s", mode, diagnostics)
		}
		if r, page := written(t, dir); r.Partial || len(r.Cells) != 2 || strings.Contains(page, "LOST SPANS") != (mode == fake.Lossy) {
			t.Errorf("%s: partial %v, %d cells", mode, r.Partial, len(r.Cells))
		}
	}
}

// TestInterruptWritesThePart: SIGINT as the second cell runs ends the program with 1, and what there was is written, marked as partial.
func TestInterruptWritesThePart(t *testing.T) {
	args, dir := short(t, fake.Honest, "--peers", peer.Direct, "--peers", peer.SpanwireOTLP)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asSpanbench+"=1")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), "[2/2, ") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("it ended with %v\n%s", err, said.String())
	}
	r, page := written(t, dir)
	if !r.Partial || !strings.Contains(page, "PARTIAL") {
		t.Errorf("the report does not say that it is partial: %v", r.Partial)
	}
	first, second := r.Find(bench.ScenarioSmall, bench.Phase1000, peer.Direct), r.Find(bench.ScenarioSmall, bench.Phase1000, peer.SpanwireOTLP)
	if first == nil || len(first.Values[bench.QP50].Runs) != 1 || second == nil || len(second.Values) != 0 {
		t.Errorf("of the two cells it has %+v and %+v", first, second)
	}
}

// TestRequirePeers: where no peer may be missing, one that is not installed fails the run before anything is measured.
func TestRequirePeers(t *testing.T) {
	t.Setenv("ENVOY", "/nowhere/envoy")
	for value, want := range map[string]int{"1": exitFailed, "yes": exitFailed, "0": 0, "": 0} {
		t.Setenv(requirePeers, value)
		args, dir := short(t, fake.Honest, "--peers", peer.Direct, "--peers", peer.EnvoyOTLP)
		code, out, diagnostics := run(t, args...)
		if code != want || !strings.Contains(out+diagnostics, "/nowhere/envoy") {
			t.Errorf("%s=%s: exit %d, want %d:\n%s%s", requirePeers, value, code, want, out, diagnostics)
		}
		if _, err := os.Stat(filepath.Join(dir, "results.json")); (err == nil) != (want == 0) {
			t.Errorf("%s=%s: results: %v", requirePeers, value, err)
		}
	}
}

// resultFile writes a results.json of one cell of ours and returns its path.
func resultFile(t *testing.T, change func(r *bench.Result)) string {
	t.Helper()
	r := &bench.Result{
		Schema: bench.Schema, Versions: map[string]string{"nginx": "1"}, Method: bench.Method{Runs: 5, Pinning: rig.DefaultPinning(2)},
		Scenarios: []bench.ScenarioInfo{{Name: "small", Traversals: 1, Phases: []bench.PhaseInfo{{Name: bench.Phase1000, Upstream: []string{"nginx"}}}}},
		Peers:     []bench.PeerInfo{{Name: peer.SpanwireOTLP, Spans: peer.OTLP, Share: 1}},
	}
	for _, name := range []string{peer.SpanwireOTLP, peer.EnvoyOTLP} {
		r.Cells = append(r.Cells, bench.CellResult{Scenario: "small", Phase: bench.Phase1000, Peer: name, Values: map[string]stats.Summary{
			bench.QCPU: stats.Summarise([]float64{10, 10.1, 10.2, 9.9, 9.8}), bench.QErrors: stats.Summarise(make([]float64, 5)),
			bench.QIdleCPU: stats.Summarise(make([]float64, 5)),
		}})
	}
	change(r)
	file, err := r.WriteJSON(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCompareExitCodes: 0 without a regression, 1 with one or when the two were made differently.
func TestCompareExitCodes(t *testing.T) {
	set := func(i int, quantity string, runs ...float64) func(r *bench.Result) {
		return func(r *bench.Result) { r.Cells[i].Values[quantity] = stats.Summarise(runs) }
	}
	nothing := func(*bench.Result) {}
	cases := map[string]struct {
		change func(r *bench.Result)
		more   []string
		code   int
		says   string
	}{
		"the same": {change: nothing, says: "0 of "},
		"worse":    {change: set(0, bench.QCPU, 12, 12.1, 12.2, 11.9, 11.8), code: 1, says: "REGRESSION"},
		"worse, allowed": {change: set(0, bench.QCPU, 12, 12.1, 12.2, 11.9, 11.8), more: []string{"--threshold", "0.3"},
			says: "| more |"},
		"better":        {change: set(0, bench.QCPU, 8, 8.1, 8.2, 7.9, 7.8), says: "| less |"},
		"Envoy's":       {change: set(1, bench.QCPU, 12, 12.1, 12.2, 11.9, 11.8), says: "| more |"},
		"from zero":     {change: set(0, bench.QIdleCPU, 50, 50, 50, 50, 51), code: 1, says: "from zero"},
		"an error":      {change: set(0, bench.QErrors, 0, 0, 0, 0, 1), code: 1, says: "REGRESSION"},
		"failed":        {change: func(r *bench.Result) { r.Cells[0].Values, r.Cells[0].Notes = nil, []string{"run 1 FAILED: no"} }, code: 1, says: "missing"},
		"cells removed": {change: func(r *bench.Result) { r.Cells = r.Cells[1:] }, code: 1, says: "missing"},
		"partial":       {change: func(r *bench.Result) { r.Partial = true }, code: 1, says: "made differently: the newer is partial"},
		"nginx":         {change: func(r *bench.Result) { r.Versions["nginx"] = "2" }, code: 1, says: "version of the upstream (1, 2)"},
		"body sizes": {change: func(r *bench.Result) { r.Scenarios[0].Phases[0].Upstream = []string{"spanload", "serve"} }, code: 1,
			says: "made differently: scenario small"},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		code, out, diagnostics := run(t, append([]string{"compare", resultFile(t, nothing), resultFile(t, c.change)}, c.more...)...)
		if code != c.code || !strings.Contains(out+diagnostics, c.says) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s%s", name, code, c.code, c.says, out, diagnostics)
		}
	}
}

// TestPublishRefuses: a report that is none is refused with all that is amiss, and nothing is written.
func TestPublishRefuses(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file := resultFile(t, func(r *bench.Result) { r.Commit, r.Method.Runs = "172b35791b39-dirty", 1 })
	code, _, diagnostics := run(t, "publish", file, "--root", root)
	if code != exitUsage || !strings.Contains(diagnostics, "of 1 runs, not 5") || !strings.Contains(diagnostics, "-dirty") ||
		!strings.Contains(diagnostics, "without mesh/") {
		t.Errorf("exit %d: %s", code, diagnostics)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 1 {
		t.Errorf("written: %v, %v", entries, err)
	}
}

// TestMakeTellsADirtyCommit: what make builds says when a file differs from the commit.
func TestMakeTellsADirtyCommit(t *testing.T) {
	git := need.Tool(t, "git")
	makefile, err := filepath.Abs("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	do := func(name string, args ...string) string {
		cmd := exec.CommandContext(context.Background(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "COMMIT=") || strings.HasPrefix(v, "MAKE") }),
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %v: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	file := filepath.Join(dir, "file")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	do(git, "init", "-q")
	do(git, "add", "file")
	do(git, "commit", "-q", "-m", "one")
	do(git, "tag", "v1")
	hash := do(git, "rev-parse", "HEAD")[:12]
	commit := func() string {
		_, rest, _ := strings.Cut(do(need.Tool(t, "make"), "-s", "-n", "-f", makefile, "bench-build"), "-X main.commit=")
		got, _, _ := strings.Cut(rest, "'")
		return got
	}
	if got := commit(); got != hash {
		t.Errorf("committed: %q, want %q", got, hash)
	}
	write("two")
	if got := commit(); got != hash+"-dirty" {
		t.Errorf("changed: %q, want %q", got, hash+"-dirty")
	}
}
