package core

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/span"
)

// ErrDraining is why an engine that is shutting down is not ready.
var ErrDraining = errors.New("draining")

// Engine is the relay: its listeners, its loops and their sessions.
type Engine struct {
	cfg  Config
	base time.Time
	// now reads both clocks at once: monotonic ns since base, and ns since the Unix epoch. Tests set the second.
	now       func() (mono, wall int64)
	workers   []*worker
	listeners []*listener
	heart     *heart // nil without a heartbeat
	upstreams []*upstream
	ports     map[uint16]bool // cfg.HTTPPorts; nil = all

	operations *operationKeys // nil: nothing is counted by operation

	// placeOn overrides the choice of a loop; nil but in tests.
	placeOn func(kind span.Kind) int
	// resolveEvery and anchorEvery are the constants of their names; tests shorten them.
	resolveEvery, anchorEvery time.Duration

	throttles struct{ accept, refuse, dial, resolve, route Throttle }

	last struct { // what the loops said of themselves last, by loop
		sync.Mutex
		stats      []Stats
		operations [][]operationRow
	}

	state  atomic.Int32
	failed chan error // why the first loop that failed did
	cancel context.CancelFunc
	names  sync.WaitGroup
}

// The states of an Engine.
const (
	stateNew = iota
	stateRunning
	stateDraining
	stateClosing
	stateClosed
)

// New binds the listeners; nothing is accepted until Start. After an error nothing is left open.
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, base: time.Now(), resolveEvery: resolveEvery, anchorEvery: anchorEvery, failed: make(chan error, 1)}
	e.now = e.clocks
	if cfg.MaxSeries > 0 && !cfg.Disabled {
		e.operations = newOperationKeys(cfg.MaxSeries)
	}
	for _, p := range cfg.HTTPPorts {
		if e.ports == nil {
			e.ports = make(map[uint16]bool)
		}
		e.ports[p] = true
	}
	if err := e.build(); err != nil {
		e.abandon()
		return nil, err
	}
	return e, nil
}

// build makes workers and listeners.
func (e *Engine) build() error {
	for range e.cfg.Loops {
		w, err := newWorker(e)
		if err != nil {
			return fmt.Errorf("event loop: %w", err)
		}
		e.workers = append(e.workers, w)
	}
	e.last.stats = make([]Stats, len(e.workers))
	e.last.operations = make([][]operationRow, len(e.workers))
	if e.cfg.Transparent != "" {
		if err := e.listen("transparent", e.cfg.Transparent, span.Server, nil); err != nil {
			return err
		}
		if e.cfg.Heartbeat {
			e.heart = newHeart(e, e.listeners[0].addr.Port())
		}
	}
	for _, x := range e.cfg.Explicit {
		name := "inbound"
		if x.Kind == span.Client {
			name = "outbound"
		}
		up := newUpstream(x.Upstream)
		e.upstreams = append(e.upstreams, up)
		if err := e.listen(name, x.Addr, x.Kind, up); err != nil {
			return err
		}
	}
	return nil
}

// listen adds a listener, on the next worker in turn.
func (e *Engine) listen(name, addr string, kind span.Kind, up *upstream) error {
	w := e.workers[len(e.listeners)%len(e.workers)]
	l, err := newListener(w, name, addr, kind, up)
	if err != nil {
		return err
	}
	e.listeners = append(e.listeners, l)
	return nil
}

// abandon releases what build made.
func (e *Engine) abandon() {
	for _, l := range e.listeners {
		closeFD(l.fd)
	}
	for _, w := range e.workers {
		_ = w.loop.Stop()
		_ = w.loop.Run() // closes the loop's descriptors
	}
	if e.heart != nil {
		e.heart.close()
	}
}

// Start looks up the upstreams' names, begins to accept, and returns. Names that take longer than a moment are not waited for: until the
// first answer, or the lack of one, connections to their listeners wait in the kernel's queue. A name that does not resolve is logged and tried again.
func (e *Engine) Start() error {
	if !e.state.CompareAndSwap(stateNew, stateRunning) {
		return errors.New("engine was started before")
	}
	if r := e.routes(); r != nil {
		r.SetOwn(e.ownAddresses())
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.resolve(ctx)
	for _, l := range e.listeners {
		if !l.up.lookedUp() {
			e.names.Go(func() { l.openLater(ctx) })
			continue
		}
		if err := l.w.loop.AddListener(l.fd, l); err != nil {
			cancel()
			e.names.Wait()
			e.abandon() // no loop runs yet, for which Close would wait
			e.state.Store(stateClosed)
			return fmt.Errorf("watch listener %s: %w", l.addr, err)
		}
	}
	if e.heart != nil {
		for i := range e.heart.beats {
			e.heart.beats[i].start()
		}
	}
	for _, w := range e.workers {
		go w.run()
	}
	return nil
}

// resolve begins to look up the upstreams' names, and waits a moment for the answers.
func (e *Engine) resolve(ctx context.Context) {
	for _, u := range e.upstreams {
		if !u.fixed {
			e.names.Go(func() { u.keepResolved(ctx, e.resolveEvery, e.cfg.Log, &e.throttles.resolve) })
		}
	}
	moment, cancel := context.WithTimeout(ctx, resolveStart)
	defer cancel()
	for _, u := range e.upstreams {
		select {
		case <-u.looked:
		case <-moment.Done():
		}
	}
}

// clocks reads both clocks from one reading: a preemption between two would stay in every span until the next.
func (e *Engine) clocks() (mono, wall int64) {
	now := time.Now()
	return int64(now.Sub(e.base)), now.UnixNano()
}

// Listeners returns the listeners as they were bound: first the transparent one, then the explicit ones in their order.
func (e *Engine) Listeners() []Bound {
	bound := make([]Bound, len(e.listeners))
	for i, l := range e.listeners {
		bound[i] = Bound{Name: l.name, Addr: l.addr.String()}
		if l.up != nil {
			bound[i].Upstream = l.up.name
		}
	}
	return bound
}

// Rings returns the loops' rings of finished spans, for one consumer.
func (e *Engine) Rings() []*ring.Ring[span.Record] {
	rings := make([]*ring.Ring[span.Record], len(e.workers))
	for i, w := range e.workers {
		rings[i] = w.ring
	}
	return rings
}

// RequestRings returns the loops' rings of all finished requests, sampled or not, for one consumer; none unless Config.LogRequests is set.
func (e *Engine) RequestRings() (rings []*ring.Ring[span.Record]) {
	for _, w := range e.workers {
		if w.requests != nil {
			rings = append(rings, w.requests)
		}
	}
	return rings
}

// Failed tells once why the engine cannot go on: the process should end, for another to take its place.
func (e *Engine) Failed() <-chan error { return e.failed }

// open counts the sessions, also those that are on their way to a loop.
func (e *Engine) open() (n int64) {
	for _, w := range e.workers {
		n += w.load.Load()
	}
	return n
}

// Close stops accepting, ends the sessions that are left (their open requests end as cut off by the shutdown) and the loops. All
// spans are in the rings when it returns. A second call does nothing.
func (e *Engine) Close() {
	switch e.state.Swap(stateClosing) {
	case stateClosing:
		return // by the first call
	case stateClosed:
		e.state.Store(stateClosed)
		return
	case stateNew:
		e.abandon()
		e.state.Store(stateClosed)
		return
	}
	e.cancel()
	e.names.Wait()
	// What a listener has handed to another loop stands in that loop's queue once all listeners are closed, before what is posted next.
	for _, l := range e.listeners {
		closed := make(chan struct{})
		if l.w.loop.Post(func() { l.close(); close(closed) }) == nil {
			select {
			case <-closed:
			case <-l.w.done:
			}
		}
	}
	for _, w := range e.workers {
		_ = w.loop.Post(w.closeSessions)
		_ = w.loop.Stop()
	}
	for _, w := range e.workers {
		<-w.done
	}
	if r := e.routes(); r != nil {
		r.Close()
	}
	if e.heart != nil {
		e.heart.close()
	}
	e.state.Store(stateClosed)
}

// place chooses the loop for a new session: the one with the fewest, and the accepting one when it is among them.
func (e *Engine) place(accepting *worker, kind span.Kind) *worker {
	if e.placeOn != nil {
		return e.workers[e.placeOn(kind)]
	}
	best, least := accepting, accepting.load.Load()
	for _, w := range e.workers {
		if n := w.load.Load(); n < least {
			best, least = w, n
		}
	}
	return best
}

// isOwn reports whether dst is a listener of ours. local is the address that the connection was accepted at.
func (e *Engine) isOwn(dst, local netip.AddrPort) bool {
	for _, l := range e.listeners {
		if dst.Port() != l.addr.Port() {
			continue
		}
		a := l.addr.Addr()
		if dst.Addr() == a || a.IsUnspecified() && (dst.Addr().IsLoopback() || dst.Addr() == local.Addr()) {
			return true
		}
	}
	return false
}

// routes returns what the loops share about routes; nil when routing is off.
func (e *Engine) routes() *route.Routes {
	if e.cfg.Disabled {
		return nil
	}
	return e.cfg.Trace.Routes()
}

// parsesPort reports whether connections to this destination port are to be parsed.
func (e *Engine) parsesPort(port uint16) bool { return e.ports == nil || e.ports[port] }
