package server

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/loadtest"
)

func TestEcho_SendsBackWhatComes(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		e, err := StartEcho(address, EchoOptions{})
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
	if e, err := StartEcho(l.Addr().String(), EchoOptions{}); err == nil {
		t.Error("no error")
		_ = e.Close()
	}
}

// startEcho starts an echo server for the time of the test and connects to it.
func startEcho(t *testing.T, o EchoOptions) (*Echo, net.Conn) {
	t.Helper()
	e, err := StartEcho("127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.Dial("tcp", e.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return e, conn
}

func TestEcho_LatencyHoldsBackAndKeepsTheOrder(t *testing.T) {
	const latency = 50 * time.Millisecond
	_, conn := startEcho(t, EchoOptions{Latency: Constant(latency)})
	begin := time.Now()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil || time.Since(begin) < latency {
		t.Errorf("after %v, %v", time.Since(begin), err)
	}
	random, err := ParseDistribution("uniform:0ms,3ms")
	if err != nil {
		t.Fatal(err)
	}
	_, conn = startEcho(t, EchoOptions{Latency: random})
	sent, got := loadtest.RandomBytes(1, 20_000), make([]byte, 20_000)
	go func() {
		for rest := sent; len(rest) > 0; rest = rest[200:] {
			if _, err := conn.Write(rest[:200]); err != nil {
				return
			}
			time.Sleep(100 * time.Microsecond) // pieces of their own, most of them
		}
	}()
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != string(sent) {
		t.Errorf("%v, in order: %v", err, string(got) == string(sent))
	}
}

func TestEcho_PauseHoldsBack(t *testing.T) {
	e, conn := startEcho(t, EchoOptions{Pause: 300 * time.Millisecond, PauseEvery: 300 * time.Millisecond}) // always, but for the instants between
	begin := time.Now()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if next := e.started.Add(begin.Sub(e.started).Truncate(300*time.Millisecond) + 300*time.Millisecond); time.Now().Before(next) {
		t.Errorf("it came %v too early", time.Until(next))
	}
}

// TestEcho_Resets: each piece ends its connection, every second time with half of it sent back.
func TestEcho_Resets(t *testing.T) {
	e, _ := startEcho(t, EchoOptions{ResetRate: 1})
	const tries = 20
	for range tries {
		conn, err := net.Dial("tcp", e.Address())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := conn.Write([]byte("12345678")); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) || len(got) != 0 && string(got) != "1234" {
			t.Errorf("%q, %v", got, err)
		}
		_ = conn.Close()
	}
	if got := e.Stats().Resets; got != tries {
		t.Errorf("%d resets counted", got)
	}
	none, conn := startEcho(t, EchoOptions{ResetRate: 1e-9})
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil || none.Stats().Resets != 0 {
		t.Errorf("hardly ever: %v", err)
	}
}

// TestEcho_VerifiesMessages: who sends something else is reset, and counted.
func TestEcho_VerifiesMessages(t *testing.T) {
	e, conn := startEcho(t, EchoOptions{Message: 64, MessageSeed: 1})
	message := loadtest.RandomBytes(1, 64)
	for range 3 {
		if _, err := conn.Write(message); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Stats(); s.Verified != 3 || s.Mismatched != 0 {
		t.Errorf("%+v", s)
	}
	message[40] ^= 1
	if _, err := conn.Write(message); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if s := e.Stats(); s.Verified != 3 || s.Mismatched != 1 {
		t.Errorf("%+v", s)
	}
}

func TestEcho_CloseDropsWhatIsHeld(t *testing.T) {
	e, err := StartEcho("127.0.0.1:0", EchoOptions{Latency: Constant(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", e.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); e.Bytes() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}

func TestEchoOptions_Validate(t *testing.T) {
	for _, o := range []EchoOptions{{Message: -1}, {Message: MaxSize + 1}, {ResetRate: 2}, {Pause: time.Second}} {
		if _, err := StartEcho("127.0.0.1:0", o); !errors.Is(err, ErrSpec) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
