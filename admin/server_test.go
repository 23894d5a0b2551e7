package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime/trace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// server is a Server under test and what its functions were asked.
type server struct {
	*Server
	admin, metrics string // http://host:port
	notReady       atomic.Pointer[error]
	drains, quits  atomic.Int32
}

// serve starts a server; change may alter its configuration.
func serve(t *testing.T, change func(*Config)) *server {
	t.Helper()
	s := &server{}
	level := "INFO"
	cfg := Config{
		Admin: "127.0.0.1:0", Metrics: "127.0.0.1:0", Relay: fakeRelay, Exports: fakeExports,
		Ready: func() error {
			if err := s.notReady.Load(); err != nil {
				return *err
			}
			return nil
		},
		Settings: func() []byte { return []byte(`{"settings":[]}`) },
		SetLevel: func(l string) (string, error) {
			if l == "loud" {
				return "", errors.New("no such level")
			}
			if l != "" {
				level = strings.ToUpper(l)
			}
			return level, nil
		},
		Drain: func() { s.drains.Add(1) }, Quit: func() { s.quits.Add(1) },
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Close(ctx)
	})
	a, m := s.Addrs()
	s.admin, s.metrics = "http://"+a, "http://"+m
	return s
}

// ask sends a request and returns status and body.
func ask(t *testing.T, method, url, body string, headers ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data), res.Header
}

func TestEndpoints(t *testing.T) {
	s := serve(t, nil)
	for _, c := range []struct {
		method, path, body string
		admin, metrics     int // status at each listener
		contains           string
	}{
		{"GET", "/healthz", "", 200, 200, "ok"},
		{"HEAD", "/healthz", "", 200, 200, ""},
		{"POST", "/healthz", "", 405, 405, "want GET"},
		{"GET", "/readyz", "", 200, 200, "ready"},
		{"GET", "/metrics", "", 200, 200, "spanwire_sessions_total{"},
		{"GET", "/config", "", 200, 404, `"settings"`},
		{"GET", "/", "", 200, 404, "/debug/pprof/"},
		{"GET", "/loglevel", "", 200, 404, "INFO"},
		{"POST", "/loglevel", "debug\n", 200, 404, "DEBUG"},
		{"POST", "/loglevel?level=warn", "", 200, 404, "WARN"},
		{"POST", "/loglevel", "loud", 400, 404, "want debug, info, warn or error"},
		{"POST", "/loglevel", "", 400, 404, "want a level"},
		{"DELETE", "/loglevel", "", 405, 404, "want GET"},
		{"GET", "/drain", "", 405, 404, "want POST"},
		{"GET", "/quitquitquit", "", 405, 404, "want POST"},
		{"GET", "/debug/pprof/", "", 200, 404, "goroutine"},
		{"GET", "/debug/pprof", "", 200, 404, "goroutine"},
		{"GET", "/debug/pprof/goroutine?debug=1", "", 200, 404, "goroutine profile"},
		{"GET", "/debug/pprof/heap?gc=1", "", 200, 404, "\x1f\x8b"},
		{"GET", "/debug/pprof/cmdline", "", 404, 404, ""},
		{"GET", "/nothing", "", 404, 404, "not found"},
	} {
		status, body, headers := ask(t, c.method, s.admin+c.path, c.body)
		if status != c.admin || !strings.Contains(body, c.contains) {
			t.Errorf("admin %s %s: %d %q, want %d with %q", c.method, c.path, status, body, c.admin, c.contains)
		}
		if _, err := http.ParseTime(headers.Get("Date")); err != nil {
			t.Errorf("admin %s %s: Date %q", c.method, c.path, headers.Get("Date"))
		}
		if status, _, _ = ask(t, c.method, s.metrics+c.path, c.body); status != c.metrics {
			t.Errorf("metrics %s %s: %d, want %d", c.method, c.path, status, c.metrics)
		}
	}
	if s.drains.Load() != 0 || s.quits.Load() != 0 {
		t.Error("a GET had an effect")
	}
}

func TestFaultInARequestIsAnswered(t *testing.T) {
	s := serve(t, func(c *Config) { c.Settings = func() []byte { panic("fault") } })
	if status, _, _ := ask(t, "GET", s.admin+"/config", ""); status != 500 {
		t.Errorf("%d", status)
	}
	if status, _, _ := ask(t, "GET", s.admin+"/healthz", ""); status != 200 {
		t.Errorf("afterwards: %d", status)
	}
}

func TestReadinessGivesItsReason(t *testing.T) {
	s := serve(t, nil)
	reason := errors.New("draining")
	s.notReady.Store(&reason)
	if status, body, _ := ask(t, "GET", s.metrics+"/readyz", ""); status != 503 || body != "draining\n" {
		t.Errorf("%d %q", status, body)
	}
	if status, _, _ := ask(t, "GET", s.metrics+"/healthz", ""); status != 200 {
		t.Errorf("not alive while draining: %d", status)
	}
}

func TestDrainAndQuit(t *testing.T) {
	s := serve(t, nil)
	for _, path := range []string{"/drain", "/quitquitquit"} {
		if status, _, _ := ask(t, "POST", s.admin+path, "", "Origin", "http://evil.example"); status != 403 {
			t.Errorf("%s from a browser: %d", path, status)
		}
		if status, _, _ := ask(t, "POST", s.metrics+path, ""); status != 404 {
			t.Errorf("%s at the metrics listener: %d", path, status)
		}
	}
	if s.drains.Load()+s.quits.Load() != 0 {
		t.Fatal("refused requests had an effect")
	}
	ask(t, "POST", s.admin+"/drain", "")
	ask(t, "POST", s.admin+"/quitquitquit", "")
	if s.drains.Load() != 1 || s.quits.Load() != 1 {
		t.Errorf("drains %d, quits %d", s.drains.Load(), s.quits.Load())
	}
}

func TestProbesOfNamedPortsOnly(t *testing.T) {
	up, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	served, refused := netip.MustParseAddrPort(up.Addr().String()), netip.MustParseAddrPort(sidecar.Refusing(t))
	s := serve(t, func(c *Config) {
		c.Probes = map[uint16]string{served.Port(): served.String(), refused.Port(): refused.String()}
	})
	for path, want := range map[string]int{
		fmt.Sprint(served.Port()): 200, fmt.Sprint(refused.Port()): 503, "1": 404, "": 404, "0": 404, "x": 404, "99999": 404,
		fmt.Sprintf("%d/x", served.Port()): 404,
	} {
		// A kubelet reaches the metrics listener only.
		for _, base := range []string{s.admin, s.metrics} {
			if status, body, _ := ask(t, "GET", base+"/probe/tcp/"+path, ""); status != want {
				t.Errorf("probe %q at %s: %d %q, want %d", path, base, status, body, want)
			}
		}
	}
}

// TestProbeAsksWhereTheRequestCame: an application may listen at the Pod's address alone.
func TestProbeAsksWhereTheRequestCame(t *testing.T) {
	var own net.IP
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			own = n.IP
		}
	}
	if own == nil {
		need.Missing(t, "an address that is not loopback", "any network interface")
	}
	up, err := net.Listen("tcp", net.JoinHostPort(own.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	port := up.Addr().(*net.TCPAddr).Port
	s := serve(t, func(c *Config) {
		c.Metrics = net.JoinHostPort(own.String(), "0")
		c.Probes = map[uint16]string{uint16(port): fmt.Sprintf("127.0.0.1:%d", port)}
	})
	if status, body, _ := ask(t, "GET", fmt.Sprintf("%s/probe/tcp/%d", s.metrics, port), ""); status != 200 {
		t.Errorf("probe at the Pod's address: %d %q", status, body)
	}
	if status, _, _ := ask(t, "GET", fmt.Sprintf("%s/probe/tcp/%d", s.admin, port), ""); status != 503 {
		t.Errorf("probe at the loopback address, where nobody listens: %d", status)
	}
}

func TestAnyPathAnswersMetrics(t *testing.T) {
	s := serve(t, func(c *Config) { c.AnyPath = true })
	for _, path := range []string{"/", "/prometheus", "/config", "/debug/pprof/heap"} {
		if status, body, _ := ask(t, "GET", s.metrics+path, ""); status != 200 || !strings.HasPrefix(body, "# HELP spanwire_") {
			t.Errorf("%s: %d %.40q", path, status, body)
		}
	}
	if status, _, _ := ask(t, "GET", s.admin+"/prometheus", ""); status != 404 {
		t.Errorf("the admin listener has metrics at any path: %d", status)
	}
}

// TestSharedPort: both listeners with one port. Loopback is admin's address; 127.0.0.2 stands for an address of the network.
func TestSharedPort(t *testing.T) {
	port := sidecar.FreePort(t)
	s := serve(t, func(c *Config) { c.Admin, c.Metrics, c.AnyPath = "127.0.0.1:"+port, ":"+port, true })
	if s.admin != s.metrics {
		t.Errorf("admin at %s, metrics at %s", s.admin, s.metrics)
	}
	if status, _, _ := ask(t, "GET", "http://127.0.0.1:"+port+"/config", ""); status != 200 {
		t.Errorf("configuration at admin's address: %d", status)
	}
	if _, body, _ := ask(t, "GET", "http://127.0.0.2:"+port+"/config", ""); strings.Contains(body, "settings") {
		t.Error("configuration at another address")
	}
	if status, body, _ := ask(t, "GET", "http://127.0.0.2:"+port+"/x", ""); status != 200 || !strings.Contains(body, "spanwire_") {
		t.Errorf("metrics at another address: %d", status)
	}
	if status, _, _ := ask(t, "POST", "http://127.0.0.2:"+port+"/quitquitquit", ""); status == 200 || s.quits.Load() != 0 {
		t.Error("another address may end the process")
	}
}

func TestSharedAddress(t *testing.T) {
	port := sidecar.FreePort(t)
	s := serve(t, func(c *Config) { c.Admin, c.Metrics = "127.0.0.1:"+port, "127.0.0.1:"+port })
	for _, path := range []string{"/config", "/metrics"} {
		if status, _, _ := ask(t, "GET", s.metrics+path, ""); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestListenersCanBeOff(t *testing.T) {
	s := serve(t, func(c *Config) { c.Admin, c.Metrics = "", "" })
	if a, m := s.Addrs(); a != "" || m != "" {
		t.Errorf("%q %q", a, m)
	}
}

func TestBoundAddressIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := New(Config{Metrics: l.Addr().String()}); err == nil || !strings.Contains(err.Error(),
		"metrics listener "+l.Addr().String()) {
		t.Errorf("%v", err)
	}
}

// TestSlowClientIsCutOff sends a head that never ends.
func TestSlowClientIsCutOff(t *testing.T) {
	s := serve(t, func(c *Config) { c.headTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost:")); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the connection lives on: %v", err)
	}
}

func TestTooManyClientsAreTurnedAway(t *testing.T) {
	s := serve(t, nil)
	addr := strings.TrimPrefix(s.admin, "http://")
	for range maxClients {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	// Connections are accepted in order, so this one comes after those that say nothing.
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 503 ") {
		t.Errorf("client %d got %q", maxClients+1, line)
	}
}

// A profile takes longer than a response may take to be sent: it is sent when it is complete.
func TestProfileOutlastsTheSendTimeout(t *testing.T) {
	s := serve(t, func(cfg *Config) { cfg.sendTimeout = 300 * time.Millisecond })
	res, err := http.Get(s.admin + "/debug/pprof/profile?seconds=1")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	profile, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || !bytes.HasPrefix(profile, []byte{0x1f, 0x8b}) {
		t.Errorf("status %d, %d bytes, %v", res.StatusCode, len(profile), err)
	}
}

func TestProfilesAreBounded(t *testing.T) {
	for query, want := range map[string]int{"": 1, "seconds=5": 5, "seconds=30": 30, "seconds=31": 30, "seconds=0": 1, "seconds=-1": 1, "seconds=x": 1} {
		var args fasthttp.Args
		args.Parse(query)
		if got := profileSeconds(&args, defaultTraceSeconds, maxTraceSeconds); got != want {
			t.Errorf("%q: %d seconds, want %d", query, got, want)
		}
	}
}

func TestProfileEndsWithTheServer(t *testing.T) {
	s := serve(t, nil)
	done := make(chan int, 1)
	go func() {
		res, err := http.Get(s.admin + "/debug/pprof/trace?seconds=300")
		if err != nil {
			done <- 0
			return
		}
		defer res.Body.Close()
		n, _ := io.Copy(io.Discard, res.Body)
		done <- int(n)
	}()
	for deadline := time.Now().Add(5 * time.Second); !trace.IsEnabled(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no trace is running")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	close(s.quit)
	select {
	case n := <-done:
		if n == 0 {
			t.Error("an empty trace")
		}
	case <-ctx.Done():
		t.Error("the profile runs on")
	}
	s.quit = make(chan struct{}) // for Close
}
