package inject

import (
	"errors"
	"strings"
	"testing"
)

// workload is a Deployment with lines of its own metadata, of its template's metadata, and of its Pod's spec.
func workload(metadata, templateMetadata, spec string) string {
	return "x-shared:\n  off: &off {spanwire.dev/inject: \"false\"}\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n" + metadata +
		"spec:\n  template:\n    metadata:\n      labels: {app: a}\n" + templateMetadata + "    spec:\n" + spec + "      containers: [{name: a}]\n"
}

// TestLeftAlone: whatever kubectl reads as a Pod that is not to be injected is left alone, however it is written.
func TestLeftAlone(t *testing.T) {
	const metadata = "metadata: {name: a}\n"
	cases := map[string]string{
		"Windows":                    pod("  os: {name: windows}\n  containers: [{name: a}]\n"),
		"Windows with its own tag":   pod("  os: {name: !!str windows}\n  containers: [{name: a}]\n"),
		"Windows by an alias":        "x: &w windows\n" + pod("  os: {name: *w}\n  containers: [{name: a}]\n"),
		"opted out in the template":  workload("", "      annotations: {spanwire.dev/inject: \"false\"}\n", ""),
		"opted out in the workload":  workload("  annotations: {spanwire.dev/inject: \"false\"}\n", "", ""),
		"by an alias":                workload("", "      annotations: *off\n", ""),
		"by the workload's alias":    workload("  annotations: *off\n", "", ""),
		"by an alias for metadata":   "x: &m {name: a, annotations: {spanwire.dev/inject: 'false'}}\napiVersion: v1\nkind: Pod\nmetadata: *m\nspec: {containers: [{name: a}]}\n",
		"a sidecar by an alias":      "x: &n spanwire\n" + pod("  containers:\n  - {name: *n}\n"),
		"a sidecar as an alias":      "x: &n {name: spanwire}\n" + pod("  containers:\n  - *n\n"),
		"the kind of another object": "x: &k ConfigMap\napiVersion: v1\nkind: *k\n" + metadata + "spec: {containers: [{name: a}]}\n",
	}
	for _, yes := range strings.Fields("true True TRUE yes Yes YES y Y on On ON &x") {
		cases["hostNetwork: "+yes] = pod("  hostNetwork: " + strings.Replace(yes, "&x", "&x true", 1) + "\n  containers: [{name: a}]\n")
	}
	for why, in := range cases {
		out, err := Inject([]byte(in), options())
		if err != nil || out.Injected != 0 || string(out.Text) != in {
			t.Errorf("%s: %v, %+v\n%s", why, err, out, in)
		}
	}
}

// TestInjectedAllTheSame: what is absent or clearly false does not keep the sidecar out, and what is read through an alias is read.
func TestInjectedAllTheSame(t *testing.T) {
	cases := map[string]string{
		"Linux":                   pod("  os: {name: linux}\n  containers: [{name: a}]\n"),
		"a name by an alias":      "x: &n a\napiVersion: v1\nkind: Pod\nmetadata: {name: *n}\nspec:\n  containers: [{name: a}]\n",
		"a kind by an alias":      "x: &k Pod\napiVersion: v1\nkind: *k\nmetadata: {name: a}\nspec:\n  containers: [{name: a}]\n",
		"labels by an alias":      "x: &l {app: a}\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: *l}\nspec:\n  containers: [{name: a}]\n",
		"a kind with its own tag": "apiVersion: v1\nkind: &k !!str Pod\nmetadata: {name: !!str a}\nspec:\n  containers: [{name: a}]\n",
		"a tag elsewhere":         pod("  x: !!binary YQ==\n  containers: [{name: a, args: [!!binary YQ==]}]\n"),
		"a merge key elsewhere":   "x: &l {replicas: 1}\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  <<: *l\n  template:\n    spec:\n      containers: [{name: a}]\n",
	}
	for _, no := range strings.Fields("false False FALSE no No NO n N off Off OFF null ~ &x") {
		cases["hostNetwork: "+no] = pod("  hostNetwork: " + strings.Replace(no, "&x", "&x false", 1) + "\n  containers: [{name: a}]\n")
	}
	for why, in := range cases {
		out, err := Inject([]byte(in), options())
		if err != nil || out.Injected != 1 || !strings.Contains(string(out.Text), "name: SPANWIRE_SERVICE_NAME\n") ||
			!strings.Contains(string(out.Text), "value: a\n") {
			t.Errorf("%s: %v, %+v", why, err, out)
		}
	}
}

// TestUnclearIsAnErrorWithAPlace: what decides and is not clear to every reader of YAML is refused where it stands.
func TestUnclearIsAnErrorWithAPlace(t *testing.T) {
	const spec = "  containers: [{name: a}]\n"
	legacy := options()
	legacy.Legacy = true
	for _, c := range []struct {
		why, in      string
		line, column int
		says         string
	}{
		{"an alias for hostNetwork", "x: &t true\n" + pod("  hostNetwork: *t\n"+spec), 7, 16, "hostNetwork: want true or false"},
		{"quotes", pod("  hostNetwork: 'true'\n" + spec), 6, 16, "hostNetwork: want true or false"},
		{"a block", pod("  hostNetwork: |\n    true\n" + spec), 6, 16, "hostNetwork: want true or false"},
		{"mixed case", pod("  hostNetwork: tRUE\n" + spec), 6, 16, "hostNetwork: want true or false"},
		{"a number", pod("  hostNetwork: 1\n" + spec), 6, 16, "hostNetwork: want true or false"},
		{"a tag", pod("  hostNetwork: !!bool true\n" + spec), 6, 0, "hostNetwork: want true or false"},
		{"a list", pod("  hostNetwork: [true]\n" + spec), 6, 0, "hostNetwork: want true or false"},
		{"an explicit key", pod("  ? hostNetwork\n  : true\n" + spec), 6, 3, "write it plainly"},
		{"a key with an anchor", pod("  &k hostNetwork: true\n" + spec), 6, 3, "write it plainly"},
		{"a grace period by an alias", "x: &t 60\n" + pod("  terminationGracePeriodSeconds: *t\n"+spec), 7, 34, "terminationGracePeriodSeconds: want a whole number"},
		{"an octal grace period", pod("  terminationGracePeriodSeconds: 060\n" + spec), 6, 34, "terminationGracePeriodSeconds: want a whole number"},
		{"a grace period in words", pod("  terminationGracePeriodSeconds: long\n" + spec), 6, 34, "terminationGracePeriodSeconds: want a whole number"},
		{"an octal port", pod("  containers:\n  - name: a\n    ports: [{name: w, containerPort: 010}]\n"), 8, 38, "containerPort: want a whole number"},
		{"an octal probe", pod("  containers:\n  - name: a\n    livenessProbe: {tcpSocket: {port: 010}}\n"), 8, 39, "no port that the container declares"},
		{"a probe's host by an alias", "x: &h b\n" + pod("  containers:\n  - name: a\n    livenessProbe: {tcpSocket: {host: *h, port: 1}}\n"), 9, 39, "alias for a probe's host"},
		{"a probe with a question mark", pod("  containers:\n  - name: a\n    livenessProbe:\n      ? tcpSocket\n      : {port: 80}\n"), 9, 7, "write it plainly"},
		{"a probe with an anchor", pod("  containers:\n  - name: a\n    livenessProbe: {&k tcpSocket: {port: 80}}\n"), 8, 0, "write it plainly"},
		{"a probe with a tag", pod("  containers:\n  - name: a\n    livenessProbe:\n      !!str tcpSocket: {port: 80}\n"), 9, 0, "write it plainly"},
		{"a probe's port with a question mark", pod("  containers:\n  - name: a\n    livenessProbe:\n      tcpSocket:\n        ? port\n        : 80\n"), 10, 9, "write it plainly"},
		{"a probe's host with a question mark", pod("  containers:\n  - name: a\n    livenessProbe:\n      tcpSocket:\n        port: 80\n        ? host\n        : b\n"), 11, 9, "write it plainly"},
		{"a probe with a question mark merged in", pod("  containers:\n  - name: a\n    livenessProbe:\n      <<: {? tcpSocket : {port: 80}}\n"), 9, 7, "merge key for a tcpSocket"},
		{"a probe merged in", pod("  containers:\n  - name: a\n    <<: {livenessProbe: {tcpSocket: {port: 1}}}\n"), 8, 5, "merge key for a tcpSocket"},
		{"a kind with a tag", "apiVersion: v1\nkind: !!binary UG9k\nmetadata: {name: a}\nspec:\n" + spec, 2, 7, "the tag !!binary"},
		{"a version with a tag", "apiVersion: !!binary djE=\nkind: Pod\nmetadata: {name: a}\nspec:\n" + spec, 1, 13, "the tag !!binary"},
		{"a tag and an anchor", "apiVersion: v1\nkind: &k !!binary UG9k\nmetadata: {name: a}\nspec:\n" + spec, 2, 10, "the tag !!binary"},
		{"a tag of somebody's", "apiVersion: v1\nkind: !mine Pod\nmetadata: {name: a}\nspec:\n" + spec, 2, 7, "the tag !mine"},
		{"a tag on a block of text", "apiVersion: v1\nkind: !!binary |\n  UG9k\nmetadata: {name: a}\nspec:\n" + spec, 2, 7, "the tag !!binary"},
		{"a tag by an alias", "x: &k !!binary UG9k\napiVersion: v1\nkind: *k\nmetadata: {name: a}\nspec:\n" + spec, 1, 7, "the tag !!binary"},
		{"Windows with a tag", pod("  os: {name: !!binary d2luZG93cw==}\n" + spec), 6, 14, "the tag !!binary"},
		{"a name with a tag", "apiVersion: v1\nkind: Pod\nmetadata: {name: !!binary YQ==}\nspec:\n" + spec, 3, 18, "the tag !!binary"},
		{"a sidecar with a tag", pod("  containers:\n  - name: !!binary c3BhbndpcmU=\n"), 7, 11, "the tag !!binary"},
		{"an annotation with a tag", annotated("spanwire.dev/inject: !!binary ZmFsc2U="), 6, 26, "the tag !!binary"},
		{"a probe's port with a tag", pod("  containers:\n  - name: a\n    livenessProbe: {tcpSocket: {port: !!binary dw==}}\n"), 8, 39, "the tag !!binary"},
		{"a probe's host with a tag", pod("  containers:\n  - name: a\n    livenessProbe: {tcpSocket: {host: !!binary '', port: 1}}\n"), 8, 39, "the tag !!binary"},
		{"a port's name with a tag", pod("  containers:\n  - name: a\n    ports: [{name: !!binary dw==, containerPort: 1}]\n"), 8, 20, "the tag !!binary"},
		{"annotations merged in", "x: &o {spanwire.dev/inject: 'false'}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations: {<<: *o}\nspec:\n" + spec, 6, 17, "merge key within annotations"},
		{"metadata merged in", "x: &o {annotations: {spanwire.dev/inject: 'false'}}\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: *o\n  name: a\nspec:\n" + spec, 5, 3, "annotations"},
		{"a merge key over annotations", "x: &o {annotations: {}}\napiVersion: v1\nkind: Pod\nmetadata:\n  annotations: {}\n  <<: *o\n  name: a\nspec:\n" + spec, 6, 3, "annotations"},
		{"a kind merged in", "x: &o {kind: Pod}\napiVersion: v1\n<<: *o\nmetadata: {name: a}\nspec:\n" + spec, 3, 1, "kind"},
		{"an annotation by an alias", "x: &o 'false'\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations: {spanwire.dev/inject: *o}\nspec:\n" + spec, 6, 0, "want a string"},
		{"an alias of two anchors", "x: &o {a: b}\ny: &o {spanwire.dev/inject: 'false'}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  annotations: *o\nspec:\n" + spec, 7, 16, "annotations"},
		{"an alias for items", "x: &i []\napiVersion: v1\nkind: List\nitems: *i\n", 4, 8, "items"},
		{"an alias for init containers", "x: &i []\n" + pod("  initContainers: *i\n"+spec), 7, 19, "initContainers"},
	} {
		out, err := Inject([]byte(c.in), legacy)
		var e *Error
		if !errors.As(err, &e) || out != nil || e.Line != c.line || c.column != 0 && e.Column != c.column || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: %v; want line %d, column %d, %q", c.why, err, c.line, c.column, c.says)
		}
	}
}

// TestWorkloadsAnnotations: annotations of the workload hold, and those of its template before them.
func TestWorkloadsAnnotations(t *testing.T) {
	in := workload("  annotations: {spanwire.dev/service-name: of-workload, spanwire.dev/image: i:2, spanwire.dev/exclude-outbound-ports: '5'}\n",
		"      annotations: {spanwire.dev/image: i:3}\n", "")
	out, err := Inject([]byte(in), options())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"value: of-workload\n", `image: "i:3"` + "\n", "--exclude-outbound-ports=5"} {
		if !strings.Contains(string(out.Text), want) {
			t.Errorf("no %q in\n%s", want, out.Text)
		}
	}
}

// TestAliasesAreReadOnce: however many aliases mean one thing, it is read once, or a small stream takes minutes and gigabytes.
func TestAliasesAreReadOnce(t *testing.T) {
	const two = "  containers:\n  - &c {name: a, ports: &p [{containerPort: 1}, {containerPort: 2}]}\n  - {name: b, ports: *p}\n"
	src, err := newSource([]byte(pod(two + strings.Repeat("  - *c\n", 9))))
	if err != nil {
		t.Fatal(err)
	}
	d := src.documents()[0]
	body, err := d.parse()
	if err != nil {
		t.Fatal(err)
	}
	d.findAnchors(body)
	containers := d.distinct(asMapping(valueAt(asMapping(body), "spec")), "containers")
	if len(containers) != 2 {
		t.Fatalf("%d containers are read, want 2", len(containers))
	}
	a, err := d.declaredPorts(containers[0])
	b, err2 := d.declaredPorts(containers[1])
	if err != nil || err2 != nil || len(a) != 2 || len(b) != 2 || &a[0] != &b[0] {
		t.Errorf("%v, %v; %v, %v: want one list", a, err, b, err2)
	}
}
