package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	program "github.com/spanwire/spanwire/internal/sidecar"
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
	if binary, err = program.Build(dir, ".", "-ldflags", "-s -w -X main.version=1.2.3 -X main.commit=abc"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// process is a running sidecar.
type process struct {
	*program.Process
	t *testing.T
}

// launch starts a sidecar and waits for its start line. It is killed when the test ends.
func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	return &process{program.Launch(t, binary, env, args...), t}
}

// lastLine returns the last line of the log.
func (p *process) lastLine() string {
	lines := strings.Split(strings.TrimSpace(p.Log.String()), "\n")
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
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: program.Patience}
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
	cmd.Env = program.Environment(env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
