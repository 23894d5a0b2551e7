//go:build e2e

// Package deploy tests what deploy/ holds with the built binary: the image's root file system, the systemd unit, the compose file.
package deploy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// patience bounds whatever a test waits for.
const patience = 15 * time.Second

// maxImageBytes is what the image may have, compressed as a registry stores it.
const maxImageBytes = 12 << 20

// files is all that an image holds.
var files = []string{"etc/ssl/certs/ca-certificates.crt", "spanwire"}

// imageRoot returns the root file system of a platform, as make image-root fills it for deploy/Dockerfile.
func imageRoot(t *testing.T, arch string) string {
	t.Helper()
	dir := os.Getenv("SPANWIRE_IMAGE_ROOT")
	if dir == "" {
		need.Missing(t, "SPANWIRE_IMAGE_ROOT", "run make e2e, which builds it and sets it")
	}
	return filepath.Join(dir, arch)
}

// TestImageHasOneBinaryAndNothingElse: for each platform the files are those, static, and small; the Dockerfile copies that folder.
func TestImageHasOneBinaryAndNothingElse(t *testing.T) {
	dockerfile, err := os.ReadFile("../../deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"FROM scratch", "COPY ${TARGETARCH}/ /", "USER 1337:1337", `ENTRYPOINT ["/spanwire"]`} {
		if !slices.Contains(strings.Split(string(dockerfile), "\n"), line) {
			t.Errorf("deploy/Dockerfile has no line %q: what is tested here is not what is built", line)
		}
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		root := imageRoot(t, arch)
		var found []string
		err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				relative, _ := filepath.Rel(root, name)
				found = append(found, relative)
			}
			return err
		})
		if err != nil || !slices.Equal(found, files) {
			t.Errorf("%s: %q, %v; want %q", arch, found, err, files)
			continue
		}
		binary, err := elf.Open(filepath.Join(root, "spanwire"))
		if err != nil {
			t.Fatal(err)
		}
		if binary.Machine != machine || slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
			t.Errorf("%s: machine %v, or not static", arch, binary.Machine)
		}
		_ = binary.Close()
		if n := compressed(t, root); n > maxImageBytes {
			t.Errorf("%s: %d bytes compressed, want at most %d", arch, n, maxImageBytes)
		}
	}
}

// compressed returns the size of the root file system as a layer.
func compressed(t *testing.T, root string) int {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.AddFS(os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Len()
}

// TestImageHasTheNamesThatAreAskedFor: make image, with a docker that only writes down what it is told, builds for each platform, and tags
// what the compose file, the policy and inject ask for.
func TestImageHasTheNamesThatAreAskedFor(t *testing.T) {
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte("#!/bin/sh\necho \"$@\" >> "+dir+"/log\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	image := func(args ...string) string {
		cmd := exec.Command(need.Tool(t, "make"), append([]string{"--no-print-directory", "-C", "../..", "-o", "image-root", "image"}, args...)...)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "MAKEFLAGS=", "MAKELEVEL=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(dir, "log"))
		return string(log)
	}
	log := image()
	for _, arch := range []string{"amd64", "arm64"} {
		if !strings.Contains(log, "build --platform linux/"+arch+" --build-arg TARGETARCH="+arch+" -f deploy/Dockerfile -t ") {
			t.Errorf("not built for %s:\n%s", arch, log)
		}
	}
	asked := regexp.MustCompile(`ghcr\.io/spanwire/spanwire:[\w.-]+`)
	cmd := exec.Command(bin, "inject")
	cmd.Stdin = strings.NewReader("apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers: [{name: a}]\n")
	injected, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"spanwire inject": string(injected)}
	for _, file := range []string{"../../deploy/compose.yaml", "../../deploy/kubernetes/base/policy.yaml"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(b)
	}
	for who, text := range texts {
		name := asked.FindString(text)
		if name == "" || !regexp.MustCompile(`(?m)^tag .* `+regexp.QuoteMeta(name)+`$`).MatchString(log) {
			t.Errorf("%s asks for %q, which make image does not tag:\n%s", who, name, log)
		}
	}
	if log := image("IMAGE=registry.example:5000/a/b"); !strings.Contains(log, " registry.example:5000/a/b\n") ||
		!strings.Contains(log, " registry.example:5000/a/b:latest\n") {
		t.Errorf("a name of one's own, without a tag:\n%s", log)
	}
}

// TestImageRuns: in the root file system alone, read-only, without a privilege, the sidecar gets ready, relays, and ends.
func TestImageRuns(t *testing.T) {
	need.Root(t)
	unshare := need.Tool(t, "unshare")
	root := imageRoot(t, "amd64")
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "traced: %v", r.Header.Get("traceparent") != "")
	}))
	defer app.Close()
	inbound, admin := "127.0.0.1:"+sidecar.FreePort(t), "127.0.0.1:"+sidecar.FreePort(t)
	// The mounts end with the namespace, which ends with the process.
	const script = `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec chroot --userspec=1337:1337 "$0" /spanwire "$@"`
	cmd := exec.Command(unshare, "--mount", "sh", "-c", script, root, "run", "--service-name", "x", "--exporter", "none",
		"--inbound", inbound+"="+app.Listener.Addr().String(), "--admin", admin)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	eventually(t, func() error {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			return fmt.Errorf("readyz: %s", resp.Status)
		}
		return nil
	})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "Uid:\t1337\t1337") || !strings.Contains(string(status), "CapEff:\t0000000000000000") {
		t.Errorf("the sidecar's user and capabilities: %v\n%s", err, status)
	}
	resp, err := http.Get("http://" + inbound + "/")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(body) != "traced: true" {
		t.Errorf("through the sidecar: %q", body)
	}
	http.DefaultClient.CloseIdleConnections()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the end: %v\n%s", err, log.String())
	}
}

// eventually waits until ready returns nil.
func eventually(t *testing.T, ready func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
