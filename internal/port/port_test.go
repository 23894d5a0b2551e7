package port

import (
	"net"
	"strconv"
	"testing"
)

func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for _, host := range []string{"127.0.0.1", ""} {
		for range 300 {
			address, err := Free(host)
			if err != nil {
				t.Fatal(err)
			}
			at, port, err := net.SplitHostPort(address)
			if n, _ := strconv.Atoi(port); err != nil || at != host || n < first || n >= after || seen[port] {
				t.Fatalf("%s: %v, given before: %v", address, err, seen[port])
			}
			seen[port] = true
		}
	}
}

func TestUnused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, taken := range []net.Addr{l.Addr(), c.LocalAddr()} {
		_, port, _ := net.SplitHostPort(taken.String())
		for _, host := range []string{"127.0.0.1", ""} {
			if unused(net.JoinHostPort(host, port)) == nil {
				t.Errorf("%s %s is taken", taken.Network(), taken)
			}
		}
	}
}
