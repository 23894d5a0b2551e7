//go:build e2e

package transparency

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/internal/sidecar"
)

// modulePatience bounds one test: the slowest take some seconds on an idle machine.
const modulePatience = 90 * time.Second

// goModule is a package of tools/suites whose tests are run.
type goModule struct{ module, pkg string }

// TestGoModules runs the tests of Go's modules for WebSocket, HTTP/2 and gRPC.
func TestGoModules(t *testing.T) {
	const grpc = "google.golang.org/grpc"
	for group, list := range map[string][]goModule{
		"WebSocket": {
			{module: "github.com/gorilla/websocket"},
			{module: "golang.org/x/net", pkg: "/websocket"},
		},
		"HTTP/2": {{module: "golang.org/x/net", pkg: "/http2"}},
		"gRPC": {
			{module: grpc},
			{module: grpc, pkg: "/test"},
			{module: grpc, pkg: "/internal/transport"},
			{module: grpc, pkg: "/interop"},
			{module: grpc, pkg: "/credentials"},
			{module: grpc, pkg: "/stats"},
			{module: grpc, pkg: "/orca"},
			{module: grpc, pkg: "/balancer/grpclb"},
		},
	} {
		t.Run(strings.ReplaceAll(group, "/", "-"), func(t *testing.T) {
			t.Parallel()
			inLoopback(t, 15*time.Minute, nil, func(env *loopback) {
				for _, m := range list {
					env.compare(moduleSuite(env, m))
				}
			})
		})
	}
}

// moduleSuite returns the tests of a package of another module.
func moduleSuite(env *loopback, m goModule) suite {
	t := env.t
	const suites = "../../tools/suites"
	field := strings.Fields(goList(t, suites, "-m", "-f", "{{.Version}} {{.Dir}}", m.module))
	version, source := field[0], filepath.Join(field[1], filepath.FromSlash(m.pkg))
	path := m.module + m.pkg
	bin := sidecar.PublicCopy(t, compileTests(t, suites, "module-"+version, path))
	names := listTests(t, source, bin)
	names = append(slices.DeleteFunc(names, func(name string) bool { return name == "Test" }), methodsIn(t, source)...)
	one := func(test string) ending {
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(test), "/", "$/^") + "$"
		ctx, cancel := context.WithTimeout(t.Context(), modulePatience+10*time.Second)
		defer cancel()
		cmd := env.command(ctx, nil, "/bin/sh", "-c", `cd "$0" && exec "$@"`, source, bin, "-test.v", "-test.timeout="+modulePatience.String(), "-test.run="+pattern)
		// The modules stand in a cache that may be its owner's alone. The shell has the capability by the time it goes there.
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_DAC_READ_SEARCH}
		out, _ := output(cmd)
		return ending{output: out}
	}
	return suite{
		name: path, group: "Go modules", version: version, how: "each test in a process of its own",
		run: func(only []string, alone bool) results {
			n := goProcesses
			if alone {
				n = 1
			}
			if only == nil {
				only = names
			}
			all := results{}
			for test, e := range parallel(n, only, one) {
				// A method that this build leaves out has no result.
				if ended, ok := parseVerbose(e.output)[test]; ok {
					all[test] = ended
				}
			}
			return all
		},
	}
}

// method is a test that is a method of a suite, which a test called Test runs as Test/Name: gRPC's are.
var method = regexp.MustCompile(`(?m)^func \((?:\w+ )?\w+\) Test(\w+)\(\w+ \*testing\.T\)`)

// methodsIn returns the tests in dir that are methods.
func methodsIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range method.FindAllStringSubmatch(string(b), -1) {
			names = append(names, "Test/"+m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// goList runs go list in dir.
func goList(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}
