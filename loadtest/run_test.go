package loadtest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/sidecar"
	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/server"
)

// startHTTP starts a server for the time of the test.
func startHTTP(t *testing.T, o server.Options) *server.HTTP {
	t.Helper()
	s, err := server.StartHTTP("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// listen accepts connections for the time of the test and runs each on a goroutine.
func listen(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// answering returns a connection handler that answers every request without body with the same bytes.
func answering(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		for r := bufio.NewReader(conn); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// short is a configuration for tests: all of it measured, and over soon.
func short(url string) loadtest.Config {
	c := loadtest.DefaultConfig(url)
	c.Rate, c.Connections, c.Warmup, c.Duration, c.Timeout = 500, 4, 0, 200*time.Millisecond, 30*time.Second // long: a machine may be busy
	return c
}

// closed makes a configuration's loop a closed one.
func closed(c loadtest.Config) loadtest.Config {
	c.Closed, c.Rate = true, 0
	return c
}

// run runs a configuration and checks the accounts that hold for every run.
func run(t *testing.T, c loadtest.Config) *loadtest.Result {
	t.Helper()
	r, err := loadtest.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	q := r.Requests
	if q.Sent != q.OK+q.Failed+q.WarmupSent {
		t.Errorf("accounts do not balance: %+v", q)
	}
	return r
}

// bestOfThree measures up to three times, until a time is within bound, and returns the least: a busy machine makes times longer, never shorter.
func bestOfThree(bound time.Duration, measure func() time.Duration) (best time.Duration) {
	best = measure()
	for n := 1; n < 3 && best > bound; n++ {
		best = min(best, measure())
	}
	return best
}

func TestRun_EveryRequestIsAnsweredAndVerified(t *testing.T) {
	for _, c := range []struct {
		name    string
		options server.Options
		change  func(*loadtest.Config)
	}{
		{"plain", server.Options{BodySize: server.Size{Min: 200, Max: 200}}, func(*loadtest.Config) {}},
		{"sizes", server.Options{BodySize: server.Size{Max: 100_000}}, func(*loadtest.Config) {}},
		{"chunked", server.Options{BodySize: server.Size{Min: 20_000, Max: 20_000}, Chunked: true}, func(*loadtest.Config) {}},
		{"posts", server.Options{}, func(c *loadtest.Config) { c.Method, c.BodySize = "POST", 16<<10 }},
		{"large posts back", server.Options{}, func(c *loadtest.Config) {
			c.URL, c.Method, c.BodySize, c.Requests = c.URL+server.PathEcho, "POST", 2<<20, 12
		}},
		{"head", server.Options{BodySize: server.Size{Min: 200, Max: 200}}, func(c *loadtest.Config) { c.Method = "HEAD" }},
		{"pipelined", server.Options{BodySize: server.Size{Min: 200, Max: 200}}, func(c *loadtest.Config) { c.Pipeline = 8 }},
		{"pipelined, closed", server.Options{BodySize: server.Size{Max: 5000}}, func(c *loadtest.Config) { c.Pipeline = 8; *c = closed(*c) }},
		{"no keep-alive", server.Options{BodySize: server.Size{Min: 200, Max: 200}}, func(c *loadtest.Config) { c.NoKeepalive = true }},
		{"no keep-alive, closed", server.Options{}, func(c *loadtest.Config) { c.NoKeepalive = true; *c = closed(*c) }},
		{"poisson", server.Options{}, func(c *loadtest.Config) { c.Arrivals = loadtest.Poisson }},
		{"warm-up", server.Options{}, func(c *loadtest.Config) { c.Warmup = 100 * time.Millisecond }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := startHTTP(t, c.options)
			config := short(s.URL())
			c.change(&config)
			r := run(t, config)
			if r.Unexpected() > 0 || r.Requests.OK == 0 {
				t.Fatalf("%d right, errors %v, first %s", r.Requests.OK, r.Errors, r.FirstError)
			}
			stats := s.Stats()
			if stats.Requests != r.Requests.Sent {
				t.Errorf("sent %d, the server saw %d", r.Requests.Sent, stats.Requests)
			}
			if config.BodySize > 0 && (stats.Verified != r.Requests.Sent || stats.BodyBytes != r.Requests.Sent*int64(config.BodySize)) {
				t.Errorf("sent %d, the server verified %d with %d bytes", r.Requests.Sent, stats.Verified, stats.BodyBytes)
			}
			if config.NoKeepalive && r.Sockets.Opened != r.Requests.Sent || !config.NoKeepalive && r.Sockets.Opened != 4 {
				t.Errorf("%d connections for %d requests", r.Sockets.Opened, r.Requests.Sent)
			}
		})
	}
}

func TestRun_OpenLoopSendsTheRateExactly(t *testing.T) {
	s := startHTTP(t, server.Options{})
	c := short(s.URL())
	c.Rate, c.Warmup, c.Duration = 400, 250*time.Millisecond, 500*time.Millisecond
	r := run(t, c)
	if q := r.Requests; q.WarmupSent != 100 || q.OK+q.Failed+q.Unsent != 200 {
		t.Errorf("400/s for 250 ms and 500 ms: %+v", q)
	}
}

func TestRun_RequestsBoundsTheRun(t *testing.T) {
	for name, change := range map[string]func(loadtest.Config) loadtest.Config{
		"open": func(c loadtest.Config) loadtest.Config { return c }, "closed": closed,
	} {
		t.Run(name, func(t *testing.T) {
			s := startHTTP(t, server.Options{})
			c := change(short(s.URL()))
			c.Requests, c.Duration = 37, time.Minute
			if r := run(t, c); r.Requests.Sent != 37 || s.Stats().Requests != 37 || !r.Valid || r.Rate == 0 || r.Seconds > 30 {
				t.Errorf("%+v, server %+v, valid %v %v, %v/s in %vs", r.Requests, s.Stats(), r.Valid, r.Reasons, r.Rate, r.Seconds)
			}
		})
	}
}

func TestRun_WrongAnswersAreCountedByKind(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	reset := func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
		}
	}
	once := func(answer string) func(net.Conn) {
		return func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, answer)
			}
		}
	}
	for _, c := range []struct {
		kind   loadtest.Kind
		name   string
		server func(net.Conn)
	}{
		{loadtest.ErrStatus, "status", answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")},
		{loadtest.ErrHash, "hash", answering(ok + "Content-Length: 2\r\nX-Body-Hash: crc32c=00000000\r\n\r\nhi")},
		{loadtest.ErrLength, "length", answering(ok + "X-Body-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n")},
		{loadtest.ErrMalformed, "malformed", answering("HELLO\r\n\r\n")},
		{loadtest.ErrClosed, "closed in the body", once(ok + "Content-Length: 9\r\n\r\nhi")},
		{loadtest.ErrClosed, "closed at once", func(conn net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(conn)) }},
		{loadtest.ErrReset, "reset", reset},
		{loadtest.ErrUnsolicited, "a longer body than said", answering(ok + "Content-Length: 2\r\n\r\nhi, there is more")},
		{loadtest.ErrUnsolicited, "more after the last answer", once(ok + "Connection: close\r\nContent-Length: 2\r\n\r\nhi there")},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, config := range []loadtest.Config{short(listen(t, c.server)), closed(short(listen(t, c.server)))} {
				config.Requests = 8
				r := run(t, config)
				if r.Errors[c.kind.String()] == 0 || r.FirstError == "" {
					t.Errorf("%s loop: errors %v, first %q", r.Loop, r.Errors, r.FirstError)
				}
				if c.kind != loadtest.ErrUnsolicited && r.Requests.Failed != 8 {
					t.Errorf("%s loop: 8 requests, all wrong: %+v", r.Loop, r.Requests)
				}
			}
		})
	}
}

func TestRun_TimeoutEndsARequestAndCountsInLatency(t *testing.T) {
	silent := listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	c := short(silent)
	c.Requests, c.Timeout = 4, 100*time.Millisecond
	r := run(t, c)
	if r.Errors["timeout"] != 4 || r.Latency.Count != 4 || r.Latency.Min < int64(c.Timeout) {
		t.Errorf("errors %v, latency %+v", r.Errors, r.Latency)
	}
}

func TestRun_ExpectStatus(t *testing.T) {
	s := startHTTP(t, server.Options{ErrorRate: 0.5, ErrorStatus: 503})
	c := short(s.URL())
	c.Requests = 100
	if r := run(t, c); r.Errors["status"] == 0 || r.Errors["status"] != r.Statuses["503"] || r.Statuses["200"]+r.Statuses["503"] != 100 {
		t.Errorf("errors %v, statuses %v", r.Errors, r.Statuses)
	}
	c.ExpectStatus = []int{200, 503}
	if r := run(t, c); r.Unexpected() != 0 || r.Statuses["503"] == 0 {
		t.Errorf("errors %v, statuses %v", r.Errors, r.Statuses)
	}
}

func TestRun_ResetsAndErrorsOfTheServerAreAllSeen(t *testing.T) {
	s := startHTTP(t, server.Options{BodySize: server.Size{Min: 100, Max: 100}, ErrorRate: 0.2, ResetRate: 0.2, Seed: 5})
	c := closed(short(s.URL()))
	c.Requests = 500
	r, stats := run(t, c), s.Stats()
	if stats.Resets == 0 || stats.Errors == 0 {
		t.Fatalf("the server did nothing wrong: %+v", stats)
	}
	if r.Errors["status"] != stats.Errors || r.Errors["reset"]+r.Errors["closed"] != stats.Resets {
		t.Errorf("server %+v, seen %v", stats, r.Errors)
	}
}

func TestRun_RefusedTarget(t *testing.T) {
	address := sidecar.Refusing(t)
	if _, err := loadtest.Run(context.Background(), short(address)); !errors.Is(err, loadtest.ErrUnreachable) ||
		!strings.Contains(err.Error(), address) {
		t.Errorf("error %v", err)
	}
	c := short(address)
	c.NoKeepalive, c.Requests = true, 8
	if r := run(t, c); r.Errors["connect"] != 8 {
		t.Errorf("one connection for each request: %v", r.Errors)
	}
}

func TestRun_ReconnectsWhenAnIdleConnectionIsClosed(t *testing.T) {
	var conns atomic.Int64
	address := listen(t, func(conn net.Conn) { // closes after one answer, without having said so
		conns.Add(1)
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	c := short(address)
	c.Rate, c.Requests = 100, 12
	r := run(t, c)
	// At 100/s over four connections the close is long in when the next request comes.
	if r.Requests.OK != 12 || conns.Load() < 12 {
		t.Errorf("%+v, errors %v, %d connections", r.Requests, r.Errors, conns.Load())
	}
}

func TestRun_CancelledIsInvalid(t *testing.T) {
	s := startHTTP(t, server.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() {
		for ; ctx.Err() == nil && s.Stats().Requests < 100; time.Sleep(time.Millisecond) {
		}
		cancel()
	}()
	c := short(s.URL())
	c.Duration = time.Minute
	r, err := loadtest.Run(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if r.Valid || !strings.Contains(strings.Join(r.Reasons, " "), "interrupted") || r.Requests.OK < 50 || r.Seconds > 30 ||
		r.Rate < float64(r.Requests.OK)/r.Seconds/2 { // the rate is of the time that was measured
		t.Errorf("valid %v %v, %+v in %v s, %v/s", r.Valid, r.Reasons, r.Requests, r.Seconds, r.Rate)
	}
}

func TestRun_IdleConnectionsAreHeldAndMissed(t *testing.T) {
	s := startHTTP(t, server.Options{})
	c := short(s.URL())
	c.IdleConnections = 200
	if r := run(t, c); r.Sockets.Opened != 204 || r.Sockets.IdleLost != 0 || r.Unexpected() != 0 {
		t.Errorf("%+v, errors %v", r.Sockets, r.Errors)
	}
	picky := listen(t, func(conn net.Conn) { // closes connections that stay silent
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Error(err)
		}
		answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn)
	})
	c = short(picky)
	c.Connections, c.IdleConnections, c.Duration = 1, 3, 600*time.Millisecond
	if r := run(t, c); r.Sockets.IdleLost != 3 || len(r.Warnings) == 0 {
		t.Errorf("%+v, warnings %v", r.Sockets, r.Warnings)
	}
}

func TestRun_ProgressTellsTheState(t *testing.T) {
	s := startHTTP(t, server.Options{})
	c := short(s.URL())
	var seen []loadtest.Progress
	c.Duration, c.Progress = 1300*time.Millisecond, func(p loadtest.Progress) { seen = append(seen, p) }
	r := run(t, c)
	if len(seen) < 2 {
		t.Fatalf("%d calls in 1.3 s", len(seen))
	}
	p := seen[1]
	if p.Total != c.Duration || p.Elapsed < 900*time.Millisecond || p.P50 <= 0 || p.P99 < p.P50 || p.Errors != 0 {
		t.Errorf("%+v", p)
	}
	// However unevenly a busy machine answers, the rates come to no more answers than there were.
	answers, last := 0.0, time.Duration(0)
	for _, p := range seen {
		answers, last = answers+p.Rate*(p.Elapsed-last).Seconds(), p.Elapsed
	}
	if most := 1.05 * float64(r.Requests.OK); answers < 10 || answers > most {
		t.Errorf("%+v: %.0f answers of %d", seen, answers, r.Requests.OK)
	}
}

func TestRun_EventsAreTimedFromTheirSending(t *testing.T) {
	s := startHTTP(t, server.Options{Events: 5, EventInterval: 10 * time.Millisecond})
	c := short(s.URL() + server.PathEvents)
	c.Events, c.Requests, c.Rate = true, 10, 100
	const bound = 40 * time.Millisecond
	if p50 := bestOfThree(bound, func() time.Duration {
		r := run(t, c)
		if r.EventLatency == nil || r.EventLatency.Count != 50 {
			t.Fatalf("errors %v, events %+v", r.Errors, r.EventLatency)
		}
		if r.Latency.Min < int64(50*time.Millisecond) {
			t.Errorf("the stream lasts 50 ms, measured %v", time.Duration(r.Latency.Min))
		}
		return time.Duration(r.EventLatency.P50)
	}); p50 > bound {
		t.Errorf("half of the events took more than %v, three times", p50)
	}
}

// TestRun_LostEventsAreUnexpected: something between takes one event of each stream out.
func TestRun_LostEventsAreUnexpected(t *testing.T) {
	s := startHTTP(t, server.Options{Events: 5})
	lossy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer, err := http.Get(s.URL() + server.PathEvents)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		events, _ := io.ReadAll(answer.Body)
		w.Header().Set(loadtest.HeaderBodyLength, answer.Header.Get(loadtest.HeaderBodyLength))
		_, _ = w.Write(events[len(events)/5:])
		w.(http.Flusher).Flush() // in chunks
	}))
	defer lossy.Close()
	c := short(lossy.URL)
	c.Events, c.Requests = true, 10
	if r := run(t, c); r.Errors[loadtest.ErrLength.String()] != 10 {
		t.Errorf("10 streams lacked an event, errors: %v", r.Errors)
	}
}

func TestResult_JSONRoundTripKeepsTheHistogram(t *testing.T) {
	s := startHTTP(t, server.Options{})
	r := run(t, short(s.URL()))
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back loadtest.Result
	if err = json.Unmarshal(encoded, &back); err != nil {
		t.Fatal(err)
	}
	h, err := back.Latency.Hist()
	if err != nil {
		t.Fatal(err)
	}
	if back.Schema != loadtest.Schema || h.TotalCount() != r.Requests.OK || h.ValueAtQuantile(99) != r.Latency.P99 {
		t.Errorf("schema %q, %d samples of %d, p99 %d of %d", back.Schema, h.TotalCount(), r.Requests.OK, h.ValueAtQuantile(99), r.Latency.P99)
	}
}
