package loadtest_test

import (
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/server"
)

// The tests in this file are the load generator's proof of itself: that its numbers mean what they say.

// TestRun_PauseShowsInOpenLoopOnly is coordinated omission: a server that answers at once except for a pause of a tenth of the
// time. One request in ten meets the pause, and the p99 is nine tenths of it. A closed loop stops asking meanwhile, and its p99
// knows nothing.
func TestRun_PauseShowsInOpenLoopOnly(t *testing.T) {
	const pause, every = time.Second, 10 * time.Second
	s := startHTTP(t, server.Options{Pause: pause, PauseEvery: every})
	c := short(s.URL())
	c.Duration = every + 2*pause // one pause, whole, whenever it comes
	open := run(t, c)
	if !open.Valid || open.Unexpected() > 0 {
		t.Fatalf("valid %v %v, errors %v", open.Valid, open.Reasons, open.Errors)
	}
	if got := time.Duration(open.Latency.P99); got < pause*8/10 {
		t.Errorf("open loop: p99 %v does not show a pause of %v every %v", got, pause, every)
	}
	shut := run(t, closed(c))
	if got := time.Duration(shut.Latency.P99); got > pause/2 {
		t.Errorf("closed loop: p99 %v; it was not to show the pause", got)
	}
	if got := time.Duration(shut.Latency.Max); got < pause/2 {
		t.Errorf("closed loop: max %v; the pause was not met at all", got)
	}
}

func TestRun_RateOutOfReachIsInvalid(t *testing.T) {
	s := startHTTP(t, server.Options{Latency: server.Constant(20 * time.Millisecond)})
	c := short(s.URL())
	c.Connections, c.Rate, c.Duration = 2, 1000, time.Second // two connections carry 100/s
	r := run(t, c)
	if r.Valid || !strings.Contains(strings.Join(r.Reasons, " "), "rate not reached") {
		t.Errorf("valid %v %v", r.Valid, r.Reasons)
	}
	if q := r.Requests; q.Unsent == 0 || q.OK+q.Failed+q.Unsent != 1000 {
		t.Errorf("1000 were due: %+v", q)
	}
	// What was never sent is in the latency all the same.
	if r.Latency.Count != 1000 || time.Duration(r.Latency.P50) < 300*time.Millisecond {
		t.Errorf("%d samples, p50 %v", r.Latency.Count, time.Duration(r.Latency.P50))
	}
	var table strings.Builder
	if err := r.WriteTable(&table); err != nil || !strings.Contains(table.String(), "INVALID RESULT: rate not reached") {
		t.Errorf("%v\n%s", err, table.String())
	}
}

func TestRun_LatencyIsTheServers(t *testing.T) {
	const latency = 30 * time.Millisecond
	s := startHTTP(t, server.Options{Latency: server.Constant(latency)})
	c := short(s.URL())
	c.Connections, c.Duration = 32, 500*time.Millisecond
	for _, config := range []loadtest.Config{c, closed(c)} {
		if got := bestOfThree(latency*2, func() time.Duration {
			r := run(t, config)
			if got := time.Duration(r.Latency.Min); got < latency {
				t.Errorf("%s loop: an answer after %v", r.Loop, got)
			}
			return time.Duration(r.Latency.P50)
		}); got > latency*2 {
			t.Errorf("closed loop %v: p50 %v, the server takes %v", config.Closed, got, latency)
		}
	}
}

func TestRun_TCPEchoIsCompared(t *testing.T) {
	e, err := server.StartEcho("127.0.0.1:0", server.EchoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := short(e.Address())
	c.TCP = true
	for name, change := range map[string]func(*loadtest.Config){
		"one byte":         func(c *loadtest.Config) { c.BodySize = 1 },
		"rate and size":    func(c *loadtest.Config) { c.BodySize = 1000 },
		"closed":           func(c *loadtest.Config) { c.BodySize = 1000; *c = closed(*c) },
		"pipelined":        func(c *loadtest.Config) { c.BodySize, c.Pipeline = 100, 16; *c = closed(*c) },
		"bulk":             func(c *loadtest.Config) { c.BodySize = 2 << 20; *c = closed(*c) },
		"one a connection": func(c *loadtest.Config) { c.BodySize, c.NoKeepalive = 100, true },
	} {
		t.Run(name, func(t *testing.T) {
			config, before := c, e.Bytes()
			change(&config)
			r := run(t, config)
			if r.Unexpected() > 0 || r.Requests.OK == 0 {
				t.Fatalf("%+v, errors %v, first %s", r.Requests, r.Errors, r.FirstError)
			}
			if want := r.Requests.OK * int64(config.BodySize); r.Bytes.Sent != want || r.Bytes.Received != want || e.Bytes()-before != want {
				t.Errorf("%d bytes sent, %d echoed, %d received; want %d", r.Bytes.Sent, e.Bytes()-before, r.Bytes.Received, want)
			}
		})
	}
}

func TestRun_TCPEchoThatDiffersIsNoticed(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		b := make([]byte, 100)
		for {
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			b[73] ^= 1
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	})
	c := short(address)
	c.TCP, c.BodySize, c.Requests = true, 100, 8
	if r := run(t, c); r.Errors["echo"] != 8 {
		t.Errorf("errors %v", r.Errors)
	}
}

func TestRun_SeedDecidesBytesSent(t *testing.T) {
	first := func(seed uint64) string {
		got := make(chan string, 1)
		address := listen(t, func(conn net.Conn) {
			b := make([]byte, 64)
			if _, err := io.ReadFull(conn, b); err == nil {
				got <- string(b)
				_, _ = conn.Write(b)
			}
		})
		c := short(address)
		c.TCP, c.BodySize, c.Requests, c.Connections, c.Seed = true, 64, 1, 1, seed
		run(t, c)
		return <-got
	}
	if first(1) != first(1) || first(1) == first(2) {
		t.Error("the seed does not decide what is sent")
	}
}

// TestRun_AllocatesNothingPerRequest runs against a server that allocates nothing per request either.
func TestRun_AllocatesNothingPerRequest(t *testing.T) {
	address := listen(t, func(conn net.Conn) {
		answer, b := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), make([]byte, 4096)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
			if _, err := conn.Write(answer); err != nil {
				return
			}
		}
	})
	mallocs := func(requests int64) uint64 {
		c := closed(short(address))
		c.Requests, c.Duration = requests, time.Minute
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if r := run(t, c); r.Requests.OK != requests {
			t.Fatalf("%+v", r.Requests)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	mallocs(1000) // what is made once, and stays
	few, many := mallocs(1000), mallocs(51_000)
	// Preparation, result and the runtime's own need up to some thousand (the histogram is encoded); 50 000 requests would add at least 50 000.
	if many > few+10_000 {
		t.Errorf("1 000 requests: %d allocations, 51 000: %d", few, many)
	}
}
