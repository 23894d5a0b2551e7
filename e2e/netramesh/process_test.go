// Package netramesh tests the sidecar in the place of a Netramesh: started as Netramesh's users start it, with --service-name and
// variables alone, and observed from the outside: by the Jaeger agent that gets its spans, by the services on both its sides, by its
// metrics, its log and its exit code. docs/netramesh.md says row by row what is the same.
package netramesh

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait in these tests; nothing takes nearly as long.
const patience = 20 * time.Second

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	if os.Getenv(roleVariable) == callerRole {
		return beCaller()
	}
	// A test that runs again in a namespace has its program already.
	if binary = os.Getenv(binaryVariable); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "spanwire-netramesh")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Other users run it too: see the redirected tests.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "spanwire")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../../cmd/spanwire")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// sidecar is a running process.
type sidecar struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  lockedBuffer
	done chan struct{}

	// Where its listeners are; "" = there is none.
	inbound, outbound, transparent, admin, metrics string
}

// lockedBuffer collects output while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var addresses = regexp.MustCompile(`\b(inbound|outbound|transparent|admin|metrics)="?([0-9.:\[\]]+)`)

// command returns the program with nothing but env in its environment.
func command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	return cmd
}

// launch starts `spanwire --service-name x` with env and waits for its start line. It is killed when the test ends.
func launch(t *testing.T, env ...string) *sidecar {
	t.Helper()
	return start(t, command(env, "--service-name", "x"))
}

// start starts cmd and waits for the start line.
func start(t *testing.T, cmd *exec.Cmd) *sidecar {
	t.Helper()
	s := &sidecar{t: t, cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &s.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // the exit code says it
		close(s.done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-s.done
		if t.Failed() {
			t.Logf("log of the sidecar:\n%s", s.log.String())
		}
	})
	s.await("its start line", func() bool { return strings.Contains(s.log.String(), "spanwire started") })
	for _, m := range addresses.FindAllStringSubmatch(s.log.String(), -1) {
		switch m[1] {
		case "inbound":
			s.inbound = m[2]
		case "outbound":
			s.outbound = m[2]
		case "transparent":
			s.transparent = m[2]
		case "admin":
			s.admin = m[2]
		case "metrics":
			s.metrics = m[2]
		}
	}
	return s
}

// beside starts a sidecar with explicit listeners in front of app and towards upstream, whose spans go to agent; "" = none. A Netramesh
// has no such listeners; they stand in for redirect rules, which need root. Everything else is as its users have it.
func beside(t *testing.T, agent *agent, app, upstream string, env ...string) *sidecar {
	t.Helper()
	all := []string{"NETRA_PPROF_PORT=0", "SPANWIRE_METRICS=127.0.0.1:0"}
	if agent != nil {
		all = append(all, agent.env()...)
	}
	if app != "" {
		all = append(all, "SPANWIRE_INBOUND=127.0.0.1:0="+app)
	}
	if upstream != "" {
		all = append(all, "SPANWIRE_OUTBOUND=127.0.0.1:0="+upstream)
	}
	return launch(t, append(all, env...)...)
}

// refusesToStart runs the program to its end, which must be code 2 with a line that holds each of want.
func refusesToStart(t *testing.T, env []string, want ...string) {
	t.Helper()
	cmd := command(append([]string{"SPANWIRE_LISTEN=127.0.0.1:0", "SPANWIRE_METRICS=off", "SPANWIRE_ADMIN=off"}, env...),
		"--service-name", "x")
	var log lockedBuffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // the exit code says it
	if code := cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("%s: exit code %d, want 2; log:\n%s", env, code, log.String())
	}
	for _, w := range want {
		if !strings.Contains(log.String(), w) {
			t.Errorf("%s: the error lacks %q:\n%s", env, w, log.String())
		}
	}
}

// await polls until cond holds; the end of the process ends the test.
func (s *sidecar) await(what string, cond func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.done:
			if cond() {
				return
			}
			s.t.Fatalf("ended (%v) before %s", s.cmd.ProcessState, what)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// logged reports what the log lacks.
func (s *sidecar) logged(want ...string) {
	s.t.Helper()
	for _, w := range want {
		if !strings.Contains(s.log.String(), w) {
			s.t.Errorf("the log lacks %q", w)
		}
	}
}

// stop sends SIGTERM and waits for a clean end.
func (s *sidecar) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("does not end")
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("exit code %d", code)
	}
}

// metric returns the value of a series, such as `spanwire_refused_total{reason="self"}`; 0 when there is none.
func (s *sidecar) metric(series string) float64 {
	s.t.Helper()
	addr := s.metrics
	if strings.HasPrefix(addr, "[::]") {
		addr = "127.0.0.1" + strings.TrimPrefix(addr, "[::]")
	}
	_, body := get(s.t, addr, "/metrics")
	for _, line := range strings.Split(body, "\n") {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Fatalf("%s: %v", line, err)
			}
			return f
		}
	}
	return 0
}

// awaitMetric waits until the series is at least want.
func (s *sidecar) awaitMetric(series string, want float64) {
	s.t.Helper()
	s.await(fmt.Sprintf("%s to be %v", series, want), func() bool { return s.metric(series) >= want })
}

// status returns a field of /proc/PID/status as a number: Threads, or VmRSS in KiB.
func (s *sidecar) status(field string) int {
	s.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range strings.Split(string(data), "\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	s.t.Fatalf("no %s", field)
	return 0
}

// get returns status and body of a GET on a connection of its own.
func get(t *testing.T, addr, path string, header ...string) (int, string) {
	t.Helper()
	res, body := ask(t, "GET", addr, path, header...)
	return res.StatusCode, body
}

// ask sends a request on a connection of its own; header holds lines "Name: value".
func ask(t *testing.T, method, addr, path string, header ...string) (*http.Response, string) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	lines := strings.Join(append(header, "Connection: close"), "\r\n")
	if !strings.Contains(lines, "Host: ") {
		lines = "Host: shop.test\r\n" + lines
	}
	c.send(method + " " + path + " HTTP/1.1\r\n" + lines + "\r\n\r\n")
	res := c.response(method)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// freePort returns a port that was free a moment ago, at every address.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
