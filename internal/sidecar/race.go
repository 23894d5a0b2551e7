package sidecar

import (
	"os"
	"testing"
)

// RaceVariable says that the program which BinaryVariable names was built with the race detector; `make race` sets it.
const RaceVariable = "SPANWIRE_RACE"

// raceOptions is what the race detector reads its options from: where it writes what it finds, and that the program ends then.
const raceOptions = "GORACE"

// Race reports whether the program was built with the race detector. It then takes some ten times the memory and time that it takes
// otherwise (go.dev/doc/articles/race_detector), and is linked dynamically, so a test asks before it judges memory, time or the file itself,
// and what is left out is logged; everything else it judges as ever.
func Race(t testing.TB, leftOut string) bool {
	t.Helper()
	if value := os.Getenv(RaceVariable); value == "" || value == "0" {
		return false
	}
	t.Logf("not judged, for the race detector's sake: %s", leftOut)
	return true
}
