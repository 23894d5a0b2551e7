package parsers_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/smuggling"
	"github.com/spanwire/spanwire/parsers"
	"github.com/spanwire/spanwire/parsers/parsertest"
)

// Every published desync vector, in one piece, byte by byte, and cut at every byte, has the requests, the places of our lines and the end that the table
// of vectors states.
func TestDesyncVectors(t *testing.T) {
	vectors, err := smuggling.All()
	if err != nil {
		t.Fatal(err)
	}
	for i := range vectors {
		v := &vectors[i]
		t.Run(v.Class+"/"+v.Name, func(t *testing.T) { replayVector(t, v) })
	}
}

// replayVector plays v in all its segmentations.
func replayVector(t *testing.T, v *smuggling.Vector) {
	check := func(how string, steps []parsertest.Step) {
		t.Helper()
		lines, err := parsertest.Replay(parsers.Table(), steps)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		got := outcomeOf(lines)
		want := outcome{spans: v.Spans, inserts: fmt.Sprint(v.Inserts), opaque: v.Opaque}
		if got != want {
			t.Fatalf("%s: got %+v, want %+v\n%q\n\t%s", how, got, want, v.Client[:min(len(v.Client), 2000)], strings.Join(lines, "\n\t"))
		}
	}
	steps := vectorSteps(v)
	check("in one piece", steps)
	check("byte by byte", pieces(steps, 1))
	check("three by three", pieces(steps, 3))
	for i, s := range steps {
		for at := 1; at < len(s.Data); at += stride(at, len(s.Data)) {
			check(fmt.Sprintf("step %d split at %d", i, at), splitAt(steps, i, at))
		}
	}
}

// vectorSteps returns what happens on a connection that carries v.
func vectorSteps(v *smuggling.Vector) []parsertest.Step {
	var steps []parsertest.Step
	done := 0
	for _, a := range v.Answers {
		if a.After > done {
			steps = append(steps, parsertest.Step{Dir: parsers.ClientToServer, Data: slices.Clone(v.Client[done:a.After])})
		}
		done = a.After
		steps = append(steps, parsertest.Step{Dir: parsers.ServerToClient, Data: slices.Clone(a.Data)})
	}
	if done < len(v.Client) {
		steps = append(steps, parsertest.Step{Dir: parsers.ClientToServer, Data: slices.Clone(v.Client[done:])})
	}
	return steps
}

// outcome is what the table of vectors states.
type outcome struct {
	spans   int
	inserts string
	opaque  string
}

// outcomeOf reads it from events as parsertest.Replay writes them.
func outcomeOf(lines []string) (o outcome) {
	inserts := []int{}
	for _, line := range lines {
		words := strings.Fields(line)
		last := words[len(words)-1]
		switch words[0] {
		case "RequestStart":
			o.spans++
			if at, ok := strings.CutPrefix(last, "insert="); ok {
				n, err := strconv.Atoi(at)
				if err != nil {
					panic("BUG: " + line)
				}
				inserts = append(inserts, n)
			}
		case "Opaque", "Sniffed":
			o.opaque = last
		}
	}
	o.inserts = fmt.Sprint(inserts)
	return o
}
