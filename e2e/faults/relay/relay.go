// Package relay is a TCP relay that does harm on purpose: it delays, splits, drips, stalls, cuts off and resets what passes it, at random and
// reproducibly, and says which connections it has cut off. It stands between the parties of an end-to-end test, which then know whether
// what they miss was lost on the way by intent.
package relay

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Relay accepts connections and passes each on to its target, with what its plan has in store. A reset of one side is passed on to the
// other, and so is a FIN: left alone, the relay is transparent.
type Relay struct {
	// Addr is where it listens.
	Addr string

	target string
	l      *net.TCPListener
	plan   atomic.Pointer[func(n uint64) Plan]
	harmed func(first []byte, f Fault)
	next   atomic.Uint64
	open   atomic.Int64
	broken atomic.Int64
	struck [Faults]atomic.Int64
	wg     sync.WaitGroup
	mu     sync.Mutex
	pairs  map[*pair]struct{}
	closed bool
}

// Start starts a relay to target at a free port of 127.0.0.1. plan is asked once for each connection, with its number. harmed, which may be nil, is told
// of each connection that is going to be cut off, before it is: first is the beginning of what the client has sent, as far as
// it has come by.
func Start(target string, plan func(n uint64) Plan, harmed func(first []byte, f Fault)) (*Relay, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	r := &Relay{Addr: l.Addr().String(), target: target, l: l, harmed: harmed, pairs: map[*pair]struct{}{}}
	r.Follow(plan)
	r.wg.Go(r.accept)
	return r, nil
}

// Follow replaces the plans, for connections that are still to come.
func (r *Relay) Follow(plan func(n uint64) Plan) { r.plan.Store(&plan) }

// Open returns how many connections are open.
func (r *Relay) Open() int { return int(r.open.Load()) }

// Unreached returns how many connections found no target.
func (r *Relay) Unreached() int { return int(r.broken.Load()) }

// Struck returns how many connections each fault has struck.
func (r *Relay) Struck() (n [Faults]int) {
	for f := range n {
		n[f] = int(r.struck[f].Load())
	}
	return n
}

// Sever resets all connections that are open.
func (r *Relay) Sever() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		p.reset()
	}
}

// Close ends the relay and all its connections.
func (r *Relay) Close() {
	_ = r.l.Close()
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.Sever()
	r.wg.Wait()
}

func (r *Relay) accept() {
	for {
		c, err := r.l.AcceptTCP()
		if err != nil {
			return
		}
		n := r.next.Add(1) - 1
		r.open.Add(1)
		r.wg.Go(func() {
			defer r.open.Add(-1)
			r.serve(c, (*r.plan.Load())(n))
		})
	}
}

// serve relays one connection to its end.
func (r *Relay) serve(c *net.TCPConn, plan Plan) {
	p := &pair{r: r, plan: plan}
	if plan.Fault == Refuse {
		p.conns[0] = c
		p.learn(0)
		p.strike()
		p.reset()
		return
	}
	s, err := net.DialTimeout("tcp", r.target, 10*time.Second)
	if err != nil {
		r.broken.Add(1)
		_ = c.SetLinger(0)
		_ = c.Close()
		return
	}
	p.conns = [2]*net.TCPConn{c, s.(*net.TCPConn)}
	if plan.Fault == Drip {
		for _, c := range p.conns {
			// Small, or the sender would not notice; smaller than a segment of the loopback interface (64 KiB) each would wait for a timer.
			_ = c.SetReadBuffer(128 << 10)
			_ = c.SetWriteBuffer(128 << 10)
		}
	}
	r.mu.Lock()
	r.pairs[p] = struct{}{}
	if r.closed {
		p.reset()
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { p.pass(0) })
	wg.Go(func() { p.pass(1) })
	wg.Wait()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
	_ = p.conns[0].Close()
	_ = p.conns[1].Close()
}

// pair is a connection and the one that continues it.
type pair struct {
	r     *Relay
	plan  Plan
	conns [2]*net.TCPConn // the client's, the server's
	shut  [2]atomic.Bool  // FIN was sent on it

	mu     sync.Mutex
	first  []byte // what came first from the client
	struck bool
	until  time.Time // nothing passes before
}

// firstBytes is how much of a client's beginning is kept to know it by; knownBytes how much a fault that cuts waits for, learnTime how long.
const (
	firstBytes = 256
	knownBytes = 24
	learnTime  = 2 * time.Second
)

// learn waits for the client's first bytes, so that whoever is told of the fault can tell whom it has struck. It is called by the goroutine of
// direction d; the client's own reads them itself, and they go no further.
func (p *pair) learn(d int) {
	deadline := time.Now().Add(learnTime)
	if d == 0 {
		_ = p.conns[0].SetReadDeadline(deadline)
		defer func() { _ = p.conns[0].SetReadDeadline(time.Time{}) }()
	}
	for buf := make([]byte, knownBytes); p.known() < knownBytes && time.Now().Before(deadline); {
		if d != 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		n, err := p.conns[0].Read(buf)
		p.note(buf[:n])
		if err != nil {
			return
		}
	}
}

// known returns how many of the client's first bytes have come.
func (p *pair) known() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.first)
}

// errOver ends a direction that the plan has ended.
var errOver = errors.New("ended by the plan")

// pass moves bytes in one direction until it ends.
func (p *pair) pass(d int) {
	src, dst := p.conns[d], p.conns[1-d]
	d0 := &direction{p: p, d: d, dst: dst, random: rand.New(rand.NewPCG(p.plan.Seed, uint64(d)))}
	if p.plan.Fault == Cut && d == p.plan.Dir && p.plan.After == 0 {
		d0.cut()
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 && d == 0 {
			p.note(buf[:n])
		}
		p.wait()
		if n > 0 {
			switch werr := d0.move(buf[:n]); {
			case errors.Is(werr, errOver):
				return
			case werr != nil:
				p.reset() // the destination is gone: the source hears of it as it would without us
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF) && (!WasReset(src) || p.shut[d].Load()): // in this order: both may send FIN at once
			p.finish(1 - d)
			return
		default:
			p.reset()
			return
		}
	}
}

// finish sends FIN.
func (p *pair) finish(side int) {
	p.shut[side].Store(true)
	_ = p.conns[side].CloseWrite()
}

// note keeps the client's first bytes.
func (p *pair) note(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if room := firstBytes - len(p.first); room > 0 {
		p.first = append(p.first, b[:min(room, len(b))]...)
	}
}

// wait lets a stall pass.
func (p *pair) wait() {
	p.mu.Lock()
	left := time.Until(p.until)
	p.mu.Unlock()
	if left > 0 {
		time.Sleep(left)
	}
}

// strike counts the fault of the plan, and tells of it when it cuts; once for each connection.
func (p *pair) strike() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.struck {
		return
	}
	p.struck = true
	p.r.struck[p.plan.Fault].Add(1)
	if p.plan.Cuts() && p.r.harmed != nil {
		p.r.harmed(append([]byte(nil), p.first...), p.plan.Fault)
	}
}

// reset resets both sides; bytes that they have not been sent yet are lost.
func (p *pair) reset() {
	for _, c := range p.conns {
		if c != nil {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
}

// WasReset reports whether the end of a stream that was read from c is in truth a reset: the kernel tells an error once (man 7 socket,
// SO_ERROR), so that after a write has been told, a read returns 0 as for a FIN. The connection's state knows: after a FIN alone it is
// CLOSE_WAIT. Only while c has not been shut down for writing: once both have sent FIN its state is CLOSE, too.
func WasReset(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true // closed by ourselves
	}
	state := uint8(0)
	if err := raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err == nil {
			state = info.State
		}
	}); err != nil {
		return true
	}
	return state == tcpClose
}

// tcpClose is TCP_CLOSE of include/net/tcp_states.h.
const tcpClose = 7

// String describes what has struck.
func (r *Relay) String() string {
	s := fmt.Sprintf("%d connections", r.next.Load())
	for f, n := range r.Struck() {
		if n > 0 {
			s += fmt.Sprintf(", %s %d", Fault(f), n)
		}
	}
	return s
}
