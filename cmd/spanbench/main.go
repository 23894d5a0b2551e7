// Command spanbench measures what the sidecar costs beside Envoy, HAProxy and nginx, and writes the report.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes.
const (
	exitFailed = 1 // a measurement failed, a figure is not held, or a comparison found a regression
	exitUsage  = 2
)

// errUsage is wrapped by errors about the command line.
var errUsage = errors.New("usage")

// errMissed ends the program with exitFailed; what there is to say has been said.
var errMissed = errors.New("missed")

func main() {
	// The first signal ends the run in order and writes what there is; the second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(spanbench(ctx, os.Args, os.Stdout, os.Stderr))
}

// spanbench is main with its surroundings passed in; it returns the exit code.
func spanbench(ctx context.Context, args []string, out, diagnostics io.Writer) int {
	wrongUsage := func(_ *cli.Context, err error, _ bool) error { return fmt.Errorf("%w: %w", errUsage, err) }
	app := &cli.App{
		Name:        "spanbench",
		Usage:       "measure the sidecar beside Envoy, HAProxy and nginx",
		Writer:      out,
		ErrWriter:   diagnostics,
		HideVersion: true,
		Commands: []*cli.Command{
			runCommand(diagnostics), planCommand(), reportCommand(), compareCommand(), publishCommand(), figuresCommand(diagnostics), hopCommand(),
		},
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   wrongUsage,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("%w: unknown command %q", errUsage, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = wrongUsage
	}
	err := app.RunContext(ctx, flagsFirst(app, args))
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errMissed):
		return exitFailed
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintf(diagnostics, "spanbench: %v\nspanbench: see spanbench --help\n", err)
		return exitUsage
	}
	_, _ = fmt.Fprintf(diagnostics, "spanbench: %v\n", err)
	return exitFailed
}

// flagsFirst moves the flags of a command before its other arguments: the package that reads them stops at the first of those, and
// `compare old.json new.json --threshold 0.1` is what people type. Behind `--` nothing is moved.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) < 2 || app.Command(args[1]) == nil {
		return args
	}
	takesValue := func(name string) bool {
		for _, f := range app.Command(args[1]).Flags {
			if _, isSwitch := f.(*cli.BoolFlag); slices.Contains(f.Names(), name) {
				return !isSwitch
			}
		}
		return false
	}
	var flags, others []string
	for rest := args[2:]; len(rest) > 0; rest = rest[1:] {
		switch arg := rest[0]; {
		case arg == "--":
			return slices.Concat(args[:2], flags, []string{arg}, others, rest[1:])
		case len(arg) < 2 || arg[0] != '-':
			others = append(others, arg)
		case !strings.Contains(arg, "=") && takesValue(strings.TrimLeft(arg, "-")) && len(rest) > 1:
			flags, rest = append(flags, arg, rest[1]), rest[1:]
		default:
			flags = append(flags, arg)
		}
	}
	return slices.Concat(args[:2], flags, others)
}

// ownDirectory is where this program's siblings are: that of its own executable.
func ownDirectory() string {
	path, err := os.Executable()
	if err != nil {
		return "."
	}
	return filepath.Dir(path)
}
