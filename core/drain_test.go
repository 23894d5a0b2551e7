package core

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// beginDrain runs Drain and returns where its result comes.
func beginDrain(e *Engine) <-chan error {
	done := make(chan error, 1)
	go func() { done <- e.Drain(context.Background()) }()
	return done
}

// awaitDrained waits for the drain to end.
func awaitDrained(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(testTimeout):
		t.Fatal("Drain does not return")
	}
}

// A keep-alive connection from a client is closed once it is between requests, not within one, however long that takes.
func TestDrainClosesBetweenRequests(t *testing.T) {
	l := connect(t, Config{})
	l.send(request)
	_ = head(t, l.server)
	done := beginDrain(l.e)
	time.Sleep(drainIdle + 4*drainStep) // what must not happen has had the time to
	if n := l.e.Stats().Sessions[span.Server]; n != 1 {
		t.Fatalf("%d sessions while a request is open", n)
	}
	l.reply(response)
	if got := mustRead(t, l.client, len(response)); got != response {
		t.Fatalf("%q", got)
	}
	if _, err := l.client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("after the response: %v", err)
	}
	awaitDrained(t, done)
	if s := spans(t, l.e, 1); s[0].Failure != span.FailureNone {
		t.Errorf("failure %v", s[0].Failure)
	}
}

// A client that sends its next request as soon as it has the response is not cut off within one either, when the drain goes on: the connection
// is closed right after a response.
func TestDrainEndsBusyConnections(t *testing.T) {
	addr := serve(t, func(c *net.TCPConn) {
		for b := make([]byte, 4096); ; {
			if _, err := c.Read(b); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
			if _, err := io.WriteString(c, response); err != nil {
				return
			}
		}
	})
	e, at := inboundTo(t, addr, Config{})
	c := dial(t, at)
	done := beginDrain(e)
	n := 0
	for ; ; n++ {
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
		if got, err := io.ReadAll(io.LimitReader(c, int64(len(response)))); err != nil || len(got) != len(response) {
			t.Fatalf("response %d: %q, %v", n, got, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Millisecond)) // a client that looks before it sends
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
			break
		}
		_ = c.SetReadDeadline(time.Now().Add(testTimeout))
	}
	awaitDrained(t, done)
	if got := takeSpans(e); len(got) != n+1 {
		t.Errorf("%d spans of %d requests", len(got), n+1)
	}
}

// While an engine drains the application may still call others; the drain waits for these calls, and a second more, but not for the pooled
// connections that they leave behind.
func TestDrainWaitsForCallsNotForPools(t *testing.T) {
	up := newBackend(t)
	e := startEngine(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: up.addr, Kind: span.Client}}})
	began := time.Now()
	done := beginDrain(e)
	eventually(t, "the drain to begin", func() bool { return e.Ready() != nil })
	app := dial(t, e.Listeners()[0].Addr)
	mustWrite(t, app, request)
	server := up.accept()
	_ = head(t, server)
	select {
	case err := <-done:
		t.Fatalf("with a call in flight: %v", err)
	case <-time.After(drainQuiet + 4*drainStep):
	}
	answered := time.Now()
	mustWrite(t, server, response)
	_ = mustRead(t, app, len(response))
	awaitDrained(t, done)
	if d := time.Since(answered); d < drainQuiet-2*drainStep {
		t.Errorf("over %v after the last call, %v after the begin", d, time.Since(began))
	}
	if n := e.Stats().Sessions[span.Client]; n != 1 {
		t.Errorf("%d outbound sessions: a pooled connection is the application's to close", n)
	}
}

// beats returns a socket that receives the heartbeats sent to addr.
func beats(t *testing.T, network, addr string) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("%s: %v", network, err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// beatWithin reports whether a heartbeat comes within d.
func beatWithin(c net.PacketConn, d time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(d))
	_, _, err := c.ReadFrom(make([]byte, 16))
	return err == nil
}

// Heartbeats come over both families; not while any loop hangs, and again when it goes on; and no more once a drain is over, when what is in
// flight still finds a sidecar for as long as the rules lead to it.
func TestHeartbeat(t *testing.T) {
	e := startEngine(t, Config{Loops: 2, Transparent: "127.0.0.1:" + sidecar.FreePort(t), Heartbeat: true}) // free over UDP as well
	addr := e.Listeners()[0].Addr
	_, port, _ := net.SplitHostPort(addr)
	v4, v6 := beats(t, "udp4", addr), beats(t, "udp6", "[::1]:"+port)
	if !beatWithin(v4, testTimeout) || !beatWithin(v6, testTimeout) {
		t.Fatal("no heartbeat")
	}
	goOn := make(chan struct{})
	_ = e.workers[1].loop.Post(func() { <-goOn })
	eventually(t, "the heartbeats to stop", func() bool { return !beatWithin(v4, 2*beatEvery) })
	close(goOn)
	if !beatWithin(v4, testTimeout) {
		t.Fatal("no heartbeat after the loop went on")
	}
	began := time.Now()
	awaitDrained(t, beginDrain(e))
	if d := time.Since(began); d < heartbeatLife {
		t.Errorf("the drain ended after %v, when the rules still redirect", d)
	}
	for beatWithin(v4, beatEvery/10) { // those that came before
	}
	if beatWithin(v4, 2*beatEvery) {
		t.Error("a heartbeat after the drain")
	}
}

// A turn of the heart costs the loop no allocation.
func TestHeartbeatDoesNotAllocate(t *testing.T) {
	e := startEngine(t, Config{Transparent: "127.0.0.1:0", Heartbeat: true})
	if n := testing.AllocsPerRun(100, func() { e.heart.send(0) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Once no more are accepted, what came before goes on, also what nobody had accepted yet, and what comes is refused.
func TestStopAccepting(t *testing.T) {
	l := connect(t, Config{})
	l.send(request)
	_ = head(t, l.server)
	l.e.StopAccepting()
	addr := l.e.Listeners()[0].Addr
	eventually(t, "connections to be refused", func() bool {
		c, err := net.DialTimeout("tcp", addr, testTimeout)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	l.reply(response)
	if got := mustRead(t, l.client, len(response)); got != response {
		t.Fatalf("%q", got)
	}
	l.e.StopAccepting() // again: nothing
}
