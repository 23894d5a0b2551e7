//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/mesh"
)

// startDemo starts the demo with more requests than it can send before the test is done with it.
func startDemo(t *testing.T, args ...string) *mesh.Process {
	t.Helper()
	args = append([]string{"-spanwire", file(t, "SPANWIRE_BIN"), "-service", file(t, "SPANWIRE_DEMO_SERVICE")}, args...)
	p, err := mesh.StartProcess("demo", file(t, "SPANWIRE_DEMO"), args, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// children returns the process ids that the demo has named: a service and a sidecar each for three.
func children(t *testing.T, output string) []int {
	t.Helper()
	var pids []int
	for _, match := range regexp.MustCompile(`pid (\d+)`).FindAllStringSubmatch(output, -1) {
		pid, err := strconv.Atoi(match[1])
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 6 {
		t.Fatalf("the demo named %d processes, want 6:\n%s", len(pids), output)
	}
	return pids
}

// running reports whether the process exists and is not a zombie.
func running(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(status), "\nState:\tZ")
}

// TestDemoLeavesNothingBehind ends the demo in the middle of its burst and looks for its children.
func TestDemoLeavesNothingBehind(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			ctx := bounded(t)
			p := startDemo(t, "-requests", "1000000")
			err := p.Await(ctx, func(output string) bool { return strings.Contains(output, "Sending") })
			if err != nil {
				t.Fatal(err)
			}
			pids := children(t, p.Output())
			for _, pid := range pids {
				if !running(pid) {
					t.Errorf("%d does not run while the demo does", pid)
				}
			}
			if err := syscall.Kill(p.PID(), signal); err != nil {
				t.Fatal(err)
			}
			if err := p.Await(ctx, func(string) bool { return !p.Alive() }); err != nil && !errors.Is(err, mesh.ErrExited) {
				t.Fatal(err)
			}
			if code := p.ExitCode(); code == 0 {
				t.Errorf("exit code %d", code)
			}
			// The kernel kills the children of a killed parent a moment later.
			gone := func() bool {
				for _, pid := range pids {
					if running(pid) {
						return false
					}
				}
				return true
			}
			for tick := time.NewTicker(10 * time.Millisecond); !gone(); <-tick.C {
				if ctx.Err() != nil {
					t.Fatalf("left behind: some of %v", pids)
				}
			}
		})
	}
}

// TestDemoFailsOnAWrongTree gives the demo a sidecar that looks for the request id in a header that nobody sends, so that the services'
// calls cannot be joined.
func TestDemoFailsOnAWrongTree(t *testing.T) {
	wrapper := filepath.Join(t.TempDir(), "spanwire")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" --request-id-header X-Nobody-Sends-This\n", file(t, "SPANWIRE_BIN"))
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, file(t, "SPANWIRE_DEMO"), "-spanwire", wrapper, "-service", file(t, "SPANWIRE_DEMO_SERVICE"),
		"-requests", "4").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), mesh.ErrWrongTrace.Error()) {
		t.Errorf("the demo ended with %v:\n%s", err, out)
	}
}

// TestDemoSaysWhereTheTraceIs: the address that the demo prints is that of the trace it has drawn, which it has read back from the server by that
// id; givesBack looks at what is there.
func TestDemoSaysWhereTheTraceIs(t *testing.T) {
	for _, c := range []struct {
		name  string
		pages pages
		args  []string
	}{
		{"Zipkin", zipkinPages, []string{"-collector", "zipkin", "-zipkin-jar", file(t, "SPANWIRE_ZIPKIN_JAR")}},
		{"Jaeger", jaegerPages, []string{"-collector", "jaeger", "-jaeger", file(t, "SPANWIRE_JAEGER")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"-spanwire", file(t, "SPANWIRE_BIN"), "-service", file(t, "SPANWIRE_DEMO_SERVICE"), "-requests", "4"}, c.args...)
			out, err := exec.CommandContext(bounded(t), file(t, "SPANWIRE_DEMO"), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			drawn := regexp.MustCompile(`(?m)^Trace ([0-9a-f]{32}) of `).FindSubmatch(out)
			told := regexp.MustCompile(`In ` + c.name + `: http://127\.0\.0\.1:\d+` + c.pages.trace + `([0-9a-f]+)\n`).FindSubmatch(out)
			if drawn == nil || told == nil || string(drawn[1]) != string(told[1]) {
				t.Errorf("drawn %q, told %q:\n%s", drawn, told, out)
			}
		})
	}
}
