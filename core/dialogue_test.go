package core

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// After a 101 both directions are opaque, with what came in the same read: bytes that look like requests and answers are not
// touched. If the request side turned opaque only with its next bytes, a frame that looks like a head would be held or edited.
func TestUpgradeTurnsBothDirectionsOpaque(t *testing.T) {
	for _, asked := range []string{"Connection: Upgrade\r\nUpgrade: websocket\r\n", ""} {
		t.Run(fmt.Sprintf("asked %v", asked != ""), func(t *testing.T) {
			l := connect(t, Config{})
			l.send("GET /ws HTTP/1.1\r\nHost: a\r\n" + asked + "\r\n")
			if got := head(t, l.server); !strings.Contains(got, "traceparent") {
				t.Errorf("not edited: %q", got)
			}
			const answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x81\x02hiGET "
			l.reply(answer)
			if got := mustRead(t, l.client, len(answer)); got != answer {
				t.Fatalf("%q", got)
			}
			l.send(request)
			if got := mustRead(t, l.server, len(request)); got != request {
				t.Fatalf("edited in the tunnel: %q", got)
			}
			l.send("no line feed")
			_ = mustRead(t, l.server, 12)
			if s := spans(t, l.e, 1)[0]; s.Status != 101 || s.Failure != span.FailureNone {
				t.Errorf("span %+v", s)
			}
			if st := l.e.Stats(); st.Opaque[parsers.ReasonUpgraded] != 1 {
				t.Errorf("opaque: %v", st.Opaque)
			}
		})
	}
}

// An upgrade that is refused leaves HTTP as it was.
func TestRefusedUpgradeGoesOn(t *testing.T) {
	l := connect(t, Config{})
	l.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	_ = head(t, l.server)
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	l.send(request)
	if got := head(t, l.server); !strings.Contains(got, "traceparent") {
		t.Errorf("not edited: %q", got)
	}
}

func TestConnect(t *testing.T) {
	t.Run("tunnel", func(t *testing.T) {
		l := connect(t, Config{})
		l.send("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n")
		_ = head(t, l.server)
		const answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nSSH-2.0"
		l.reply(answer)
		if got := mustRead(t, l.client, len(answer)); got != answer {
			t.Fatal(got)
		}
		l.send(request)
		if got := mustRead(t, l.server, len(request)); got != request {
			t.Fatalf("edited in the tunnel: %q", got)
		}
		if s := spans(t, l.e, 1)[0]; s.Status != 200 || string(s.Text(span.Method)) != "CONNECT" {
			t.Errorf("span %+v", s)
		}
	})
	t.Run("refused", func(t *testing.T) {
		l := connect(t, Config{})
		l.send("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n")
		_ = head(t, l.server)
		l.reply("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
		_ = head(t, l.client)
		l.send(request)
		if got := head(t, l.server); !strings.Contains(got, "traceparent") {
			t.Errorf("not edited: %q", got)
		}
	})
}

// The head goes on at once, although its body waits for the 100: a relay that waits for the body waits for ever.
func TestExpectContinue(t *testing.T) {
	l := connect(t, Config{})
	l.send("PUT /e HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	_ = head(t, l.server)
	l.reply("HTTP/1.1 100 Continue\r\n\r\n")
	if got := head(t, l.client); !strings.HasPrefix(got, "HTTP/1.1 100") {
		t.Fatal(got)
	}
	l.send("body")
	if got := mustRead(t, l.server, 4); got != "body" {
		t.Fatal(got)
	}
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	if s := spans(t, l.e, 1)[0]; s.Status != 200 || s.RequestBody != 4 {
		t.Errorf("span %+v", s)
	}
}

// An answer to HEAD has no body whatever it says: what follows is the next answer.
func TestHeadHasNoBody(t *testing.T) {
	l := connect(t, Config{})
	l.send("HEAD /1 HTTP/1.1\r\nHost: a\r\n\r\n" + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _ = head(t, l.server), head(t, l.server)
	l.reply("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\nx")
	_, _ = head(t, l.client), head(t, l.client)
	got := spans(t, l.e, 2)
	if got[0].Status != 200 || got[1].Status != 404 || got[1].ResponseBody != 1 {
		t.Errorf("spans %d, %d", got[0].Status, got[1].Status)
	}
}

// Chunks leave as they come, whether whole or in pieces: a relay that waited for the end would break server-sent events.
func TestChunksLeaveAsTheyCome(t *testing.T) {
	l := connect(t, Config{})
	l.send(request)
	_ = head(t, l.server)
	for _, piece := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
		"b\r\ndata: one\n\n\r\n", "b", "\r\n", "data: two", "\n\n", "\r\n", "0\r\n", "Trailer: x\r\n", "\r\n",
	} {
		l.reply(piece)
		if got := mustRead(t, l.client, len(piece)); got != piece {
			t.Fatalf("%q, want %q", got, piece)
		}
	}
	if s := spans(t, l.e, 1)[0]; s.Status != 200 || s.Failure != span.FailureNone || s.ResponseBody == 0 {
		t.Errorf("span %+v", s)
	}
	// And a response head in pieces, which is never held either.
	l.send(request)
	_ = head(t, l.server)
	for _, piece := range []string{"HTTP/1.1 2", "04 No Content\r", "\nX: y\r\n\r", "\n"} {
		l.reply(piece)
		if got := mustRead(t, l.client, len(piece)); got != piece {
			t.Fatalf("%q, want %q", got, piece)
		}
	}
	if s := spans(t, l.e, 1)[0]; s.Status != 204 {
		t.Errorf("span %+v", s)
	}
	// And the chunks of a request.
	l.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	_ = head(t, l.server)
	for _, piece := range []string{"5\r\nhel", "lo\r\n", "1", "\r\nx\r\n", "0\r\n\r\n"} {
		l.send(piece)
		if got := mustRead(t, l.server, len(piece)); got != piece {
			t.Fatalf("%q, want %q", got, piece)
		}
	}
}

// Requests that come in one read are edited each, and answered in order: one span each, in the order of the requests.
func TestPipelinedRequestsAreEditedEach(t *testing.T) {
	const n = 20
	l := connect(t, Config{})
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nb%02d", i, i)
	}
	l.send(all.String())
	for i := range n {
		got := head(t, l.server)
		if !strings.HasPrefix(got, fmt.Sprintf("POST /%d ", i)) || strings.Count(got, "\r\ntraceparent: ") != 1 {
			t.Fatalf("head %d: %q", i, got)
		}
		if body := mustRead(t, l.server, 3); body != fmt.Sprintf("b%02d", i) {
			t.Fatalf("body %d: %q", i, body)
		}
	}
	var answers strings.Builder
	for i := range n {
		fmt.Fprintf(&answers, "HTTP/1.1 %d OK\r\nContent-Length: 0\r\n\r\n", 200+i)
	}
	l.reply(answers.String())
	_ = mustRead(t, l.client, answers.Len())
	var ids []span.ID
	for i, s := range spans(t, l.e, n) {
		if got := string(s.Text(span.Path)); got != fmt.Sprintf("/%d", i) || int(s.Status) != 200+i {
			t.Errorf("span %d is of %s, status %d", i, got, s.Status)
		}
		if slices.Contains(ids, s.SpanID) {
			t.Error("an id twice")
		}
		ids = append(ids, s.SpanID)
	}
}

// The edited head and what was read with it leave in one write: two change what a backend sees in its first read. Small bodies
// are copied behind the head, larger ones gathered (forwardTwo).
func TestEditedHeadAndBodyLeaveTogether(t *testing.T) {
	for _, size := range []int{3, joinTail - 200, joinTail + 1, 40 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			l := connect(t, Config{})
			body := strings.Repeat("b", size)
			for range 5 {
				before := segments(t, l.server)
				l.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size, body))
				eventually(t, "all to arrive", func() bool { return unread(t, l.server) > size })
				buf := make([]byte, size+2048)
				n, err := l.server.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasSuffix(string(buf[:n]), "\r\n\r\n"+body) || !strings.Contains(string(buf[:n]), "traceparent") {
					t.Fatalf("%d bytes", n)
				}
				// Loopback carries a write in one segment, up to half the window, which is 64 KiB at first.
				if got := segments(t, l.server) - before; size <= joinTail+1 && got != 1 {
					t.Errorf("%d segments", got)
				}
				l.reply(response)
				_ = mustRead(t, l.client, len(response))
			}
		})
	}
}

// unread returns how many bytes wait in c's receive queue.
func unread(t *testing.T, c *net.TCPConn) (n int) {
	t.Helper()
	_ = rawConn(t, c).Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	return n
}

// segments returns how many segments with data c has received.
func segments(t *testing.T, c *net.TCPConn) (n uint32) {
	t.Helper()
	_ = rawConn(t, c).Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			t.Error(err)
			return
		}
		n = info.Data_segs_in
	})
	return n
}

// A body of unknown end is delivered while it comes, and the close ends it: one span, complete.
func TestBodyThatTheCloseEnds(t *testing.T) {
	l := connect(t, Config{})
	l.send("GET / HTTP/1.0\r\n\r\n")
	_ = head(t, l.server)
	l.reply("HTTP/1.0 200 OK\r\n\r\n")
	_ = head(t, l.client)
	for range 3 {
		l.reply("piece")
		_ = mustRead(t, l.client, 5)
		time.Sleep(time.Millisecond)
	}
	_ = l.server.Close()
	if rest := wantEOF(t, l.client); rest != "" {
		t.Fatal(rest)
	}
	_ = l.client.Close()
	if s := l.oneSpan(); s.Failure != span.FailureNone || s.ResponseBody != 15 {
		t.Errorf("failure %v, body %d", s.Failure, s.ResponseBody)
	}
}
