//go:build e2e

package transparency

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/sidecar"
)

// goPatience bounds one test of Go's: the slowest take some seconds on an idle machine.
const goPatience = 60 * time.Second

// TestGoStandardLibrary runs the tests of Go's own network packages.
func TestGoStandardLibrary(t *testing.T) {
	for _, pkg := range []string{"net", "net/http", "net/http/httputil", "net/rpc", "net/smtp"} {
		t.Run(strings.ReplaceAll(pkg, "/", "-"), func(t *testing.T) {
			t.Parallel()
			inLoopback(t, 10*time.Minute, nil, func(env *loopback) { env.compare(goSuite(env, pkg)) })
		})
	}
}

// goSuite returns the tests of a package of the standard library.
func goSuite(env *loopback, pkg string) suite {
	t := env.t
	source := filepath.Join(goRoot(t), "src", filepath.FromSlash(pkg))
	bin := sidecar.PublicCopy(t, compileTests(t, source, "std-"+runtime.Version(), pkg))
	short := map[string]bool{}
	for _, test := range needInternetIn(t, source) {
		short[test] = true
	}
	one := func(test string) ending {
		ctx, cancel := context.WithTimeout(t.Context(), goPatience+5*time.Second)
		defer cancel()
		args := []string{"-test.run=^" + regexp.QuoteMeta(test) + "$", "-test.v", "-test.timeout=" + goPatience.String()}
		if short[test] {
			args = append(args, "-test.short")
		}
		// GO_GCFLAGS has the tests believe that they cannot run the compiler (internal/testenv).
		cmd := env.command(ctx, []string{"GO_GCFLAGS=none"}, bin, args...)
		cmd.Dir = source
		out, ok := output(cmd)
		return parseGo(test, out, ok)
	}
	return suite{
		name: "Go " + pkg, group: "Go standard library", version: runtime.Version(),
		how: "each test in a process of its own; those that need the Internet (with -short) or compile programs skip themselves",
		run: func(names []string, alone bool) results {
			n := goProcesses
			if alone {
				n = 1
			}
			if names == nil {
				names = listTests(t, source, bin)
			}
			return parallel(n, names, one)
		},
	}
}

// goProcesses is how many tests run at once: most of them wait.
const goProcesses = 4

// goRoot is where Go is installed.
func goRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// compileTests compiles the tests of a package, from dir, and keeps the binary outside the tree, under the name of its module and version.
func compileTests(t *testing.T, dir, version, pkg string) string {
	t.Helper()
	cache := os.Getenv("SPANWIRE_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		cache = filepath.Join(user, "spanwire")
	}
	bin := filepath.Join(cache, "suites", version, strings.ReplaceAll(pkg, "/", "-")+".test")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	if err := os.MkdirAll(filepath.Dir(bin), 0o755); err != nil { //nolint:gosec // a cache
		t.Fatal(err)
	}
	cmd := exec.Command("go", "test", "-c", "-o", bin+".new", pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go test -c %s: %v\n%s", pkg, err, out)
	}
	if err := os.Rename(bin+".new", bin); err != nil {
		t.Fatal(err)
	}
	return bin
}

// listTests lists the tests that a test binary has.
func listTests(t *testing.T, dir, bin string) (names []string) {
	t.Helper()
	cmd := exec.Command(bin, "-test.list=^Test")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s -test.list: %v", bin, err)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Test") {
			names = append(names, strings.TrimSpace(line))
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s lists no tests:\n%s", bin, out)
	}
	return names
}

// needInternetIn returns the tests in dir that need the Internet.
func needInternetIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range needInternet(string(b)) {
			found[test] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
