//go:build e2e

package transparency

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// echoHead serves at a free port of addr and answers each request with its header; end ends it.
func echoHead(t *testing.T, addr string) (url string, end func()) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(addr, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = r.Header.Write(w) }),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = server.Serve(l) }()
	return "http://" + l.Addr().String() + "/", func() { _ = server.Close() }
}
