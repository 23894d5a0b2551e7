package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, built once as releases are.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	dir, err := os.MkdirTemp("", "spanwire-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "spanwire")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=1.2.3 -X main.commit=abc", "-o", binary,
		".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// patience bounds every wait in these tests; nothing takes nearly as long.
const patience = 20 * time.Second

// process is a running sidecar.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  lockedBuffer // stderr
	done chan struct{}
	code int

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

// environment is what a sidecar gets: what it must have, and no setting of the one who runs the tests.
func environment(extra ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, extra...)
}

var addresses = regexp.MustCompile(`\b(inbound|outbound|transparent|admin|metrics)="?([0-9.:\[\]]+)`)

// launch starts a sidecar and waits for its start line. It is killed when the test ends.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Env = environment(env...)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code says it
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if t.Failed() {
			t.Logf("log of the sidecar:\n%s", p.log.String())
		}
	})
	p.awaitLog("spanwire started")
	for _, m := range addresses.FindAllStringSubmatch(p.log.String(), -1) {
		switch m[1] {
		case "inbound":
			p.inbound = m[2]
		case "outbound":
			p.outbound = m[2]
		case "transparent":
			p.transparent = m[2]
		case "admin":
			p.admin = m[2]
		case "metrics":
			p.metrics = m[2]
		}
	}
	return p
}

// awaitLog waits until the log has text.
func (p *process) awaitLog(text string) {
	p.t.Helper()
	p.await("the log to say "+text, func() bool { return strings.Contains(p.log.String(), text) })
}

// await polls until cond holds; the end of the process ends the test.
func (p *process) await(what string, cond func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
		select {
		case <-p.done:
			if cond() {
				return
			}
			p.t.Fatalf("ended with %d before %s; log:\n%s", p.code, what, p.log.String())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain for %s; log:\n%s", what, p.log.String())
		}
	}
}

// signal sends sig.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// exit waits for the end and checks the code.
func (p *process) exit(want int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("does not end; log:\n%s", p.log.String())
	}
	if p.code != want {
		p.t.Errorf("exit code %d, want %d; log:\n%s", p.code, want, p.log.String())
	}
}

// lastLine returns the last line of the log.
func (p *process) lastLine() string {
	lines := strings.Split(strings.TrimSpace(p.log.String()), "\n")
	return lines[len(lines)-1]
}

// get returns status and body of GET http://addr/path on a connection of its own.
func (p *process) get(addr, path string) (int, string) {
	p.t.Helper()
	return p.request("GET", addr, path, "")
}

// request is get with a method and a body. A failure is status 0.
func (p *process) request(method, addr, path, body string) (int, string) {
	p.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	req, err := http.NewRequest(method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, b.String()
}

// once runs the program to its end and returns what it wrote and its exit code.
func once(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = environment(env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// closedPort returns an address that nothing listens at.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
