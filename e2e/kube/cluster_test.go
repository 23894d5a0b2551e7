//go:build e2e

// Package kube tests what Kubernetes makes of our manifests: a real API server with etcd and the controller manager, as ordinary
// processes on loopback. No kubelet runs, so no container does.
package kube

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// patience bounds whatever a test waits for; the server is ready in seconds on an idle machine.
const patience = 3 * time.Minute

// cluster is a running API server.
type cluster struct {
	t          *testing.T
	bin, dir   string
	kubeconfig string
}

// startCluster starts etcd, the API server and the controller manager; they end with the test.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	bin := os.Getenv("SPANWIRE_KUBE")
	if _, err := os.Stat(filepath.Join(bin, "kube-apiserver")); bin == "" || err != nil {
		need.Missing(t, "SPANWIRE_KUBE", "run make e2e, which builds Kubernetes and sets it")
	}
	c := &cluster{t: t, bin: bin, dir: t.TempDir()}
	c.write("tokens.csv", "token,admin,admin,system:masters\n")
	c.write("sa.key", serviceAccountKey(t))
	client, peer, api := sidecar.FreePort(t), sidecar.FreePort(t), sidecar.FreePort(t)
	url := func(port string) string { return "http://127.0.0.1:" + port }
	c.start("etcd", "--data-dir", c.path("data"), "--unsafe-no-fsync", "--listen-client-urls", url(client), "--advertise-client-urls", url(client),
		"--listen-peer-urls", url(peer), "--initial-advertise-peer-urls", url(peer), "--initial-cluster", "default="+url(peer))
	c.start("kube-apiserver", "--etcd-servers="+url(client), "--bind-address=127.0.0.1", "--secure-port="+api, "--cert-dir="+c.path("certs"),
		"--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+c.path("sa.key"), "--service-account-signing-key-file="+c.path("sa.key"),
		"--token-auth-file="+c.path("tokens.csv"), "--authorization-mode=RBAC", "--allow-privileged=true")
	c.kubeconfig = c.write("kubeconfig", `{"apiVersion": "v1", "kind": "Config", "current-context": "a",
"clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:`+api+`", "insecure-skip-tls-verify": true}}],
"users": [{"name": "a", "user": {"token": "token"}}], "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}]}`)
	http := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: 2 * time.Second}
	c.eventually("the API server is ready", func() error {
		request, err := newRequest(api)
		if err != nil {
			return err
		}
		resp, err := http.Do(request)
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			return fmt.Errorf("/readyz: %s", resp.Status)
		}
		return nil
	})
	c.start("kube-controller-manager", "--kubeconfig="+c.kubeconfig, "--service-account-private-key-file="+c.path("sa.key"), "--leader-elect=false",
		"--secure-port=0") // no port: it would be taken a minute after it was found free
	return c
}

func newRequest(port string) (*http.Request, error) {
	r, err := http.NewRequest(http.MethodGet, "https://127.0.0.1:"+port+"/readyz", nil)
	if err == nil {
		r.Header.Set("Authorization", "Bearer token")
	}
	return r, err
}

func serviceAccountKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

func (c *cluster) write(name, text string) string {
	c.t.Helper()
	if err := os.WriteFile(c.path(name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return c.path(name)
}

// start runs one of the programs until the test ends; its log is shown when the test failed.
func (c *cluster) start(name string, args ...string) {
	c.t.Helper()
	log, err := os.Create(c.path(name + ".log"))
	if err != nil {
		c.t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if b, err := os.ReadFile(log.Name()); c.t.Failed() && err == nil {
			c.t.Logf("%s said at the end:\n%s", name, b[max(0, len(b)-2000):])
		}
	})
}

// kubectl runs kubectl with stdin and returns what it wrote.
func (c *cluster) kubectl(stdin string, args ...string) (stdout string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig", c.kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+c.dir) // its cache
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), err
}

// must is kubectl that may not fail.
func (c *cluster) must(stdin string, args ...string) string {
	c.t.Helper()
	out, err := c.kubectl(stdin, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// namespace makes a namespace with labels and waits until its service account is there.
func (c *cluster) namespace(name string, labels ...string) {
	c.t.Helper()
	c.must("", "create", "namespace", name)
	if len(labels) > 0 {
		c.must("", append([]string{"label", "namespace", name}, labels...)...)
	}
	c.eventually("the service account of "+name, func() error {
		_, err := c.kubectl("", "-n", name, "get", "serviceaccount", "default")
		return err
	})
}

// eventually waits until ready returns nil.
func (c *cluster) eventually(what string, ready func() error) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// container is what the tests look at.
type container struct {
	Name          string
	Image         string
	Args          []string
	RestartPolicy string
	Env           []struct{ Name, Value string }
	LivenessProbe json.RawMessage
}

// env returns the value of a variable.
func (c *container) env(name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

type podObject struct {
	Metadata struct {
		Name, GenerateName string
		Labels             map[string]string
	}
	Spec struct{ InitContainers, Containers []container }
}

// names returns the names of the init containers, then of the containers after a bar.
func (p *podObject) names() string {
	var names []string
	for _, c := range p.Spec.InitContainers {
		names = append(names, c.Name)
	}
	names = append(names, "|")
	for _, c := range p.Spec.Containers {
		names = append(names, c.Name)
	}
	return strings.Join(names, " ")
}

// service returns the service name that the sidecar of the Pod has, "" without a sidecar.
func (p *podObject) service() string {
	for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
		if c.Name == "spanwire" {
			return c.env("SPANWIRE_SERVICE_NAME")
		}
	}
	return ""
}

// decode reads a Pod.
func (c *cluster) decode(text string) *podObject {
	c.t.Helper()
	p := &podObject{}
	if err := json.Unmarshal([]byte(text), p); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	return p
}

// dryRun creates a Pod as far as the API server's admission and validation go.
func (c *cluster) dryRun(namespace, manifest string) *podObject {
	c.t.Helper()
	return c.decode(c.must(manifest, "-n", namespace, "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-"))
}

// containers are the init containers and the containers of a Pod that is created as far as dryRun goes, with all that they have.
func (c *cluster) containers(namespace, manifest string) (all []map[string]any) {
	c.t.Helper()
	var p struct {
		Spec struct{ InitContainers, Containers []map[string]any }
	}
	text := c.must(manifest, "-n", namespace, "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-")
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		c.t.Fatalf("%v: %s", err, text)
	}
	return append(p.Spec.InitContainers, p.Spec.Containers...)
}

// podOf waits for a Pod with the label and returns it.
func (c *cluster) podOf(namespace, label string) *podObject {
	c.t.Helper()
	var found *podObject
	c.eventually("a Pod with "+label, func() error {
		out, err := c.kubectl("", "-n", namespace, "get", "pods", "-l", label, "-o", "json")
		if err != nil {
			return err
		}
		var list struct{ Items []podObject }
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return fmt.Errorf("none yet")
		}
		found = &list.Items[0]
		return nil
	})
	return found
}
