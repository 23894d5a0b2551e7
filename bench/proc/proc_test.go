package proc

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func start(t *testing.T, g *Group, script string, cpus ...int) *Process {
	t.Helper()
	p, err := g.Start(Spec{Name: "test", Path: "/bin/sh", Args: []string{"-c", script}, CPUs: cpus})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func group(t *testing.T) *Group {
	t.Helper()
	g := NewGroup(t.TempDir())
	t.Cleanup(g.Close)
	return g
}

// await polls until done returns true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	g := group(t)
	one, two := start(t, g, "exec sleep 60"), start(t, g, "exec sleep 60")
	if len(g.Running()) != 2 {
		t.Fatalf("running: %v", g.Running())
	}
	g.Close()
	for _, p := range []*Process{one, two} {
		if err := syscall.Kill(p.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is still there: %v", p.PID, err)
		}
	}
	if len(g.Running()) != 0 {
		t.Errorf("running after Close: %v", g.Running())
	}
}

func TestStopEndsAHeldProcess(t *testing.T) {
	g := group(t)
	p := start(t, g, "exec sleep 60")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	g.Stop(p)
	if took := time.Since(begin); took > stopGrace/2 {
		t.Errorf("a held process was killed after %v rather than let go and told to end", took)
	}
}

func TestEarlyEndTellsTheLog(t *testing.T) {
	g := group(t)
	p := start(t, g, "echo what went wrong; exit 3")
	<-p.Ended()
	if err := p.Err(); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "what went wrong") ||
		!strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error: %v", err)
	}
	if _, err := p.Usage(); !errors.Is(err, ErrEnded) {
		t.Errorf("usage of an ended process: %v", err)
	}
}

func TestWaitStopsWhenTimeIsOver(t *testing.T) {
	g := group(t)
	p := start(t, g, "exec sleep 60")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait: %v", err)
	}
	<-p.Ended()
}

func TestPinned(t *testing.T) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !before.IsSet(cpu) {
		cpu++
	}
	g := group(t)
	p := start(t, g, "exec sleep 60", cpu)
	var set, after unix.CPUSet
	if err := unix.SchedGetaffinity(p.PID, &set); err != nil {
		t.Fatal(err)
	}
	if set.Count() != 1 || !set.IsSet(cpu) {
		t.Errorf("child may use %d processors, %d among them: %v", set.Count(), cpu, set.IsSet(cpu))
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("own affinity changed (%v)", err)
	}
}

func TestUsageCountsTheTree(t *testing.T) {
	g := group(t)
	// The shell waits for a child that burns; neither is the other.
	p := start(t, g, "sh -c 'while :; do :; done' & wait")
	await(t, "100 ms of CPU in the tree", func() bool {
		u, err := p.Usage()
		if err != nil {
			t.Fatal(err)
		}
		return u.CPU > 100*time.Millisecond && u.Processes == 2
	})
	own, err := readOne(p.PID)
	if err != nil || own.CPU > 50*time.Millisecond {
		t.Errorf("the shell itself used %v (%v)", own.CPU, err)
	}
	u, err := p.Usage()
	if err != nil || u.RSS <= 0 || u.PeakRSS < u.RSS || u.Threads != 2 || u.Descriptors == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}
	children, err := childrenOf()
	if err != nil {
		t.Fatal(err)
	}
	for _, child := range children[p.PID] {
		if err := syscall.Kill(child, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// TestAllProcesses: what this process uses is in the machine's account, and outside that of a child, whose own use is inside.
func TestAllProcesses(t *testing.T) {
	const burnt = 200 * time.Millisecond
	own := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	child := start(t, group(t), "while :; do :; done")
	all, tree, err := ReadAll(child.PID)
	if err != nil {
		t.Fatal(err)
	}
	for begin := own(); own()-begin < burnt; {
	}
	var allAfter, treeAfter time.Duration
	await(t, "the child's use", func() bool {
		if allAfter, treeAfter, err = ReadAll(child.PID); err != nil {
			t.Fatal(err)
		}
		return treeAfter-tree >= burnt
	})
	if others := (allAfter - treeAfter) - (all - tree); others < burnt-2*tick {
		t.Errorf("others have used %v, this process alone %v", others, burnt)
	}
	if _, _, err := ReadAll(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("a process that there is not: %v", err)
	}
}

// TestReadOthers: what a child uses is told while it lives and after it has ended and was waited for; what this process uses is not. What the rest of
// the machine uses meanwhile, by another account, is taken off.
func TestReadOthers(t *testing.T) {
	const burnt, least = 500 * time.Millisecond, 250 * time.Millisecond // the accounts differ by some ticks
	// Both accounts are read as near to one another as a busy machine lets them in some tries.
	children := func() (best time.Duration) {
		t.Helper()
		nearest := time.Hour
		for range 8 {
			begin := time.Now()
			others, err := ReadOthers()
			if err != nil {
				t.Fatal(err)
			}
			all, tree, err := ReadAll(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < nearest {
				nearest, best = took, others-(all-tree)
			}
		}
		return best
	}
	own := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	begin := children()
	child := start(t, group(t), "while :; do :; done")
	await(t, "the child's use", func() bool {
		used, err := child.Usage()
		if err != nil {
			t.Fatal(err)
		}
		return used.CPU >= burnt
	})
	if got := children() - begin; got < least {
		t.Errorf("a child that lives has used %v or more, %v are told", burnt, got)
	}
	if err := child.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-child.Ended()
	if got := children() - begin; got < least {
		t.Errorf("a child that has ended had used %v or more, %v are told", burnt, got)
	}
	begin = children()
	for first := own(); own()-first < burnt; {
	}
	if got := children() - begin; got > least {
		t.Errorf("of %v that this process used, %v are told as that of others", burnt, got)
	}
}

func TestUsageAgreesWithTheKernelsOwnAccount(t *testing.T) {
	before, err := readOne(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var b, a unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &b); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 200*time.Millisecond; {
	}
	after, err := readOne(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Getrusage(unix.RUSAGE_SELF, &a); err != nil {
		t.Fatal(err)
	}
	want := time.Duration(a.Utime.Nano() + a.Stime.Nano() - b.Utime.Nano() - b.Stime.Nano())
	if got := after.Sub(before).CPU; got < want-30*time.Millisecond || got > want+30*time.Millisecond {
		t.Errorf("used %v, getrusage says %v", got, want)
	}
}

func TestParseTimes(t *testing.T) {
	got, err := parseTimes([]byte("cpu  10 1 20 300 4 5 6 7 0 0\ncpu0 1 1 1 1\n"))
	want := Times{User: 110 * time.Millisecond, System: 200 * time.Millisecond, Idle: 3040 * time.Millisecond, SoftIRQ: 110 * time.Millisecond,
		Steal: 70 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if got.Busy() != 420*time.Millisecond {
		t.Errorf("busy %v", got.Busy())
	}
	for _, bad := range []string{"", "cpu 1 2 3\n", "intr 1 2 3 4 5 6 7 8 9\n", "cpu a b c d e f g h i\n"} {
		if _, err := parseTimes([]byte(bad)); err == nil {
			t.Errorf("parseTimes(%q) is no error", bad)
		}
	}
}
