package core

import (
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/core/verify"
)

// Nothing is allocated for a request on an open connection: what it needs is the session's or the worker's. The peers here
// allocate nothing either, so that the whole process can be counted; one allocation a request would be ten times the bound.
func TestRequestsAllocateNothing(t *testing.T) { requestsAllocateNothing(t, unverified) }

func TestVerifiedRequestsAllocateNothing(t *testing.T) { requestsAllocateNothing(t, nil) }

func requestsAllocateNothing(t *testing.T, rules *verify.Rules) {
	t.Helper()
	const n = 1000
	answer := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
	for _, c := range []struct {
		name   string
		pieces []string // of one request, each a write of its own
		answer string
		cfg    trace.Config
	}{
		{"small", []string{request}, answer, trace.Config{}},
		{"in pieces", []string{request[:20], request[20:40], request[40:]}, answer, trace.Config{}},
		{"with a context", []string{"GET /a/123/b?token=x HTTP/1.1\r\nHost: a\r\n" +
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n" +
			"b3: 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1\r\nX-Request-Id: some-id\r\n\r\n"}, answer, trace.Config{}},
		{"with a body", []string{"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000)}, answer, trace.Config{}},
		{"chunked", []string{"POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", trace.Config{}},
		{"tags and the trace id in the response", []string{"GET /a/123/b?token=x&q=1 HTTP/1.1\r\nHost: a\r\nX-Tenant: t\r\nCookie: exp=1\r\n\r\n"},
			"HTTP/1.1 200 OK\r\nX-Trace-Id: old\r\nX-Cache: HIT\r\nSet-Cookie: exp=2\r\nContent-Length: 2\r\n\r\nok",
			trace.Config{TagHeaders: []string{"X-Tenant", "X-Cache"}, TagCookies: []string{"exp"}, TraceResponseHeader: "X-Trace-Id"}},
		// What can be switched on, at once: counters by operation and status, a record for the access log, rules to fold by, tags.
		{"everything", []string{"GET /a/123/b?token=x&q=1 HTTP/1.1\r\nHost: a\r\nX-Tenant: t\r\nUser-Agent: x\r\nCookie: exp=1\r\n\r\n"},
			"HTTP/1.1 200 OK\r\nX-Cache: HIT\r\nContent-Length: 2\r\n\r\nok",
			trace.Config{TagHeaders: []string{"X-Tenant", "X-Cache"}, TagCookies: []string{"exp"}, TraceResponseHeader: "X-Trace-Id",
				FoldPaths: []string{"/a/[0-9]+=>/a/{n}", "/c/[a-z]+"}, CountOperations: true, MaxPeers: 100, DescribeAll: true}},
		{"everything, unsampled", []string{"GET /a/123/b?token=x&q=1 HTTP/1.1\r\nHost: a\r\nb3: 0\r\n\r\n"}, answer,
			trace.Config{CountOperations: true, MaxPeers: 100, DescribeAll: true}},
		{"with a route", []string{"GET /a HTTP/1.1\r\nHost: a\r\nX-Route: b=10.0.0.1, c=10.0.0.2\r\nX-Request-Id: some-id\r\n\r\n"}, answer,
			trace.Config{Routes: route.New(&route.Allow{}, 0, 0)}},
	} {
		if len(c.pieces) > 1 && rules == nil {
			continue // a head in pieces is edited only where they come within holdIdle: once is enough, and package verify has its own
		}
		t.Run(c.name, func(t *testing.T) {
			// The join table grows up to its bound, which is reached soon here.
			c.cfg.JoinSize = 256
			shared, err := trace.NewShared(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{Trace: shared, Verify: rules}
			if c.cfg.CountOperations {
				cfg.MaxSeries, cfg.CountStatuses, cfg.LogRequests = 10000, true, true
			}
			l := connect(t, cfg)
			whole := strings.Join(c.pieces, "")
			first, back := echoOnce(t, l, whole, c.answer)
			done := make(chan struct{})
			go func() {
				defer close(done)
				answerLoop(l.server, first, []byte(c.answer))
			}()
			var pieces [][]byte
			for _, p := range c.pieces {
				pieces = append(pieces, []byte(p))
			}
			buf := make([]byte, back)
			rings := slices.Concat(l.e.Rings(), l.e.RequestRings())
			ask := func(times int) {
				until := time.Now().Add(2 * testTimeout)
				_, _ = l.client.SetDeadline(until), l.server.SetDeadline(until)
				for range times {
					for _, p := range pieces {
						if _, err := l.client.Write(p); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := io.ReadFull(l.client, buf); err != nil {
						t.Fatal(err)
					}
					for _, r := range rings {
						for r.Peek() != nil {
							r.Release()
						}
					}
				}
			}
			ask(400) // pools fill, tables grow
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			ask(n)
			runtime.ReadMemStats(&after)
			if got := after.Mallocs - before.Mallocs; got > n/10 {
				t.Errorf("%d allocations in %d requests", got, n)
			}
			_ = l.client.Close()
			<-done
		})
	}
}

// echoOnce sends one request through l, answers it, and returns how many bytes of it the server saw, and the client of the answer.
func echoOnce(t *testing.T, l *link, req, answer string) (there, back int) {
	t.Helper()
	l.send(req)
	h := head(t, l.server)
	_, body, _ := strings.Cut(req, "\r\n\r\n")
	_ = mustRead(t, l.server, len(body))
	l.reply(answer)
	answerHead := head(t, l.client)
	_, answerBody, _ := strings.Cut(answer, "\r\n\r\n")
	_ = mustRead(t, l.client, len(answerBody))
	return len(h) + len(body), len(answerHead) + len(answerBody)
}

// answerLoop answers requests of n bytes until c ends.
func answerLoop(c *net.TCPConn, n int, answer []byte) {
	buf := make([]byte, n)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
