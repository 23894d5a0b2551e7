// Package netramesh tests the sidecar in the place of a Netramesh: started as Netramesh's users start it, with --service-name and
// variables alone, and observed from the outside: by the Jaeger agent that gets its spans, by the services on both its sides, by its
// metrics, its log and its exit code. docs/netramesh.md says row by row what is the same.
package netramesh

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// patience bounds every wait in these tests; nothing takes nearly as long.
const patience = program.Patience

// binary is the program under test: the one that is given, or one that is built once.
var binary string

func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	if os.Getenv(roleVariable) == callerRole {
		return beCaller()
	}
	if binary = os.Getenv(program.BinaryVariable); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "spanwire-netramesh")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary, err = program.Build(dir, "../../cmd/spanwire"); err == nil {
		err = os.Setenv(program.BinaryVariable, binary) // for a test that runs again in a namespace
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// sidecar is a running process.
type sidecar struct {
	*program.Process
	t *testing.T
}

// command returns the program with nothing but env in its environment.
func command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = program.Environment(env...)
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
	return &sidecar{program.Start(t, cmd), t}
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
	var log program.Buffer
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

// setting is an entry of GET /config.
type setting struct {
	Values []string
	Origin string
}

// setting returns what a setting is, and what says so.
func (s *sidecar) setting(name string) setting {
	s.t.Helper()
	_, body := get(s.t, s.Admin, "/config")
	var config struct {
		Settings []struct {
			Name string
			setting
		}
	}
	if err := json.Unmarshal([]byte(body), &config); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	for _, entry := range config.Settings {
		if entry.Name == name {
			return entry.setting
		}
	}
	s.t.Fatalf("there is no setting %s", name)
	return setting{}
}

// logged reports what the log lacks.
func (s *sidecar) logged(want ...string) {
	s.t.Helper()
	for _, w := range want {
		if !strings.Contains(s.Log.String(), w) {
			s.t.Errorf("the log lacks %q", w)
		}
	}
}

// knock opens a connection to addr on which the sidecar finds text at once, however busy the machine is: it is stopped meanwhile. What refuses
// a connection a moment later has the request then.
func (s *sidecar) knock(addr, text string) *conn {
	s.t.Helper()
	s.Signal(syscall.SIGSTOP)
	defer s.Signal(syscall.SIGCONT)
	// Told when all its threads have stopped (man 2 waitid).
	if err := unix.Waitid(unix.P_PID, s.Cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		s.t.Fatal(err)
	}
	c := dial(s.t, addr)
	c.send(text)
	return c
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
