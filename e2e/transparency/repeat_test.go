package transparency

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spanwire/spanwire/internal/proof"
)

// One failure tells nothing about chance, and a second try that passes hides a race that only the sidecar has. So what failed is run again
// alone, in both ways alike, and judged by how often it fails in each.
const (
	// repetitions is how often a test is run again in each way: what fails through the sidecar every second time passes all ten with
	// a probability of 1 in 1000.
	repetitions = 10
	// most is how often at most: a test that failed again through the sidecar, and never directly, may do either of them once in thirty runs. It is
	// run on until it has failed directly, too, or has failed excess times, or that often.
	most = proof.MostRounds
	// certain is after how many failures directly it is settled that the test fails directly, too.
	certain = 3
	// excess is how many failures more through the sidecar than directly are no chance, of repetitions: less than 1 in 80 by Fisher's exact test.
	excess = 6
	// attempts is how often a test is run again that is to differ, as the list says, and did not: on a busy machine a client may look after
	// what it was to see.
	attempts = 2
	// maxAgain is how many tests are run again at most: when more fail it is no chance, and each may take its full time.
	maxAgain = 12
)

// repetition is what came of running a test again.
type repetition struct {
	atFirst struct{ directly, through bool } // in the first run it failed directly; through the sidecar, otherwise than the list says
	rounds  int
	// directly and through are in how many of the rounds it failed so.
	directly, through int
	output            string // of the last failure through the sidecar
}

// suspects are the tests to be run again: those that failed in either way, unless the list says that they do and how, and those that did not differ
// though the list says so. They are sorted.
func (c *comparison) suspects() (names []string) {
	for name, through := range c.through {
		direct := c.direct[name]
		late := direct.outcome == passed && through.outcome == passed && c.alwaysDiffers(name)
		if direct.outcome == failed || c.wrong(name, direct, through) || late {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// repeat runs the suspects again by means of again, directly and through the sidecar in turns, until all are settled or inTime says no.
func (c *comparison) repeat(again func(names []string) (direct, through results), inTime func() bool) {
	names := c.suspects()
	c.again = map[string]*repetition{}
	for _, name := range names {
		r := &repetition{output: c.through[name].output}
		r.atFirst.directly, r.atFirst.through = c.direct[name].outcome == failed, c.wrong(name, c.direct[name], c.through[name])
		c.again[name] = r
	}
	for len(names) > 0 && inTime() {
		direct, through := again(names)
		for _, name := range names {
			c.note(name, direct[name], through[name])
		}
		names = slices.DeleteFunc(names, c.settled)
	}
}

// note takes in how a test ended in one more round. It counts as failed if it failed each time, and as differing, as the list says, if it did once.
func (c *comparison) note(name string, direct, through ending) {
	r := c.again[name]
	r.rounds++
	if direct.outcome == passed || direct.outcome == skipped {
		c.direct[name] = direct
	} else {
		r.directly++
	}
	if c.wrong(name, direct, through) {
		r.through++
		r.output = through.output
	} else if !c.asListed(name, c.through[name]) {
		c.through[name] = through
	}
}

// settled reports whether more rounds would tell nothing more of a test.
func (c *comparison) settled(name string) bool {
	r := c.again[name]
	if !r.atFirst.directly && !r.atFirst.through { // it did not differ
		return c.asListed(name, c.through[name]) || r.rounds >= attempts
	}
	return r.directly >= certain || r.rounds >= most || r.rounds >= repetitions && !r.suspicious()
}

// suspicious reports whether it may be that the sidecar alone makes the test fail, by what is known so far.
func (r *repetition) suspicious() bool { return r.through > 0 && r.through < excess && r.directly == 0 }

// problems says what is wrong with a test that was run again.
func (r *repetition) problems(name string) []string {
	said := fmt.Sprintf("%d of %d times alone, directly %d", r.through, r.rounds, r.directly)
	unsettled := (r.atFirst.directly || r.atFirst.through) && r.rounds < repetitions && r.directly < certain
	switch {
	case r.retry(name).ThroughOnly():
		return []string{fmt.Sprintf("%s fails through the sidecar only, %s:\n%s", name, said, r.output)}
	case r.through-r.directly >= excess:
		return []string{fmt.Sprintf("%s fails through the sidecar much more often, %s:\n%s", name, said, r.output)}
	case unsettled:
		return []string{fmt.Sprintf("%s fails, and there was no time to run it again often enough, %s:\n%s", name, said, r.output)}
	}
	return nil
}

// retries are the tests that failed in the first run and not always directly, sorted.
func (c *comparison) retries() (all []proof.Retry) {
	for _, name := range slices.Sorted(maps.Keys(c.again)) {
		r := c.again[name]
		where := ""
		switch {
		case r.atFirst.directly && r.directly == r.rounds, !r.atFirst.directly && !r.atFirst.through:
			continue
		case r.atFirst.directly && r.atFirst.through:
			where = proof.InBothWays
		case r.atFirst.directly:
			where = proof.Directly
		default:
			where = proof.Through
		}
		again := r.retry(name)
		again.Where = where
		all = append(all, again)
	}
	return all
}

// retry is what is reported of it, but for where it failed at first.
func (r *repetition) retry(test string) proof.Retry {
	return proof.Retry{Test: test, Rounds: r.rounds, Directly: r.directly, Through: r.through}
}
