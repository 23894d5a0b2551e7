//go:build e2e

package attacks

import "fmt"

// holding is what an attack can make the sidecar hold at once, in the terms of docs/architecture.md, Bounds of memory.
type holding struct {
	sessions  int // open at once, those that are being closed included
	heads     int // of them with an incomplete head, or trailers …
	headBytes int // … of at most so many bytes each
	streams   int // connections whose receiver is slower than their sender, in one direction
	inFlight  int // requests in flight on each session
}

const kib = 1 << 10

// The rows of docs/architecture.md, in bytes.
const (
	sessionBytes  = 1 << 10
	exchangeBytes = 1200     // a span under way, docs: 1 KiB and its place in the queue
	firstRead     = 64 << 10 // a head is kept with the read that brought it
	fullRead      = 1 << 20
	readBudget    = 32 << 20 // held by a loop for slow receivers; beyond it reads are of tightRead
	tightRead     = 16 << 10

	// process is what every attack can fill, however few its connections: the scratch buffer (1 MiB), the ring (2 MiB), the join table (65 536
	// ids of 72 bytes), the exporter's queue (8 MiB) and the four batches of 256 KiB under way.
	process = 1<<20 + 2<<20 + 65536*72 + 8<<20 + 4*256<<10
	// slack is for what grows by appending, which leaves up to a quarter unused, and for the collector, which begins at a quarter of garbage and
	// lets more arise while it works: 1.25 × 1.25, and a quarter more.
	slack = 2
)

// live returns the bytes that the sidecar may hold for the attack's connections.
func (h holding) live() int {
	pending := min(h.streams*fullRead, readBudget+fullRead) + h.streams*tightRead
	return h.sessions*(sessionBytes+h.inFlight*exchangeBytes) + h.heads*(h.headBytes+firstRead) + pending
}

// bound returns the resident memory that the process may reach, in KiB, when it had before at rest.
func (h holding) bound(before int) int { return before + (process+slack*h.live())/kib }

func (h holding) String() string {
	return fmt.Sprintf("at rest + %d KiB of the process + %d × %d KiB for connections", process/kib, slack, h.live()/kib)
}
