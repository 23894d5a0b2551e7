//go:build e2e

package transparency

import (
	"bytes"
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
)

// debianPython is Debian's Python, whose package libpython3.11-testsuite has CPython's own tests; another in PATH may have none.
const debianPython = "/usr/bin/python3"

// cpythonProcesses is how many processes run tests at once: nearly all of their time they wait.
const cpythonProcesses = 6

// cpythonRunner runs the tests of one module.
//
//go:embed testdata/cpython.py
var cpythonRunner []byte

// cpythonModules are CPython's tests of its network modules, in groups that run beside each other and take about the same time.
var cpythonModules = map[string][]string{
	"asyncio": {"test_asyncio"},
	"sockets": {"test_socket", "test_ssl", "test_smtplib", "test_socketserver"},
	"protocols": {
		"test_httplib", "test_httpservers", "test_urllib2_localnet", "test_xmlrpc", "test_ftplib", "test_poplib", "test_imaplib",
	},
}

// TestCPython runs CPython's tests of its network modules.
func TestCPython(t *testing.T) {
	version := pythonVersion(t)
	for name, modules := range cpythonModules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inLoopback(t, 12*time.Minute, nil, func(env *loopback) {
				runner := filepath.Join(env.dir, "cpython.py")
				if err := os.WriteFile(runner, cpythonRunner, 0o644); err != nil { //nolint:gosec // the suite's user reads it
					t.Fatal(err)
				}
				for _, module := range modules {
					env.compare(cpythonSuite(env, version, runner, module))
				}
			})
		})
	}
}

// pythonVersion returns the version of Debian's Python, if it has the tests.
func pythonVersion(t *testing.T) string {
	t.Helper()
	out, err := exec.Command(debianPython, "-c", "import sys, test.test_ssl; print(sys.version.split()[0])").CombinedOutput()
	if err != nil {
		need.Missing(t, "CPython's own tests", "apt-get install python3 libpython3.11-testsuite, or what the version of python3 is")
	}
	return "CPython " + strings.TrimSpace(string(out))
}

// cpythonSuite returns the tests of a module.
func cpythonSuite(env *loopback, version, runner, module string) suite {
	return suite{
		name: "CPython " + module, group: "CPython", version: version,
		how: "each class of tests in a process of its own; those that need the Internet skip themselves",
		run: func(names []string, alone bool) results {
			n := cpythonProcesses
			if alone {
				n = 1
			}
			ctx, cancel := context.WithTimeout(env.t.Context(), 6*time.Minute) // within the limit of the namespace
			defer cancel()
			cmd := env.command(ctx, nil, debianPython, append([]string{runner, strconv.Itoa(n), module}, names...)...)
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			r, parseErr := parsePython(out.Bytes())
			if err != nil || parseErr != nil {
				env.t.Errorf("%s %v: %v, %v\n%s", module, env.way, err, parseErr, tail(errs.String()))
			}
			return r
		},
	}
}
