//go:build spanwire_flip

package core

import "github.com/spanwire/spanwire/parsers"

// flip alters one byte on each loop, the last visible one of the first read from a server: with it, --verify must find just that.
type flip struct{ done bool }

// one takes what was just read.
func (f *flip) one(d parsers.Direction, b []byte) {
	if d == parsers.ServerToClient && !f.done {
		i := len(b) - 1
		for i > 0 && b[i] <= ' ' {
			i--
		}
		b[i] ^= 1
		f.done = true
	}
}
