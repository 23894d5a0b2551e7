package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/parsers"
)

func TestConfigurationErrors(t *testing.T) {
	listen := []Listen{{Addr: "127.0.0.1:0", Upstream: "127.0.0.1:1"}}
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no loop", Config{Explicit: listen}, "loops: 0"},
		{"no listener", Config{Loops: 1}, ErrNoListener.Error()},
		{"upstream without port", Config{Loops: 1, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: "host"}}}, `upstream "host"`},
		{"upstream without host", Config{Loops: 1, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: ":80"}}}, "host is missing"},
		{"upstream at port 0", Config{Loops: 1, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: "host:0"}}}, `port "0"`},
		{"bad address", Config{Loops: 1, Transparent: "127.0.0.1:x"}, "listen 127.0.0.1:x"},
		{"address of another host", Config{Loops: 1, Transparent: "192.0.2.1:0"}, "listen 192.0.2.1:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := openDescriptors()
			c.cfg.Disabled = true
			_, err := New(c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if now := openDescriptors(); now != before {
				t.Errorf("%d descriptors left open", now-before)
			}
		})
	}
}

// An address that is taken is an error at once, and what was bound before is given back.
func TestTakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	before := openDescriptors()
	_, err = New(Config{Loops: 2, Disabled: true, Transparent: "127.0.0.1:0",
		Explicit: []Listen{{Addr: l.Addr().String(), Upstream: "127.0.0.1:1"}}})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatal(err)
	}
	if now := openDescriptors(); now != before {
		t.Errorf("%d descriptors left open", now-before)
	}
}

// A listener without a host takes v4 and v6.
func TestWildcardListenerTakesBothFamilies(t *testing.T) {
	up := newBackend(t)
	e := startEngine(t, Config{Disabled: true, Explicit: []Listen{{Addr: ":0", Upstream: up.addr}}})
	_, port, _ := net.SplitHostPort(e.Listeners()[0].Addr)
	for _, host := range []string{"127.0.0.1", "::1"} {
		c := dial(t, net.JoinHostPort(host, port))
		s := up.accept()
		mustWrite(t, s, "hi")
		_ = mustRead(t, c, 2)
	}
}

func TestListenersSayWhatWasBound(t *testing.T) {
	e := startEngine(t, Config{Disabled: true, Transparent: "127.0.0.1:0", Explicit: []Listen{
		{Addr: "127.0.0.1:0", Upstream: "127.0.0.1:9", Kind: span.Server}, {Addr: "[::1]:0", Upstream: "localhost:9", Kind: span.Client}}})
	got := e.Listeners()
	for i, want := range []Bound{
		{Name: "transparent", Addr: "127.0.0.1:"},
		{Name: "inbound", Addr: "127.0.0.1:", Upstream: "127.0.0.1:9"},
		{Name: "outbound", Addr: "[::1]:", Upstream: "localhost:9"},
	} {
		if got[i].Name != want.Name || got[i].Upstream != want.Upstream ||
			!strings.HasPrefix(got[i].Addr, want.Addr) || strings.HasSuffix(got[i].Addr, ":0") {
			t.Errorf("listener %d: %+v", i, got[i])
		}
	}
}

// Draining is not closing: what is open goes on, what comes is taken, and Drain returns when the last session has ended.
func TestDrain(t *testing.T) {
	l := connect(t, Config{Loops: 2})
	l.send(request)
	_ = head(t, l.server)
	if err := l.e.Ready(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := l.e.Drain(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("with a session open: %v", err)
	}
	if err := l.e.Ready(); !errors.Is(err, ErrDraining) {
		t.Fatalf("Ready: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- l.e.Drain(context.Background()) }()
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	late := dial(t, l.e.Listeners()[0].Addr)
	mustWrite(t, late, "\x00") // a connection that came while draining is relayed
	eventually(t, "the late session", func() bool { return l.e.Stats().Sessions[span.Server] == 2 })
	_, _ = l.client.Close(), l.server.Close()
	select {
	case err := <-done:
		t.Fatalf("with a late session open: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	reset(t, late)
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(testTimeout):
		t.Fatal("Drain does not return")
	}
}

// Close ends what is open; the spans are in the rings when it returns, and a second Close does nothing.
func TestClose(t *testing.T) {
	before := openDescriptors()
	up := newBackend(t)
	e, addr := inboundTo(t, up.addr, Config{Loops: 3})
	const n = 9
	var ends []*net.TCPConn
	for range n {
		c := dial(t, addr)
		mustWrite(t, c, request)
		s := up.accept()
		_ = head(t, s)
		ends = append(ends, c, s)
	}
	e.Close()
	got := takeSpans(e)
	if len(got) != n {
		t.Errorf("%d spans, want %d", len(got), n)
	}
	for _, s := range got {
		if s.Failure != span.FailureShutdown {
			t.Errorf("failure %v", s.Failure)
		}
	}
	if st := e.Stats(); st.Sessions[span.Server] != 0 || st.PendingBytes != 0 || st.Failures[span.FailureShutdown] != n {
		t.Errorf("stats %+v", st)
	}
	if err := e.Ready(); !errors.Is(err, ErrDraining) {
		t.Errorf("Ready: %v", err)
	}
	if err := e.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
	for _, c := range ends {
		_ = readAll(c)
		_ = c.Close()
	}
	if _, err := net.DialTimeout("tcp", addr, testTimeout); err == nil {
		t.Error("still accepting")
	}
	e.Close()
	_ = up.l.Close()
	eventually(t, "the descriptors to be closed", func() bool { return openDescriptors() <= before })
}

// An engine that was never started gives its listeners back, and one that was cannot be started again.
func TestCloseBeforeStart(t *testing.T) {
	before := openDescriptors()
	e, err := New(Config{Loops: 2, Disabled: true, Transparent: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if e.Ready() == nil {
		t.Error("ready before it was started")
	}
	e.Close()
	if now := openDescriptors(); now != before {
		t.Errorf("%d descriptors left open", now-before)
	}
	if err := e.Start(); err == nil {
		t.Error("started after Close")
	}
}

// What cannot watch a listener says so, gives its listeners back, and Close returns.
func TestCloseAfterAFailedStart(t *testing.T) {
	before := openDescriptors()
	e, err := New(Config{Loops: 2, Disabled: true, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: "127.0.0.1:1"}}})
	if err != nil {
		t.Fatal(err)
	}
	null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	closeFD(e.listeners[0].fd)
	e.listeners[0].fd = null // epoll_ctl says EPERM to it
	if err := e.Start(); !errors.Is(err, unix.EPERM) {
		t.Fatalf("Start: %v", err)
	}
	if now := openDescriptors(); now != before {
		t.Errorf("%d descriptors left open", now-before)
	}
	if err := e.Start(); err == nil {
		t.Error("started a second time")
	}
	closed := make(chan struct{})
	go func() { e.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(testTimeout):
		t.Fatal("Close waits for loops that never ran")
	}
}

// Connections that are on their way from one loop to another when the engine closes must not be forgotten with their descriptors.
func TestCloseWhileConnectionsArrive(t *testing.T) {
	before := openDescriptors()
	for range 15 {
		up := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
		shared, err := trace.NewShared(trace.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var next atomic.Int32
		cfg := Config{Loops: 4, Trace: shared, Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: up}}}
		e, addr := startWith(t, cfg, func(e *Engine) {
			e.placeOn = func(span.Kind) int { return int(next.Add(1)) % 4 }
		})
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					c, err := net.DialTimeout("tcp", addr, testTimeout)
					if err != nil {
						return
					}
					_ = c.(*net.TCPConn).SetLinger(0)
					_ = c.Close()
				}
			})
		}
		eventually(t, "connections", func() bool { return e.Stats().SessionsTotal[0] > 20 })
		e.Close()
		close(stop)
		wg.Wait()
		if n := e.open(); n != 0 {
			t.Errorf("%d sessions are still counted", n)
		}
	}
	eventually(t, fmt.Sprintf("%d descriptors", before), func() bool { return openDescriptors() <= before+15 }) // the backends' listeners
}

// The accounts: bytes by direction, requests by class, sessions by side, opaque by reason.
func TestStatsAccounts(t *testing.T) {
	l := connect(t, Config{})
	for _, status := range []int{200, 204, 301, 404, 500, 503} {
		l.send(request)
		_ = head(t, l.server)
		answer := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status)
		l.reply(answer)
		_ = mustRead(t, l.client, len(answer))
	}
	st := l.e.Stats()
	if want := [2][NumStatusClasses]uint64{{0, 0, 2, 1, 1, 2}, {}}; st.Requests != want {
		t.Errorf("requests %v", st.Requests)
	}
	if st.Sessions != [2]int64{1, 0} || st.SessionsTotal != [2]uint64{1, 0} {
		t.Errorf("sessions %v of %v", st.Sessions, st.SessionsTotal)
	}
	if want := [2]uint64{uint64(6 * len(request)), uint64(6 * len("HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"))}; st.Bytes != want {
		t.Errorf("bytes %v", st.Bytes)
	}
	var n uint64
	for _, c := range st.Durations[span.Server].Counts {
		n += c
	}
	if n != 6 || st.Durations[span.Server].SumNs == 0 || st.Failures[span.FailureNone] != 6 || st.Joins[span.JoinRoot] != 6 {
		t.Errorf("durations %v, failures %v, joins %v", st.Durations[0], st.Failures, st.Joins)
	}
	for i, s := range spans(t, l.e, 6) {
		if s.RequestBytes != int64(len(request)) || s.RequestBody != 0 || s.ResponseBody != 0 {
			t.Errorf("span %d: %d bytes, body %d", i, s.RequestBytes, s.RequestBody)
		}
	}
	reset(t, l.client)
	l.closed()
	if st := l.e.Stats(); st.SessionsTotal != [2]uint64{1, 0} || st.RingDropped != 0 {
		t.Errorf("sessions %v, dropped %d", st.SessionsTotal, st.RingDropped)
	}
}

// A loop that does not answer, as under a tight CPU quota, must not make the counters go back: a scraper would take that for a restart, and
// what comes after it for new.
func TestCountersOfAStalledLoopStay(t *testing.T) {
	l := connect(t, Config{})
	l.send(request)
	_ = head(t, l.server)
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	eventually(t, "the request", func() bool { return l.e.Stats().Requests[span.Server][2] == 1 })
	release := stall(t, l.e)
	if st := l.e.Stats(); st.Requests[span.Server][2] != 1 || st.SessionsTotal[span.Server] != 1 || st.Bytes[0] == 0 {
		t.Errorf("while the loop is stalled: %d requests, %d sessions, bytes %v", st.Requests[span.Server][2], st.SessionsTotal[span.Server], st.Bytes)
	}
	release()
	l.send(request)
	_ = head(t, l.server)
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	eventually(t, "the second request", func() bool { return l.e.Stats().Requests[span.Server][2] == 2 })
}

// A loop that fails would leave its sessions hanging in a process that says it is well: the engine says that it has failed.
func TestFailedLoopIsTold(t *testing.T) {
	before := pollers(t)
	e := startEngine(t, Config{Disabled: true, Transparent: "127.0.0.1:0"})
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	for _, fd := range pollers(t) {
		if slices.Contains(before, fd) {
			continue
		}
		if err := unix.Dup3(int(null.Fd()), fd, unix.O_CLOEXEC); err != nil { // what epoll_wait takes for an error
			t.Fatal(err)
		}
	}
	_ = e.workers[0].loop.Post(func() {}) // wakes it
	select {
	case err := <-e.Failed():
		if !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	case <-time.After(testTimeout):
		t.Fatal("nobody is told")
	}
}

// pollers lists this process's epoll descriptors.
func pollers(t *testing.T) (fds []int) {
	t.Helper()
	dir, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dir {
		if to, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil && to == "anon_inode:[eventpoll]" {
			fd, _ := strconv.Atoi(d.Name())
			fds = append(fds, fd)
		}
	}
	return fds
}

// A full ring loses spans, and says how many; the relay goes on.
func TestFullRingDropsAndCounts(t *testing.T) {
	l := connect(t, Config{RingSlots: 4})
	for range 10 {
		l.send(request)
		_ = head(t, l.server)
		l.reply(response)
		_ = mustRead(t, l.client, len(response))
	}
	if st := l.e.Stats(); st.RingDropped != 6 || st.Requests[span.Server][2] != 10 {
		t.Errorf("%d dropped of %v", st.RingDropped, st.Requests)
	}
	if n := len(takeSpans(l.e)); n != 4 {
		t.Errorf("%d spans", n)
	}
}

// What is switched off is relayed as it is: by port, and altogether.
func TestWhatIsNotParsed(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		why  parsers.Reason
	}{
		{"disabled", Config{Disabled: true}, parsers.ReasonDisabled},
		{"another port", Config{HTTPPorts: []uint16{1}}, parsers.ReasonPort},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := connect(t, c.cfg)
			l.send(request)
			if got := mustRead(t, l.server, len(request)); got != request {
				t.Fatal(got)
			}
			l.reply(response)
			_ = mustRead(t, l.client, len(response))
			if st := l.e.Stats(); st.Opaque[c.why] != 1 || st.Requests[0] != [NumStatusClasses]uint64{} {
				t.Errorf("opaque %v", st.Opaque)
			}
		})
	}
}

// A new session goes to the loop with the fewest.
func TestSessionsAreSpread(t *testing.T) {
	up := newBackend(t)
	e, addr := inboundTo(t, up.addr, Config{Loops: 4})
	for range 40 {
		c := dial(t, addr)
		s := up.accept()
		mustWrite(t, s, "x")
		_ = mustRead(t, c, 1)
	}
	for i, w := range e.workers {
		if n := w.load.Load(); n != 10 {
			t.Errorf("loop %d has %d sessions", i, n)
		}
	}
}

// Sockets of both sides have what a relay needs; the accepted one inherits it from its listener.
func TestSocketOptions(t *testing.T) {
	l := connect(t, Config{})
	w := l.e.workers[0]
	got := make(chan []string, 1)
	_ = w.loop.Post(func() {
		var wrong []string
		for i := range w.sessions.socks {
			wrong = append(wrong, missingOptions(int(w.sessions.socks[i].fd))...)
		}
		got <- wrong
	})
	if wrong := <-got; len(wrong) > 0 {
		t.Errorf("not set: %v", wrong)
	}
}
