package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// application is the service beside the sidecar: it answers with the request's traceparent.
func application(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w,
			r.Header.Get("Traceparent"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// patient is an application that answers what is asked for at /wait when release is called, everything else at once.
func patient(t *testing.T) (addr string, release func()) {
	t.Helper()
	gate := make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-gate
		}
		fmt.Fprint(w, "done")
	}))
	t.Cleanup(s.Close) // waits for its handlers
	t.Cleanup(release)
	return s.Listener.Addr().String(), release
}

// collector is a Zipkin that counts spans.
func collector(t *testing.T) (endpoint string, spans *atomic.Int64) {
	t.Helper()
	spans = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var list []json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Errorf("collector: %v", err)
		}
		spans.Add(int64(len(list)))
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/api/v2/spans", spans
}

// beside starts a sidecar in explicit mode with an admin listener.
func beside(t *testing.T, app string, args ...string) *process {
	t.Helper()
	return launch(t, nil, append([]string{"--service-name", "svc", "--inbound", "127.0.0.1:0=" + app, "--admin", "127.0.0.1:0"},
		args...)...)
}

func TestRelaysTracesExportsAndEnds(t *testing.T) {
	endpoint, spans := collector(t)
	p := beside(t, application(t), "--outbound", "127.0.0.1:0=127.0.0.1:9", "--zipkin-endpoint", endpoint)
	const requests = 5
	for range requests {
		if status, body := p.get(p.Inbound, "/x"); status != 200 || !strings.HasPrefix(body, "00-") {
			t.Fatalf("request through the sidecar: %d %q", status, body)
		}
	}
	start := p.Log.String()
	for _, want := range []string{"version=1.2.3", "service=svc", `inbound="127.0.0.1:`, `outbound="127.0.0.1:`, "metrics=off",
		`exporters="zipkin ` + endpoint + ` (chosen by zipkin-endpoint)"`,
		`sampler="always (default)"`, `propagators="tracecontext,b3,b3multi,jaeger (default)"`} {
		if !strings.Contains(start, want) {
			t.Errorf("the start line lacks %s", want)
		}
	}
	p.Await("spans to arrive", func() bool { return spans.Load() == requests })
	p.Signal(syscall.SIGTERM)
	p.Exit(0)
	if want := `msg="spanwire stopped" sessions=5 requests=5 recorded=5 exported="zipkin 5" dropped=0`; !strings.HasSuffix(p.lastLine(), want) {
		t.Errorf("exit line %q, want %s", p.lastLine(), want)
	}
}

// TestSpansAreFlushedAtTheEnd ends the sidecar at once after a request, long before a batch is due.
func TestSpansAreFlushedAtTheEnd(t *testing.T) {
	endpoint, spans := collector(t)
	p := beside(t, application(t), "--zipkin-endpoint", endpoint)
	p.get(p.Inbound, "/x")
	p.Signal(syscall.SIGINT)
	p.Exit(0)
	if spans.Load() != 1 {
		t.Errorf("%d spans, want 1", spans.Load())
	}
}

// TestDroppedSpansAreInTheExitLine ends beside a collector that is gone: what it does not get is told, and it is not waited for until the
// drain timeout.
func TestDroppedSpansAreInTheExitLine(t *testing.T) {
	p := beside(t, application(t), "--zipkin-endpoint", "http://"+program.Refusing(t), "--drain-timeout", "1h")
	p.get(p.Inbound, "/x")
	p.Signal(syscall.SIGTERM)
	p.Exit(0)
	if want := `recorded=1 exported="zipkin 0" dropped="zipkin shutdown 1"`; !strings.HasSuffix(p.lastLine(), want) {
		t.Errorf("exit line %q, want %s", p.lastLine(), want)
	}
}

// keepAlive is a connection through the sidecar that stays open.
type keepAlive struct {
	net.Conn
	r *bufio.Reader
}

func hold(t *testing.T, addr string) *keepAlive {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(program.Patience)); err != nil {
		t.Fatal(err)
	}
	return &keepAlive{c, bufio.NewReader(c)}
}

// ask sends a request and returns the status.
func (k *keepAlive) ask(t *testing.T) int {
	t.Helper()
	k.send(t, "/")
	return k.status(t)
}

// send sends a request.
func (k *keepAlive) send(t *testing.T, path string) {
	t.Helper()
	if _, err := io.WriteString(k, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
}

// status reads an answer and returns its status.
func (k *keepAlive) status(t *testing.T) int {
	t.Helper()
	res, err := http.ReadResponse(k.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode
}

// inFlight starts a sidecar with a request under way, which the application answers when release is called.
func inFlight(t *testing.T, drainTimeout string) (p *process, k *keepAlive, release func()) {
	t.Helper()
	app, release := patient(t)
	p = beside(t, app, "--exporter", "none", "--drain-timeout", drainTimeout)
	k = hold(t, p.Inbound)
	k.ask(t)
	k.send(t, "/wait")
	return p, k, release
}

func TestDrainRelaysUntilSessionsEnd(t *testing.T) {
	p, k, release := inFlight(t, "1h")
	p.Signal(syscall.SIGTERM)
	p.Await("it to be not ready", func() bool {
		status, body := p.get(p.Admin, "/readyz")
		return status == 503 &&
			body == "draining\n"
	})
	if status, _ := p.get(p.Admin, "/healthz"); status != 200 {
		t.Errorf("healthz while draining: %d", status)
	}
	if status, _ := p.get(p.Inbound, "/"); status != 200 {
		t.Errorf("new session while draining: %d", status)
	}
	release()
	if status := k.status(t); status != 200 {
		t.Errorf("open session while draining: %d", status)
	}
	k.Close()
	p.Exit(0)
}

func TestDrainTimeoutEndsSessions(t *testing.T) {
	p, k, _ := inFlight(t, "200ms")
	p.Signal(syscall.SIGTERM)
	p.Exit(0)
	if !strings.Contains(p.Log.String(), `msg="drain timeout"`) {
		t.Error("the log does not say that the time was over")
	}
	if n, err := k.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("the session lives on")
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p, _, _ := inFlight(t, "1h")
	p.Signal(syscall.SIGTERM)
	p.AwaitLog("draining")
	p.Signal(syscall.SIGHUP) // does not count
	p.AwaitLog("SIGHUP is ignored")
	p.Signal(syscall.SIGINT)
	p.Exit(1)
	if p.lastLine() != "spanwire: ended at once by a second signal" {
		t.Errorf("last line %q", p.lastLine())
	}
}

// TestSignalBehindQuitIsTheFirst: a finished job asks the sidecar to end, and the orchestrator's SIGTERM follows. It must not cut off what
// is still relayed, nor lose the spans.
func TestSignalBehindQuitIsTheFirst(t *testing.T) {
	p, k, release := inFlight(t, "1h")
	p.request("POST", p.Admin, "/quitquitquit", "")
	p.AwaitLog("cause=quitquitquit")
	p.Signal(syscall.SIGTERM)
	p.AwaitLog("draining already")
	release()
	if status := k.status(t); status != 200 {
		t.Errorf("request in flight behind the signal: %d", status)
	}
	k.Close()
	p.Exit(0)
}

func TestHangupIsIgnoredWithOneLine(t *testing.T) {
	p := beside(t, application(t), "--exporter", "none")
	p.Signal(syscall.SIGHUP)
	p.AwaitLog("SIGHUP is ignored")
	if n := strings.Count(p.Log.String(), "SIGHUP"); n != 1 {
		t.Errorf("%d lines", n)
	}
	if status, _ := p.get(p.Inbound, "/"); status != 200 {
		t.Errorf("after SIGHUP: %d", status)
	}
}

func TestControlOverHTTP(t *testing.T) {
	app := application(t)
	p := beside(t, app, "--exporter", "none", "--export-header", "k=hidden")
	if status, body := p.get(p.Admin, "/config"); status != 200 || strings.Contains(body, "hidden") || !strings.Contains(body,
		`"k=***"`) {
		t.Errorf("configuration: %d %s", status, body)
	}
	_, port, _ := net.SplitHostPort(app)
	if status, _ := p.get(p.Admin, "/probe/tcp/"+port); status != 200 {
		t.Errorf("probe of the inbound upstream: %d", status)
	}
	p.request("POST", p.Admin, "/loglevel", "debug")
	if _, body := p.get(p.Admin, "/loglevel"); body != "DEBUG\n" {
		t.Errorf("level %q", body)
	}
	p.request("POST", p.Admin, "/drain", "")
	if status, _ := p.get(p.Admin, "/readyz"); status != 503 {
		t.Errorf("ready after /drain: %d", status)
	}
	if status, _ := p.get(p.Inbound, "/"); status != 200 {
		t.Errorf("relay after /drain: %d", status)
	}
	p.request("POST", p.Admin, "/quitquitquit", "")
	p.Exit(0)
}

func TestMetricsOfARunningProcess(t *testing.T) {
	endpoint, spans := collector(t)
	p := beside(t, application(t), "--metrics", "127.0.0.1:0", "--zipkin-endpoint", endpoint)
	p.get(p.Inbound, "/x")
	p.Await("the span to arrive", func() bool { return spans.Load() == 1 })
	metric := func(series string) string {
		_, body := p.get(p.Metrics, "/metrics")
		for _, line := range strings.Split(body, "\n") {
			if v, ok := strings.CutPrefix(line, series+" "); ok {
				return v
			}
		}
		return "none"
	}
	p.Await("the account to balance", func() bool {
		return metric(`spanwire_spans_exported_total{exporter="zipkin"}`) == "1" &&
			metric(`spanwire_spans_queued{exporter="zipkin"}`) == "0"
	})
	for series, want := range map[string]string{
		"spanwire_spans_recorded_total": "1", `spanwire_requests_total{side="inbound",status_class="2xx"}`: "1",
		`spanwire_sessions_total{side="inbound"}`: "1", `spanwire_joins_total{how="root"}`: "1",
		`spanwire_build_info{version="1.2.3",commit="abc",go_version="` + goVersion(t) + `",platform="` + platform() + `"}`: "1",
	} {
		if got := metric(series); got != want {
			t.Errorf("%s is %s, want %s", series, got, want)
		}
	}
	if status, _ := p.get(p.Metrics, "/config"); status != 404 {
		t.Errorf("configuration at the metrics listener: %d", status)
	}
}

func TestDisabledRelaysOnly(t *testing.T) {
	p := launch(t, nil, "--disabled", "--inbound", "127.0.0.1:0="+application(t), "--admin", "127.0.0.1:0")
	if status, body := p.get(p.Inbound, "/"); status != 200 || body != "" {
		t.Errorf("%d %q; want an unchanged request", status, body)
	}
	if status, _ := p.get(p.Admin, "/metrics"); status != 200 {
		t.Errorf("metrics: %d", status)
	}
	p.Signal(syscall.SIGTERM)
	p.Exit(0)
}

// TestNetrameshEnvironment starts with the variables of a deployment of Netramesh, two of its ports the same.
func TestNetrameshEnvironment(t *testing.T) {
	port := program.FreePort(t)
	p := launch(t, []string{"NETRA_PORT=0", "NETRA_PPROF_PORT=" + port, "NETRA_PROMETHEUS_PORT=" + port,
		"JAEGER_AGENT_HOST=127.0.0.1"}, "--service-name", "svc")
	for _, want := range []string{`compat="netramesh (implied by NETRA_`, "udp://127.0.0.1:6831",
		`propagators="jaeger,tracecontext`, "transparent="} {
		if !strings.Contains(p.Log.String(), want) {
			t.Errorf("the start line lacks %s", want)
		}
	}
	if status, body := p.get("127.0.0.1:"+port, "/any"); status != 404 {
		t.Errorf("admin at the shared port: %d %s", status, body)
	}
	if status, body := p.get("127.0.0.2:"+port, "/any"); status != 200 || !strings.Contains(body, "spanwire_sessions") {
		t.Errorf("metrics at the shared port: %d %s", status, body)
	}
}

// TestLogReaderThatLeaves closes the other end of stderr: the traffic goes on.
func TestLogReaderThatLeaves(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--service-name", "svc", "--inbound", "127.0.0.1:0="+application(t), "--admin", "off",
		"--exporter", "none")
	cmd.Env, cmd.Stderr = program.Environment(), w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	w.Close()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	m := regexp.MustCompile(`inbound="([0-9.:]+) `).FindStringSubmatch(line)
	if m == nil {
		t.Fatalf("start line %q", line)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil { // makes it log
		t.Fatal(err)
	}
	k := hold(t, m[1])
	for range 3 {
		if status := k.ask(t); status != 200 {
			t.Fatalf("status %d", status)
		}
	}
}

// maxIdleBytes is the promise: 13 MB resident when nothing happens.
const maxIdleBytes = 13_000_000

func TestIdleMemory(t *testing.T) {
	p := beside(t, application(t), "--metrics", "127.0.0.1:0", "--zipkin-endpoint", "http://"+program.Refusing(t))
	p.Await("its memory to settle below the promise", func() bool {
		kib := p.Status("VmRSS")
		t.Logf("%d KiB resident", kib)
		return kib*1024 <= maxIdleBytes
	})
}
