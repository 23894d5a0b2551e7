// Package transparency runs test suites that other people wrote, and clients and servers that they wrote, directly and through the sidecar,
// and compares test by test: one may fail through the sidecar only if it fails without it too, or stands on the list of accepted
// differences with a reason. docs/transparency.md is made from what it finds.
package transparency

import (
	"fmt"
	"maps"
	"os"
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

// comparison is a suite's results without the sidecar and with it.
type comparison struct {
	suite           string
	direct, through results
	retries         []proof.Retry
}

// suspects are the tests to be run again: those that failed in either way, unless the failure is expected, and those that did not fail though that is
// expected. They are sorted.
func (c *comparison) suspects(list []difference) (names []string) {
	for name := range c.through {
		direct, through := c.direct[name].outcome, c.through[name].outcome
		again := direct == failed || through == failed
		if direct == passed && expected(list, c.suite, name) {
			again = through == passed && alwaysDiffers(list, c.suite, name)
		}
		if again {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// replace takes in how tests ended that were run again, in the way that is named. A test fails only if it fails each time it is run; that
// it failed at first is noted. One that is to differ through the sidecar, as the list says, differs if it does so once: on a busy machine a client may
// look after what it was to see.
func (c *comparison) replace(in results, where string, again results, list []difference) {
	for _, name := range slices.Sorted(maps.Keys(again)) {
		switch {
		case in[name].outcome == failed && again[name].outcome == passed:
			in[name] = again[name]
			c.retries = append(c.retries, proof.Retry{Test: name, Where: where})
		case in[name].outcome == passed && again[name].outcome != passed && alwaysDiffers(list, c.suite, name):
			in[name] = again[name]
		}
	}
}

// judge says which failures through the sidecar are differences that the list does not have, which entries of the list for this suite
// are wrong, and which tests ran in one way only; and it returns the differences that the list has.
func (c *comparison) judge(list []difference) (accepted []proof.Difference, problems []string) {
	for _, name := range slices.Sorted(maps.Keys(c.through)) {
		direct, through := c.direct[name].outcome, c.through[name].outcome
		switch {
		case direct == 0:
			problems = append(problems, name+" ran through the sidecar only")
		case direct == passed && through == skipped && !expected(list, c.suite, name):
			problems = append(problems, name+" passes directly and is skipped through the sidecar")
		case through == failed && direct != failed && !expected(list, c.suite, name):
			problems = append(problems, fmt.Sprintf("%s fails through the sidecar only:\n%s", name, c.through[name].output))
		}
	}
	for name := range c.direct {
		if c.through[name].outcome == 0 {
			problems = append(problems, name+" ran directly only")
		}
	}
	for _, d := range list {
		if !possible(d) {
			continue
		}
		tests := d.tests[c.suite]
		for _, test := range tests {
			direct, through := c.direct[test].outcome, c.through[test].outcome
			differs := direct == passed && (through == failed || through == skipped)
			if !differs && !(d.sometimes && through != 0) {
				problems = append(problems, fmt.Sprintf("the list says that %s differs, which it does not (any more): take it off", test))
			}
		}
		if len(tests) > 0 {
			accepted = append(accepted, proof.Difference{Tests: tests, Reason: d.reason, Sometimes: d.sometimes})
		}
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

// expected reports whether the list says that the test differs.
func expected(list []difference, suite, test string) bool {
	return slices.ContainsFunc(list, func(d difference) bool { return slices.Contains(d.tests[suite], test) })
}

// alwaysDiffers reports whether the list says so of the test, and the machine can show it.
func alwaysDiffers(list []difference, suite, test string) bool {
	return slices.ContainsFunc(list, func(d difference) bool { return !d.sometimes && possible(d) && slices.Contains(d.tests[suite], test) })
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
