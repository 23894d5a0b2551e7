//go:build !spanwire_flip

package core

import "github.com/spanwire/spanwire/parsers"

// flip alters bytes in builds with the tag spanwire_flip, flip_on.go; here it is nothing.
type flip struct{}

func (*flip) one(parsers.Direction, []byte) {}
