//go:build e2e

package transparency

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/collector"
	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/netns"
	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// The users: the suites run as one whose loopback connections are redirected, the sidecar as one whose are not, as in a pod.
const (
	suiteUser   = 65534
	sidecarUser = 1337
)

// transparentPort is the sidecar's default.
const transparentPort = 14956

// way is whether a suite's connections go through the sidecar.
type way uint8

const (
	direct way = iota
	through
)

func (w way) String() string { return [...]string{"direct", "through"}[w] }

// loopback is a network namespace with a sidecar in it that traces everything, puts headers in, verifies each byte, and exports to
// a collector of the test.
type loopback struct {
	t       *testing.T
	sidecar *sidecar.Process
	spans   *collector.Collector
	dir     string // of the suites: theirs to write, HOME and TMPDIR below it
	way     way
	// problems are what the comparisons found. They are told at once, and once more at the end, behind the sidecar's log.
	problems []string
}

// inLoopback runs body in a namespace of its own (netns.Isolated) with a loopback in it. Tools are what body needs.
func inLoopback(t *testing.T, limit time.Duration, tools []string, body func(env *loopback)) {
	t.Helper()
	bin := sidecar.Binary(t)
	netns.Isolated(t, limit, append([]string{"nft"}, tools...), func() { body(newLoopback(t, bin)) })
}

// newLoopback starts collector and sidecar in the namespace that the test is in. Connections go directly at first.
func newLoopback(t *testing.T, bin string) *loopback {
	t.Helper()
	env := &loopback{t: t, dir: publicDir(t)}
	t.Cleanup(func() {
		for _, p := range env.problems {
			t.Log("FAILED: " + p)
		}
	})
	for _, dir := range []string{"home", "tmp"} {
		dir = filepath.Join(env.dir, dir)
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, suiteUser, suiteUser)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if env.spans, err = collector.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = env.spans.Close() })
	cmd := exec.Command(sidecar.PublicCopy(t, bin), "run", "--service-name", "suite", "--verify", "--sampler", "always", "--admin", "off",
		"--exporter", "otlp", "--otlp-endpoint", env.spans.OTLPEndpoint(), "--export-queue", "200000")
	cmd.Env = sidecar.Environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: sidecarUser, Gid: sidecarUser}}
	env.sidecar = sidecar.Start(t, cmd)
	netns.Load(t, "table inet transparency {\n\tchain output {\n\t\ttype nat hook output priority -100; policy accept;\n\t}\n}\n")
	return env
}

// publicDir is a temporary directory that every user may enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spanwire-transparency")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // other users run what is in it
		t.Fatal(err)
	}
	return dir
}

// enter redirects the suite's new connections, or stops that. `spanwire intercept add` has no such rules, by design: it leaves loopback
// addresses alone, and the suites know no others. The chain stays when the rules go, so that what is open lives on.
func (env *loopback) enter(w way) {
	env.t.Helper()
	rules := "flush chain inet transparency output\n"
	if w == through {
		for _, to := range []string{"ip daddr 127.0.0.0/8", "ip6 daddr ::1"} {
			rules += fmt.Sprintf("add rule inet transparency output meta skuid %d meta l4proto tcp %s counter redirect to :%d\n", suiteUser, to, transparentPort)
		}
	}
	netns.Load(env.t, rules)
	env.way = w
}

// command returns a command that runs as the suite's user, with a home and a place for temporary files, and no variable but these, PATH
// and extra. It is killed when ctx ends, with what it has started.
func (env *loopback) command(ctx context.Context, extra []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + filepath.Join(env.dir, "home"), "TMPDIR=" + filepath.Join(env.dir, "tmp")}, extra...)
	cmd.Dir = filepath.Join(env.dir, "tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: suiteUser, Gid: suiteUser}, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // for output that a process outside the group holds open
	return cmd
}

// output runs cmd and returns all it wrote, and whether it exited with 0.
func output(cmd *exec.Cmd) (string, bool) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		fmt.Fprintf(&out, "%v\n", err)
	}
	return out.String(), err == nil
}

// suite is a test suite that somebody else wrote.
type suite struct {
	name, group, version string
	how                  string // a sentence for the reader of the page: which tests, how they are run
	// run runs the named tests, or all of them for nil, as env's way is at the moment. Alone: one after the other, each by itself.
	run func(names []string, alone bool) results
}

// afterwards is what a suite leaves of its namespace's time to those behind it, when it runs tests again; what is not settled by then fails.
const afterwards = 2 * time.Minute

// compare runs the suite directly and through the sidecar, runs again alone what failed (repeat), judges, and reports.
func (env *loopback) compare(s suite) {
	t := env.t
	t.Helper()
	began := time.Now()
	before := env.account()
	c := comparison{suite: s.name, list: accepted}
	env.enter(direct)
	c.direct = s.run(nil, false)
	tookDirect := time.Since(began)
	env.enter(through)
	c.through = s.run(nil, false)
	t.Logf("%s: directly %v in %.1f s, through %v in %.1f s", s.name, c.direct.counts(), tookDirect.Seconds(), c.through.counts(),
		(time.Since(began) - tookDirect).Seconds())
	if n := len(c.suspects()); n > maxAgain {
		t.Errorf("%s: %d tests failed, too many to run each again", s.name, n)
	} else {
		until, _ := t.Deadline()
		until = until.Add(-afterwards)
		c.repeat(func(names []string) (directly, onward results) {
			env.enter(direct)
			directly = s.run(names, true)
			env.enter(through)
			return directly, s.run(names, true)
		}, func() bool { return time.Now().Before(until) })
	}
	env.settle()
	after := env.account()
	differences, problems := c.judge()
	for _, p := range problems {
		t.Errorf("%s: %s", s.name, p)
		env.problems = append(env.problems, s.name+": "+p)
	}
	result := proof.Suite{
		Name: s.name, Group: s.group, Version: s.version, How: s.how, Direct: c.direct.counts(), Through: c.through.counts(),
		FailDirectly: c.failDirectly(), Differences: differences, Retries: c.retries(),
		Connections: after.connections - before.connections, Spans: after.spans - before.spans,
		Verified: after.verified - before.verified, Altered: after.altered - before.altered, Seconds: time.Since(began).Round(100 * time.Millisecond).Seconds(),
	}
	if result.Connections == 0 || result.Verified == 0 {
		t.Errorf("%s: %d connections, %d bytes verified: nothing was redirected", s.name, result.Connections, result.Verified)
	}
	if result.Altered != 0 {
		t.Errorf("%s: %d bytes were altered", s.name, result.Altered)
	}
	t.Logf("%s: %d connections, %d spans, %d bytes verified, run again %+v, fail directly %v, differ %v", s.name, result.Connections, result.Spans,
		result.Verified, result.Retries, result.FailDirectly, differences)
	proof.Write(t, result)
}

// account is what the sidecar says of itself, and the collector.
type account struct{ connections, spans, verified, altered int64 }

func (env *loopback) account() account {
	return account{
		connections: int64(env.sidecar.Sum("spanwire_sessions_total")),
		spans:       int64(len(env.spans.Spans())),
		verified:    int64(env.sidecar.Sum("spanwire_verified_bytes_total")),
		altered:     int64(env.sidecar.Sum("spanwire_altered_bytes_total")),
	}
}

// settle waits until the sidecar has no session any more and the collector has every span, and checks that none was dropped.
func (env *loopback) settle() {
	t := env.t
	t.Helper()
	env.sidecar.Await("the end of all sessions", func() bool { return env.sidecar.Sum("spanwire_sessions") == 0 })
	env.sidecar.Await("every span to be exported", func() bool {
		return env.sidecar.Metric("spanwire_spans_recorded_total") == env.sidecar.Sum("spanwire_spans_exported_total")+env.sidecar.Sum("spanwire_spans_dropped_total")
	})
	if dropped := env.sidecar.Sum("spanwire_spans_dropped_total"); dropped != 0 {
		t.Errorf("%v spans were dropped", dropped)
	}
	if got, want := len(env.spans.Spans()), int(env.sidecar.Sum("spanwire_spans_exported_total")); got != want {
		t.Errorf("the collector has %d spans, the sidecar exported %d", got, want)
	}
	if err := env.spans.Problems(); err != nil {
		t.Error(err)
	}
}

// TestRedirection shows that the harness does what it says: through the sidecar a request arrives with a trace context, directly without, over
// both families, and the client's request has one span.
func TestRedirection(t *testing.T) {
	inLoopback(t, time.Minute, []string{"curl"}, func(env *loopback) {
		curl := need.Tool(t, "curl")
		for _, addr := range []string{"127.0.0.1", "127.8.9.1", "::1"} {
			url, end := echoHead(t, addr)
			for _, w := range []way{direct, through, direct} {
				env.enter(w)
				before := len(env.spans.Spans())
				out, ok := output(env.command(t.Context(), nil, curl, "-sS", "--max-time", "10", url))
				if has := strings.Contains(out, "Traceparent: 00-"); !ok || has != (w == through) {
					t.Errorf("%s %v: a trace context: %v; %s", addr, w, has, out)
				}
				env.settle()
				want := before
				if w == through {
					want++
				}
				if got := len(env.spans.Spans()); got != want {
					t.Errorf("%s %v: %d spans, want %d", addr, w, got, want)
				}
			}
			end()
		}
		if verified := env.account().verified; verified == 0 {
			t.Error("nothing was verified")
		}
	})
}

// parallel calls f for each name, at most n at a time, and returns what it returned.
func parallel(n int, names []string, f func(name string) ending) results {
	type one struct {
		name string
		ending
	}
	todo, done := make(chan string), make(chan one)
	for range n {
		go func() {
			for name := range todo {
				done <- one{name, f(name)}
			}
		}()
	}
	go func() {
		for _, name := range slices.Sorted(slices.Values(names)) {
			todo <- name
		}
		close(todo)
	}()
	all := results{}
	for range names {
		o := <-done
		all[o.name] = o.ending
	}
	return all
}
