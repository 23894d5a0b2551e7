//go:build e2e

package transparency

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// A client is run case by case, and a case is held against itself: what a program printed through the sidecar is what it printed without. One that
// does not print the same each time without the sidecar fails then, directly.

// clientPatience bounds one run of a client's program.
const clientPatience = 2 * time.Minute

// observation is a case of a client: whether it went as the client expects, and what it printed, which is the same in every run.
type observation struct {
	name   string
	ok     bool
	detail string
}

// client is a program that somebody else wrote, and what is done with it.
type client struct {
	name, version, how string
	// cases runs all cases, as env's way is at the moment.
	cases func() []observation
	// server has what the server saw since it was last asked; nil = it is not asked.
	server func() received
	// spans is how many the sidecar is to make besides one for each HTTP/1 request that server saw: for requests to other servers, and
	// for connections that could not be made.
	spans int
	// unedited is how many of the requests that server saw get no header: their heads are larger than the sidecar adds to.
	unedited int
}

// suiteOf returns the client as a suite: its cases are the tests. To these come three that look at the whole run: what the server received,
// that each of its requests brought a trace context, and how many spans there are.
func suiteOf(env *loopback, group string, c client) suite {
	directly := map[string][]string{} // the details that came directly so far, by case
	var seen [][]string               // what the server received so far, directly
	run := func(names []string, _ bool) results {
		env.settle()
		if c.server != nil {
			c.server()
		}
		before := len(env.spans.Spans())
		all := results{}
		for _, o := range c.cases() {
			if _, twice := all[o.name]; twice {
				env.t.Errorf("%s: two cases are called %s", c.name, o.name)
			}
			e, was := ending{outcome: passed}, directly[o.name]
			known := slices.Contains(was, o.detail)
			switch {
			case !o.ok:
				e = ending{failed, o.detail}
			case len(was) > 0 && !known:
				e = ending{failed, fmt.Sprintf("directly %s\n%s %s", strings.Join(was, "\nor "), env.way, o.detail)}
			}
			all[o.name] = e
			if env.way == direct && !known {
				directly[o.name] = append(was, o.detail)
			}
		}
		env.settle()
		spans := len(env.spans.Spans()) - before
		var got received
		if c.server != nil {
			got = c.server()
			all["(what the server received)"] = compareLists(seen, got.seen)
			if env.way == direct {
				seen = append(seen, got.seen)
			}
		}
		wantSpans, wantTraced := 0, 0
		if env.way == through {
			wantSpans, wantTraced = got.h1+c.spans, got.h1-c.unedited
		}
		all["(spans)"] = equal("spans", spans, wantSpans)
		all["(requests with a trace context)"] = equal("requests with a trace context", got.traced, wantTraced)
		if names != nil {
			maps.DeleteFunc(all, func(name string, _ ending) bool { return !slices.Contains(names, name) })
		}
		return all
	}
	return suite{name: c.name, group: group, version: c.version, how: c.how, run: run}
}

// equal is passed when both numbers are the same.
func equal(what string, got, want int) ending {
	if got != want {
		return ending{failed, fmt.Sprintf("%d %s, want %d", got, what, want)}
	}
	return ending{outcome: passed}
}

// compareLists is passed when got is what was received directly once, or nothing was so far.
func compareLists(directly [][]string, got []string) (e ending) {
	e.outcome = passed
	for _, was := range directly {
		count := map[string]int{}
		for _, line := range was {
			count[line]++
		}
		for _, line := range got {
			count[line]--
		}
		var differs []string
		for _, line := range slices.Sorted(maps.Keys(count)) {
			if n := count[line]; n != 0 {
				differs = append(differs, fmt.Sprintf("%+d %s", -n, line))
			}
		}
		if len(differs) == 0 {
			return ending{outcome: passed}
		}
		e = ending{failed, strings.Join(differs, "\n")}
	}
	return e
}

// program runs a program that prints its cases, a line each: ok or not ok, name, detail, with tabs between.
func program(env *loopback, extra []string, name string, args ...string) (list []observation) {
	ctx, cancel := context.WithTimeout(env.t.Context(), clientPatience)
	defer cancel()
	out, ok := output(env.command(ctx, extra, name, args...))
	for line := range strings.Lines(out) {
		field := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 3)
		if len(field) == 3 && (field[0] == "ok" || field[0] == "not ok") {
			list = append(list, observation{field[1], field[0] == "ok", field[2]})
		}
	}
	if !ok || len(list) == 0 {
		env.t.Errorf("%s %s %v:\n%s", name, env.way, args, tail(out))
	}
	return list
}

// step is one run of a command line program.
type step struct {
	name  string
	args  []string
	stdin string
	exit  int    // the code that it is to end with
	want  string // what its output is to contain
	mask  *regexp.Regexp
}

// steps runs command with the arguments of each step, base before them, and observes its output and exit code.
func steps(env *loopback, extra []string, command string, base []string, list []step) (all []observation) {
	for _, s := range list {
		out, code := runStep(env, extra, command, append(append([]string(nil), base...), s.args...), s.stdin)
		if s.mask != nil {
			out = s.mask.ReplaceAllString(out, "…")
		}
		ok := code == s.exit && strings.Contains(out, s.want)
		detail := fmt.Sprintf("exit %d: %s", code, digest(out))
		if !ok {
			detail += fmt.Sprintf(" (want exit %d and %q)", s.exit, s.want)
		}
		all = append(all, observation{s.name, ok, detail})
	}
	return all
}

// runStep runs a command and returns what it wrote to its standard output, and its exit code; -1 when it was killed.
func runStep(env *loopback, extra []string, command string, args []string, stdin string) (out string, code int) {
	ctx, cancel := context.WithTimeout(env.t.Context(), clientPatience)
	defer cancel()
	cmd := env.command(ctx, extra, command, args...)
	cmd.Stdin = strings.NewReader(stdin)
	b, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		env.t.Errorf("%s %v: %v", command, args, err)
		return string(b), -1
	}
	return string(b), cmd.ProcessState.ExitCode()
}

// digest is s itself when it is short text, else its length and hash.
func digest(s string) string {
	const short = 600 // bytes: an answer's head and some lines
	if len(s) <= short && utf8.ValidString(s) {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%d bytes %x", len(s), sha256.Sum256([]byte(s)))
}

// versionOf returns the first word of what a program says of its version that begins with a digit or with "v" and one.
func versionOf(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	for _, word := range strings.Fields(string(out)) {
		word = strings.Trim(strings.TrimPrefix(word, "v="), "(),")
		if digit := strings.TrimPrefix(word, "v"); digit != "" && digit[0] >= '0' && digit[0] <= '9' {
			return strings.TrimPrefix(word, "v")
		}
	}
	t.Fatalf("%s %v names no version:\n%s", name, args, out)
	return ""
}
