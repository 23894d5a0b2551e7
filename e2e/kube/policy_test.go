//go:build e2e

package kube

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/need"
)

const policyFile = "../../deploy/kubernetes/base/policy.yaml"

// other is a policy of somebody else: it changes every Pod, so that policies run a second time.
const other = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: other}
spec:
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  matchConditions:
  - {name: once, expression: "!object.spec.?initContainers.orValue([]).exists(c, c.name == 'other')"}
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: >-
        (has(object.spec.initContainers) ? [] : [JSONPatch{op: "add", path: "/spec/initContainers", value: []}]) +
        [JSONPatch{op: "add", path: "/spec/initContainers/-", value: Object.spec.initContainers{name: "other", image: "other"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: other}
spec:
  policyName: other
  matchResources: {namespaceSelector: {matchLabels: {other: enabled}}}
`

// bare is a Pod with metadata and more of its spec.
func bare(metadata, spec string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {%s}\nspec: {%scontainers: [{name: app, image: app}]}\n", metadata, spec)
}

const native = "spanwire-net-init spanwire | app"

func TestPolicy(t *testing.T) {
	c := startCluster(t)
	policy, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	c.must(string(policy), "create", "--validate=strict", "-f", "-")
	c.must(other, "create", "-f", "-")
	c.namespace("shop", "spanwire.dev/inject=enabled")
	c.namespace("both", "spanwire.dev/inject=enabled", "other=enabled")
	c.namespace("apart")
	c.eventually("the policies take effect", func() error {
		for namespace, want := range map[string]string{"shop": "spanwire", "both": "other"} {
			out, err := c.kubectl(bare("name: a", ""), "-n", namespace, "create", "--dry-run=server", "-o", "json", "-f", "-")
			if err != nil || !strings.Contains(out, `"name": "`+want+`"`) {
				return fmt.Errorf("not yet in %s: %w", namespace, err)
			}
		}
		return nil
	})
	for _, p := range []struct{ why, namespace, pod, names, service string }{
		{"bare", "shop", bare("name: cart", ""), native, "cart"},
		{"a generated name", "shop", bare("generateName: cart-", ""), native, "cart"},
		{"the label of the application's name first", "shop", bare(`name: x, labels: {app: b, app.kubernetes.io/name: a}`, ""), native, "a"},
		{"then the label app", "shop", bare(`name: x, labels: {app: b}`, ""), native, "b"},
		{"the annotation before all", "shop", bare(`name: x, labels: {app: b}, annotations: {spanwire.dev/service-name: z}`, ""), native, "z"},
		{"init containers of its own", "shop", bare("name: x", "initContainers: [{name: own, image: own}], "), "spanwire-net-init spanwire own | app", "x"},
		{"an empty list of them", "shop", bare("name: x", "initContainers: [], "), native, "x"},
		{"opted out", "shop", bare(`name: x, annotations: {spanwire.dev/inject: "false"}`, ""), "| app", ""},
		{"the host's network", "shop", bare("name: x", "hostNetwork: true, "), "| app", ""},
		{"injected before", "shop", bare("name: x", "initContainers: [{name: spanwire, image: i, restartPolicy: Always}], "), "spanwire | app", ""},
		{"rules of somebody else", "shop", bare(`name: x, annotations: {spanwire.dev/net-init: "false"}`, ""), "spanwire | app", "x"},
		{"another namespace", "apart", bare("name: x", ""), "| app", ""},
	} {
		got := c.dryRun(p.namespace, p.pod)
		if got.names() != p.names || got.service() != p.service {
			t.Errorf("%s: %q as %q, want %q as %q", p.why, got.names(), got.service(), p.names, p.service)
		}
	}
	// The order among policies is random; each runs once.
	if got := c.dryRun("both", bare("name: x", "")); strings.Count(got.names(), "spanwire ") != 1 || strings.Count(got.names(), "other") != 1 {
		t.Errorf("beside another policy: %q", got.names())
	}
	rules := c.dryRun("shop", bare(`name: x, annotations: {spanwire.dev/exclude-outbound-ports: "5432,6379", spanwire.dev/fail-open: "true"}`, ""))
	if args := strings.Join(rules.Spec.InitContainers[0].Args, " "); !strings.Contains(args, "--exclude-outbound-ports=5432,6379 --fail-open=true") {
		t.Errorf("annotations for the rules: %q", args)
	}
	controllers(t, c)
	sameAsInject(t, c)
	examples(t, c)
}

// examples applies deploy/kubernetes/examples, which has the base in it, over what is there.
func examples(t *testing.T, c *cluster) {
	t.Helper()
	c.must("", "apply", "--validate=strict", "-k", "../../deploy/kubernetes/examples")
	c.eventually("a Pod with the example's image", func() error {
		p := c.dryRun("shop", bare("name: x", ""))
		if image := p.Spec.InitContainers[1].Image; image != "registry.example.org/spanwire:1" {
			return fmt.Errorf("image %s", image)
		}
		return nil
	})
	if p := c.podOf("shop", "app=cart"); p.service() != "cart" || !strings.Contains(strings.Join(p.Spec.InitContainers[0].Args, " "), "--exclude-outbound-ports=5432") {
		t.Errorf("the example's Pod: %q, %q", p.names(), p.service())
	}
}

// controllers has the controller manager make the Pods of workloads.
func controllers(t *testing.T, c *cluster) {
	t.Helper()
	const template = "template: {metadata: {labels: {of: %s}}, spec: {%scontainers: [{name: app, image: app}]}}"
	workload := func(kind, name, spec string) string {
		group := map[bool]string{true: "apps/v1", false: "batch/v1"}[kind == "Deployment"]
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec: {%s}\n", group, kind, name, spec)
	}
	never := func(of string) string { return fmt.Sprintf(template, of, "restartPolicy: Never, ") }
	for _, w := range []struct{ kind, name, spec, of, service string }{
		{"Deployment", "check-out", "selector: {matchLabels: {of: d}}, " + fmt.Sprintf(template, "d", ""), "d", "check-out"},
		{"Job", "import", never("j"), "j", "import"},
		{"Job", "report-29012345", never("r"), "r", "report"}, // named as a CronJob names them
		{"CronJob", "nightly", `schedule: "* * * * *", suspend: false, jobTemplate: {spec: {` + never("c") + `}}`, "c", "nightly"},
	} {
		c.must(workload(w.kind, w.name, w.spec), "-n", "shop", "create", "--validate=strict", "-f", "-")
	}
	for of, service := range map[string]string{"d": "check-out", "j": "import", "r": "report", "c": "nightly"} {
		if p := c.podOf("shop", "of="+of); p.names() != native || p.service() != service {
			t.Errorf("the Pod %s: %q as %q, want %q as %q", p.Metadata.Name, p.names(), p.service(), native, service)
		}
	}
}

// sameAsInject: the policy and the command write the same containers, so that neither falls behind.
func sameAsInject(t *testing.T, c *cluster) {
	t.Helper()
	manifest := bare("name: cart", "")
	byPolicy := c.dryRun("shop", manifest)
	byCommand := c.dryRun("apart", inject(t, manifest, "--image", "ghcr.io/spanwire/spanwire:latest"))
	for i := range byCommand.Spec.InitContainers {
		a, b := byPolicy.Spec.InitContainers[i], byCommand.Spec.InitContainers[i]
		a.EnvFrom = nil // the command writes settings where the policy refers to a ConfigMap
		if fmt.Sprintf("%+v", a) != fmt.Sprintf("%+v", b) {
			t.Errorf("the policy makes\n%+v\n%s\nthe command\n%+v\n%s", a, a.SecurityContext, b, b.SecurityContext)
		}
	}
}

// inject runs spanwire inject.
func inject(t *testing.T, manifest string, args ...string) string {
	t.Helper()
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	cmd := exec.Command(bin, append([]string{"inject"}, args...)...)
	cmd.Stdin = strings.NewReader(manifest)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestInjectedManifests: what spanwire inject writes for every kind is created with strict validation of fields, and the controllers
// make Pods of it.
func TestInjectedManifests(t *testing.T) {
	c := startCluster(t)
	kinds, err := os.ReadFile("testdata/kinds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for namespace, args := range map[string][]string{"native": nil, "legacy": {"--legacy"}, "explicit": {"--set", "inbound=:8080=127.0.0.1:8000"}} {
		c.namespace(namespace)
		text := inject(t, string(kinds), args...)
		if n := strings.Count(text, "name: spanwire\n"); n < 9 {
			t.Fatalf("%s: only %d sidecars:\n%s", namespace, n, text)
		}
		c.must(text, "-n", namespace, "create", "--validate=strict", "-f", "-")
	}
	for _, app := range []string{"deployment", "statefulset", "daemonset", "replicaset", "job", "pod", "listed"} {
		if app == "daemonset" {
			continue // without nodes it has no Pods
		}
		for namespace, want := range map[string]string{
			"native": "spanwire-net-init spanwire own | app", "legacy": "own spanwire-net-init | spanwire app", "explicit": "spanwire own | app",
		} {
			if p := c.podOf(namespace, "app="+app); p.names() != want {
				t.Errorf("%s, %s: %q, want %q", namespace, app, p.names(), want)
			}
		}
	}
	restricted(t, c)
	netramesh(t, c)
}

// netramesh: the manifest that the migration guide ends with is created with strict validation, and its Pod has both containers.
func netramesh(t *testing.T, c *cluster) {
	t.Helper()
	c.namespace("netramesh")
	c.must("", "-n", "netramesh", "create", "--validate=strict", "-f", "../netramesh/testdata/nginx-after.yaml")
	if p := c.podOf("netramesh", "app=nginx"); p.names() != "netra-init | nginx netra-sidecar" {
		t.Errorf("the Pod has %q", p.names())
	}
}

// restricted: the Pod Security level "restricted" takes the sidecar, and refuses the init container that sets rules.
func restricted(t *testing.T, c *cluster) {
	t.Helper()
	c.namespace("restricted", "pod-security.kubernetes.io/enforce=restricted")
	const pod = `apiVersion: v1
kind: Pod
metadata: {name: strict}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: app, image: app, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
`
	for _, args := range [][]string{{"--no-net-init"}, {"--set", "inbound=:8080=127.0.0.1:8000"}, {"--no-net-init", "--legacy"}} {
		if _, err := c.kubectl(inject(t, pod, args...), "-n", "restricted", "create", "--dry-run=server", "--validate=strict", "-f", "-"); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	_, err := c.kubectl(inject(t, pod), "-n", "restricted", "create", "--dry-run=server", "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "spanwire-net-init") || strings.Contains(err.Error(), `"spanwire"`) {
		t.Errorf("with net-init: %v; want it refused for spanwire-net-init alone", err)
	}
}
