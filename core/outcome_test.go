package core

import (
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

// Every request yields exactly one span, however it ends. Taking an outcome out of session.go loses the span or mislabels it.
func TestOneSpanForEveryOutcome(t *testing.T) {
	const partial = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
	answer := func(s string) func(l *link) {
		return func(l *link) {
			_ = head(l.t, l.server)
			l.reply(s)
			_ = mustRead(l.t, l.client, len(s))
		}
	}
	get := func(l *link) { l.send(request) }
	const whatever = -2 // as much as went through until then
	for _, c := range []struct {
		name    string
		steps   []func(l *link)
		status  uint16
		failure span.Failure
		body    int64 // of the response; −1: its end was not seen
	}{
		{"complete", []func(*link){get, answer(response), closeClient, closeServer}, 200, span.FailureNone, 2},
		{"complete, then reset", []func(*link){get, answer(response), resetServer}, 200, span.FailureNone, 2},
		{"server resets before the head", []func(*link){get, answer(""), resetServer}, 0, span.FailureServerReset, -1},
		{"server resets in the head", []func(*link){get, answer("HTTP/1.1 20"), resetServer}, 0, span.FailureServerReset, -1},
		{"server resets after the head", []func(*link){get, answer(partial), resetServer}, 200, span.FailureServerReset, 4},
		{"server resets in a body that the close ends",
			[]func(*link){get, answer("HTTP/1.1 200 OK\r\n\r\nhalf"), resetServer},
			200, span.FailureServerReset, 4},
		{"server closes without an answer",
			[]func(*link){get, answer(""), closeServer, closeClient},
			0, span.FailureServerClosed, -1},
		{"server closes in the head",
			[]func(*link){get, answer("HTTP/1.1 20"), closeServer, closeClient},
			0, span.FailureServerClosed, -1},
		{"server closes in the body",
			[]func(*link){get, answer(partial), closeServer, closeClient},
			200, span.FailureServerClosed, 4},
		{"server closes in the chunks", []func(*link){get, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
			closeServer, closeClient}, 200, span.FailureServerClosed, 10},
		{"interim, then closed",
			[]func(*link){get, answer("HTTP/1.1 103 Early Hints\r\n\r\n"), closeServer, closeClient},
			0, span.FailureServerClosed, -1},
		{"client resets before the answer", []func(*link){get, answer(""), resetClient}, 0, span.FailureClientReset, -1},
		{"client resets in the body", []func(*link){get, answer(partial), resetClient}, 200, span.FailureClientReset, 4},
		{"client leaves before the answer",
			[]func(*link){get, answer(""), closeClient, closeServer},
			0, span.FailureClientClosed, -1},
		{"client leaves in the body",
			[]func(*link){get, answer(partial), closeClient, closeServer},
			200, span.FailureClientClosed, 4},
		{"client leaves in its own body", []func(*link){func(l *link) { l.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf") },
			answer(""), closeClient, closeServer}, 0, span.FailureClientClosed, -1},
		{"client leaves an endless answer",
			[]func(*link){get, answer("HTTP/1.1 200 OK\r\n\r\n"), closeClient, floodClient},
			200, span.FailureClientClosed, whatever},
		{"opaque in the answer",
			[]func(*link){get, answer("HTTP/1.1 200 OK\nbad\n\n"), closeServer, closeClient},
			0, span.FailureOpaque, -1},
		{"opaque in the body", []func(*link){get, answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), closeServer, closeClient},
			200, span.FailureOpaque, -1},
		{"opaque by the next request", []func(*link){get, answer(""), func(l *link) { l.send("\x00\x01"); _ = mustRead(l.t, l.server, 2) },
			answerRest, closeServer, closeClient}, 0, span.FailureOpaque, -1},
		{"shutdown", []func(*link){get, answer(partial), func(l *link) { l.e.Close() }}, 200, span.FailureShutdown, 4},
		{"shutdown before the answer", []func(*link){get, answer(""), func(l *link) { l.e.Close() }}, 0, span.FailureShutdown, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := time.Now()
			l := connect(t, Config{})
			for _, step := range c.steps {
				step(l)
			}
			s := l.oneSpan()
			if s.Status != c.status || s.Failure != c.failure {
				t.Fatalf("status %d, failure %v; want %d, %v", s.Status, s.Failure, c.status, c.failure)
			}
			if c.body != whatever && s.ResponseBody != c.body {
				t.Errorf("body %d, want %d", s.ResponseBody, c.body)
			}
			if d := time.Duration(s.Duration); d <= 0 || d > time.Since(begin) {
				t.Errorf("duration %v", d)
			}
			if start := time.Unix(0, s.Start); start.Before(begin.Add(-time.Second)) || start.After(time.Now()) {
				t.Errorf("start %v", start)
			}
			if c.status != 0 && (s.FirstByte <= 0 || s.FirstByte > s.Duration) {
				t.Errorf("first byte after %d of %d ns", s.FirstByte, s.Duration)
			}
			if st := l.e.Stats(); st.Failures[c.failure] != 1 || st.Requests[span.Server][c.status/100] != 1 {
				t.Errorf("accounts: failures %v, requests %v", st.Failures, st.Requests)
			}
		})
	}
}

func closeClient(l *link) { _ = l.client.Close() }
func closeServer(l *link) { _ = l.server.Close() }
func resetClient(l *link) { reset(l.t, l.client) }
func resetServer(l *link) { reset(l.t, l.server) }

// answerRest answers after the session has become opaque.
func answerRest(l *link) {
	l.reply(response)
	_ = mustRead(l.t, l.client, len(response))
}

// floodClient writes until the client's absence is noticed.
func floodClient(l *link) {
	eventually(l.t, "the write to fail", func() bool {
		_ = l.server.SetWriteDeadline(time.Now().Add(testTimeout))
		_, err := l.server.Write([]byte(strings.Repeat("x", 1000)))
		return err != nil
	})
}

// Several requests in flight when the server goes: each has its span, in order, with what is known of it.
func TestPipelineCutOff(t *testing.T) {
	l := connect(t, Config{})
	for _, p := range []string{"/1", "/2", "/3"} {
		l.send("GET " + p + " HTTP/1.1\r\nHost: a\r\n\r\n")
		_ = head(t, l.server)
	}
	l.reply(response + "HTTP/1.1 500 No\r\nContent-Length: 5\r\n\r\nab")
	_ = head(t, l.client)
	reset(t, l.server)
	got := spans(t, l.e, 3)
	for i, want := range []struct {
		path    string
		status  uint16
		failure span.Failure
	}{{"/1", 200, span.FailureNone}, {"/2", 500, span.FailureServerReset}, {"/3", 0, span.FailureServerReset}} {
		if s := got[i]; string(s.Text(span.Path)) != want.path || s.Status != want.status || s.Failure != want.failure {
			t.Errorf("span %d: %s %d %v", i, s.Text(span.Path), s.Status, s.Failure)
		}
	}
}

// An early answer while the body is still on its way: the span's time ends with the answer, its size is the whole request.
func TestEarlyAnswer(t *testing.T) {
	l := connect(t, Config{})
	l.send("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
	_ = head(t, l.server)
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	answered := time.Now()
	time.Sleep(30 * time.Millisecond)
	l.send("rest")
	_ = mustRead(t, l.server, 8)
	s := spans(t, l.e, 1)[0]
	if s.RequestBody != 8 || s.Status != 200 || s.Failure != span.FailureNone {
		t.Errorf("span %+v", s)
	}
	if end := time.Unix(0, s.Start+s.Duration); end.After(answered.Add(10 * time.Millisecond)) {
		t.Errorf("ended %v after the answer", end.Sub(answered))
	}
}
