package relay

import (
	"math/rand/v2"
	"time"
)

// Fault is what befalls a connection.
type Fault uint8

// The faults. Those before Reset lose nothing: whatever was sent arrives, later and in other pieces. Those from Reset on cut a connection off:
// what arrives is a beginning. Flip is for tests of tests.
const (
	None      Fault = iota
	Delay           // every piece waits before it goes on
	Split           // bytes go on in small pieces, one segment each
	Drip            // a few bytes at a time, with small buffers, so that the sender is stopped
	Stall           // nothing is read and nothing goes on, in neither direction, for a while
	Reset           // both sides are reset in mid-stream
	Cut             // FIN in mid-stream, in one direction; what follows there is thrown away, the other direction lives on
	BlackHole       // Stall, then Reset
	Refuse          // accepted, then reset before a byte was read
	Flip            // one bit is changed
	Faults          // how many there are
)

// String returns the name of the fault.
func (f Fault) String() string {
	return [...]string{"none", "delay", "split", "drip", "stall", "reset", "cut", "black hole", "refuse", "flip"}[f]
}

// Cuts reports whether the fault keeps bytes from arriving.
func (f Fault) Cuts() bool { return f >= Reset && f < Flip }

// Plan is what befalls one connection.
type Plan struct {
	Fault
	Dir   int           // which direction counts bytes and is cut: 0 = from the client, 1 = from the server
	After int           // how many bytes of it pass before
	Piece int           // Split, Drip: the largest piece
	Pause time.Duration // Delay: the longest; Drip: between pieces; Stall, BlackHole: how long
	Limit int           // Split, Drip: how many bytes of each direction are treated so; the rest passes, so that every connection ends in time
	Seed  uint64        // of what is random within the connection
}

// weights say how often each fault is drawn, in parts of 100. About a seventh of the connections is cut off, so that of those that cross two
// relays three quarters must arrive whole.
var weights = [Faults]int{None: 40, Delay: 13, Split: 13, Drip: 10, Stall: 9, Reset: 5, Cut: 5, BlackHole: 3, Refuse: 2}

// Mixed returns plans drawn from all faults that seed decides: plan n is always the same.
func Mixed(seed uint64) func(n uint64) Plan { return drawn(seed, Faults) }

// Lossless is Mixed without the faults that cut.
func Lossless(seed uint64) func(n uint64) Plan { return drawn(seed, Reset) }

// Calm returns the plan of a connection that nothing befalls.
func Calm(uint64) Plan { return Plan{} }

// drawn draws from the faults below end.
func drawn(seed uint64, end Fault) func(n uint64) Plan {
	sum := 0
	for _, w := range weights[:end] {
		sum += w
	}
	return func(n uint64) Plan {
		r := rand.New(rand.NewPCG(seed, n))
		x, f := r.IntN(sum), None
		for x >= weights[f] {
			x -= weights[f]
			f++
		}
		return draw(r, f)
	}
}

// draw fills in the details of a fault.
func draw(r *rand.Rand, f Fault) Plan {
	// Half of the faults strike within the first heads, the others anywhere in bodies and later requests.
	p := Plan{Fault: f, Dir: r.IntN(2), After: r.IntN(600), Seed: r.Uint64()}
	if r.IntN(2) == 0 {
		p.After = 1 << r.IntN(20)
		p.After += r.IntN(p.After)
	}
	switch f {
	case Delay:
		p.Pause = time.Duration(1+r.IntN(15)) * time.Millisecond
	case Split:
		p.Piece, p.Limit = 1+r.IntN(40), 12<<10
	case Drip:
		p.Piece, p.Limit = 1+r.IntN(1000), 64<<10
		p.Pause = time.Duration(200+r.IntN(2000)) * time.Microsecond
		p.Limit = min(p.Limit, p.Piece*500) // half a second to a second and a half in all
	case Stall:
		p.Pause = time.Duration(100+r.IntN(1500)) * time.Millisecond
	case BlackHole:
		p.Pause = time.Duration(300+r.IntN(2500)) * time.Millisecond
	case None, Reset, Cut, Refuse, Flip, Faults:
	}
	return p
}
