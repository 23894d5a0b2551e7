package inject

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pod wraps lines of a Pod's spec.
func pod(spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n" + spec
}

// annotated is a Pod with these annotations, the first in line 6.
func annotated(annotations ...string) string {
	return strings.Replace(pod("  containers: [{name: a}]\n"), "  name: a\n", "  name: a\n  annotations:\n    "+strings.Join(annotations, "\n    ")+"\n", 1)
}

// TestErrorOfSeveralSettingsHasOnePlace: an error that names two annotations is at the same one each time.
func TestErrorOfSeveralSettingsHasOnePlace(t *testing.T) {
	opts := options()
	opts.CheckSettings = func([]string) (Ports, error) {
		return Ports{}, errors.New(`--metrics ":1": want another port than --admin ":1"`)
	}
	in := annotated("spanwire.dev/config-metrics: ':1'", "spanwire.dev/config-loops: '1'", "spanwire.dev/config-admin: ':1'")
	for range 64 {
		_, err := Inject([]byte(in), opts)
		var e *Error
		if !errors.As(err, &e) || e.Line != 8 || !strings.HasPrefix(e.Message, "annotation spanwire.dev/config-admin: ") {
			t.Fatalf("%v; want it at config-admin, line 8", err)
		}
	}
}

func TestBadManifestsAreErrorsWithAPlace(t *testing.T) {
	for _, c := range []struct {
		why, in      string
		line, column int
		says         string
	}{
		{"a tab", "a:\n\tb: 1\n", 2, 1, "cannot start any token"},
		{"an open list", "a: 1\nb: [1\n", 2, 4, "']' not found"},
		{"a template not rendered", "a: 1\nb: {{ .Values.x }}\n", 2, 5, "flow map"},
		{"the second document", "a: 1\n---\nb: c: d\n", 3, 0, "not allowed"},
		{"a key twice", "a: 1\nb: 2\na: 3\n", 3, 1, "\"a\""},
		{"a control character", "a: 1\nb: x\x00y\n", 2, 5, "control character"},
		{"not UTF-8", "a: \xff\n", 1, 4, "not UTF-8"},
		{"old Mac line endings", "a: 1\rb: 2\n", 1, 5, "carriage return"},
		{"brackets without end", "a: " + strings.Repeat("[", 5000), 1, 1004, "too deeply"},
		{"dashes without end", strings.Repeat("- ", 100000), 1, 0, "too deeply"},
		{"indented without end", "---\n" + strings.Repeat("- ", 600) + "a:\n" + strings.Repeat(" ", 1300) + strings.Repeat("- ", 600), 3, 0, "too deeply"},
		{"a long key above many values", strings.Repeat("k", 50000) + ":\n" + strings.Repeat("- 1\n", 20000), 0, 0, "keys too long"},
		{"an alias for containers", pod("  x: &c [{name: a}]\n  containers: *c\n"), 7, 0, "containers"},
		{"containers that are none", pod("  containers: 5\n"), 6, 15, "want a list"},
		{"init containers that are none", pod("  initContainers: 5\n  containers: [{name: a}]\n"), 6, 19, "want a list"},
		{"a merge key", pod("  <<: {containers: []}\n  containers: [{name: a}]\n"), 6, 3, "merge key"},
		{"a probe of an unknown name", pod("  containers:\n  - name: a\n    livenessProbe: {tcpSocket: {port: web}}\n"), 8, 39, "no port that the container declares"},
		{"an alias for a named port", pod("  containers:\n  - name: a\n    ports: [{name: w, containerPort: 1}]\n    livenessProbe: &p {tcpSocket: {port: w}}\n" +
			"  - name: b\n    ports: [{name: w, containerPort: 2}]\n    livenessProbe: *p\n"), 12, 20, "alias for a tcpSocket"},
		{"an annotation that is none of ours", strings.Replace(pod("  containers: [{name: a}]\n"), "  name: a\n", "  name: a\n  annotations: {spanwire.dev/exclude-outbuond-ports: '1'}\n", 1), 5, 0, "exclude-outbuond-ports"},
		{"an annotation with a wrong value", strings.Replace(pod("  containers: [{name: a}]\n"), "  name: a\n", "  name: a\n  annotations:\n    spanwire.dev/inject: maybe\n", 1), 6, 26, "\"maybe\""},
		{"a setting's name in capitals", annotated("spanwire.dev/config-log-level: info", "spanwire.dev/config-Log-Level: debug"), 7, 36, "config-Log-Level: want config-"},
		{"a setting's name with an underscore", annotated("spanwire.dev/config-log_level: info"), 6, 36, "lower-case letters, digits and dashes"},
		{"the service's name as a setting in capitals", annotated("spanwire.dev/config-Service-Name: b"), 6, 39, "lower-case letters, digits and dashes"},
		{"a default's name in capitals", annotated("spanwire.dev/config-Metrics: 'off'"), 6, 34, "lower-case letters, digits and dashes"},
		{"the service's name as a setting", annotated("spanwire.dev/config-service-name: b"), 6, 39, "want inject, service-name"},
		{"a setting without a name", annotated("spanwire.dev/config-: b"), 6, 27, "config-: want config-"},
		{"a setting with a wrong value", strings.Replace(pod("  containers: [{name: a}]\n"), "  name: a\n", "  name: a\n  annotations:\n    spanwire.dev/config-sampler: x\n", 1), 6, 34, "config-sampler"},
		{"a rule with a wrong value", strings.Replace(pod("  containers: [{name: a}]\n"), "  name: a\n", "  name: a\n  annotations:\n    spanwire.dev/fail-open: x\n", 1), 6, 29, "fail-open"},
		{"a probe and no metrics listener", strings.Replace(pod("  containers:\n  - name: a\n    livenessProbe: {tcpSocket: {port: 1}}\n"), "  name: a\n", "  name: a\n  annotations: {spanwire.dev/config-metrics: 'off'}\n", 1), 9, 0, "--metrics"},
		{"a Pod without a name", "apiVersion: v1\nkind: Pod\nspec:\n  containers: [{name: a}]\n", 1, 0, "without a name"},
		{"JSON", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}}`, 1, 1, "JSON"},
		{"a mark without its end", "a: 1\n# >>> spanwire\nb: 2\n", 2, 1, "without its"},
	} {
		out, err := Inject([]byte(c.in), options())
		var e *Error
		if !errors.As(err, &e) || out != nil {
			t.Errorf("%s: %v, want an error with a place and no output", c.why, err)
			continue
		}
		if c.line != 0 && e.Line != c.line || c.column != 0 && e.Column != c.column || !strings.Contains(e.Message, c.says) {
			t.Errorf("%s: %v; want line %d, column %d, %q", c.why, e, c.line, c.column, c.says)
		}
	}
}

// FuzzInject: whatever the text, there is an error with a place, or a text that twice is the same, whose way back is the input.
func FuzzInject(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b, false)
			f.Add(b, true)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, legacy bool) {
		if len(in) > 16<<10 {
			t.Skip("the parser's time grows faster than the text")
		}
		opts := options()
		opts.Legacy = legacy
		out, err := Inject(in, opts)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 {
				t.Fatalf("an error without a place: %v", err)
			}
			return
		}
		plain, _, err := Uninject(in)
		if err != nil {
			t.Fatalf("injected, but cannot be taken out: %v", err)
		}
		if out.Injected == 0 && !bytes.Equal(out.Text, plain) {
			t.Fatalf("nothing injected, yet changed:\n%q", out.Text)
		}
		back, _, err := Uninject(out.Text)
		if err != nil || !bytes.Equal(back, plain) {
			t.Fatalf("the way back: %v\n%q\nwant\n%q", err, back, plain)
		}
		again, err := Inject(out.Text, opts)
		if err != nil || !bytes.Equal(again.Text, out.Text) {
			t.Fatalf("twice is not once: %v", err)
		}
	})
}
