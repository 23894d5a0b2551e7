package admin

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzRequest: whatever is asked of the metrics listener, the answer is one that package net/http reads, of a status that is ours, no fault is
// caught; and no port is dialled but one that was named.
func FuzzRequest(f *testing.F) {
	for _, s := range []string{"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "GET /probe/tcp/80 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /probe/tcp/081 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /probe/tcp/8%31 HTTP/1.0\r\n\r\n", "HEAD /../readyz?x=%zz HTTP/1.1\r\nHost: a\r\n\r\n", "POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"GET /probe/tcp/81/../82 HTTP/1.1\r\nHost: a\r\n\r\n", "PUT /healthz HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"} {
		f.Add([]byte(s))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = l.Close() })
	go func() { // the connections of probes
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
	s := &Server{cfg: Config{Ready: func() error { return nil }, Relay: fakeRelay, Exports: fakeExports, Settings: func() []byte { return nil },
		SetLevel: func(string) (string, error) { panic("the level of the log was asked for") }, Drain: func() { panic("drain") }, Quit: func() { panic("quit") },
		Probes: map[uint16]string{81: l.Addr().String()}}}
	ours := []int{fasthttp.StatusOK, fasthttp.StatusNotFound, fasthttp.StatusMethodNotAllowed, fasthttp.StatusServiceUnavailable}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var req fasthttp.Request
		if len(raw) > 4096 || req.ReadLimitBody(bufio.NewReader(bytes.NewReader(raw)), 4096) != nil {
			return
		}
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, nil, nil)
		s.handle(&ctx)
		status, path := ctx.Response.StatusCode(), string(ctx.Path())
		if !slices.Contains(ours, status) {
			t.Fatalf("%s: status %d, %s", path, status, ctx.Response.Body())
		}
		// A port that was named is dialled; on a busy machine its connection may come too late: 503.
		if port, ok := strings.CutPrefix(path, probePath); ok && status != fasthttp.StatusMethodNotAllowed && (status != fasthttp.StatusNotFound) != (strings.TrimLeft(port, "0") == "81") {
			t.Fatalf("%s: status %d", path, status)
		}
		var out bytes.Buffer
		if _, err := ctx.Response.WriteTo(&out); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(&out), &http.Request{Method: string(ctx.Method())})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != status {
			t.Fatalf("%v, status %d", err, resp.StatusCode)
		}
	})
}
