package bench

import (
	"slices"
	"strings"
)

// What notes of runs that are no good say; results.json has them, and later runs of spanbench look for them.
const (
	markFailed     = "FAILED"
	markUnexpected = "unexpected answers"
	markLost       = "LOST SPANS"
	markExtra      = "EXTRA SPANS"
	// markInvalid: the numbers do not say what they seem to. No failure: a peer that cannot keep up is a result.
	markInvalid = "invalid: "
	// What weakens a cell.
	markSaturated = "saturated: "
	markNoisy     = "noisy: "
	markForeign   = "not to be trusted: "
)

// isFailure reports whether a note is about a measurement that is no good rather than one that is noisy.
func isFailure(note string) bool {
	return slices.ContainsFunc([]string{markFailed, markUnexpected, markLost, markExtra}, func(mark string) bool {
		return strings.Contains(note, mark)
	})
}
