// Package netns gives a test a network namespace of its own, so that it may redirect traffic, drop packets and use any port without
// touching the machine's network. What is in a namespace ends with the last process in it (man 7 network_namespaces). It is for tests only,
// and they need root.
package netns

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
)

// variable names the test that runs in a namespace, in the environment of the process that does.
const variable = "SPANWIRE_TEST_NAMESPACE"

// Isolated runs body in a network namespace of its own, with its loopback interface up: it runs this very test of this binary again
// there, for at most limit. The log of a test that passes is shown too. Tools that body needs are looked for before.
func Isolated(t *testing.T, limit time.Duration, tools []string, body func()) {
	t.Helper()
	if Enter(t, limit, tools...) {
		body()
	}
}

// Enter does what Isolated does for a test that is all body: it reports whether the caller is the one in the namespace, and returns to the
// one outside when that has passed.
func Enter(t *testing.T, limit time.Duration, tools ...string) bool {
	t.Helper()
	if Inside(t) {
		Run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	need.Root(t)
	for _, tool := range append([]string{"ip"}, tools...) {
		need.Tool(t, tool)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout="+limit.String())
	cmd.Env = append(os.Environ(), variable+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Fatalf("in the namespace: %v\n%s", err, out)
	}
	t.Logf("in the namespace:\n%s", out)
	return false
}

// Inside reports whether the test is the one that Isolated runs in the namespace.
func Inside(t *testing.T) bool { return os.Getenv(variable) == t.Name() }

// Run runs a tool and returns what it wrote; its failure ends the test.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(need.Tool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Load has nft read a set of rules, all or none (man 8 nft).
func Load(t testing.TB, rules string) {
	t.Helper()
	cmd := exec.Command(need.Tool(t, "nft"), "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v\n%s\n%s", err, out, rules)
	}
}

// Address returns the arguments of ip that give the address a to the interface dev; a v6 address is usable at once (nodad).
func Address(a, dev string) []string {
	if strings.Contains(a, ":") {
		return []string{"address", "add", a + "/64", "dev", dev, "nodad"}
	}
	return []string{"address", "add", a + "/24", "dev", dev}
}
