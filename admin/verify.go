package admin

import (
	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/parsers"
)

// appendVerified appends what became of each received byte, where that is verified.
func appendVerified(e *encoder, st *core.Stats) {
	e.family("spanwire_verified_bytes_total", "counter", "Bytes received that were sent unaltered, or deleted as a header line that may be.")
	for d := range st.Verified {
		e.uint(st.Verified[d].Verified, "direction", parsers.Direction(d).String())
	}
	e.family("spanwire_altered_bytes_total", "counter", "Bytes that were altered on their way; each is a fault of the sidecar.")
	for d := range st.Verified {
		e.uint(st.Verified[d].Altered, "direction", parsers.Direction(d).String())
	}
	e.family("spanwire_undelivered_bytes_total", "counter", "Bytes received that could not be sent, the destination or the session being gone.")
	for d := range st.Verified {
		e.uint(st.Verified[d].Undelivered, "direction", parsers.Direction(d).String())
	}
}
