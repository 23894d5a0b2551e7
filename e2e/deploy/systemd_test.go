//go:build e2e

package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/spanwire/spanwire/internal/need"
)

const (
	unitFile  = "../../deploy/systemd/spanwire.service"
	envFile   = "../../deploy/systemd/spanwire.env"
	installed = "/usr/local/bin/spanwire"
)

// unit returns the lines of the unit with the built binary and the environment file of the tree in place of the installed ones.
func unit(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	b, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	env, err := filepath.Abs(envFile)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), installed, bin)
	return strings.ReplaceAll(text, "/etc/spanwire/spanwire.env", env)
}

func TestSystemdTakesTheUnit(t *testing.T) {
	analyze := need.Tool(t, "systemd-analyze")
	file := filepath.Join(t.TempDir(), "spanwire.service")
	if err := os.WriteFile(file, []byte(unit(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "spanwire") { // it also judges units of the machine
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	if err != nil && t.Failed() {
		t.Error(err)
	}
}

// inNamespace does what systemd does with the lines of the unit, in the order in which it does: the environment file, ExecStart as
// the user, ExecStartPost, and later ExecStop and SIGTERM.
const inNamespace = `set -eu
ip link set lo up
set -a; . "$ENV_FILE"; set +a
as() { case "$1" in +*) $(echo "$1" | cut -c2-) ;; *) setpriv --reuid 1337 --regid 1337 --clear-groups $1 ;; esac; }
setpriv --reuid 1337 --regid 1337 --clear-groups $START & pid=$!
trap 'kill -9 $pid 2>/dev/null || true' EXIT
echo "$POST" | while read -r line; do as "$line"; done
echo "== installed"; "$BIN" intercept show
"$BIN" intercept check; echo "== checked"
as "$STOP"
echo "== removed"; "$BIN" intercept show || true
kill -TERM $pid; wait $pid; trap - EXIT
echo "== ended"
`

func TestSystemdLinesRun(t *testing.T) {
	need.Root(t)
	for _, tool := range []string{"unshare", "ip", "setpriv"} {
		need.Tool(t, tool)
	}
	text := unit(t)
	lines := func(key string) string {
		var all []string
		for _, l := range strings.Split(text, "\n") {
			if value, ok := strings.CutPrefix(l, key+"="); ok {
				all = append(all, value)
			}
		}
		return strings.Join(all, "\n")
	}
	env, err := filepath.Abs(envFile)
	if err != nil {
		t.Fatal(err)
	}
	if lines("User") != "1337" || lines("Group") != "1337" {
		t.Fatalf("user %q, group %q: the test runs the sidecar as 1337", lines("User"), lines("Group"))
	}
	cmd := exec.Command("sh", "-c", inNamespace)
	cmd.Env = append(os.Environ(), "ENV_FILE="+env, "BIN="+os.Getenv("SPANWIRE_BIN"), "START="+lines("ExecStart"),
		"POST="+lines("ExecStartPost"), "STOP="+lines("ExecStop"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	said := out.String()
	shown, _, _ := strings.Cut(said[strings.Index(said, "== installed"):], "== checked")
	for _, want := range []string{"8000", "14956"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the rules do not speak of %s:\n%s", want, said)
		}
	}
	if _, end, _ := strings.Cut(said, "== removed\n"); !strings.HasPrefix(end, "no rules are installed\n") || !strings.HasSuffix(end, "== ended\n") {
		t.Errorf("the end: %q of\n%s", end, said)
	}
}
