package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/fake"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/internal/need"
)

// build builds the project's programs once, into a directory that TestMain removes.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "spanbench-test-")
	if err != nil {
		return "", err
	}
	built.Store(&dir)
	cmd := exec.Command("go", "build", "-o", dir+"/", "../cmd/spanwire", "../cmd/spanload", "../cmd/spanbench")
	if out, err := cmd.CombinedOutput(); err != nil {
		return dir, fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

// built is the directory that build has made; nil = none.
var built atomic.Pointer[string]

func TestMain(m *testing.M) {
	fake.Main()
	code := m.Run()
	if dir := built.Load(); dir != nil {
		_ = os.RemoveAll(*dir)
	}
	os.Exit(code)
}

// programs builds the project's programs and returns the options of a shortened run with them.
func programs(t *testing.T) Options {
	t.Helper()
	if _, err := (peer.Tools{}).Find(peer.Nginx); err != nil {
		need.Missing(t, "nginx", err.Error())
	}
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Runs: 1, Short: 300 * time.Millisecond, Tools: peer.Tools{Own: dir, Build: "../build"}, Dir: filepath.Join(t.TempDir(), "report"),
		HopCommand: []string{filepath.Join(dir, "spanbench"), "service"}, Pinning: rig.Pinning{},
	}
}

// children lists the processes that this one has started and that are still there, zombies included.
func children(t *testing.T) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if b, err := os.ReadFile(file); err == nil {
			found = append(found, strings.Fields(string(b))...)
		}
	}
	return found
}

// TestOneCellForReal runs the mesh, which has every kind of process, with the peer of ours and without one.
func TestOneCellForReal(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	o := programs(t)
	o.Only, o.Peers = []string{ScenarioMesh, "tcp"}, []string{peer.Direct, peer.SpanwireOTLP, peer.SpanwireOpaque}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if failures := r.Failures(); len(failures) > 0 {
		t.Errorf("failures: %s", strings.Join(failures, "\n"))
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	cell := r.Find(ScenarioMesh, PhaseMesh, peer.SpanwireOTLP)
	if cell == nil {
		t.Fatal("the cell is missing")
	}
	if spans, ok := cell.Value(QSpans); !ok || spans != 2*meshServices {
		t.Errorf("%v spans for each request, want %d", spans, 2*meshServices)
	}
	for _, quantity := range []string{QCPU, QMachine, QRSS, QP50} {
		if v, ok := cell.Value(quantity); !ok || v <= 0 {
			t.Errorf("%s = %v", quantity, v)
		}
	}
	if cell.AddedP50 == nil {
		t.Error("no added latency")
	}
	if logs, err := filepath.Glob(filepath.Join(o.Dir, "logs", "*.log")); err != nil || len(logs) < 8 {
		t.Errorf("logs: %v, %v", logs, err)
	}
}

// TestPhaseEndsWhenItsSpansHaveArrived: CPU is read once every span of the phase has been made and sent, not as the last answer comes.
func TestPhaseEndsWhenItsSpansHaveArrived(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	o := programs(t)
	ctx := context.Background()
	r, err := rig.New(o.Dir, o.Tools, o.Pinning)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.StartUpstream(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.StartSink(ctx); err != nil {
		t.Fatal(err)
	}
	p, err := peer.ByName(peer.SpanwireOTLP)
	if err != nil {
		t.Fatal(err)
	}
	s := Scenario{Name: "test"}
	placed, err := startSingle(ctx, r, p, s, []string{r.Upstream}, o)
	if err != nil {
		t.Fatal(err)
	}
	defer placed.stop(r)
	if _, err := r.AwaitSpans(ctx, placed.checkSpans); err != nil {
		t.Fatal(err)
	}
	placed.spans = 1
	phase := Phase{Name: "one", Path: peer.PathSmall, Load: load("--closed", "--connections", "4")}
	_, sent, err := runPhase(ctx, r, phase, placed, 0, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := r.Counts(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := placed.checkSpans + sent; counts.Spans != want {
		t.Errorf("%d spans had arrived as the CPU was read, want %d", counts.Spans, want)
	}
}

// canceller cancels when something was written to it the n-th time.
type canceller struct {
	left   int
	cancel context.CancelFunc
}

func (c *canceller) Write(b []byte) (int, error) {
	if c.left--; c.left == 0 {
		c.cancel()
	}
	return len(b), nil
}

// TestInterruptedRunIsPartial interrupts as the second cell begins: the first is there, and nothing is left running.
func TestInterruptedRunIsPartial(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	o := programs(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.Only, o.Peers = []string{ScenarioSmall}, []string{peer.Direct, peer.SpanwireOTLP, peer.SpanwireZipkin}
	o.Progress = &canceller{left: 2, cancel: cancel}
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Partial {
		t.Error("the result does not say that it is partial")
	}
	if c := r.Find(ScenarioSmall, Phase1000, peer.Direct); c == nil || len(c.Values[QP50].Runs) != 1 {
		t.Errorf("what was measured before is lost: %+v", c)
	}
	if c := r.Find(ScenarioSmall, Phase1000, peer.SpanwireOTLP); c == nil || len(c.Values[QP50].Runs) != 0 {
		t.Errorf("what was interrupted counts as measured: %+v", c)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
}

// TestMissingPeer: without its executable a peer is left out with a line, or is a failure where none may be missing.
func TestMissingPeer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	o := programs(t)
	t.Setenv("ENVOY", "/nowhere/envoy")
	o.Only, o.Peers = []string{ScenarioSmall}, []string{peer.Direct, peer.EnvoyOTLP}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Missing) != 1 || !strings.Contains(r.Missing[0], "/nowhere/envoy") || r.Find(ScenarioSmall, Phase1000, peer.EnvoyOTLP) != nil {
		t.Errorf("missing: %v", r.Missing)
	}
	o.RequirePeers = true
	if _, err := Run(context.Background(), o); !errors.Is(err, peer.ErrMissing) {
		t.Errorf("with every peer required: %v", err)
	}
}

// TestKilledRunLeavesNothing kills spanbench itself the hard way: the kernel ends what it had started.
func TestKilledRunLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts real processes")
	}
	o := programs(t)
	cmd := exec.Command(o.HopCommand[0], "run", "--unpinned", "--only", "events", "--peers", peer.SpanwireOTLP, "--out", o.Dir)
	cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := strconv.Itoa(cmd.Process.Pid)
	var started []string
	await(t, "processes of the run", func() bool {
		files, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
		for _, file := range files {
			b, _ := os.ReadFile(file)
			for _, child := range strings.Fields(string(b)) {
				if !slices.Contains(started, child) {
					started = append(started, child)
				}
			}
		}
		return len(started) >= 3
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	await(t, "the end of all processes", func() bool {
		return !slices.ContainsFunc(started, func(child string) bool {
			n, err := strconv.Atoi(child)
			return err == nil && syscall.Kill(n, 0) == nil && !zombie(child)
		})
	})
}

// zombie reports whether a process has ended and only waits to be reaped by whoever inherited it.
func zombie(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}

// await polls until done returns true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}
