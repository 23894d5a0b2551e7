package core

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// mesh is an application between two listeners of one engine: what arrives inbound makes it call outbound, with nothing but
// X-Request-Id handed on. The two sides are forced onto different loops.
type mesh struct {
	e                 *Engine
	inbound, outbound string
	client            *http.Client // the outside world
	app               *http.Client // the application's
}

// newMesh starts a mesh whose application is handle. Calls of the application to m.outbound arrive at a backend that answers 200.
func newMesh(t *testing.T, handle func(m *mesh, w http.ResponseWriter, r *http.Request)) *mesh {
	t.Helper()
	return newMeshWith(t, trace.Config{}, handle, func(*http.Request) {})
}

// newMeshWith is newMesh with settings, and with a look at what arrives at the backend.
func newMeshWith(t *testing.T, c trace.Config, handle func(m *mesh, w http.ResponseWriter, r *http.Request),
	arrived func(r *http.Request)) *mesh {
	t.Helper()
	m := &mesh{client: newClient(t), app: newClient(t)}
	backend := httpServer(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Count(strings.Join(r.Header.Values("Traceparent"), ","), "-") != 3 {
			t.Errorf("traceparent %q", r.Header.Values("Traceparent"))
		}
		arrived(r)
		_, _ = io.WriteString(w, "ok")
	})
	app := httpServer(t, func(w http.ResponseWriter, r *http.Request) { handle(m, w, r) })
	shared, err := trace.NewShared(c)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	next := 0
	m.e, m.inbound = startWith(t, Config{Loops: 4, Trace: shared, RingSlots: 1 << 13, Explicit: []Listen{
		{Addr: "127.0.0.1:0", Upstream: app, Kind: span.Server}, {Addr: "127.0.0.1:0", Upstream: backend, Kind: span.Client}}},
		func(e *Engine) {
			e.placeOn = func(kind span.Kind) int { // two loops for each side
				mu.Lock()
				defer mu.Unlock()
				next++
				return 2*int(kind) + next%2
			}
		})
	m.outbound = m.e.Listeners()[1].Addr
	return m
}

// newClient returns a client with connections of its own.
func newClient(t *testing.T) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: testTimeout}
}

// httpServer starts an HTTP server and returns its address.
func httpServer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

// call sends a request with an id to an address and reads the answer.
func call(c *http.Client, addr, path, id string) error {
	r, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	if id != "" {
		r.Header.Set("X-Request-Id", id)
	}
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, res.Status)
	}
	return nil
}

// callOn is what an application does that knows nothing of tracing: it calls on with the id it was given.
func (m *mesh) callOn(t *testing.T, r *http.Request, path string) {
	if err := call(m.app, m.outbound, path, r.Header.Get("X-Request-Id")); err != nil {
		t.Error(err)
	}
}

// Under load, with a fan-out of two, every outbound span is a child of the inbound span of its own request. If the entry were
// published after the head had gone to the application, or in a table of the loop's own, there would be orphans.
func TestJoinAcrossLoopsUnderLoad(t *testing.T) {
	const workers, each = 16, 40
	m := newMesh(t, func(m *mesh, w http.ResponseWriter, r *http.Request) {
		var wg sync.WaitGroup
		for _, leg := range []string{"/a", "/b"} {
			wg.Go(func() { m.callOn(t, r, r.URL.Path+leg) })
		}
		wg.Wait()
	})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				id := "" // made by the sidecar
				if i%2 == 0 {
					id = fmt.Sprintf("id-%d-%d", w, i)
				}
				if err := call(m.client, m.inbound, fmt.Sprintf("/w%d/r%d", w, i), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all := spans(t, m.e, 3*workers*each)
	parents := map[string]span.Record{}
	for _, s := range all {
		if s.Kind == span.Server {
			parents[string(s.Text(span.Path))] = s
		}
	}
	if len(parents) != workers*each {
		t.Fatalf("%d inbound spans", len(parents))
	}
	for _, s := range all {
		if s.Kind == span.Server {
			if s.Join != span.JoinRoot || !s.ParentID.IsZero() {
				t.Errorf("inbound span joined by %v", s.Join)
			}
			continue
		}
		path := string(s.Text(span.Path))
		p, ok := parents[path[:len(path)-2]]
		if !ok || s.TraceID != p.TraceID || s.ParentID != p.SpanID || s.Join != span.JoinID {
			t.Errorf("%s: joined by %v, child of its request: %v", path, s.Join, s.ParentID == p.SpanID)
		}
	}
	if j := m.e.Stats().Joins; j[span.JoinID] != 2*workers*each || j[span.JoinRoot] != workers*each {
		t.Errorf("joins %v", j)
	}
	for i, w := range m.e.workers {
		if w.ring.Pushed() == 0 {
			t.Errorf("loop %d had no part in this", i)
		}
	}
}

// The same id in flight twice: the newest inbound request is taken, and the span says that this was a guess.
func TestOneIDInFlightTwice(t *testing.T) {
	arrived, proceed := make(chan string, 2), map[string]chan struct{}{"/1": make(chan struct{}), "/2": make(chan struct{})}
	m := newMesh(t, func(m *mesh, w http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-proceed[r.URL.Path]
		m.callOn(t, r, "/from"+r.URL.Path)
	})
	done := make(chan error, 2)
	for _, path := range []string{"/1", "/2"} {
		go func() { done <- call(m.client, m.inbound, path, "twice") }()
		<-arrived
	}
	close(proceed["/1"])
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	close(proceed["/2"])
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	by := map[string]span.Record{}
	for _, s := range spans(t, m.e, 4) {
		by[string(s.Text(span.Path))] = s
	}
	first, second := by["/from/1"], by["/from/2"]
	if first.ParentID != by["/2"].SpanID || first.Join != span.JoinAmbiguous {
		t.Errorf("the first call is joined by %v", first.Join)
	}
	if second.ParentID != by["/2"].SpanID || second.Join != span.JoinID {
		t.Errorf("the second call, alone by then, is joined by %v", second.Join)
	}
	if m.e.Stats().Joins[span.JoinAmbiguous] != 1 {
		t.Errorf("joins %v", m.e.Stats().Joins)
	}
}

// A call after the response still finds its request.
func TestLateCall(t *testing.T) {
	m := newMesh(t, func(*mesh, http.ResponseWriter, *http.Request) {})
	if err := call(m.client, m.inbound, "/request", "late"); err != nil {
		t.Fatal(err)
	}
	parent := spans(t, m.e, 1)[0]
	if err := call(m.app, m.outbound, "/late", "late"); err != nil {
		t.Fatal(err)
	}
	if s := spans(t, m.e, 1)[0]; s.ParentID != parent.SpanID || s.TraceID != parent.TraceID || s.Join != span.JoinLate {
		t.Errorf("joined by %v", s.Join)
	}
	if err := call(m.app, m.outbound, "/stranger", "never seen"); err != nil {
		t.Fatal(err)
	}
	if s := spans(t, m.e, 1)[0]; s.Join != span.JoinRoot || !s.ParentID.IsZero() {
		t.Errorf("an unknown id is joined by %v", s.Join)
	}
}

// A context header that the application hands on beats the table.
func TestForwardedContextDecides(t *testing.T) {
	m := newMesh(t, func(m *mesh, w http.ResponseWriter, r *http.Request) {
		out, err := http.NewRequest(http.MethodGet, "http://"+m.outbound+"/out", nil)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header.Set("Traceparent", r.Header.Get("Traceparent"))
		out.Header.Set("X-Request-Id", "another")
		res, err := m.app.Do(out)
		if err != nil {
			t.Error(err)
			return
		}
		_ = res.Body.Close()
	})
	if err := call(m.client, m.inbound, "/in", "id"); err != nil {
		t.Fatal(err)
	}
	var in, out span.Record
	for _, s := range spans(t, m.e, 2) {
		if s.Kind == span.Server {
			in = s
		} else {
			out = s
		}
	}
	if out.ParentID != in.SpanID || out.Join != span.JoinHeader {
		t.Errorf("joined by %v", out.Join)
	}
}
