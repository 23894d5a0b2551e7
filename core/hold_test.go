package core

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// An incomplete head is let go 30 ms after its last byte: without the timer a client that waits for the server's reaction to it
// would wait for ever. What has gone on unedited stays so: the span is kept, the reason is counted.
func TestIncompleteHeadIsReleasedWhenIdle(t *testing.T) {
	l := connect(t, Config{})
	begin := time.Now()
	first := request[:30]
	l.send(first)
	if got := mustRead(t, l.server, len(first)); got != first {
		t.Fatal(got)
	}
	if d := time.Since(begin); d < holdIdle*2/3 || d > holdMax+time.Second {
		t.Errorf("released after %v", d)
	}
	l.send(request[30:])
	if got := mustRead(t, l.server, len(request)-30); got != request[30:] {
		t.Fatalf("%q: edited behind its beginning", got)
	}
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	if s := spans(t, l.e, 1)[0]; s.Status != 200 || string(s.Text(span.Path)) != "/a" || uneditedOf(&s) != "slow_head" {
		t.Errorf("span %+v", s)
	}
	if st := l.e.Stats(); st.Unedited[parsers.ReasonSlowHead] != 1 || st.Opaque != [parsers.NumReasons]uint64{} {
		t.Errorf("unedited %v, opaque %v", st.Unedited, st.Opaque)
	}
	// The next request on the connection is edited again.
	l.send(request)
	if got := head(t, l.server); !strings.Contains(got, "traceparent: ") {
		t.Errorf("the next head: %q", got)
	}
}

// A head that drips, so that the idle timer never ends, is let go 200 ms after its first byte.
func TestDrippingHeadIsReleasedInTime(t *testing.T) {
	var all []time.Duration
	for range 50 { // on a busy machine the drops may come too far apart
		d := drip(t)
		if d >= holdMax*2/3 && d < holdMax+time.Second {
			return
		}
		all = append(all, d)
	}
	t.Errorf("released after %v", all)
}

// drip sends a head drop by drop, and returns when its first byte arrived.
func drip(t *testing.T) time.Duration {
	l := connect(t, Config{})
	begin := time.Now()
	got := make(chan time.Duration, 1)
	go func() {
		if _, err := l.server.Read(make([]byte, 1)); err == nil {
			got <- time.Since(begin)
		}
	}()
	l.send("GET / HTTP/1.1\r\nX: ")
	for {
		select {
		case d := <-got:
			return d
		case <-time.After(holdIdle / 6):
			l.send("x")
			if time.Since(begin) > testTimeout {
				t.Fatal("held for ever")
			}
		}
	}
}

// A head in several pieces that come in time is edited as if it had come in one; the timer is stopped with it.
func TestHeadInPiecesIsEdited(t *testing.T) {
	for range 20 { // on a busy machine a head may take longer than it may
		l := connect(t, Config{})
		for i := 0; i < len(request); i += 9 {
			l.send(request[i:min(i+9, len(request))])
			sent := uint64(min(i+9, len(request)))
			eventually(t, "the piece", func() bool { return l.e.Stats().Bytes[parsers.ClientToServer] == sent })
		}
		got := head(t, l.server)
		if l.e.Stats().Unedited[parsers.ReasonSlowHead] > 0 {
			continue
		}
		if !strings.Contains(got, "\r\ntraceparent: ") || withoutInserted(got) != request {
			t.Fatalf("%q", got)
		}
		l.reply(response)
		_ = mustRead(t, l.client, len(response))
		wantSilence(t, l.server, 2*holdIdle)
		return
	}
	t.Error("never edited")
}

// Bytes that no protocol wants are never held: a parser that asked for more of a stream without line feeds would hold it for
// ever.
func TestOpaqueBytesAreNeverHeld(t *testing.T) {
	for _, c := range []struct {
		name, bytes string
		why         parsers.Reason
	}{
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", parsers.ReasonTLS},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", parsers.ReasonHTTP2},
		{"PROXY protocol", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", parsers.ReasonProxyProtocol},
		{"binary without LF", "\x00\x01\x02\x03\xff\xfe", parsers.ReasonUnknown},
		{"text without LF", strings.Repeat("x", 40), parsers.ReasonUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := new(logBuffer)
			l := connect(t, Config{Log: log.debug()})
			l.send(c.bytes)
			if got := mustRead(t, l.server, len(c.bytes)); got != c.bytes {
				t.Fatalf("%q", got)
			}
			// A timer that was ever set would say so.
			set := make(chan bool, 1)
			_ = l.e.workers[0].loop.Post(func() {
				s := l.e.workers[0].sessions
				set <- s.timer.Active() || s.flows[0].kept != nil || s.heldSince != 0
			})
			if <-set {
				t.Error("something is held")
			}
			l.reply("\x01reply")
			_ = mustRead(t, l.client, 6)
			_ = l.client.Close()
			_ = l.server.Close()
			l.closed()
			if st := l.e.Stats(); st.Opaque[c.why] != 1 {
				t.Errorf("opaque: %v", st.Opaque)
			}
			if n := len(takeSpans(l.e)); n != 0 {
				t.Errorf("%d spans of an opaque session", n)
			}
			line := log.String()
			for _, want := range []string{"level=DEBUG", "reason=" + c.why.String(), "client=" + l.client.LocalAddr().String(),
				"server=" + l.server.LocalAddr().String(), "to_client_bytes=6", "duration="} {
				if !strings.Contains(line, want) {
					t.Errorf("the record lacks %s: %s", want, line)
				}
			}
			if strings.Contains(line, "reply") {
				t.Errorf("the record has payload: %s", line)
			}
		})
	}
}

// The record of a TLS session has the name that the client asked for, when its hello has one.
func TestRecordHasTheServerName(t *testing.T) {
	for _, name := range []string{"cart.example", ""} {
		log := new(logBuffer)
		l := connect(t, Config{Log: log.debug()})
		config := &tls.Config{ServerName: name, InsecureSkipVerify: true}
		handshake := make(chan error, 1)
		go func() { handshake <- tls.Client(l.client, config).Handshake() }()
		_ = mustRead(t, l.server, 100) // more than half of it is behind the name
		_ = l.server.Close()
		if err := <-handshake; err == nil {
			t.Error("a handshake without a server")
		}
		_ = l.client.Close()
		l.closed()
		_, has, found := strings.Cut(strings.TrimSpace(log.String()), " server_name=")
		if has != name || found != (name != "") {
			t.Errorf("asked for %q: %s", name, log)
		}
	}
}

// withoutInserted takes the lines out that the engine may have put in.
func withoutInserted(b string) string {
	for _, name := range []string{"traceparent: ", "X-Request-Id: "} {
		for {
			i := strings.Index(b, "\r\n"+name)
			if i < 0 {
				break
			}
			end := strings.Index(b[i+2:], "\r\n")
			if end < 0 {
				break
			}
			b = b[:i] + b[i+2+end:]
		}
	}
	return b
}

// logBuffer collects log lines.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// debug returns a logger that writes everything to l.
func (l *logBuffer) debug() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
