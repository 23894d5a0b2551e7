package core

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/loop"
	"github.com/spanwire/spanwire/core/span"
)

const (
	// drainStep is how often a draining loop looks at its sessions.
	drainStep = 50 * time.Millisecond
	// drainIdle is how long an inbound keep-alive connection has been between requests when a draining loop closes it: a client that is about
	// to send the next one right after the response is let do so.
	drainIdle = 250 * time.Millisecond
	// drainEager is how long after the begin a draining loop closes inbound connections right after a response, for those that never pause.
	drainEager = time.Second
	// drainQuiet is how long nothing has been in flight when a drain is over: an application that got its SIGTERM at the same moment is still
	// telling others of its end by then.
	drainQuiet = time.Second
)

// drainer looks at a worker's sessions while the engine drains. Its atomics are read by Drain; the rest is the loop's.
type drainer struct {
	w     *worker
	timer loop.Timer
	began int64 // monotonic ns; 0 = the engine does not drain

	ended []*session // sessions that have just got a response, to be closed if they are idle then
	soon  soon

	inbound atomic.Int64 // open inbound sessions when last looked
	busy    atomic.Int64 // monotonic ns when something was last seen in flight; 0 before the first look
}

// start begins to look, once. Loop goroutine only, as all but the atomics.
func (d *drainer) start() {
	if d.began != 0 {
		return
	}
	d.began = d.w.loop.Now()
	d.soon.d = d
	d.busy.Store(d.began)
	d.Expire()
}

// eager reports whether connections are closed right after a response.
func (d *drainer) eager() bool { return d.began != 0 && d.w.loop.Now()-d.began > int64(drainEager) }

// answered notes that s has no request open any more. It is closed in a later turn: bytes may still have to be written in this one.
func (d *drainer) answered(s *session) {
	if s.kind != span.Server || !d.eager() {
		return
	}
	d.ended = append(d.ended, s)
	if len(d.ended) == 1 {
		d.w.loop.SetTimer(&d.soon.timer, 0, &d.soon)
	}
}

// soon is the alarm for the sessions that have just got a response.
type soon struct {
	d     *drainer
	timer loop.Timer
}

// Expire closes those that are between requests. One may be another session by now, of which the same is asked.
func (t *soon) Expire() {
	for _, s := range t.d.ended {
		if s.kind == span.Server && !s.inFlight() && s.betweenRequests() {
			s.close(false, span.FailureShutdown)
		}
	}
	clear(t.d.ended)
	t.d.ended = t.d.ended[:0]
}

// Expire looks at every session: closes the inbound ones that are idle between requests, and notes whether anything is in flight.
func (d *drainer) Expire() {
	w := d.w
	now := w.loop.Now()
	for s := w.sessions; s != nil; {
		next := s.nextSession
		moved := s.received[client] + s.received[server]
		if s.drainSince == 0 || moved != s.drainSeen {
			s.drainSeen, s.drainSince = moved, now
		}
		switch {
		case s.inFlight() || s.opaque && s.drainSince == now:
			d.busy.Store(now)
		case s.kind == span.Server && s.betweenRequests() && now-s.drainSince > int64(drainIdle):
			s.close(false, span.FailureShutdown)
		}
		s = next
	}
	d.inbound.Store(w.stats.Sessions[span.Server])
	w.loop.SetTimer(&d.timer, drainStep, d)
}

// inFlight reports whether the session is dialling or ending, or holds a request, a part of one, or bytes that have not been taken.
func (s *session) inFlight() bool {
	if s.phase != phaseRelaying || s.exchanges.head != nil {
		return true
	}
	for i := range s.flows {
		if f := &s.flows[i]; len(f.pending) > 0 || len(f.kept) > 0 {
			return true
		}
	}
	return false
}

// betweenRequests reports whether an idle session can be closed without cutting anything off: its protocol is one whose requests are seen, or
// nothing has come yet, and nothing waits to be read.
func (s *session) betweenRequests() bool {
	if s.opaque || s.stream == nil && s.received != [2]uint64{} {
		return false
	}
	for i := range s.socks {
		if n, err := unix.IoctlGetInt(int(s.socks[i].fd), unix.TIOCINQ); err != nil || n > 0 || s.socks[i].readable {
			return false
		}
	}
	return true
}

// Drain makes Ready fail and waits, or until ctx ends; connections are accepted and relayed all the while, outbound ones too, for an
// application that is ending still makes calls. It is over when the inbound sessions have ended (those that are idle between requests
// are closed) and nothing has been in flight for drainQuiet; outbound connections that only idle are not waited for. The heartbeat
// stops at once, and the drain is not over before new connections find their way past. It returns nil when it was over before ctx ended, or when no session is open then.
func (e *Engine) Drain(ctx context.Context) error {
	if !e.state.CompareAndSwap(stateRunning, stateDraining) && e.state.Load() != stateDraining {
		return nil // not started, or closed
	}
	for _, w := range e.workers {
		_ = w.loop.Post(w.drain.start)
	}
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	began := time.Now()
	if e.heart != nil {
		e.heart.stop()
	}
	for {
		if e.quiet() && (e.heart == nil || time.Since(began) > heartbeatLife) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if n := e.open(); n > 0 {
				return fmt.Errorf("%d sessions open: %w", n, ctx.Err())
			}
			return nil
		}
	}
}

// StopAccepting closes the listeners, after taking what has come, and returns at once; sessions go on. It comes near the end of a drain that
// does not end by itself: what is refused now is not cut off then.
func (e *Engine) StopAccepting() {
	for _, l := range e.listeners {
		_ = l.w.loop.Post(func() { // ended loops have no listeners
			if !l.closed {
				l.Ready(0)
				l.close()
			}
		})
	}
}

// quiet reports whether no inbound session is open and nothing has been in flight on any loop for drainQuiet.
func (e *Engine) quiet() bool {
	now := int64(time.Since(e.base))
	var listed int64
	for _, w := range e.workers {
		busy := w.drain.busy.Load()
		if busy == 0 || now-busy < int64(drainQuiet) || w.drain.inbound.Load() > 0 {
			return false
		}
		listed += w.listed.Load()
	}
	return e.open() == listed // else one is on its way to its loop
}
