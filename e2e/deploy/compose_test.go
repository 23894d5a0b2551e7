//go:build e2e

package deploy

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/spanwire/spanwire/internal/need"
)

// TestComposeSidecarsStart: the commands of the sidecars in the compose file start and get ready, each in a network namespace of its
// own, as compose has it; what they share with a service, that service is in the file.
func TestComposeSidecarsStart(t *testing.T) {
	need.Root(t)
	need.Tool(t, "ip")
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	b, err := os.ReadFile("../../deploy/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image       string
			NetworkMode string   `yaml:"network_mode"`
			CapDrop     []string `yaml:"cap_drop"`
			Command     []string
		}
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	const script = `ip link set lo up; "$@" & pid=$!
"$1" wait --timeout 10s || { kill -9 $pid; exit 1; }
kill -TERM $pid; wait $pid`
	sidecars := 0
	for name, s := range file.Services {
		beside, ok := strings.CutPrefix(s.NetworkMode, "service:")
		if !ok {
			continue
		}
		sidecars++
		if _, ok := file.Services[beside]; !ok || len(s.CapDrop) != 1 || s.CapDrop[0] != "ALL" || !strings.Contains(s.Image, "spanwire") {
			t.Errorf("%s: beside %q, capabilities dropped: %q, image %q", name, beside, s.CapDrop, s.Image)
		}
		cmd := exec.Command("sh", append([]string{"-euc", script, "sh", bin}, s.Command...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if sidecars != 2 {
		t.Errorf("%d sidecars, want one beside each service", sidecars)
	}
}
