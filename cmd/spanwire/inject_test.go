package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// write returns the path of a file with the text.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const podManifest = `apiVersion: v1
kind: Pod
metadata:
  name: shop
  annotations: {spanwire.dev/config-loops: "2"}
spec:
  containers:
  - {name: app, image: app}   # ours
`

func TestInjectAndUninject(t *testing.T) {
	name := write(t, podManifest)
	out, stderr, code := once(t, nil, "inject", "-f", name, "--set", "fail-open=true", "--set", "fold-path=/a/[0-9]+,/b", "--image", "x:1")
	if code != 0 || stderr != "spanwire: pod/shop: injected\n" {
		t.Fatalf("%d %q", code, stderr)
	}
	for _, want := range []string{`"x:1"`, `"--fail-open=true"`, `"/a/[0-9]+,/b"`, "SPANWIRE_LOOPS\n      value: \"2\"", "value: shop"} {
		if !strings.Contains(out, want) {
			t.Errorf("without %s:\n%s", want, out)
		}
	}
	back, _, code := once(t, nil, "uninject", "-f", write(t, out))
	if back != podManifest || code != 0 {
		t.Errorf("%d\n%s", code, back)
	}
	again, _, _ := once(t, nil, "inject", "-f", write(t, out), "--set", "fail-open=true", "--set", "fold-path=/a/[0-9]+,/b", "--image", "x:1")
	if again != out {
		t.Errorf("twice is not once:\n%s", again)
	}
}

func TestInjectLeavesNetInitOutBesideExplicitListeners(t *testing.T) {
	out, _, code := once(t, nil, "inject", "-f", write(t, podManifest), "--set", "inbound=:8080=127.0.0.1:80")
	if code != 0 || strings.Contains(out, "NET_ADMIN") || !strings.Contains(out, "/readyz") {
		t.Errorf("%d\n%s", code, out)
	}
}

// TestLegacyStopHookWaitsForTheApplication: at the declared port of a Pod with explicit listeners it is the sidecar that listens, until its end.
func TestLegacyStopHookWaitsForTheApplication(t *testing.T) {
	declared := write(t, strings.Replace(podManifest, "image: app}", "image: app, ports: [{containerPort: 8080}, {containerPort: 9000}]}", 1))
	for set, want := range map[string]string{
		"loops=1":                      "--closed=8080,9000",
		"inbound=:8080=127.0.0.1:8000": "--closed=8000,9000",
		"outbound=127.0.0.1:9000=b:80": "--closed=8080",
	} {
		out, stderr, code := once(t, nil, "inject", "--legacy", "-f", declared, "--set", set)
		if code != 0 || !strings.Contains(out, `"`+want+`"`) {
			t.Errorf("%s: %d %q, want %s:\n%s", set, code, stderr, want, out)
		}
	}
}

func TestInjectRefuses(t *testing.T) {
	good := write(t, podManifest)
	for _, c := range []struct {
		why  string
		args []string
		code int
		want string
	}{
		{"no such file", []string{"-f", "/no/such"}, 2, `-f "/no/such": want a readable file`},
		{"a set of nothing", []string{"-f", good, "--set", "lops=1"}, 2, `--set "lops=1": want NAME=VALUE`},
		{"an argument", []string{good}, 2, "is no command or argument"},
		{"a value that run refuses", []string{"-f", good, "--set", "sampler=x"}, 1, `SPANWIRE_SAMPLER "x": want`},
		{"a value that intercept refuses", []string{"-f", good, "--set", "inbound-ports=x"}, 1, `--inbound-ports "x": want`},
		{"an annotation of no setting", []string{"-f", write(t, strings.Replace(podManifest, "loops", "lops", 1))}, 1,
			`line 5, column 43: annotation spanwire.dev/config-lops: --lops "2": there is no such setting`},
		{"an annotation with a value that run refuses", []string{"-f", write(t, strings.Replace(podManifest, `"2"`, `"0"`, 1))}, 1,
			`line 5, column 44: annotation spanwire.dev/config-loops: SPANWIRE_LOOPS "0": want a whole number`},
		{"broken YAML", []string{"-f", write(t, "a: [1\n")}, 1, "line 1, column 4: "},
	} {
		out, stderr, code := once(t, nil, append([]string{"inject"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: %d %q %q; want %d %q", c.why, code, out, stderr, c.code, c.want)
		}
	}
}

// TestProbesNeedAListenerThatTheKubeletReaches: the error says what --metrics is, off or at an address where nobody but the Pod asks; without
// a probe both are taken, and the sidecar is asked from within.
func TestProbesNeedAListenerThatTheKubeletReaches(t *testing.T) {
	plain := write(t, podManifest)
	probed := write(t, strings.Replace(podManifest, "image: app}", "image: app, livenessProbe: {tcpSocket: {port: 80}}}", 1))
	for _, metrics := range []string{"off", "127.0.0.1:9", "127.1.2.3:9", "localhost:9", "[::1]:9", "[::ffff:127.0.0.1]:9", ":0"} {
		want := "column 45: --metrics " + strconv.Quote(metrics) + ": a tcpSocket probe needs it where the kubelet can ask: "
		out, stderr, code := once(t, nil, "inject", "-f", probed, "--set", "metrics="+metrics)
		if code != 1 || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: %d %q %q; want %q", metrics, code, out, stderr, want)
		}
		out, stderr, code = once(t, nil, "inject", "-f", plain, "--set", "metrics="+metrics)
		if code != 0 || strings.Contains(out, "/readyz") || !strings.Contains(out, "- wait\n") {
			t.Errorf("%s, without a probe: %d %q\n%s", metrics, code, stderr, out)
		}
	}
	for _, metrics := range []string{":9", "0.0.0.0:9", "[::]:9", "10.0.0.1:9"} {
		out, stderr, code := once(t, nil, "inject", "-f", probed, "--set", "metrics="+metrics)
		if code != 0 || !strings.Contains(out, `"path": "/probe/tcp/80", "port": 9`) {
			t.Errorf("%s: %d %q\n%s", metrics, code, stderr, out)
		}
	}
}

// TestWaitClosed: whatever address the application listens at.
func TestWaitClosed(t *testing.T) {
	for _, at := range []struct{ network, address string }{
		{"tcp4", "127.0.0.1"}, {"tcp4", "127.0.0.2"}, {"tcp4", "0.0.0.0"}, {"tcp", "::"}, {"tcp6", "::"}, {"tcp6", "::1"},
	} {
		l, err := net.Listen(at.network, net.JoinHostPort(at.address, "0"))
		if err != nil {
			t.Logf("%s %s: %v", at.network, at.address, err) // a host without IPv6
			continue
		}
		port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
		if _, stderr, code := once(t, nil, "wait", "--closed", port, "--timeout", "1ms"); code != 1 || !strings.Contains(stderr, "still open") {
			t.Errorf("%s %s, an open port: %d %q", at.network, at.address, code, stderr)
		}
		time.AfterFunc(100*time.Millisecond, func() { _ = l.Close() })
		if _, stderr, code := once(t, nil, "wait", "--closed", "1,"+port, "--timeout", "10s"); code != 0 {
			t.Errorf("%s %s, a port that closes: %d %q", at.network, at.address, code, stderr)
		}
	}
	for _, bad := range []string{"0", "", "x", "70000", "1,,2"} {
		if _, stderr, code := once(t, nil, "wait", "--closed="+bad); code != 2 || !strings.Contains(stderr, "--closed") {
			t.Errorf("--closed %q: %d %q", bad, code, stderr)
		}
	}
}
