package core

import (
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// openings are the first bytes of a client by how the engine treats the session: closes cross each kind alike.
var openings = []struct{ name, bytes string }{
	{"opaque", "\x00\x01binary"},
	{"undecided", "TOKEN"},
	{"http", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{"half a head", "GET / HTTP/1.1\r\nHos"},
}

// Without passEnd's shutdown the server never sees the end of the client's stream; with a close instead of a shutdown the reply
// is lost.
func TestHalfCloseOfTheClientCrosses(t *testing.T) {
	for _, o := range openings {
		t.Run(o.name, func(t *testing.T) {
			l := connect(t, Config{})
			l.send(o.bytes)
			if err := l.client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got := wantEOF(t, l.server)
			if !strings.HasPrefix(got, strings.TrimSuffix(o.bytes, "\r\n")) {
				t.Fatalf("the server got %q", got)
			}
			const reply = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
			l.reply(reply)
			if got := mustRead(t, l.client, len(reply)); got != reply {
				t.Fatalf("the client got %q", got)
			}
			_ = l.server.Close()
			if rest := wantEOF(t, l.client); rest != "" {
				t.Fatalf("%q behind the reply", rest)
			}
			l.closed()
		})
	}
}

// Without passEnd's shutdown the client waits for ever; with a close instead its upload is lost.
func TestHalfCloseOfTheServerCrosses(t *testing.T) {
	for _, o := range openings {
		t.Run(o.name, func(t *testing.T) {
			l := connect(t, Config{})
			l.send(o.bytes)
			_ = mustRead(t, l.server, len(strings.TrimSuffix(o.bytes, "\r\n")))
			l.reply("HTTP/1.0 200 OK\r\n\r\nbye")
			if err := l.server.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got := wantEOF(t, l.client); got != "HTTP/1.0 200 OK\r\n\r\nbye" {
				t.Fatalf("the client got %q", got)
			}
			upload := strings.Repeat("still here ", 10000)
			l.send(upload)
			_ = l.client.CloseWrite()
			if got := wantEOF(t, l.server); !strings.HasSuffix(got, upload) {
				t.Fatalf("the server got %d bytes", len(got))
			}
			l.closed()
		})
	}
}

// An end that comes while the destination is slow crosses behind the bytes before it. If passEnd did not wait for them, they
// would be lost.
func TestHalfCloseCrossesBehindPendingBytes(t *testing.T) {
	l := connect(t, Config{})
	n := fill(t, l.e, l.client)
	_ = l.client.CloseWrite()
	if got := wantEOF(t, l.server); int64(len(got)) != n {
		t.Fatalf("%d bytes of %d", len(got), n)
	}
	l.reply("done")
	if got := mustRead(t, l.client, 4); got != "done" {
		t.Fatal(got)
	}
}

// If abort closed without SO_LINGER the server would see a clean end of the stream.
func TestResetOfTheClientCrosses(t *testing.T) {
	for _, o := range openings {
		t.Run(o.name, func(t *testing.T) {
			l := connect(t, Config{})
			l.send(o.bytes)
			_ = mustRead(t, l.server, 1)
			reset(t, l.client)
			wantReset(t, l.server)
			l.closed()
		})
	}
}

// A client that closed its side and then resets, while the server is thinking: the session reads nothing from it any more, so
// only noticeFailure sees the reset. Without that the server works for nobody.
func TestResetOfTheClientAfterItsEndCrosses(t *testing.T) {
	for _, o := range openings {
		t.Run(o.name, func(t *testing.T) {
			l := connect(t, Config{})
			l.send(o.bytes)
			_ = l.client.CloseWrite()
			_ = wantEOF(t, l.server)
			reset(t, l.client)
			eventually(t, "the session's end", func() bool { return l.e.Stats().Sessions[span.Server] == 0 })
			eventually(t, "a reset at the server", func() bool {
				_, err := l.server.Write([]byte("x"))
				return err != nil
			})
		})
	}
}

// As before from the other side: without serverReset's SO_LINGER the client would take the answer for complete.
func TestResetOfTheServerCrosses(t *testing.T) {
	for _, o := range openings {
		t.Run(o.name, func(t *testing.T) {
			l := connect(t, Config{})
			l.send(o.bytes)
			_ = mustRead(t, l.server, 1)
			reset(t, l.server)
			if got := wantReset(t, l.client); got != "" {
				t.Fatalf("the client got %q", got)
			}
			l.closed()
		})
	}
}

// What the server sent before its reset reaches the client first, and the body that would end with the connection ends in a
// reset. Resetting the client without waiting for SIOCOUTQ = 0 (awaitDelivery) loses the end of it; FIN makes it look whole.
func TestLastBytesOfTheServerComeBeforeItsReset(t *testing.T) {
	l := connect(t, Config{})
	l.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = mustRead(t, l.server, 10)
	answer := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("0123456789", 20_000)
	l.reply(answer)
	// The server resets only when its kernel has handed over all; what it had in its own queue would be lost without us, too.
	drained(t, l.server)
	reset(t, l.server)
	time.Sleep(20 * time.Millisecond) // the client is slow: the reset has come long before it reads
	if got := wantReset(t, l.client); got != answer {
		t.Fatalf("the client got %d bytes of %d", len(got), len(answer))
	}
	if s := l.oneSpan(); s.Failure != span.FailureServerReset || s.Status != 200 {
		t.Fatalf("span %+v", s)
	}
}

// The same with a client that is too slow for the kernel's buffers: the rest waits in the session.
func TestPendingBytesOfTheServerComeBeforeItsReset(t *testing.T) {
	l := connect(t, Config{})
	_ = l.client.SetReadBuffer(16 << 10)
	l.send("\x00")
	_ = mustRead(t, l.server, 1)
	_ = l.server.SetWriteBuffer(16 << 10)
	n := fill(t, l.e, l.server)
	if p := l.e.Stats().PendingBytes; p == 0 {
		t.Fatal("nothing is pending: this does not test what it should")
	}
	reset(t, l.server) // drops what is in its own send queue
	got := wantReset(t, l.client)
	if int64(len(got)) > n || len(got) < 1<<20 {
		t.Fatalf("%d bytes of %d", len(got), n)
	}
	l.closed()
}

// Both directions are blocked on writing, so no read and no write can tell that one side has reset: only the error event does.
// Without noticeFailure and flush the session stays for ever.
func TestResetWhileBothDirectionsAreBlocked(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			l := connect(t, Config{})
			l.send("\x00")
			_ = mustRead(t, l.server, 1)
			fill(t, l.e, l.client)
			fill(t, l.e, l.server)
			if p := l.e.Stats().PendingBytes; p < 2 {
				t.Fatal("nothing is pending")
			}
			if who == "client" {
				reset(t, l.client)
				wantReset(t, l.server)
			} else {
				reset(t, l.server)
				wantReset(t, l.client)
			}
			l.closed()
		})
	}
}

// A reset behind bytes that the other side does not take: with one direction blocked the source is not read, so a read cannot
// tell.
func TestResetBehindPendingBytes(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		l := connect(t, Config{})
		fill(t, l.e, l.client)
		reset(t, l.client)
		wantReset(t, l.server)
		l.closed()
	})
	t.Run("server", func(t *testing.T) {
		l := connect(t, Config{})
		fill(t, l.e, l.server)
		reset(t, l.server)
		wantReset(t, l.client)
		l.closed()
	})
}

// A server that refuses a body early closes with bytes unread, so its kernel resets. What it said is in the receive queue of the
// upstream socket and must reach the client, although writing to the server fails. If writeFailed gave up the session, the client
// would never see the 413.
func TestEarlyAnswerSurvivesTheResetBehindIt(t *testing.T) {
	const answer = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!"
	for _, kind := range []string{"http", "opaque"} {
		t.Run(kind, func(t *testing.T) {
			l := connect(t, Config{})
			if kind == "opaque" {
				l.send("\x00")
			}
			l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
			_ = mustRead(t, l.server, 10)
			fill(t, l.e, l.client)
			// The answer and the reset come in one event, in which the write that fails is tried before anything is read.
			done := make(chan struct{})
			if err := l.e.workers[0].loop.Post(func() { <-done }); err != nil {
				t.Fatal(err)
			}
			l.reply(answer)
			drained(t, l.server)
			_ = l.server.Close()
			close(done)
			if got := wantReset(t, l.client); got != answer {
				t.Fatalf("the client got %q", got)
			}
			if kind == "http" {
				if s := l.oneSpan(); s.Status != 413 {
					t.Fatalf("span %+v", s)
				}
			}
			l.closed()
		})
	}
}

// An early answer that is longer than the client's window, behind a failed write: awaitDelivery must wait while it is being
// read, and must not take the first look without progress for the end.
func TestLongEarlyAnswerIsDeliveredWhole(t *testing.T) {
	l := connect(t, Config{})
	_ = l.client.SetReadBuffer(16 << 10)
	l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
	_ = mustRead(t, l.server, 10)
	body := strings.Repeat("sorry, but no ", 150_000)
	answer := "HTTP/1.1 413 Content Too Large\r\n\r\n" + body
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = l.server.Write([]byte(answer))
		drainedBy(l.server, time.Now().Add(testTimeout))
		_ = l.server.CloseWrite()
	}()
	got := mustRead(t, l.client, len(answer)/2)
	// From here on the client writes into a server that will close without having read.
	for range 64 {
		_ = l.client.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = l.client.Write(make([]byte, 64<<10))
	}
	got += mustRead(t, l.client, len(answer)-len(got))
	<-done
	_ = l.server.Close()
	if got != answer {
		t.Fatal("the answer was changed")
	}
	if rest := readAll(l.client); rest != "" {
		t.Fatalf("%d bytes behind the answer", len(rest))
	}
	l.closed()
}

// The server resets while the client, which is slow to read, is still sending: the write that fails must not shorten the wait
// for what is pending. (It did when the clock of the head that is being held, which advance stops, was taken for that of the
// wait: then the loop's age counted, so it has to be older than endingIdle.)
func TestFailedWriteDoesNotCutOffPendingBytes(t *testing.T) {
	t.Parallel()
	l := connect(t, Config{})
	time.Sleep(endingIdle + 100*time.Millisecond)
	l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
	_ = head(t, l.server)
	l.reply("HTTP/1.1 200 OK\r\n\r\n")
	fill(t, l.e, l.server)
	if l.e.Stats().PendingBytes == 0 {
		t.Fatal("nothing is pending")
	}
	done := make(chan struct{})
	if err := l.e.workers[0].loop.Post(func() { <-done }); err != nil {
		t.Fatal(err)
	}
	l.send("more") // its event comes first, so that writing it is what fails
	reset(t, l.server)
	close(done)
	time.Sleep(100 * time.Millisecond)
	got := wantReset(t, l.client)
	l.closed()
	if want := l.e.Stats().Bytes[parsers.ServerToClient]; uint64(len(got)) != want {
		t.Errorf("%d bytes of the %d that were read", len(got), want)
	}
}

// Without SO_OOBINLINE on both sockets the urgent byte vanishes; without EPOLLPRI in Ready the bytes behind it wait for the next
// read.
func TestUrgentDataStaysInLine(t *testing.T) {
	l := connect(t, Config{})
	for _, ends := range []struct {
		name     string
		from, to interface {
			Read([]byte) (int, error)
			Write([]byte) (int, error)
		}
	}{{"to server", l.client, l.server}, {"to client", l.server, l.client}} {
		from, to := rawConn(t, ends.from), ends.to
		inLine(t, ends.to)
		for range 20 {
			sendRaw(t, from, "before", 0)
			sendRaw(t, from, "!", msgOOB)
			sendRaw(t, from, "after", 0)
			if got := mustRead(t, to, 12); got != "before!after" {
				t.Fatalf("%s: %q", ends.name, got)
			}
		}
	}
}
