package sidecar

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/spanwire/spanwire/internal/need"
)

// BinaryVariable names the program that end-to-end tests run.
const BinaryVariable = "SPANWIRE_BIN"

// Binary returns the program that BinaryVariable names. Without it the test is skipped, or fails where nothing may be skipped.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv(BinaryVariable)
	if _, err := os.Stat(path); err != nil {
		need.Missing(t, BinaryVariable+" ("+err.Error()+")", "run make e2e, which builds it")
	}
	return path
}

// Build builds the program from the package at source, a path relative to the caller's directory, into dir as releases are, with further
// arguments of go build, and returns its path.
func Build(dir, source string, args ...string) (string, error) {
	bin := filepath.Join(dir, "spanwire")
	build := exec.Command("go", append([]string{"build", "-trimpath", "-o", bin}, append(args, source)...)...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// PublicCopy returns a copy of the program from that every user can run: the build's own directory may be its owner's alone.
func PublicCopy(t testing.TB, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "spanwire-public")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	to := filepath.Join(dir, filepath.Base(from))
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // other users are to run it
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o755); err != nil { //nolint:gosec // the same
		t.Fatal(err)
	}
	return to
}
