//go:build e2e

package faults

import (
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// collectorAt is a collector at one address that can be exchanged for another.
type collectorAt struct {
	t    *testing.T
	addr string
	l    *owner
}

// owner is a listener whose end is that of its connections too.
type owner struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	over  bool
}

// Accept takes a connection.
func (o *owner) Accept() (net.Conn, error) {
	c, err := o.Listener.Accept()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.conns = append(o.conns, c)
		if o.over {
			_ = c.Close()
		}
	}
	return c, err
}

// Close ends the listener and its connections.
func (o *owner) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	for _, c := range o.conns {
		_ = c.Close()
	}
	return o.Listener.Close()
}

// newCollectorAt finds a free port, at which nothing listens yet.
func newCollectorAt(t *testing.T) *collectorAt {
	c := &collectorAt{t: t, addr: "127.0.0.1:" + sidecar.FreePort(t)}
	t.Cleanup(c.leave)
	return c
}

// leave refuses connections from now on, and ends those that there are.
func (c *collectorAt) leave() {
	if c.l != nil {
		_ = c.l.Close()
		c.l = nil
	}
}

// become has serve answer connections.
func (c *collectorAt) become(serve func(l net.Listener)) {
	c.t.Helper()
	c.leave()
	l, err := net.Listen("tcp4", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.l = &owner{Listener: l}
	go serve(c.l)
}

// each returns what handles connections one by one.
func each(handle func(c *net.TCPConn)) func(l net.Listener) {
	return func(l net.Listener) {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}
}

// Whatever the collector does, traffic goes on and the sidecar is ready: from a start without one, through one that takes connections and says nothing, resets,
// answers 500 or what no HTTP is, to one that works: that gets every span that was not counted as dropped.
func TestCollectorTroubles(t *testing.T) {
	c := newCollectorAt(t)
	report := proof.Fault{Name: "Collector in trouble", What: "From the start the collector refuses connections, then it hangs, resets, answers 500, garbage, and at last works."}
	defer func() { proof.Write(t, report) }()
	begun := time.Now()
	m := newMesh(t, setup{collector: c.addr, leave: c.leave, args: []string{"--export-queue", "4000"}})
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("the start waited %v", took)
	}
	stop := m.begin(4)
	for _, trouble := range []struct {
		name  string
		serve func(l net.Listener) // nil: refuses
	}{
		{"refuses", nil},
		{"hangs", each(func(*net.TCPConn) {})},
		{"resets", each(func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 100))
			_ = c.SetLinger(0)
			_ = c.Close()
		})},
		{"answers 500", func(l net.Listener) {
			_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
		}},
		{"answers garbage", each(func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = io.WriteString(c, "\x00\x01 what is this\r\n\r\n\r\n")
		})},
	} {
		if trouble.serve != nil {
			c.become(trouble.serve)
		}
		exported := m.Sum("spanwire_spans_exported_total")
		for until := time.Now().Add(time.Second); time.Now().Before(until); {
			m.goesOn(10, "conversations while the collector "+trouble.name)
			if status := m.status("/readyz"); status != http.StatusOK {
				t.Errorf("the collector %s: /readyz answers %d", trouble.name, status)
			}
		}
		if n := m.Sum("spanwire_spans_exported_total"); n != exported {
			t.Errorf("the collector %s, and %v spans count as exported", trouble.name, n-exported)
		}
	}
	c.become(func(l net.Listener) { _ = http.Serve(l, m.sink) })
	m.AwaitMetric(`spanwire_spans_exported_total{exporter="otlp"}`, 1)
	_, report.Outcome = m.finish(stop)
	m.Stop()
}

// status asks the sidecar's read-only endpoints.
func (m *mesh) status(path string) int {
	m.t.Helper()
	client := http.Client{Timeout: stuck, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + m.Metrics + path)
	if err != nil {
		m.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}
