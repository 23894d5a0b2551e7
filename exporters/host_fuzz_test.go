package exporters

import (
	"net"
	"strconv"
	"strings"
	"testing"
)

// FuzzSplitHost: what package net splits into host and port is split alike, and nothing is lost.
func FuzzSplitHost(f *testing.F) {
	for _, s := range []string{"a:80", "[::1]:443", "::1", "[::1]", "a", "", ":80", "a:0", "a:65536", "a:080", "[a:1", "a]:1", "[]:1", "a:+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host, port := splitHost([]byte(authority))
		if !strings.Contains(authority, string(host)) || port == 0 && strings.Trim(authority, "[]") != strings.Trim(string(host), "[]") {
			t.Fatalf("%q: %q, %d", authority, host, port)
		}
		h, p, err := net.SplitHostPort(authority)
		if err != nil || strings.ContainsAny(h, "[]") || len(p) > 5 {
			return
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err == nil && n > 0 && (string(host) != h || uint64(port) != n) {
			t.Fatalf("%q: %q and %d, net says %q and %d", authority, host, port, h, n)
		}
		if (err != nil || n == 0) && port != 0 {
			t.Fatalf("%q: port %d, net says %q", authority, port, p)
		}
	})
}
