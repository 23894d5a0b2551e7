package sidecar

import (
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/spanwire/spanwire/internal/port"
)

// FreePort returns a port, as text, at which nobody listens at this moment at any address of the host, for who must be told where to listen.
func FreePort(t testing.TB) string {
	t.Helper()
	address, err := port.Free("")
	if err != nil {
		t.Fatal(err)
	}
	_, number, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// Refusing returns an address that nothing listens at; its port stays taken until the test ends, so nobody else comes to listen there.
func Refusing(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in4 := name.(*syscall.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)).String()
}
