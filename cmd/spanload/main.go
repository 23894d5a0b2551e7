// Command spanload is a load generator: open loop by default, every answer checked. It also has the servers that load tests
// run against, and a trace collector that only counts.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // unexpected answers, an invalid result, or a run that could not start
	exitUsage  = 2
)

// command is one of spanload's commands.
type command struct {
	name, synopsis, about string
	// run takes the arguments behind the name; an error that wraps errUsage ends with exit code 2.
	run func(ctx context.Context, args []string, out, diagnostics *os.File) error
}

// commands lists the commands; the first is what happens without a name.
func commands() []command {
	return []command{
		{"run", "spanload [run] [flags] URL", "send requests and measure the answers", runLoad},
		{"serve", "spanload serve [flags]", "an HTTP server, or TCP echo server, to send them to", runServe},
		{"sink", "spanload sink [flags]", "a trace collector that counts spans and keeps none", runSink},
	}
}

// errFailed ends the program with exitFailed; all there is to say has been said.
var errFailed = errors.New("failed")

func main() {
	// The first signal ends a run early and prints what there is; the second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(spanload(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// spanload is main with its surroundings passed in; it returns the exit code.
func spanload(ctx context.Context, args []string, out, diagnostics *os.File) int {
	chosen := commands()[0]
	if len(args) > 0 {
		if args[0] == "help" {
			args[0] = "--help"
		}
		for _, c := range commands() {
			if c.name == args[0] {
				chosen, args = c, args[1:]
				break
			}
		}
	}
	err := chosen.run(ctx, args, out, diagnostics)
	var help helpError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &help):
		writeHelp(out, chosen, help.settings)
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed
	case errors.Is(err, errUsage):
		say(diagnostics, "spanload: %v\nspanload: see %s --help\n", err, helpName(chosen))
		return exitUsage
	}
	say(diagnostics, "spanload: %v\n", err)
	return exitFailed
}

// helpName is what to type before --help.
func helpName(c command) string {
	if c.name == commands()[0].name {
		return "spanload"
	}
	return "spanload " + c.name
}

// writeHelp writes the help of a command.
func writeHelp(w io.Writer, c command, settings []setting) {
	say(w, "%s: %s\n\n", c.synopsis, c.about)
	for _, s := range settings {
		name := "--" + s.name
		if s.form != "" {
			name += " " + s.form
		}
		def := ""
		if s.def != "" {
			def = " (default " + s.def + ")"
		}
		say(w, "  %-28s %s%s\n", name, s.help, def)
	}
	if c.name != commands()[0].name {
		return
	}
	say(w, "\nOther commands:\n")
	for _, other := range commands()[1:] {
		say(w, "  %-28s %s\n", other.synopsis, other.about)
	}
	say(w, "\nExit codes: 0 done; 1 unexpected answers (unless --allow-errors), an invalid result, or no run at all; 2 usage.\n")
}

// say writes for people. An error to do so has nobody to be told to.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
