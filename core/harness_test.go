package core

import (
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// testTimeout bounds whatever a test waits for; it is never waited for in a test that passes. It is long, since a connection has it for
// all of its test, which may share its core with many others.
const testTimeout = time.Minute

// startEngine starts an engine and closes it when the test ends. change may adjust its configuration.
func startEngine(t testing.TB, cfg Config) *Engine {
	t.Helper()
	if cfg.Loops == 0 {
		cfg.Loops = 1
	}
	if cfg.Trace == nil && !cfg.Disabled {
		shared, err := trace.NewShared(trace.Config{})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Trace = shared
	}
	if cfg.Log == nil && testing.Verbose() {
		cfg.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	cfg.Verify = rulesOf(cfg.Verify)
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeVerified(t, e) })
	return e
}

// testWriter sends log lines to the test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// inboundTo starts an engine with one inbound listener that leads to upstream, and returns it with the listener's address.
func inboundTo(t *testing.T, upstream string, cfg Config) (*Engine, string) {
	t.Helper()
	cfg.Explicit = append(cfg.Explicit, Listen{Addr: "127.0.0.1:0", Upstream: upstream, Kind: span.Server})
	e := startEngine(t, cfg)
	l := e.Listeners()
	return e, l[len(l)-1].Addr
}

// serve accepts connections and hands each to handle in a goroutine of its own; it returns its address.
func serve(t *testing.T, handle func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(testTimeout))
				handle(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// dial connects to addr.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, testTimeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testTimeout))
	return c.(*net.TCPConn)
}

// mustWrite writes all of b.
func mustWrite(t *testing.T, w io.Writer, b string) {
	t.Helper()
	if _, err := io.WriteString(w, b); err != nil {
		t.Fatal(err)
	}
}

// mustRead reads exactly n bytes.
func mustRead(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if m, err := io.ReadFull(r, b); err != nil {
		t.Fatalf("after %d of %d bytes (%q): %v", m, n, b[:m], err)
	}
	return string(b)
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", testTimeout, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// spans takes what is in the rings until there are want spans, and fails when more come at once.
func spans(t *testing.T, e *Engine, want int) []span.Record {
	t.Helper()
	var got []span.Record
	eventually(t, "spans in the ring", func() bool {
		got = append(got, takeSpans(e)...)
		return len(got) >= want
	})
	if len(got) != want {
		t.Fatalf("%d spans, want %d: %+v", len(got), want, got)
	}
	return got
}

// takeSpans takes what is in the rings now.
func takeSpans(e *Engine) (got []span.Record) {
	for _, r := range e.Rings() {
		for s := r.Peek(); s != nil; s = r.Peek() {
			var c span.Record
			s.CopyTo(&c)
			got = append(got, c)
			r.Release()
		}
	}
	return got
}
