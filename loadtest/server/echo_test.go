package server

import (
	"io"
	"net"
	"testing"

	"github.com/spanwire/spanwire/loadtest"
)

func TestEcho_SendsBackWhatComes(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		e, err := StartEcho(address, 1)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", e.Address())
		if err != nil {
			t.Fatal(err)
		}
		sent := loadtest.RandomBytes(1, 1<<20)
		written := make(chan error, 1)
		go func() { _, err := conn.Write(sent); written <- err }()
		got := make([]byte, len(sent))
		if _, err = io.ReadFull(conn, got); err != nil {
			t.Fatal(err)
		}
		if err = <-written; err != nil || string(got) != string(sent) || e.Bytes() != int64(len(sent)) {
			t.Errorf("%s: %v, equal %v, %d bytes", address, err, string(got) == string(sent), e.Bytes())
		}
		_ = conn.Close()
		if err = e.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStartEcho_AddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if e, err := StartEcho(l.Addr().String(), 1); err == nil {
		t.Error("no error")
		_ = e.Close()
	}
}
