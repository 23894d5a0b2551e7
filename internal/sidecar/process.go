// Package sidecar runs the built program for a test and observes it from the outside: its log, its metrics, its exit code, and what the
// kernel says of it. It is for tests only.
package sidecar

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Patience bounds every wait here; nothing takes nearly as long.
const Patience = 20 * time.Second

// Process is a running sidecar. Its methods end the test on failure, so they belong to the test's own goroutine; Log and Scrape excepted.
type Process struct {
	Cmd *exec.Cmd
	Log Buffer // what it wrote to stderr

	// Where its listeners are; "" = there is none. One at every address is given as one at 127.0.0.1.
	Inbound, Outbound, Transparent, Admin, Metrics string

	t    testing.TB
	done chan struct{}
}

// Buffer collects output while others read it.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Environment returns what a sidecar needs, extra, and no setting of the one who runs the tests.
func Environment(extra ...string) (env []string) {
	for _, name := range [...]string{"PATH", "HOME", raceOptions} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return append(env, extra...)
}

// Launch starts bin with args and env, and nothing else, and waits for its start line.
func Launch(t testing.TB, bin string, env []string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Env = Environment(env...)
	return Start(t, cmd)
}

var addresses = regexp.MustCompile(`\b(inbound|outbound|transparent|admin|metrics)="?([0-9.:\[\]]+)`)

// Start starts cmd and waits for its start line. It is killed when the test ends, and its log shown if the test failed.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t, Cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &p.Log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait() // the exit code says it
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("log of the sidecar:\n%s", p.Log.String())
		}
	})
	p.AwaitLog("spanwire started")
	for _, m := range addresses.FindAllStringSubmatch(p.Log.String(), -1) {
		addr := m[2]
		if port, ok := strings.CutPrefix(addr, "[::]"); ok {
			addr = "127.0.0.1" + port
		}
		switch m[1] {
		case "inbound":
			p.Inbound = addr
		case "outbound":
			p.Outbound = addr
		case "transparent":
			p.Transparent = addr
		case "admin":
			p.Admin = addr
		case "metrics":
			p.Metrics = addr
		}
	}
	return p
}

// Await polls until cond holds; the end of the process ends the test.
func (p *Process) Await(what string, cond func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(Patience); !cond(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.done:
			if cond() {
				return
			}
			p.t.Fatalf("ended (%v) before %s; log:\n%s", p.Cmd.ProcessState, what, p.Log.String())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited in vain for %s; log:\n%s", what, p.Log.String())
		}
	}
}

// AwaitLog waits until the log has text.
func (p *Process) AwaitLog(text string) {
	p.t.Helper()
	p.Await("the log to say "+text, func() bool { return strings.Contains(p.Log.String(), text) })
}

// AwaitMetric waits until the series is at least want.
func (p *Process) AwaitMetric(series string, want float64) {
	p.t.Helper()
	p.Await(fmt.Sprintf("%s to be %v", series, want), func() bool { return p.Metric(series) >= want })
}

// Scrape returns the text of its metrics; "" when they cannot be had.
func (p *Process) Scrape() string {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Metrics+"/metrics", http.NoBody)
	if err != nil {
		return ""
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return ""
	}
	return string(body)
}

// answered is Scrape that waits for an answer: what cannot be read is not 0.
func (p *Process) answered() (metrics string) {
	p.t.Helper()
	p.Await("its metrics", func() bool {
		metrics = p.Scrape()
		return metrics != ""
	})
	return metrics
}

// Metric returns the value of a series, such as `spanwire_refused_total{reason="self"}`; 0 when the metrics have none.
func (p *Process) Metric(series string) float64 {
	p.t.Helper()
	for line := range strings.Lines(p.answered()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return number(value)
		}
	}
	return 0
}

// Sum returns the sum over all series of the metric name; 0 when the metrics have none.
func (p *Process) Sum(name string) (sum float64) {
	p.t.Helper()
	for line := range strings.Lines(p.answered()) {
		series, value, _ := strings.Cut(line, " ")
		if bare, _, _ := strings.Cut(series, "{"); bare == name {
			sum += number(value)
		}
	}
	return sum
}

func number(s string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil {
		return 0
	}
	return f
}

// Signal sends sig.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
}

// Exit waits for the end and checks the code.
func (p *Process) Exit(want int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(Patience):
		p.t.Fatalf("does not end; log:\n%s", p.Log.String())
	}
	if code := p.Cmd.ProcessState.ExitCode(); code != want {
		p.t.Errorf("exit code %d, want %d; log:\n%s", code, want, p.Log.String())
	}
}

// Stop sends SIGTERM and waits for a clean end.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	p.Exit(0)
}

// Kill ends the process at once and waits for its end; one that has ended is left alone.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // fails only when it has ended
	<-p.done
}

// Status returns a field of /proc/PID/status as a number: Threads, or VmRSS in KiB (man 5 proc).
func (p *Process) Status(field string) int {
	p.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				p.t.Fatal(err)
			}
			return n
		}
	}
	p.t.Fatalf("no %s", field)
	return 0
}

// Descriptors returns how many descriptors it has open.
func (p *Process) Descriptors() int {
	p.t.Helper()
	return DescriptorsOf(p.t, p.Cmd.Process.Pid)
}

// DescriptorsOf returns how many descriptors a process has open (man 5 proc_pid_fd).
func DescriptorsOf(t testing.TB, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
