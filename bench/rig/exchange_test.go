package rig

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/server"
)

// proxied starts the load test's server with a proxy before it that spoils what passes; it returns the addresses of both. spoil may change the
// request, or return an answer in place of the server's.
func proxied(t *testing.T, o server.Options, spoil func(q *http.Request, b []byte) []byte) (address, upstream string) {
	t.Helper()
	s, err := server.StartHTTP("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		q.Body = io.NopCloser(bytes.NewReader(body))
		spoil(q, nil)
		out, err := http.NewRequest(q.Method, s.URL()+q.URL.Path, q.Body)
		if err != nil {
			t.Error(err)
			return
		}
		out.Header = q.Header
		answer, err := http.DefaultClient.Do(out)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = answer.Body.Close() }()
		got, _ := io.ReadAll(answer.Body)
		for name, values := range answer.Header {
			if name != "Content-Length" && q.Header.Get("Drop") != name {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(spoil(q, got))
	}))
	t.Cleanup(proxy.Close)
	return strings.TrimPrefix(proxy.URL, "http://"), s.Address()
}

// TestProofOfABody: whatever a proxy does to an answer, a request or its method fails the proof.
func TestProofOfABody(t *testing.T) {
	const size = 1024
	posted := loadtest.RandomBytes(1, 16384)
	answer := func(change func(b []byte) []byte) func(*http.Request, []byte) []byte {
		return func(_ *http.Request, b []byte) []byte {
			if b == nil {
				return nil
			}
			return change(b)
		}
	}
	request := func(change func(q *http.Request)) func(*http.Request, []byte) []byte {
		return func(q *http.Request, b []byte) []byte {
			if b == nil {
				change(q)
			}
			return b
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(q *http.Request, b []byte) []byte
		says  string // empty = the proof holds
	}{
		{"nothing", answer(func(b []byte) []byte { return b }), ""},
		{"an empty answer", answer(func([]byte) []byte { return []byte{} }), "0 bytes, not 1024"},
		{"a shorter one", answer(func(b []byte) []byte { return b[1:] }), "1023 bytes, not 1024"},
		{"another byte", answer(func(b []byte) []byte { b[7] ^= 1; return b }), "others"},
		{"no hash", request(func(q *http.Request) { q.Header.Set("Drop", loadtest.HeaderBodyHash) }), "no " + loadtest.HeaderBodyHash},
		{"a GET of it", request(func(q *http.Request) {
			q.Method, q.Body = http.MethodGet, http.NoBody
			q.Header.Del(loadtest.HeaderBodyHash)
		}), "0 times, not 16384 once"},
		{"the request's body is changed", request(func(q *http.Request) { q.Body = io.NopCloser(strings.NewReader("other")) }), "422"},
		{"the request's body and its hash are gone", request(func(q *http.Request) {
			q.Body = http.NoBody
			q.Header.Del(loadtest.HeaderBodyHash)
		}), "received 0 bytes"},
	} {
		address, upstream := proxied(t, server.Options{BodySize: server.Size{Min: size, Max: size}}, c.spoil)
		x := Exchange{Method: http.MethodPost, Path: "/", Body: posted, Upstream: upstream, Answer: loadtest.RandomBytes(0, size), Hashed: true}
		checkProof(t, c.name, x.Prove(context.Background(), address), c.says)
	}
}

// checkProof wants an error that wraps ErrWrong and says so, or none.
func checkProof(t *testing.T, name string, err error, says string) {
	t.Helper()
	if says == "" && err != nil || says != "" && (!errors.Is(err, ErrWrong) || !strings.Contains(err.Error(), says)) {
		t.Errorf("%s: %v, want %q", name, err, says)
	}
}

// TestProofOfAWrongHash: a hash that is told and is another one, while the body is right.
func TestProofOfAWrongHash(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(loadtest.HeaderBodyHash, string(loadtest.AppendBodyHash(nil, 1)))
		_, _ = w.Write([]byte("right"))
	}))
	defer s.Close()
	x := Exchange{Method: http.MethodGet, Path: "/", Answer: []byte("right"), Hashed: true}
	checkProof(t, "wrong hash", x.Prove(context.Background(), s.Listener.Addr().String()), "another hash than told")
}

// TestProofOfEvents: each event counts, and is whole.
func TestProofOfEvents(t *testing.T) {
	lines := func(change func(events []string) []string) func(*http.Request, []byte) []byte {
		return func(_ *http.Request, b []byte) []byte {
			if b == nil {
				return nil
			}
			return []byte(strings.Join(change(strings.SplitAfter(string(b), "\n\n")), ""))
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(events []string) []string
		says  string
	}{
		{"nothing", func(e []string) []string { return e }, ""},
		{"one is lost", func(e []string) []string { return e[1:] }, "4 events, not 5"},
		{"one comes twice", func(e []string) []string { return append(e[:1], e...) }, "6 events, not 5"},
		{"none", func([]string) []string { return nil }, "0 events, not 5"},
		{"the last is cut off", func(e []string) []string { e[4] = e[4][:9]; return e }, "ends within an event"},
		{"another content", func(e []string) []string { e[2] = "data: x\n\n"; return e }, "event 3 of 5"},
		{"out of order", func(e []string) []string { e[1], e[3] = e[3], e[1]; return e }, "of 5 was not sent after"},
		{"made up", func(e []string) []string { e[0] = "data: 1\n\n"; return e }, "event 1 of 5"},
	} {
		address, _ := proxied(t, server.Options{Events: 5, EventInterval: time.Millisecond}, lines(c.spoil))
		x := Exchange{Method: http.MethodGet, Path: server.PathEvents, Events: 5}
		checkProof(t, c.name, x.Prove(context.Background(), address), c.says)
	}
}

// TestProofOfAnEcho: the bytes themselves must come back, all of them.
func TestProofOfAnEcho(t *testing.T) {
	message := loadtest.RandomBytes(1, 256<<10)
	for _, c := range []struct {
		name  string
		spoil func(b []byte) []byte
		says  string
	}{
		{"nothing", func(b []byte) []byte { return b }, ""},
		{"another byte", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "other bytes"},
		{"the last byte is missing", func(b []byte) []byte { return b[:len(b)-1] }, "262143 of 262144 bytes"},
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			b := make([]byte, len(message))
			if _, err := io.ReadFull(conn, b); err == nil {
				_, _ = conn.Write(c.spoil(b))
			}
		}()
		checkProof(t, c.name, Exchange{Echo: true, Body: message}.Prove(context.Background(), l.Addr().String()), c.says)
		_ = l.Close()
	}
}

func TestCheckAnswerComparesTheBody(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("this")) }))
	defer s.Close()
	address := s.Listener.Addr().String()
	checkProof(t, "the same", CheckAnswer(context.Background(), address, "/", []byte("this")), "")
	checkProof(t, "as long", CheckAnswer(context.Background(), address, "/", []byte("that")), "others")
}
