// Command spanwire is the sidecar: it relays traffic and makes spans of the requests in it. Each command is one file; this one
// knows how they are called and how they end.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/settings"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // failed while running
	exitUsage  = 2 // wrong settings or usage
)

// usageError is an error of the one who wrote the command line or the settings.
type usageError struct{ error }

// Unwrap gives access to the cause.
func (u usageError) Unwrap() error { return u.error }

func main() { os.Exit(start(os.Args, os.Environ(), os.Stdout, os.Stderr)) }

// start runs the command that args name and returns the exit code. An error is one line on stderr.
func start(args, environ []string, stdout, stderr io.Writer) int {
	err := newApp(environ, stdout, stderr).Run(args)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(stderr, "spanwire: %s\n", oneLine(err.Error()))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

// oneLine makes s one line; what comes from libraries may be several.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// newApp builds the table of commands. `run` is what happens without one, so its flags are the application's too; both collect
// into one set, and `spanwire --x run --y` has both.
func newApp(environ []string, stdout, stderr io.Writer) *cli.App {
	flags := settings.NewFlags()
	runIt := func(c *cli.Context) error { return run(c, flags, environ, stderr) }
	app := &cli.App{
		Name:                  "spanwire",
		Usage:                 "a sidecar proxy that turns live traffic into distributed traces",
		HideVersion:           true,
		HideHelpCommand:       true,
		Writer:                stdout,
		ErrWriter:             stderr,
		Flags:                 flags.CLI(),
		Action:                runIt,
		OnUsageError:          onUsageError,
		CustomAppHelpTemplate: literal(appHelp()),
		// Whoever calls start decides about the exit.
		ExitErrHandler: func(*cli.Context, error) {},
		Commands: []*cli.Command{
			{Name: "run", Usage: "relay and trace; what happens without a command", Flags: flags.CLI(), Action: runIt,
				CustomHelpTemplate: literal(runHelp())},
			waitCommand(environ),
			interceptCommand(environ, stdout, stderr),
			injectCommand(os.Stdin, stdout, stderr),
			uninjectCommand(os.Stdin, stdout, stderr),
			versionCommand(),
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = onUsageError
		c.HideHelpCommand = true
		if c.Name != "run" {
			c.Before = func(*cli.Context) error {
				if name := flags.Any(); name != "" {
					return usageError{fmt.Errorf("--%s stands before a command that does not take it", name)}
				}
				return nil
			}
		}
	}
	return app
}

// onUsageError makes an error of the command line one line instead of the help text.
func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// noArguments refuses what is no flag: most likely a command misspelt.
func noArguments(c *cli.Context) error {
	if c.Args().Present() {
		return usageError{fmt.Errorf("%q is no command or argument here: want run, wait, intercept, inject, uninject or version, then flags", c.Args().First())}
	}
	return nil
}

// literal keeps a text from being read as a template.
func literal(s string) string { return strings.ReplaceAll(s, "{{", `{{"{{"}}`) }

func appHelp() string {
	return `spanwire - a sidecar proxy that turns live traffic into distributed traces

Usage:
  spanwire [run] [flags]   relay and trace
  spanwire wait [flags]    return once a sidecar on this host is ready
  spanwire intercept add|remove|show|check [flags]
                           redirect connections to the sidecar (needs NET_ADMIN)
  spanwire inject, uninject [flags]
                           put the sidecar into Kubernetes manifests, take it out
  spanwire version         say which build this is

` + flagHelp()
}

func runHelp() string { return "Usage: spanwire [run] [flags]\n\n" + flagHelp() }

func flagHelp() string {
	return `A setting comes from the first of: the flag, SPANWIRE_<FLAG_NAME>, the configuration file, the variables named with it,
the default.

` + settings.Help()
}
