// Package transparency runs test suites that other people wrote, and clients and servers that they wrote, directly and through the sidecar,
// and compares test by test: one may fail through the sidecar only if it fails without it too, or stands on the list of accepted
// differences with a reason, and fails as that says. docs/transparency.md is made from what it finds.
package transparency

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/internal/proof"
)

// outcome is how a test ended.
type outcome uint8

const (
	passed outcome = iota + 1
	failed
	skipped
)

// ending is how a test ended, and what it wrote if it failed.
type ending struct {
	outcome outcome
	output  string
}

// results are tests by name.
type results map[string]ending

// counts counts them by outcome.
func (r results) counts() (c proof.Counts) {
	for _, e := range r {
		switch e.outcome {
		case passed:
			c.Passed++
		case failed:
			c.Failed++
		case skipped:
			c.Skipped++
		}
	}
	return c
}

// comparison is a suite's results without the sidecar and with it, held against the list of differences.
type comparison struct {
	suite           string
	list            []difference
	direct, through results
	again           map[string]*repetition // of the tests that were run again, by name
}

// judge says which failures through the sidecar are differences that the list does not have, which entries of the list for this suite
// are wrong, and which tests ran in one way only; and it returns the differences that the list has. A test that was run again is judged by that.
func (c *comparison) judge() (accepted []proof.Difference, problems []string) {
	for _, name := range slices.Sorted(maps.Keys(c.through)) {
		direct, through := c.direct[name], c.through[name]
		switch r := c.again[name]; {
		case direct.outcome == 0:
			problems = append(problems, name+" ran through the sidecar only")
		case r != nil:
			problems = append(problems, r.problems(name)...)
		case direct.outcome == failed || !c.wrong(name, direct, through):
		case through.outcome == skipped:
			problems = append(problems, fmt.Sprintf("%s passes directly and is skipped through the sidecar:\n%s", name, through.output))
		default:
			problems = append(problems, fmt.Sprintf("%s fails through the sidecar only:\n%s", name, through.output))
		}
	}
	for name := range c.direct {
		if c.through[name].outcome == 0 {
			problems = append(problems, name+" ran directly only")
		}
	}
	for _, d := range c.list {
		if !possible(d) || len(d.tests[c.suite]) == 0 {
			continue
		}
		tests := d.of(c.suite)
		for _, test := range tests {
			through := c.through[test]
			if differs := c.direct[test].outcome == passed && c.asListed(test, through); !differs && !(d.sometimes && through.outcome != 0) {
				problems = append(problems, fmt.Sprintf("the list says that %s differs, which it does not (any more), or not so: take it off", test))
			}
		}
		accepted = append(accepted, proof.Difference{Tests: tests, Reason: d.reason, Sometimes: d.sometimes, Needs: d.needs})
	}
	slices.Sort(problems)
	return accepted, problems
}

// failDirectly are the tests that fail without the sidecar, sorted.
func (c *comparison) failDirectly() (names []string) {
	for name, e := range c.direct {
		if e.outcome == failed {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// wrong reports whether a test that ended so directly must not end so through the sidecar: it fails there, or is skipped though it passes directly,
// and not in the way that the list has.
func (c *comparison) wrong(name string, direct, through ending) bool {
	if through.outcome == passed || through.outcome == skipped && direct.outcome != passed {
		return false
	}
	return !c.asListed(name, through)
}

// asListed reports whether a test failed or was skipped in the way that the list has for it.
func (c *comparison) asListed(name string, e ending) bool {
	if e.outcome == passed {
		return false
	}
	return slices.ContainsFunc(c.list, func(d difference) bool {
		return slices.ContainsFunc(d.tests[c.suite], func(m manner) bool {
			return slices.Contains(m.tests, name) && regexp.MustCompile(m.says).MatchString(e.output)
		})
	})
}

// alwaysDiffers reports whether the list says so of the test, and the machine can show it.
func (c *comparison) alwaysDiffers(name string) bool {
	return slices.ContainsFunc(c.list, func(d difference) bool { return !d.sometimes && possible(d) && slices.Contains(d.of(c.suite), name) })
}

// possible reports whether this machine can show the difference.
func possible(d difference) bool {
	if d.needs == "" {
		return true
	}
	value, err := os.ReadFile(d.needs)
	return err == nil && strings.TrimSpace(string(value)) != "0"
}

// tail returns the end of a test's output: enough to see why it failed.
func tail(output string) string {
	const most = 3000 // bytes: a failure and its stack
	if len(output) > most {
		output = "…" + output[len(output)-most:]
	}
	return strings.TrimRight(output, "\n")
}
