package core

import (
	"os"
	"os/exec"
	"testing"
)

// roleVariable names what the test binary is to do instead of running tests.
const roleVariable = "SPANWIRE_TEST_ROLE"

// roles are the processes that tests start: the test binary itself, with limits of its own.
var roles = map[string]func() error{"relay": runRelay, "idle": runIdlePeers}

// role returns a command that runs this binary as name.
func role(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}
