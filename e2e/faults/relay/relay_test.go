package relay

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait.
const patience = 20 * time.Second

// through sends text through a relay with the plan, in one direction, ends the stream there, and returns what the other side got and how it ended.
func through(t *testing.T, plan Plan, text []byte) (got []byte, told []Fault, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	faults := make(chan Fault, 4)
	r, err := Start(l.Addr().String(), func(uint64) Plan { return plan }, func(_ []byte, f Fault) { faults <- f })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c, err := net.Dial("tcp", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(strings.Repeat("x", knownBytes))); err != nil {
		t.Fatal(err)
	}
	from, to := c, net.Conn(nil)
	if plan.Fault != Refuse {
		if to, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		defer to.Close()
		if plan.Dir == 1 {
			if _, err := io.ReadFull(to, make([]byte, knownBytes)); err != nil {
				t.Fatal(err)
			}
			from, to = to, from
		}
	} else {
		to = c
	}
	_ = to.SetDeadline(time.Now().Add(patience))
	go func() {
		_, _ = from.Write(text)
		if plan.Fault != Refuse {
			_ = from.(*net.TCPConn).CloseWrite()
		}
	}()
	got, err = io.ReadAll(to)
	if err == nil && WasReset(to.(*net.TCPConn)) {
		err = syscall.ECONNRESET // a write was told of it
	}
	for len(faults) > 0 {
		told = append(told, <-faults)
	}
	if plan.Dir == 0 && plan.Fault != Refuse {
		got = got[min(knownBytes, len(got)):]
	}
	return got, told, err
}

// Each fault does what it says: all arrives, or a beginning; the end is a FIN or a reset; whoever asked is told before of what is cut off.
func TestEachFaultDoesWhatItSays(t *testing.T) {
	text := []byte(strings.Repeat("0123456789", 1000))
	for f := range Faults {
		for dir := range 2 {
			plan := Plan{Fault: f, Dir: dir, After: 100, Piece: 100, Limit: 2000, Pause: 20 * time.Millisecond, Seed: 1}
			if f == Drip {
				plan.Pause = time.Millisecond
			}
			begin := time.Now()
			got, told, err := through(t, plan, text)
			took := time.Since(begin)
			reset := errors.Is(err, syscall.ECONNRESET)
			whole, some := err == nil && bytes.Equal(got, text), len(got) < len(text) && bytes.HasPrefix(text, got)
			ok := map[Fault]bool{None: whole, Delay: whole, Split: whole, Drip: whole, Stall: whole && took >= plan.Pause, Reset: some && reset,
				Cut: some && err == nil && len(got) > 0, BlackHole: some && reset && took >= plan.Pause, Refuse: some && reset && len(got) == 0,
				Flip: err == nil && len(got) == len(text) && !bytes.Equal(got, text)}[f]
			if !ok {
				t.Errorf("%s, direction %d: %d bytes, a beginning %v, %v, after %v", f, dir, len(got), some, err, took)
			}
			if cuts := len(told) == 1 && told[0] == f; cuts != f.Cuts() {
				t.Errorf("%s, direction %d: told of %v", f, dir, told)
			}
		}
	}
}

// A reset behind a FIN that we have sent is told by the read; one that a write was told of before is seen by the state.
func TestWasReset(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, resets := range []bool{false, true} {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := conn.(*net.TCPConn)
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if resets {
			_ = peer.(*net.TCPConn).SetLinger(0)
		}
		_ = peer.Close()
		for deadline := time.Now().Add(patience); resets; { // the write takes the error
			if _, err := c.Write([]byte("x")); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the reset does not come")
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatalf("reset %v: %v", resets, err)
		}
		if WasReset(c) != resets {
			t.Errorf("reset %v: WasReset = %v", resets, !resets)
		}
		_ = c.Close()
	}
}

// Plans are the seed's: the same connection meets the same fault, and all are drawn.
func TestPlansAreReproducible(t *testing.T) {
	drawn := [Faults]int{}
	for n := range uint64(5000) {
		p := Mixed(3)(n)
		if p != Mixed(3)(n) {
			t.Fatal("a plan changes")
		}
		drawn[p.Fault]++
		if l := Lossless(3)(n); l.Cuts() || l.Fault == Flip {
			t.Fatalf("lossless: %s", l.Fault)
		}
	}
	for f := None; f < Flip; f++ {
		if share := weights[f] * 50; drawn[f] < share/2 || drawn[f] > share*2 {
			t.Errorf("%s: %d of 5000", f, drawn[f])
		}
	}
	if drawn[Flip] > 0 {
		t.Error("bits are changed")
	}
}
