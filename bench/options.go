package bench

import (
	"io"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
)

// Options of a run.
type Options struct {
	// Runs of each cell, interleaved.
	Runs int
	// Quick: fewer cells, some phases shorter.
	Quick bool
	// Short, when not 0, replaces the length of every phase and forgoes figures: only whether all works is of interest.
	Short time.Duration
	// Only and Peers restrict the matrix to scenarios and peers that match a pattern; empty = all.
	Only, Peers []string
	// Idle is the number of idle connections in the scenario "many"; 0 = DefaultIdle. Client and proxy each need a descriptor for it, the proxy
	// two.
	Idle int
	// RequirePeers: a peer that is not installed is a failure; otherwise its cells are left out and the report says so.
	RequirePeers bool

	// Workers is how many event loops or worker threads every proxy gets; 0 = 1.
	Workers int
	Pinning rig.Pinning
	Tools   peer.Tools
	Dir     string // where the report goes
	Commit  string // of the sidecar's sources
	// HopCommand runs a service of the mesh: this program's own executable with its hidden command.
	HopCommand []string
	// Progress gets the display; Terminal: it can rewrite its line.
	Progress io.Writer
	Terminal bool
}

// Runs of `make bench` and of `make bench-quick`.
const (
	DefaultRuns = 5
	QuickRuns   = 3
)
