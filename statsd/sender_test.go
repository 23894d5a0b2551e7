package statsd

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds whatever a test waits for.
const patience = 20 * time.Second

// source is counters that a test moves.
type source struct {
	mu     sync.Mutex
	counts Counts
	away   bool
}

func (s *source) add(status int, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[status] += n
}

func (s *source) get() (Counts, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts, !s.away
}

// daemon receives datagrams.
func daemon(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.ListenUDP("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return c
}

// receive reads datagrams until counters of that total came, and returns the sums by name.
func receive(t *testing.T, c *net.UDPConn, total uint64) (sums map[string]uint64, datagrams int) {
	t.Helper()
	sums = map[string]uint64{}
	buf := make([]byte, 1<<16)
	for sum := uint64(0); sum < total; datagrams++ {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatalf("after %v: %v", sums, err)
		}
		if n > maxDatagram {
			t.Errorf("a datagram of %d bytes", n)
		}
		for _, line := range strings.Split(string(buf[:n]), "\n") {
			name, value, _ := strings.Cut(line, ":")
			count, ok := strings.CutSuffix(value, "|c")
			k, err := strconv.ParseUint(count, 10, 64)
			if !ok || err != nil {
				t.Fatalf("line %q", line)
			}
			sums[name] += k
			sum += k
		}
	}
	return sums, datagrams
}

func TestCountersArriveInOneDatagram(t *testing.T) {
	d := daemon(t, "127.0.0.1:0")
	var src source
	src.add(200, 3)
	src.add(404, 1)
	s := New(Config{Addr: d.LocalAddr().String(), Prefix: "shop.cart.", Counts: src.get, interval: time.Millisecond})
	s.Start()
	sums, datagrams := receive(t, d, 4)
	if sums["shop.cart.inbound.200"] != 3 || sums["shop.cart.inbound.404"] != 1 || len(sums) != 2 || datagrams != 1 {
		t.Errorf("%v in %d datagrams", sums, datagrams)
	}
	src.add(200, 2)
	if sums, _ = receive(t, d, 2); sums["shop.cart.inbound.200"] != 2 {
		t.Errorf("later: %v", sums)
	}
	src.add(503, 1)
	s.Close(context.Background()) // tells what is left
	if sums, _ = receive(t, d, 1); sums["shop.cart.inbound.503"] != 1 {
		t.Errorf("at the end: %v", sums)
	}
	if st := s.Stats(); st.Datagrams < 3 || st.Errors != [NumReasons]uint64{} {
		t.Errorf("account: %+v", st)
	}
}

func TestDatagramsAreBounded(t *testing.T) {
	d := daemon(t, "127.0.0.1:0")
	var src source
	for status := 100; status < MaxStatus; status++ {
		src.add(status, uint64(status)*1_000_000_007)
	}
	s := New(Config{Addr: d.LocalAddr().String(), Prefix: strings.Repeat("p", 200), Counts: src.get, interval: time.Millisecond})
	s.Start()
	total := uint64(0)
	for _, n := range src.counts {
		total += n
	}
	sums, datagrams := receive(t, d, total)
	s.Close(context.Background())
	if len(sums) != MaxStatus-100 || datagrams < 2 || s.Stats().Datagrams != uint64(datagrams) {
		t.Errorf("%d counters in %d datagrams: %+v", len(sums), datagrams, s.Stats())
	}
	for status := 100; status < MaxStatus; status++ {
		if got := sums[strings.Repeat("p", 200)+".inbound."+strconv.Itoa(status)]; got != uint64(status)*1_000_000_007 {
			t.Errorf("%d: %d", status, got)
		}
	}
}

func await(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestDeadReceiverIsCounted closes the daemon's socket; another one at its address is told the rest.
func TestDeadReceiverIsCounted(t *testing.T) {
	d := daemon(t, "127.0.0.1:0")
	addr := d.LocalAddr().String()
	_ = d.Close()
	var src source
	s := New(Config{Addr: addr, Counts: src.get, interval: time.Millisecond})
	s.Start()
	defer s.Close(context.Background())
	await(t, "a refusal", func() bool { src.add(200, 1); return s.Stats().Errors[ReasonRefused] > 0 })
	d = daemon(t, addr)
	src.add(404, 7)
	for {
		if sums, _ := receive(t, d, 1); sums["inbound.404"] == 7 {
			return
		}
	}
}

func TestNothingIsToldWhileLoopsDoNotAnswer(t *testing.T) {
	d := daemon(t, "127.0.0.1:0")
	src := source{away: true}
	src.counts[200] = 5
	s := New(Config{Addr: d.LocalAddr().String(), Counts: src.get})
	s.Start()
	s.Close(context.Background())
	if st := s.Stats(); st != (Stats{}) {
		t.Errorf("account: %+v", st)
	}
}

func TestNameWithoutAddressIsCounted(t *testing.T) {
	var src source
	src.counts[200] = 5
	s := New(Config{Addr: "does-not-exist.invalid:8125", Counts: src.get})
	s.Start()
	s.Close(context.Background())
	if st := s.Stats(); st.Errors[ReasonResolve] == 0 || st.Datagrams != 0 {
		t.Errorf("account: %+v", st)
	}
}
