package loadtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Times and sizes of the loop.
const (
	// scratchBytes is the one receive buffer: large bodies take few calls.
	scratchBytes = 256 << 10
	// dialPause is how long a slot rests after a failed connect.
	dialPause = 10 * time.Millisecond
	// closingGrace is how long a server that said it closes may take.
	closingGrace = time.Second
	// maxDialling bounds the connects under way while connections are opened before the run, so that they do not overrun the
	// server's accept queue (where a lost SYN costs a second).
	maxDialling = 64
	// tick is the longest nap: timeouts, cancellation and progress are looked at this often.
	tick = 50 * time.Millisecond
	// progressEvery is the time between two calls of Config.Progress.
	progressEvery = 500 * time.Millisecond
)

// ErrUnreachable is wrapped by the error of Run when not one connection could be opened.
var ErrUnreachable = errors.New("target cannot be reached")

// loop is one run. All of it belongs to the goroutine of Run.
type loop struct {
	cfg      *Config
	traffic  *traffic
	poller   *poller
	family   int
	address  unix.Sockaddr
	noBody   bool      // answers have no body: HEAD
	expected [600]bool // by status code
	base     time.Time
	now      int64 // the last reading of clock
	conns    []conn
	free     queue   // open loop: slots that can take a request, the longest idle first
	refill   []int32 // closed loop: slots that lost their connection and go on with a new one
	rec      *recorder
	schedule *schedule
	scratch  []byte

	dialling  int // connects under way before the run
	dialError error

	start, warm, end int64 // of the run, of the measured window, of both
	assigned         int64 // requests handed to connections
	stopped          bool  // no request is to follow
	freedAt          int64 // when the free queue was last filled after having been empty
	caughtUp         int64 // when no request was last overdue
	nextTick         int64
	nextProgress     int64
}

// Run sends the traffic of cfg, and returns what came of it. The error is of the settings (ErrConfig), of the machine, or says
// that the target was never reached (ErrUnreachable); unexpected answers are no error but part of the Result. When ctx is
// cancelled, the run stops early and its result is marked invalid.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	// The loop's waits are made on this thread, with its timer slack.
	runtime.LockOSThread()
	preciseTimers()
	defer runtime.UnlockOSThread()
	l, err := newLoop(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	defer l.shut()
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	before := cpuTime()
	started := time.Now()
	interrupted := l.run(ctx)
	return l.result(started, cpuTime().sub(before), interrupted), nil
}

// newLoop resolves the target and prepares everything but the connections.
func newLoop(ctx context.Context, cfg *Config) (*loop, error) {
	t, err := parseTarget(cfg.URL, cfg.TCP)
	if err != nil {
		return nil, err
	}
	address, family, err := resolve(ctx, t.address)
	if err != nil {
		return nil, err
	}
	p, err := openPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{
		cfg: cfg, traffic: buildTraffic(cfg, t), poller: p, family: family, address: address, noBody: cfg.Method == "HEAD",
		base: time.Now(), conns: make([]conn, cfg.Connections+cfg.IdleConnections), free: newQueue(cfg.Connections),
		refill: make([]int32, 0, cfg.Connections), scratch: make([]byte, scratchBytes),
	}
	l.rec = newRecorder(cfg.Progress != nil)
	for status := range l.expected {
		l.expected[status] = len(cfg.ExpectStatus) == 0 && status >= 200 && status < 300
	}
	for _, status := range cfg.ExpectStatus {
		l.expected[status] = true
	}
	flights := make([]flight, cfg.Connections*cfg.Pipeline)
	for i := range l.conns {
		c := &l.conns[i]
		c.slot, c.fd = int32(i), -1
		if c.idle = i >= cfg.Connections; c.idle {
			continue
		}
		c.src = l.traffic.of(i)
		c.flights = flights[i*cfg.Pipeline : (i+1)*cfg.Pipeline : (i+1)*cfg.Pipeline]
		if cfg.Events {
			c.resp.events = new(eventScanner)
		}
		c.resp.reset()
	}
	return l, nil
}

// resolve looks the target up once: every connection of a run goes to the same address.
func resolve(ctx context.Context, hostPort string) (unix.Sockaddr, int, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: target %q: %w", ErrConfig, hostPort, err)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: target %q: %w", ErrConfig, hostPort, err)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	chosen := addrs[0].Unmap()
	for _, a := range addrs { // IPv4 first: what test servers on localhost listen on
		if a.Unmap().Is4() {
			chosen = a.Unmap()
			break
		}
	}
	if chosen.Is4() {
		return &unix.SockaddrInet4{Port: number, Addr: chosen.As4()}, unix.AF_INET, nil
	}
	return &unix.SockaddrInet6{Port: number, Addr: chosen.As16()}, unix.AF_INET6, nil
}

// clock returns nanoseconds since the loop was made, monotonic.
func (l *loop) clock() int64 { return int64(time.Since(l.base)) }

// shut closes all sockets.
func (l *loop) shut() {
	for i := range l.conns {
		l.disconnect(&l.conns[i])
	}
	l.poller.close()
}

// connect opens all connections before the run starts, a few at a time. With NoKeepalive the first request of each opens it.
func (l *loop) connect(ctx context.Context) error {
	first := 0
	if l.cfg.NoKeepalive {
		first = l.cfg.Connections
	}
	l.now = l.clock()
	deadline := l.now + int64(l.cfg.Timeout)
	for next := first; next < len(l.conns) || l.dialling > 0; {
		for next < len(l.conns) && l.dialling < maxDialling {
			l.dialling++
			l.dial(&l.conns[next])
			next++
		}
		for _, ev := range l.poller.wait(tick) {
			l.handle(ev)
		}
		l.now = l.clock()
		if ctx.Err() != nil {
			return fmt.Errorf("connect to %s: %w", l.cfg.URL, ctx.Err())
		}
		if l.now > deadline {
			return fmt.Errorf("%w: %s: %d connections opened, %d under way after %v", ErrUnreachable, l.cfg.URL, l.rec.connects,
				l.dialling, l.cfg.Timeout)
		}
	}
	if len(l.conns) > first && l.rec.connects == 0 {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, l.cfg.URL, l.dialError)
	}
	return nil
}

// handle passes an event to its connection, unless the socket it was about is gone.
func (l *loop) handle(ev unix.EpollEvent) {
	if c := &l.conns[ev.Fd]; c.generation == ev.Pad && c.state != down && c.state != penalised {
		l.event(c, ev.Events)
	}
}

// run is the loop proper: from the first request until the last answer. It returns true when it was cancelled.
func (l *loop) run(ctx context.Context) (interrupted bool) {
	l.begin()
	for {
		l.now = l.clock()
		if l.now >= l.nextTick {
			l.nextTick = l.now + int64(tick)
			if !interrupted && ctx.Err() != nil {
				interrupted = true
				l.interrupt()
			}
			l.sweep()
			l.report()
		}
		l.dispatch()
		l.refillClosed()
		if l.finished() {
			return interrupted
		}
		for _, ev := range l.poller.wait(l.nap()) {
			l.handle(ev)
			l.dispatch()
		}
	}
}

// begin sets the times of the run and sends the first requests of a closed loop.
func (l *loop) begin() {
	l.now = l.clock()
	l.start = l.now
	l.warm = l.start + int64(l.cfg.Warmup)
	l.end = l.warm + int64(l.cfg.Duration)
	l.rec.window(l.warm, l.end)
	l.freedAt, l.caughtUp, l.nextTick, l.nextProgress = l.now, l.now, l.now+int64(tick), l.now+int64(progressEvery)
	if !l.cfg.Closed {
		l.schedule = newSchedule(l.cfg.Rate, l.cfg.Arrivals, l.cfg.Seed)
	}
	for i := range l.conns[:l.cfg.Connections] {
		c := &l.conns[i]
		if l.cfg.Closed && c.state == open {
			l.now = l.clock()
			l.fill(c)
			continue
		}
		l.available(c)
	}
}

// nap is how long to wait for events at most.
func (l *loop) nap() time.Duration {
	if len(l.refill) > 0 {
		return 0
	}
	until := l.nextTick
	if !l.stopped && l.end > l.now {
		until = min(until, l.end)
	}
	if l.schedule != nil && l.free.len() > 0 && !l.stopped {
		until = min(until, l.start+l.schedule.next())
	}
	return time.Duration(until - l.clock())
}

// sweep looks after what no event announces: timeouts, servers that do not close, slots that may dial again.
func (l *loop) sweep() {
	timeout := int64(l.cfg.Timeout)
	for i := range l.conns {
		c := &l.conns[i]
		switch {
		case c.state == penalised && l.now >= c.until:
			c.state = down
			l.available(c)
		case c.state == closing && l.now >= c.until:
			l.disconnect(c)
			l.available(c)
		case c.count > 0 && l.now-c.flights[c.first].sent >= timeout:
			l.fail(c, ErrTimeout, errTimeout)
		}
	}
}

// report calls Config.Progress when it is time.
func (l *loop) report() {
	if l.cfg.Progress == nil || l.now < l.nextProgress {
		return
	}
	l.cfg.Progress(l.rec.progress(l.now-l.nextProgress+int64(progressEvery), l.now-l.start, l.end-l.start))
	l.nextProgress = l.now + int64(progressEvery)
}

// queue is a ring of slots, first in first out.
type queue struct {
	ring        []int32
	first, size int
}

func newQueue(capacity int) queue { return queue{ring: make([]int32, capacity)} }

func (q *queue) len() int { return q.size }

// push appends a slot. Invariant: a slot is in the queue once at most, so there is always room.
func (q *queue) push(slot int32) {
	i := q.first + q.size
	if i >= len(q.ring) {
		i -= len(q.ring)
	}
	q.ring[i] = slot
	q.size++
}

// pop takes the slot that has waited longest. There must be one.
func (q *queue) pop() int32 {
	slot := q.ring[q.first]
	if q.first++; q.first == len(q.ring) {
		q.first = 0
	}
	q.size--
	return slot
}
