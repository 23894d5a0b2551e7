package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// TestAccessLogHasEveryRequest has one request that is sampled by its own wish, one that is not, and one that is ignored.
func TestAccessLogHasEveryRequest(t *testing.T) {
	endpoint, spans := collector(t)
	file := filepath.Join(t.TempDir(), "access.log")
	p := beside(t, application(t), "--sampler", "never", "--ignore-path", "/health", "--access-log", file, "--zipkin-endpoint", endpoint)
	p.get(p.Inbound, "/unsampled?token=secret")
	p.get(p.Inbound, "/health")
	p.Await("two lines", func() bool {
		_, m := p.get(p.Admin, "/metrics")
		return strings.Contains(m, "spanwire_access_log_lines_total 2\n")
	})
	p.Signal(syscall.SIGHUP)
	p.get(p.Inbound, "/last")
	p.Signal(syscall.SIGTERM)
	p.Exit(0)
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(got), "\n"), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], " path=/unsampled?token=REDACTED status=200 ") || !strings.Contains(lines[1], " path=/health ") ||
		!strings.Contains(lines[2], " path=/last ") {
		t.Errorf("%q", lines)
	}
	for _, l := range lines {
		if !strings.Contains(l, " sampled=false ") || strings.Contains(l, "trace_id=00000000000000000000000000000000") {
			t.Errorf("%s", l)
		}
	}
	if spans.Load() != 0 {
		t.Errorf("%d unsampled spans were exported", spans.Load())
	}
	if !strings.Contains(p.lastLine(), "recorded=0") {
		t.Errorf("unsampled requests are in the accounts of spans: %s", p.lastLine())
	}
}

// TestSpansAreFlushedBesideAStuckAccessLog writes to a pipe that is full and that nobody reads.
func TestSpansAreFlushedBesideAStuckAccessLog(t *testing.T) {
	endpoint, spans := collector(t)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close() // held till the end: Fd alone does not keep the garbage collector from closing the file
	for _ = write.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err == nil; {
		_, err = write.Write(make([]byte, 4096))
	}
	// Through /proc the sidecar opens the same pipe as a file of its own.
	file := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), write.Fd())
	for try := 1; ; try++ { // on a busy machine the sidecar may wait for a processor for longer than it has
		// Shorter than the second after which a batch is sent anyway.
		p := beside(t, application(t), "--access-log", file, "--zipkin-endpoint", endpoint, "--drain-timeout", "900ms")
		p.get(p.Inbound, "/x")
		p.Signal(syscall.SIGTERM)
		p.Exit(0)
		if spans.Load() == 1 {
			return
		}
		if try == 3 {
			t.Fatalf("%d spans, want 1", spans.Load())
		}
	}
}

func TestAccessLogThatCannotBeOpenedIsUsage(t *testing.T) {
	_, stderr, code := once(t, nil, "--service-name", "svc", "--inbound", "127.0.0.1:0=127.0.0.1:1", "--admin", "off", "--access-log", t.TempDir()+"/no/such")
	if code != 2 || !strings.Contains(stderr, "--access-log") || !strings.Contains(stderr, "no such file") {
		t.Errorf("%d %q", code, stderr)
	}
}

// TestStatsdAsNetrameshHadIt is set up by Netramesh's variables.
func TestStatsdAsNetrameshHadIt(t *testing.T) {
	d, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	_ = d.SetReadDeadline(time.Now().Add(program.Patience))
	p := launch(t, []string{"NETRA_STATSD_ENABLED=true", "NETRA_STATSD_ADDRESS=" + d.LocalAddr().String(), "NETRA_STATSD_PREFIX=shop"},
		"--service-name", "svc", "--inbound", "127.0.0.1:0="+application(t), "--admin", "127.0.0.1:0")
	p.get(p.Inbound, "/x")
	buf := make([]byte, 2048)
	n, _, err := d.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "shop.inbound.200:1|c" {
		t.Errorf("%v: %q", err, buf[:n])
	}
	if strings.Contains(p.Log.String(), "level=WARN") {
		t.Errorf("the log complains about statsd: %s", p.Log.String())
	}
}
