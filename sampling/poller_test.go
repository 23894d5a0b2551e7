package sampling

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/internal/sidecar"
)

const (
	testTimeout = 10 * time.Second
	all         = `{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1}}`
	nothing     = `{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0}}`
)

// endpoint answers as Jaeger's GET /sampling?service=NAME does, with what the test says.
type endpoint struct {
	reply atomic.Pointer[reply]
	asked atomic.Int64

	mu   sync.Mutex
	last *http.Request
}

// reply is a status and a body that belong together.
type reply struct {
	status int
	body   string
}

func (e *endpoint) say(status int, body string) { e.reply.Store(&reply{status, body}) }

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	e.last = r
	e.mu.Unlock()
	a := e.reply.Load()
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
	e.asked.Add(1)
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain: %s", testTimeout, what)
		}
	}
}

// startPoller asks url every 5 ms.
func startPoller(t *testing.T, url string, log *slog.Logger) (*trace.Remote, *Poller) {
	t.Helper()
	s, err := trace.ParseSampler("remote=" + url)
	if err != nil {
		t.Fatal(err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := trace.RemoteOf(s)
	p := New(Config{Remote: r, Service: "a shop&x", Interval: 5 * time.Millisecond, Version: "1", Log: log})
	p.Start()
	t.Cleanup(p.Stop)
	return r, p
}

func samples(r *trace.Remote) bool { return r.Sample(span.TraceID{15: 1}, 1) }

func TestTheLastAnswerHoldsWhileTheEndpointIsAway(t *testing.T) {
	e := &endpoint{}
	e.say(200, nothing)
	server := httptest.NewServer(e)
	defer server.Close()
	var lines lineCounter
	r, _ := startPoller(t, server.URL+"/sampling?x=1", slog.New(slog.NewTextHandler(&lines, nil)))
	eventually(t, "the first answer", func() bool { return !samples(r) })
	e.mu.Lock()
	if got := e.last.URL.Path + "?" + e.last.URL.RawQuery; got != "/sampling?service=a+shop%26x&x=1" || e.last.Header.Get("b3") != "0" {
		t.Errorf("asked %s, %v", got, e.last.Header)
	}
	e.mu.Unlock()
	for _, bad := range []func(){
		func() { e.say(500, all) }, func() { e.say(404, "") }, func() { e.say(200, "<html>") }, func() { e.say(200, `{"probabilisticSampling":{"samplingRate":7}}`) },
		func() { e.say(200, `{"x":"`+strings.Repeat("x", maxAnswerBytes)+`"}`) }, func() { e.say(302, all) },
	} {
		bad()
		failures := r.Failures.Load()
		eventually(t, "failures counted", func() bool { return r.Failures.Load() > failures+3 })
		if samples(r) {
			t.Fatal("the last answer does not hold")
		}
	}
	if n := lines.count("failed"); n != 1 {
		t.Errorf("%d log lines about failures, want one", n)
	}
	e.say(200, all)
	eventually(t, "the new answer", func() bool { return samples(r) })
	eventually(t, "answers counted", func() bool { return r.Polls.Load() > 1 })
	eventually(t, "a line that it is back", func() bool { return lines.count("answers again") == 1 })
}

// TestAnUnchangedAnswerKeepsTheBucket: a rate would otherwise be full again after each question.
func TestAnUnchangedAnswerKeepsTheBucket(t *testing.T) {
	e := &endpoint{}
	e.say(200, `{"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":1}}`)
	server := httptest.NewServer(e)
	defer server.Close()
	r, _ := startPoller(t, server.URL, nil)
	eventually(t, "the first answer", func() bool { return r.Polls.Load() > 0 })
	n := 0
	for range 5 {
		if samples(r) {
			n++
		}
		polls := r.Polls.Load()
		eventually(t, "another answer", func() bool { return r.Polls.Load() > polls })
	}
	if n != 1 {
		t.Errorf("%d sampled at one time, want 1", n)
	}
}

func TestBeforeTheFirstAnswerTheInitialSamplerDecides(t *testing.T) {
	r, _ := startPoller(t, "http://"+sidecar.Refusing(t), nil)
	eventually(t, "a failure", func() bool { return r.Failures.Load() > 0 })
	if !samples(r) || r.Polls.Load() != 0 {
		t.Errorf("samples %v, %d answers", samples(r), r.Polls.Load())
	}
}

// TestStopDoesNotWaitForASlowEndpoint: the end of the process must not.
func TestStopDoesNotWaitForASlowEndpoint(t *testing.T) {
	asked, end := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(asked)
		<-end
	}))
	defer server.Close()
	defer close(end)
	_, p := startPoller(t, server.URL, nil)
	<-asked
	begin := time.Now()
	p.Stop()
	if d := time.Since(begin); d > askTimeout/2 {
		t.Errorf("Stop took %v", d)
	}
}

func TestIPv6AndNames(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback: ", err)
	}
	e := &endpoint{}
	e.say(200, nothing)
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: e}}
	server.Start()
	defer server.Close()
	r, _ := startPoller(t, "http://"+l.Addr().String()+"/sampling", nil)
	eventually(t, "an answer over IPv6", func() bool { return !samples(r) })
}

// lineCounter is a log that counts.
type lineCounter struct {
	mu   sync.Mutex
	text strings.Builder
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *lineCounter) count(s string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.text.String(), s)
}
