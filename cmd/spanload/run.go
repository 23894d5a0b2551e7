package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spanwire/spanwire/loadtest"
	"golang.org/x/sys/unix"
)

// loadOptions is what `spanload run` is told besides the load.
type loadOptions struct {
	json        bool
	output      string
	allowErrors bool
	quiet       bool
	bodyFile    string
	rateGiven   bool
}

// loadSettings declares the flags of `spanload run`.
func loadSettings(c *loadtest.Config, o *loadOptions) []setting {
	number := func(min, max int) string { return fmt.Sprintf("a number from %d to %d", min, max) }
	rate := func(v string) error {
		o.rateGiven = true
		return setFloat(&c.Rate, fmt.Sprintf("%v to %d requests a second", loadtest.MinRate, loadtest.MaxRate))(v)
	}
	return []setting{
		{"rate", "N", "1000", "requests a second over all connections, open loop", rate},
		{"closed", "", "", "closed loop: each connection sends when it has its answer", setSwitch(&c.Closed)},
		{"arrivals", "KIND", "constant", "how an open loop spreads them: constant or poisson", setArrivals(&c.Arrivals)},
		{"connections", "N", "32", "connections that carry requests", setInt(&c.Connections, number(1, loadtest.MaxConnections))},
		{"idle-connections", "N", "0", "connections held open besides, without traffic",
			setInt(&c.IdleConnections, number(0, loadtest.MaxConnections))},
		{"duration", "TIME", "10s", "length of the measured window", setDuration(&c.Duration)},
		{"warmup", "TIME", "1s", "the same traffic before it, not measured", setDuration(&c.Warmup)},
		{"requests", "N", "none", "end after so many requests, warm-up included", setInt(&c.Requests, "a number; 0 = no limit")},
		{"method", "NAME", "GET", "request method", setString(&c.Method)},
		{"header", "'NAME: VALUE'", "", "add a request header; repeatable", addHeader(&c.Headers)},
		{"body-size", "BYTES", "0", "random request body of this size; with --tcp the message",
			setInt(&c.BodySize, number(0, loadtest.MaxBodySize))},
		{"body-file", "FILE", "", "request body from a file", setString(&o.bodyFile)},
		{"pipeline", "N", "1", "requests in flight on a connection", setInt(&c.Pipeline, number(1, loadtest.MaxPipeline))},
		{"no-keepalive", "", "", "a connection for every request", setSwitch(&c.NoKeepalive)},
		{"timeout", "TIME", "10s", "for one request, from sending it to the end of its answer", setDuration(&c.Timeout)},
		{"expect-status", "LIST", "any 2xx", "right status codes, comma-separated", addStatuses(&c.ExpectStatus)},
		{"tcp", "", "", "URL is host:port; send messages and expect them back unchanged", setSwitch(&c.TCP)},
		{"events", "", "", "answers are server-sent events of spanload serve: measure the delay of each", setSwitch(&c.Events)},
		{"seed", "N", "1", "determines bodies and poisson arrivals", setInt(&c.Seed, "a whole number")},
		{"allow-errors", "", "", "exit 0 in spite of unexpected answers", setSwitch(&o.allowErrors)},
		{"json", "", "", "write the result as JSON in place of the table", setSwitch(&o.json)},
		{"output", "FILE", "", "write the JSON to a file as well", setString(&o.output)},
		{"quiet", "", "", "no progress line on a terminal", setSwitch(&o.quiet)},
	}
}

// setArrivals reads --arrivals.
func setArrivals(to *loadtest.Arrivals) func(string) error {
	return func(v string) error {
		for _, a := range []loadtest.Arrivals{loadtest.Constant, loadtest.Poisson} {
			if a.String() == v {
				*to = a
				return nil
			}
		}
		return errors.New("constant or poisson")
	}
}

// addHeader reads one --header.
func addHeader(to *[]loadtest.Header) func(string) error {
	return func(v string) error {
		name, value, ok := strings.Cut(v, ":")
		if !ok {
			return errors.New("'Name: value'")
		}
		*to = append(*to, loadtest.Header{Name: name, Value: strings.TrimSpace(value)})
		return nil
	}
}

// addStatuses reads --expect-status.
func addStatuses(to *[]int) func(string) error {
	return func(v string) error {
		for _, field := range strings.Split(v, ",") {
			code, err := strconv.Atoi(strings.TrimSpace(field))
			if err != nil {
				return errors.New("status codes such as 200,404")
			}
			*to = append(*to, code)
		}
		return nil
	}
}

// runLoad is `spanload run`.
func runLoad(ctx context.Context, args []string, out, diagnostics *os.File) error {
	c := loadtest.DefaultConfig("")
	var o loadOptions
	rest, err := parse(loadSettings(&c, &o), args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usage("%d targets %q (allowed: one URL, or host:port with --tcp)", len(rest), rest)
	}
	c.URL = rest[0]
	if c.Closed && !o.rateGiven {
		c.Rate = 0
	}
	if o.bodyFile != "" {
		if c.Body, err = loadtest.ReadBody(o.bodyFile); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	if err = c.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	done := func() {}
	if !o.quiet && isTerminal(diagnostics) {
		c.Progress, done = startProgress(diagnostics)
	}
	result, err := loadtest.Run(ctx, c)
	done()
	if err != nil {
		return err
	}
	return report(result, &o, out, diagnostics)
}

// report writes the result and says how the program ends.
func report(r *loadtest.Result, o *loadOptions, out, diagnostics *os.File) error {
	encoded, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	encoded = append(encoded, '\n')
	if o.output != "" {
		if err = os.WriteFile(o.output, encoded, 0o644); err != nil {
			return fmt.Errorf("write result: %w", err)
		}
	}
	if o.json {
		_, err = out.Write(encoded)
	} else {
		err = r.WriteTable(out)
	}
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	bad := !r.Valid || (r.Unexpected() > 0 && !o.allowErrors)
	if bad && o.json { // the table says it all; who reads JSON is told apart from it
		for _, reason := range r.Reasons {
			say(diagnostics, "spanload: INVALID RESULT: %s\n", reason)
		}
		if n := r.Unexpected(); n > 0 {
			say(diagnostics, "spanload: %d unexpected answers; first: %s\n", n, r.FirstError)
		}
	}
	if bad {
		return errFailed
	}
	return nil
}

// isTerminal tells whether f is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// startProgress returns a function for Config.Progress that shows a line which rewrites itself, and one that ends it. A
// goroutine of its own writes, so that a slow terminal does not hold up the load.
func startProgress(w *os.File) (show func(loadtest.Progress), done func()) {
	updates, ended := make(chan loadtest.Progress, 1), make(chan struct{})
	go writeProgress(w, updates, ended)
	show = func(p loadtest.Progress) {
		select {
		case updates <- p:
		default: // the terminal is slow: this one is left out
		}
	}
	return show, func() { close(updates); <-ended }
}

// clearLine moves to the start of a terminal's line and empties it.
const clearLine = "\r\x1b[K"

// writeProgress is the goroutine that writes the progress line.
func writeProgress(w *os.File, updates <-chan loadtest.Progress, ended chan<- struct{}) {
	for p := range updates {
		say(w, "%s%s", clearLine, p)
	}
	say(w, clearLine)
	close(ended)
}
