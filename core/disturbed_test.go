package core

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

// A clock that is set while requests are in flight, backwards or forwards, changes no duration; spans begin by the new time once it has been
// read anew, and by the old one until then. Durations from the wall clock would be negative here, or an hour long.
func TestSteppedClock(t *testing.T) {
	for _, c := range []struct {
		name  string
		every time.Duration
		fresh bool // the clock is read for each span
	}{
		{"read anew", 0, true},
		{"not read anew yet", anchorEvery, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var step atomic.Int64
			up := newBackend(t)
			e, addr := startWith(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: up.addr}}}, func(e *Engine) {
				e.anchorEvery = c.every
				e.now = func() (mono, wall int64) {
					mono, wall = e.clocks()
					return mono, wall + step.Load()
				}
			})
			l := &link{t: t, e: e, client: dial(t, addr)}
			l.server = up.accept()
			for _, by := range []time.Duration{0, -time.Hour, 2 * time.Hour} {
				turnOver(t, e) // a handler has one time, from which a request would begin that comes while the accept is handled
				begin, before := time.Now(), step.Load()
				l.send(request)
				_ = head(t, l.server)
				step.Store(int64(by)) // in mid-request
				l.reply(response)
				_ = mustRead(t, l.client, len(response))
				s := spans(t, e, 1)[0]
				took := time.Since(begin)
				if s.Duration <= 0 || time.Duration(s.Duration) > took || s.FirstByte <= 0 || s.FirstByte > s.Duration {
					t.Errorf("clock set by %v: duration %v, first byte after %v, of at most %v", by, time.Duration(s.Duration), time.Duration(s.FirstByte), took)
				}
				if !c.fresh {
					before = 0
				}
				if start := time.Unix(0, s.Start-before); start.Before(begin.Add(-time.Second)) || start.After(begin.Add(took)) {
					t.Errorf("clock set by %v: begins %v after the request", by, start.Sub(begin))
				}
			}
		})
	}
}

// A loop that stands still harms its own sessions only, and those by no more than the time: the other loop goes on, the engine says that it is not
// ready and which loop it is, and afterwards all goes on.
func TestStalledLoop(t *testing.T) {
	up := newBackend(t)
	e, _ := startWith(t, Config{Loops: 2, Explicit: []Listen{
		{Addr: "127.0.0.1:0", Upstream: up.addr, Kind: span.Server}, {Addr: "127.0.0.1:0", Upstream: up.addr, Kind: span.Client},
	}}, func(e *Engine) { e.placeOn = func(k span.Kind) int { return int(k) - int(span.Server) } })
	links := [2]*link{}
	for i, b := range e.Listeners() {
		links[i] = &link{t: t, e: e, client: dial(t, b.Addr)}
		links[i].server = up.accept()
	}
	if err := e.Ready(); err != nil {
		t.Fatal(err)
	}
	release := stall(t, e)
	links[0].send(request) // waits
	for range 3 {
		exchangeOn(links[1])
	}
	for range 3 { // however many ask
		if err := e.Ready(); err == nil || !strings.Contains(err.Error(), "event loop 1 of 2") {
			t.Fatalf("Ready() = %v", err)
		}
	}
	exchangeOn(links[1])
	release()
	_ = head(t, links[0].server)
	links[0].reply(response)
	_ = mustRead(t, links[0].client, len(response))
	if err := e.Ready(); err != nil {
		t.Error(err)
	}
	if s := spans(t, e, 5); len(s) != 5 {
		t.Errorf("%d spans", len(s))
	}
}

// exchangeOn has one request answered.
func exchangeOn(l *link) {
	l.t.Helper()
	l.send(request)
	_ = head(l.t, l.server)
	l.reply(response)
	_ = mustRead(l.t, l.client, len(response))
}

// A name server that does not answer holds up neither the start nor listeners that need none. Who comes to the one that does waits, and is served
// when the answer comes; turned away for want of an address it would be reset.
func TestSilentNameServer(t *testing.T) {
	const name = "silent.test"
	release := names.hold(t, name)
	names.set(name, "127.0.0.1")
	t.Cleanup(func() { names.forget(name) })
	up := newBackend(t)
	_, port, _ := strings.Cut(up.addr, ":")
	begin := time.Now()
	e := startEngine(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: name + ":" + port}, {Addr: "127.0.0.1:0", Upstream: up.addr}}})
	if took := time.Since(begin); took > resolveTimeout/2 {
		t.Errorf("the start waited %v for a name", took)
	}
	waiting := dial(t, e.Listeners()[0].Addr)
	mustWrite(t, waiting, request)
	l := &link{t: t, e: e, client: dial(t, e.Listeners()[1].Addr)}
	l.server = up.accept()
	exchangeOn(l)
	release()
	l = &link{t: t, e: e, client: waiting}
	l.server = up.accept()
	_ = head(t, l.server)
	l.reply(response)
	_ = mustRead(t, l.client, len(response))
	if n := e.Stats().Refused[RefusedUnresolved]; n > 0 {
		t.Errorf("%d turned away", n)
	}
}

// An engine that is closed, or told to accept no more, while a name is being looked up, does not wait for it and opens no listener later.
func TestCloseBeforeANameIsKnown(t *testing.T) {
	files := openDescriptors()
	release := names.hold(t, "never.test")
	e := startEngine(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: "never.test:80"}}})
	c := dial(t, e.Listeners()[0].Addr)
	e.StopAccepting()
	wantReset(t, c)
	begin := time.Now()
	e.Close()
	if took := time.Since(begin); took > resolveTimeout/2 {
		t.Errorf("the end waited %v for a name", took)
	}
	release()
	_ = c.Close()
	eventually(t, "the look-up to end", func() bool { return openDescriptors() <= files })
}
