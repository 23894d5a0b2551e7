//go:build e2e

package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/spanwire/spanwire/internal/need"
)

const base = "../../deploy/kubernetes/base"

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
	c.must("", "create", "--validate=strict", "-k", base)
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
		_, err := c.kubectl(bare(`name: a, annotations: {spanwire.dev/no: such}`, ""), "-n", "shop", "create", "--dry-run=server", "-f", "-")
		if err == nil {
			return errors.New("not yet refused")
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
		{"Windows", "shop", bare("name: x", "os: {name: windows}, "), "| app", ""},
		{"Linux", "shop", bare("name: x", "os: {name: linux}, "), native, "x"},
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
	refusals(t, c)
	wrongProbes(t, c)
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

// TestPoliciesKnowEveryRule: the flags of intercept add that inject takes, the policies take.
func TestPoliciesKnowEveryRule(t *testing.T) {
	names := taken(t, "flag of intercept add (")
	if len(names) < 11 {
		t.Fatalf("the flags are not listed any more: %q", names)
	}
	for _, file := range []string{"policy.yaml", "validation.yaml"} {
		text := read(t, file)
		for _, name := range names {
			if !strings.Contains(text, "'"+name+"'") && !strings.Contains(text, "[?'spanwire.dev/"+name+"']") {
				t.Errorf("%s does not know the annotation %s", file, name)
			}
		}
	}
}

// TestPoliciesKnowEverySetting: the settings that validation.yaml takes are those that inject takes, no fewer and no more.
func TestPoliciesKnowEverySetting(t *testing.T) {
	_, list, _ := strings.Cut(read(t, "validation.yaml"), "- name: settings\n    expression: >-\n      [")
	list, _, _ = strings.Cut(list, "]")
	var known []string
	for _, name := range strings.Split(list, ",") {
		known = append(known, strings.Trim(strings.TrimSpace(name), "'"))
	}
	names := taken(t, "setting of run (")
	slices.Sort(names)
	if !slices.Equal(known, names) {
		t.Errorf("validation.yaml knows %q, inject %q", known, names)
	}
}

// taken are the names that inject says it takes, behind these words.
func taken(t *testing.T, behind string) []string {
	t.Helper()
	out, _ := exec.Command(binary(t), "inject", "--set", "no=such").CombinedOutput()
	_, list, _ := strings.Cut(string(out), behind)
	list, _, _ = strings.Cut(list, ")")
	return strings.Split(list, ", ")
}

// read returns a file of the policies.
func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(base + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refusals: an annotation that the policy does not heed keeps the Pod out, and the message names it; one of a Pod that is not the policy's
// is nobody's business.
func refusals(t *testing.T, c *cluster) {
	t.Helper()
	annotated := func(name, value string) string {
		return bare(fmt.Sprintf("name: x, annotations: {spanwire.dev/%s: %q}", name, value), "")
	}
	for _, a := range []struct{ name, value, says string }{
		{"exclude-outbuond-ports", "1", "want inject, service-name"},
		{"config-samplr", "always", "with a setting of spanwire run"},
		{"config-Log_Level", "info", "named as its flag is"},
		{"config-probe-ports", "abc,70000", "abc, 70000: want ports from 1 to 65535"},
		{"config-probe-ports", "0, 80,-1,1 2", "0, -1, 1 2: want ports from 1 to 65535"},
		{"redirect-port", "1", "want inject, service-name"},
		{"config-listen", ":15000", "the policy fixes that"},
		{"config-admin", "off", "the policy fixes that"},
		{"config-metrics", "off", "the policy fixes that"},
		{"config-service-name", "z", "the policy fixes that"},
		{"legacy", "true", "the policy fixes that"},
		{"inject", "False", `want "true" or "false"`},
		{"net-init", "no", `want "true" or "false"`},
	} {
		_, err := c.kubectl(annotated(a.name, a.value), "-n", "shop", "create", "--dry-run=server", "-f", "-")
		if err == nil || !strings.Contains(err.Error(), "annotation spanwire.dev/"+a.name+":") || !strings.Contains(err.Error(), a.says) {
			t.Errorf("%s %q: %v; want it refused: %s", a.name, a.value, err, a.says)
		}
	}
	probed := func(ports string) string {
		return fmt.Sprintf(probing, fmt.Sprintf(`, annotations: {spanwire.dev/config-probe-ports: %q}`, ports))
	}
	_, err := c.kubectl(probed("abc,70000"), "-n", "shop", "create", "--dry-run=server", "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "config-probe-ports: abc, 70000: want ports") {
		t.Errorf("beside probes, ports that are none: %v; want them refused", err)
	}
	const all = "70,80,700,701,702,8000,8001"
	if p := c.dryRun("shop", probed("080,, 70,")); p.Spec.InitContainers[1].env("SPANWIRE_PROBE_PORTS") != all {
		t.Errorf("beside probes, the ports %q; want %s", p.Spec.InitContainers[1].env("SPANWIRE_PROBE_PORTS"), all)
	}
	for why, manifest := range map[string]string{
		"legacy, but not": annotated("legacy", "false"),
		"a wrong value":   annotated("config-sampler", "x"),
		"no ports":        annotated("config-probe-ports", ""),
		"ports":           annotated("config-probe-ports", "1, 080,,65535,"),
		"opted out":       bare(`name: x, annotations: {spanwire.dev/inject: "false", spanwire.dev/no: such}`, ""),
		"injected by command": inject(t, "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\n  annotations: {spanwire.dev/config-metrics: ':9'}\n"+
			"spec:\n  containers: [{name: app, image: app}]\n"),
	} {
		if _, err := c.kubectl(manifest, "-n", "shop", "create", "--dry-run=server", "-f", "-"); err != nil {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// wrongProbes: a probe that Kubernetes does not take is the API server's to refuse, as it is written.
func wrongProbes(t *testing.T, c *cluster) {
	t.Helper()
	for _, p := range []struct{ kind, probe, says string }{
		{"livenessProbe", "tcpSocket: {port: 80}, httpGet: {port: 81, path: /a}", "tcpSocket: Forbidden: may not specify more than 1 handler type"},
		{"startupProbe", "tcpSocket: {port: 80}, exec: {command: [a]}", "tcpSocket: Forbidden: may not specify more than 1 handler type"},
		{"readinessProbe", "tcpSocket: {port: 80}, grpc: {port: 81}", "grpc: Forbidden: may not specify more than 1 handler type"},
		{"livenessProbe", "tcpSocket: {port: 70000}", "tcpSocket.port: Invalid value: 70000"},
		{"readinessProbe", "tcpSocket: {port: -1}", "tcpSocket.port: Invalid value: -1"},
	} {
		for where, containers := range map[string]string{
			"containers[0]":     "containers: [{name: app, image: app, %s: {%s}}]",
			"initContainers[2]": "initContainers: [{name: own, image: own, restartPolicy: Always, %s: {%s}}], containers: [{name: app, image: app}]",
		} {
			pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {" + fmt.Sprintf(containers, p.kind, p.probe) + "}\n"
			_, err := c.kubectl(pod, "-n", "shop", "create", "--dry-run=server", "-f", "-")
			if says := where + "." + p.kind + "." + p.says; err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v; want %s", p.probe, err, says)
			}
		}
	}
}

// probing has probes of all kinds, in containers of all kinds.
const probing = `apiVersion: v1
kind: Pod
metadata: {name: cart%s}
spec:
  automountServiceAccountToken: false
  initContainers:
  - name: own
    image: own
    restartPolicy: Always
    ports: [{name: in, containerPort: 700}]
    startupProbe: {tcpSocket: {port: in}, periodSeconds: 3}
    livenessProbe: {tcpSocket: {port: 701}}
    readinessProbe: {tcpSocket: {port: 702}}
  containers:
  - name: app
    image: app
    ports: [{name: dns, containerPort: 53, protocol: UDP}, {name: http, containerPort: 8000}]
    startupProbe: {tcpSocket: {port: 81, host: example.org}}
    livenessProbe: {tcpSocket: {port: http}, periodSeconds: 7, failureThreshold: 9}
    readinessProbe: {httpGet: {port: 8000, path: /ready}}
  - name: beside
    image: beside
    ports: [{name: http, containerPort: 8001}]
    startupProbe: {tcpSocket: {port: 8001}}
    readinessProbe: {tcpSocket: {port: http}}
    livenessProbe: {exec: {command: [a]}}
`

// sameAsInject: the policy and the command make the same containers of a Pod, whatever is asked of them, so that neither falls behind. All of
// them is compared but where the policy's settings come from, the ConfigMap.
func sameAsInject(t *testing.T, c *cluster) {
	t.Helper()
	for why, manifest := range map[string]string{
		"plain":     bare("name: cart", "automountServiceAccountToken: false, "),
		"probes":    fmt.Sprintf(probing, ""),
		"net-init":  fmt.Sprintf(probing, `, annotations: {spanwire.dev/net-init: "false"}`),
		"ports too": fmt.Sprintf(probing, `, annotations: {spanwire.dev/config-probe-ports: "9000, 81,700"}`),
		"settings": bare(`name: cart, annotations: {spanwire.dev/config-sampler: ratio=0.1, spanwire.dev/config-ignore-agent: a, other.dev/x: z,
  spanwire.dev/config-heartbeat: "false", spanwire.dev/config-resource: a=b, spanwire.dev/config-probe-ports: "9", spanwire.dev/image: "i:2"}`,
			"automountServiceAccountToken: false, "),
		"every rule": bare(`name: cart, annotations: {spanwire.dev/exclude-cidr: 10.0.0.0/8, spanwire.dev/exclude-inbound-ports: "22",
  spanwire.dev/exclude-outbound-ports: "5432,6379", spanwire.dev/exclude-uid: "7", spanwire.dev/fail-open: "true", spanwire.dev/inbound-ports: "80",
  spanwire.dev/inbound-probability: "0.5", spanwire.dev/include-cidr: 11.0.0.0/8, spanwire.dev/outbound-ports: "81",
  spanwire.dev/outbound-probability: "0.25", spanwire.dev/sidecar-ports: "1,2"}`, "automountServiceAccountToken: false, "),
	} {
		byPolicy := c.containers("shop", manifest)
		byCommand := c.containers("apart", inject(t, block(t, manifest), "--image", "ghcr.io/spanwire/spanwire:latest",
			"--set", "listen=:14956", "--set", "admin=127.0.0.1:14957")) // which the policy fixes, since there may be a ConfigMap
		for i := range byPolicy {
			from, _ := json.Marshal(byPolicy[i]["envFrom"])
			want := "null"
			if byPolicy[i]["name"] == "spanwire" {
				want = `[{"configMapRef":{"name":"spanwire","optional":true}}]`
			}
			if string(from) != want {
				t.Errorf("%s: %s takes variables from %s, want %s", why, byPolicy[i]["name"], from, want)
			}
			delete(byPolicy[i], "envFrom")
		}
		a, _ := json.MarshalIndent(byPolicy, "", " ")
		b, _ := json.MarshalIndent(byCommand, "", " ")
		if string(a) != string(b) {
			t.Errorf("%s: the policy makes\n%s\nthe command\n%s", why, a, b)
		}
	}
	unknown := c.dryRun("shop", strings.Replace(fmt.Sprintf(probing, ""), "port: http}, periodSeconds: 7", "port: none}, periodSeconds: 7", 1))
	if p := string(unknown.Spec.Containers[0].LivenessProbe); !strings.Contains(p, `"tcpSocket"`) || strings.Contains(p, "httpGet") {
		t.Errorf("a probe of a name that no port has: %s", p)
	}
}

// block writes a manifest in block style, as inject wants it.
func block(t *testing.T, manifest string) string {
	t.Helper()
	var v yaml.MapSlice
	if err := yaml.Unmarshal([]byte(manifest), &v); err != nil {
		t.Fatal(err)
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// binary is the sidecar's.
func binary(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("SPANWIRE_BIN")
	if bin == "" {
		need.Missing(t, "SPANWIRE_BIN", "run make e2e, which sets it")
	}
	return bin
}

// inject runs spanwire inject.
func inject(t *testing.T, manifest string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary(t), append([]string{"inject"}, args...)...)
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
