package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// readyWithin is what a start may take, from exec to the first answer of /readyz.
const readyWithin = 50 * time.Millisecond

// started is the time of the start line, which is written when /readyz answers already.
var started = regexp.MustCompile(`time=(\S+) level=INFO msg="spanwire started"`)

// A sidecar is ready within 50 ms of its start. What a busy machine adds is not the sidecar's: its own clock says when it was ready, the time
// that one of its threads was kept from a processor does not count, and of several starts the best does.
func TestReadyWithin50ms(t *testing.T) {
	best := time.Hour
	for range 10 {
		port := program.FreePort(t)
		var log program.Buffer
		cmd := exec.Command(binary, "--service-name", "x", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:"+port, "--metrics", "off",
			"--exporter", "none")
		cmd.Env, cmd.Stderr = program.Environment(), &log
		began := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var line []string
		for line == nil && time.Since(began) < program.Patience {
			time.Sleep(time.Millisecond)
			line = started.FindStringSubmatch(log.String())
		}
		if line == nil {
			t.Fatalf("no start line in %q", log.String())
		}
		ready, err := time.Parse(time.RFC3339, line[1])
		if err != nil {
			t.Fatal(err)
		}
		if r, err := http.Get("http://127.0.0.1:" + port + "/readyz"); err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("not ready behind its start line: %v, %v", r, err)
		} else {
			_ = r.Body.Close()
		}
		best = min(best, ready.Sub(began)-runDelay(t, cmd.Process.Pid))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if best <= readyWithin {
			return
		}
	}
	t.Errorf("ready after %v at best", best)
}

// runDelay returns how long that thread of a process which waited longest was ready to run without a processor: the second figure of its
// schedstat (the kernel's sched-stats documentation).
func runDelay(t *testing.T, pid int) (longest time.Duration) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		var ran, waited int64
		data, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if _, err := fmt.Sscan(string(data), &ran, &waited); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		longest = max(longest, time.Duration(waited))
	}
	return longest
}
