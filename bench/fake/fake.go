// Package fake has programs that stand in for the sidecar and for spanload in tests of the measurement: a sidecar that loses spans or answers
// wrongly, a collector that writes down what it is told. They are the test's own executable under another name, so Main must be called first
// in TestMain.
package fake

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Mode is how the sidecar that is none behaves.
type Mode string

// The modes.
const (
	Honest Mode = "honest"
	// Lossy sends no span for one request of ten, Extra sends two.
	Lossy Mode = "lossy"
	Extra Mode = "extra"
	// Lying answers other bytes, as many as it should.
	Lying Mode = "lying"
	// LyingSecond does so through its second listener only.
	LyingSecond Mode = "lying-second"
	// Turning answers right at first, and 503 later.
	Turning Mode = "turning"
)

// Environment variables that tell the programs what to be.
const (
	modeVariable = "SPANBENCH_FAKE_MODE" // of the sidecar
	logVariable  = "SPANBENCH_FAKE_LOG"  // the file that the collector writes to
	realVariable = "SPANBENCH_FAKE_REAL" // the directory of the real programs
)

// Main becomes one of the programs when the executable was started under its name, and then does not return.
func Main() {
	name := filepath.Base(os.Args[0])
	if os.Getenv(modeVariable) == "" || len(os.Args) < 2 {
		return
	}
	var err error
	switch {
	case name == "spanwire" && os.Args[1] == "run":
		err = sidecar(Mode(os.Getenv(modeVariable)), os.Args[2:])
	case name == "spanwire":
		fmt.Println("spanwire fake")
	case name == "spanload" && os.Args[1] == "sink":
		err = collector(os.Getenv(logVariable), os.Args[2:])
	case name == "spanload":
		path := filepath.Join(os.Getenv(realVariable), name)
		err = syscall.Exec(path, append([]string{path}, os.Args[1:]...), os.Environ())
	default:
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "fake %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// testing is what Install needs of a test.
type testing interface {
	Helper()
	TempDir() string
	Setenv(name, value string)
	Fatal(args ...any)
}

// Install makes a directory with the programs, for peer.Tools.Own, and returns it with the file in which the collector writes a line for each
// request that changes something. realPrograms is a directory with the real spanload.
func Install(t testing, mode Mode, realPrograms string) (dir, log string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for _, name := range []string{"spanwire", "spanload"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	log = filepath.Join(dir, "collector.log")
	t.Setenv(modeVariable, string(mode))
	t.Setenv(logVariable, log)
	t.Setenv(realVariable, realPrograms)
	return dir, log
}

// value returns what follows a flag; empty when it is not there.
func value(args []string, flag string) string {
	for i, arg := range args[:max(0, len(args)-1)] {
		if arg == flag {
			return args[i+1]
		}
	}
	return ""
}
