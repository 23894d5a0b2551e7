package server

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/spanwire/spanwire/loadtest"
)

// echoed is the state of a connection.
type echoed struct {
	check loadtest.MessageCheck // event loop only

	mu      sync.Mutex // guards what follows
	waiting []piece
	holding bool // a goroutine sends what waits
}

// piece is something to be sent back at its time.
type piece struct {
	due   time.Time
	bytes []byte
	reset bool // the connection, after the bytes
}

// fault says what is to be done to bytes that came, if anything: it returns a copy of them with its time. Event loop only.
func (e *Echo) fault(b []byte) (p piece, faulty bool) {
	o := &e.options
	if o.Latency == (Distribution{}) && o.Pause <= 0 && o.ResetRate <= 0 {
		return piece{}, false
	}
	rng := rand.New(rand.NewPCG(o.Seed, uint64(e.sequence.Add(1))))
	p.due = time.Now().Add(o.Latency.sample(rng))
	if o.Pause > 0 {
		if phase := p.due.Sub(e.started) % o.PauseEvery; phase >= o.PauseEvery-o.Pause {
			p.due = p.due.Add(o.PauseEvery - phase)
		}
	}
	if p.reset = rng.Float64() < o.ResetRate; p.reset {
		b = b[:int(rng.Uint64()&1)*len(b)/2]
	}
	p.bytes = append([]byte(nil), b...)
	return p, true
}

// hold queues a piece behind those of its connection that wait already.
func (e *Echo) hold(c gnet.Conn, state *echoed, p piece) {
	state.mu.Lock()
	defer state.mu.Unlock()
	state.waiting = append(state.waiting, p)
	if state.holding {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		state.holding = true
		e.held.Go(func() { e.release(c, state) })
	}
}

// release is the goroutine that sends what waits on a connection, each piece at its time; it ends when nothing does.
func (e *Echo) release(c gnet.Conn, state *echoed) {
	for {
		p, ok := state.next()
		if !ok {
			return
		}
		timer := time.NewTimer(time.Until(p.due))
		select {
		case <-timer.C:
		case <-e.closing:
			timer.Stop()
			return
		}
		var after gnet.AsyncCallback
		if p.reset {
			e.resets.Add(1)
			after = func(c gnet.Conn, _ error) error {
				_ = c.SetLinger(0)
				return c.Close()
			}
		}
		if c.AsyncWrite(p.bytes, after) != nil || p.reset {
			return // the connection is gone; the goroutine stays its last one
		}
	}
}

// next takes the piece that is due first; false, and the goroutine is done, when there is none.
func (s *echoed) next() (p piece, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holding = len(s.waiting) > 0; !s.holding {
		return p, false
	}
	p, s.waiting = s.waiting[0], s.waiting[1:]
	return p, true
}
