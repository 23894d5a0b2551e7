//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/internal/need"
)

// transparent returns the command of the transparent demo, whose temporary files go to dir.
func transparent(t *testing.T, ctx context.Context, dir, requests string) *exec.Cmd {
	t.Helper()
	need.Root(t)
	for _, tool := range []string{"ip", "nsenter", "setpriv", "curl"} {
		need.Tool(t, tool)
	}
	cmd := exec.CommandContext(ctx, file(t, "SPANWIRE_DEMO"), "-transparent", "-requests", requests, "-spanwire", file(t, "SPANWIRE_BIN"),
		"-service", file(t, "SPANWIRE_DEMO_SERVICE"))
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	return cmd
}

// publicDir is a temporary directory that every user may enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spanwire-transparent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the demo's other users run what is in it
		t.Fatal(err)
	}
	return dir
}

// processesOf counts the processes whose command line names dir.
func processesOf(t *testing.T, dir string) (n int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), dir) {
			n++
		}
	}
	return n
}

// TestTransparentDemo: three hosts with redirect rules and services that know of no sidecar give the same trees as with explicit listeners,
// over IPv4 and IPv6, and nothing runs afterwards.
func TestTransparentDemo(t *testing.T) {
	dir := publicDir(t)
	out, err := transparent(t, bounded(t), dir, "80").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"curl http://10.77.0.1:8080/", "curl http://[fd77::1]:8080/", "traces right       10", "└─ post /coupons/spring"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if n := processesOf(t, dir); n > 0 {
		t.Errorf("%d processes were left behind", n)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files were left behind: %v, %v", left, err)
	}
}

// TestTransparentDemoKilled kills the demo in its midst: hosts, sidecars and services end with it.
func TestTransparentDemoKilled(t *testing.T) {
	dir := publicDir(t)
	cmd := transparent(t, bounded(t), dir, "100000")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(what string, cond func() bool) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				_ = cmd.Process.Kill()
				t.Fatalf("waited in vain for %s", what)
			}
		}
	}
	await("three services and three sidecars", func() bool { return processesOf(t, dir) >= 6 })
	_ = cmd.Process.Signal(syscall.SIGKILL)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("the demo ended with %v", err)
	}
	await("the end of all of them", func() bool { return processesOf(t, dir) == 0 })
}

// TestTransparentDemoFailsOnAWrongTree has the sidecars look for the request id in a header that nobody sends.
func TestTransparentDemoFailsOnAWrongTree(t *testing.T) {
	t.Setenv("SPANWIRE_REQUEST_ID_HEADER", "X-Nobody-Sends-This")
	out, err := transparent(t, bounded(t), publicDir(t), "8").CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(out), mesh.ErrWrongTrace.Error()) {
		t.Errorf("the demo ended with %v:\n%s", err, out)
	}
}
