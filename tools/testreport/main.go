// Command testreport runs `go test` with its arguments and prints what a reader needs: a line for each package, the output of what failed,
// and at the end each skipped test with its reason, which plain `go test` keeps to itself. Where nothing may be skipped
// (SPANWIRE_REQUIRE_TOOLS, see package need) a skipped test is a failure.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/internal/need"
)

// maxEventBytes bounds a line of `go test -json`: one line of output of a test.
const maxEventBytes = 16 << 20

func main() {
	os.Exit(run(os.Args[1:]))
}

// run runs go test and returns the exit code.
func run(args []string) int {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		return 1
	}
	r := report{out: os.Stdout, output: map[test][]string{}}
	readErr := r.read(out)
	err = cmd.Wait()
	r.printSkips()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode()
	case err != nil || readErr != nil:
		fmt.Fprintln(os.Stderr, "testreport:", errors.Join(err, readErr))
		return 1
	case len(r.skips) > 0 && need.Required():
		fmt.Printf("%s is set: a skipped test is a failure\n", need.RequireVariable)
		return 1
	}
	return 0
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
}

// test names a test; Name is empty for what a package says outside of tests.
type test struct{ Package, Name string }

// report prints events as they come and keeps what is not known to matter yet.
type report struct {
	out    io.Writer
	output map[test][]string // of tests that are running
	skips  []string
}

// read reads events until the stream ends.
func (r *report) read(stream io.Reader) error {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxEventBytes)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			_, _ = fmt.Fprintf(r.out, "%s\n", lines.Bytes()) // not an event: an older toolchain's build error
			continue
		}
		r.take(e)
	}
	if err := lines.Err(); err != nil {
		_, _ = io.Copy(io.Discard, stream) // or go test would wait for its reader
		return err
	}
	return nil
}

// take handles one event.
func (r *report) take(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		_, _ = io.WriteString(r.out, e.Output)
	case "output":
		r.output[t] = append(r.output[t], e.Output)
	case "skip":
		if e.Test != "" {
			r.skips = append(r.skips, e.Test+" ("+e.Package+"): "+reason(r.output[t]))
		}
		r.finish(t, e.Test == "")
	case "fail":
		if e.Test == "" {
			r.finishUnended(e.Package)
		}
		r.finish(t, true)
	case "pass":
		r.finish(t, e.Test == "")
	}
}

// finish ends a test or package; its output is printed when show is set, but for the noise of tests that passed.
func (r *report) finish(t test, show bool) {
	if show {
		for _, line := range r.output[t] {
			if t.Name != "" || line != "PASS\n" && !strings.HasPrefix(line, "coverage:") {
				_, _ = io.WriteString(r.out, line)
			}
		}
	}
	delete(r.output, t)
}

// finishUnended prints what the tests of a package said that have no end: one panicked, or ran out of time, and took the process with it.
func (r *report) finishUnended(pkg string) {
	var unended []string
	for t := range r.output {
		if t.Package == pkg && t.Name != "" {
			unended = append(unended, t.Name)
		}
	}
	slices.Sort(unended)
	for _, name := range unended {
		r.finish(test{pkg, name}, true)
	}
}

// reason finds what a skipped test said: the lines of its output that are not the framework's.
func reason(output []string) string {
	var said []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "=== ") || strings.HasPrefix(line, "--- ") {
			continue
		}
		// "file.go:12: reason"
		if _, after, ok := strings.Cut(line, ".go:"); ok {
			if _, text, ok := strings.Cut(after, ": "); ok {
				line = text
			}
		}
		said = append(said, line)
	}
	if len(said) == 0 {
		return "no reason given"
	}
	return strings.Join(said, " ")
}

// printSkips lists the skipped tests.
func (r *report) printSkips() {
	if len(r.skips) == 0 {
		return
	}
	slices.Sort(r.skips)
	_, _ = fmt.Fprintf(r.out, "\nSkipped, %d:\n", len(r.skips))
	for _, s := range r.skips {
		_, _ = fmt.Fprintf(r.out, "  %s\n", s)
	}
}
