package main

import (
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/bench/figures"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
)

// commonFlags are those of every command that measures.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bin", Usage: "directory with spanwire and spanload", DefaultText: "that of spanbench"},
		&cli.StringFlag{Name: "build", Value: "build", Usage: "build directory: Envoy may be installed below it, reports go below it"},
		&cli.BoolFlag{Name: "unpinned", Usage: "leave it to the scheduler which processor runs what"},
	}
}

// tools reads commonFlags.
func tools(c *cli.Context) peer.Tools {
	own := c.String("bin")
	if own == "" {
		own = ownDirectory()
	}
	return peer.Tools{Own: own, Build: c.String("build")}
}

// pinning reads commonFlags.
func pinning(c *cli.Context) rig.Pinning {
	if c.Bool("unpinned") {
		return rig.Pinning{}
	}
	return rig.DefaultPinning(runtime.NumCPU())
}

// figuresCommand is `spanbench figures`.
func figuresCommand(diagnostics io.Writer) *cli.Command {
	full := figures.DefaultOptions()
	return &cli.Command{
		Name:  "figures",
		Usage: "measure the figures that the sidecar is held to; exit 1 when one is missed",
		Description: "One loop, wrk as the client, HAProxy and nginx beside it in the same run. Prints a table in Markdown and writes it, with\n" +
			"JSON, configurations and logs, below the build directory. Figures: " + strings.Join(figures.Names(), " "),
		Flags: append(commonFlags(),
			&cli.BoolFlag{Name: "quick", Usage: "one short run of each: for use while the code changes"},
			&cli.StringSliceFlag{Name: "only", Usage: "figures or loads, by name, beginning or pattern; repeatable"},
			&cli.IntFlag{Name: "runs", Value: full.Runs, Usage: "interleaved runs"},
			&cli.DurationFlag{Name: "measure", Value: full.Measure, Usage: "length of a run, whole seconds"},
			&cli.DurationFlag{Name: "idle", Value: full.Idle, Usage: "time without traffic over which idle CPU is read"},
			&cli.DurationFlag{Name: "full-load", Value: full.FullLoad, Usage: "length of the run that compares spans with requests"},
			&cli.IntFlag{Name: "sessions", Value: full.Sessions, Usage: "sessions held for the memory of one"},
		),
		Action: func(c *cli.Context) error { return runFigures(c, diagnostics) },
	}
}

// runFigures measures and prints.
func runFigures(c *cli.Context, diagnostics io.Writer) error {
	o := figures.DefaultOptions()
	if c.Bool("quick") {
		o = figures.QuickOptions()
	}
	if c.IsSet("runs") {
		o.Runs = c.Int("runs")
	}
	if c.IsSet("sessions") {
		o.Sessions = c.Int("sessions")
	}
	for name, to := range map[string]*time.Duration{"measure": &o.Measure, "idle": &o.Idle, "full-load": &o.FullLoad} {
		if c.IsSet(name) {
			*to = c.Duration(name)
		}
		if *to < time.Second {
			return fmt.Errorf("%w: --%s %v (allowed: 1s or more)", errUsage, name, *to)
		}
	}
	if o.Runs < 1 || o.Sessions < 1 {
		return fmt.Errorf("%w: --runs %d, --sessions %d (allowed: 1 or more)", errUsage, o.Runs, o.Sessions)
	}
	o.Only, o.Tools, o.Pinning, o.Progress = c.StringSlice("only"), tools(c), pinning(c), diagnostics
	o.Dir = filepath.Join(c.String("build"), "bench", "figures-"+time.Now().UTC().Format("20060102-150405"))
	result, err := figures.Run(c.Context, o)
	if err != nil {
		return err
	}
	if err := result.WriteMarkdown(c.App.Writer); err != nil {
		return err
	}
	name, err := result.WriteFiles(o.Dir)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(diagnostics, "written: %s\n", name)
	if missed := result.Missed(); missed > 0 {
		_, _ = fmt.Fprintf(diagnostics, "%d of %d figures are not held or not measured\n", missed, len(result.Verdicts))
		return errMissed
	}
	return nil
}
