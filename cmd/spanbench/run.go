package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/report"
	"github.com/spanwire/spanwire/bench/rig"
)

// commit is set by the linker: the commit of the sources.
var commit = "unknown"

// requirePeers is the environment variable that makes a peer that is not installed a failure; any value but "" and "0" does.
const requirePeers = "REQUIRE_PEERS"

// maxIdle bounds --idle: one address has some 28 000 ports towards a listener, which the active connections need too.
const maxIdle = 25000

// matrixFlags are those that choose cells.
func matrixFlags() []cli.Flag {
	return append(commonFlags(),
		&cli.BoolFlag{Name: "quick", Usage: fmt.Sprintf("at most %d cells, %d runs of each", bench.MaxQuickCells, bench.QuickRuns)},
		&cli.IntFlag{Name: "runs", Usage: "interleaved runs of each cell", DefaultText: fmt.Sprintf("%d, with --quick %d", bench.DefaultRuns,
			bench.QuickRuns)},
		&cli.StringSliceFlag{Name: "only", Usage: "scenarios, by name or pattern; repeatable"},
		&cli.StringSliceFlag{Name: "peers", Usage: "peers, by name or pattern; repeatable"},
		&cli.IntFlag{Name: "idle", Value: bench.DefaultIdle, Usage: "idle connections in the scenario many, two descriptors of the proxy each"},
		&cli.DurationFlag{Name: "short", Usage: "replace the length of every phase: a test of correctness, no measurement"},
		workersFlag(),
	)
}

// matrixOptions reads matrixFlags.
func matrixOptions(c *cli.Context) (bench.Options, error) {
	o := bench.Options{
		Runs: c.Int("runs"), Quick: c.Bool("quick"), Short: c.Duration("short"), Only: c.StringSlice("only"), Peers: c.StringSlice("peers"),
		Idle: c.Int("idle"), Tools: tools(c), Pinning: pinning(c), Commit: commit,
	}
	var err error
	if o.Workers, err = workers(c.String("workers"), runtime.NumCPU()); err != nil {
		return o, err
	}
	if !c.Bool("unpinned") {
		o.Pinning = rig.PinningFor(runtime.NumCPU(), o.Workers)
	}
	if v := os.Getenv(requirePeers); v != "" && v != "0" {
		o.RequirePeers = true
	}
	switch {
	case c.Args().Present():
		return o, fmt.Errorf("%w: argument %q (allowed: flags only)", errUsage, c.Args().First())
	case c.IsSet("runs") && o.Runs < 1:
		return o, fmt.Errorf("%w: --runs %d (allowed: 1 or more)", errUsage, o.Runs)
	case o.Idle < 1 || o.Idle > maxIdle:
		return o, fmt.Errorf("%w: --idle %d (allowed: 1 to %d)", errUsage, o.Idle, maxIdle)
	case o.Short < 0:
		return o, fmt.Errorf("%w: --short %v (allowed: 0s or more)", errUsage, o.Short)
	case o.Runs > 0:
	case o.Quick:
		o.Runs = bench.QuickRuns
	default:
		o.Runs = bench.DefaultRuns
	}
	return o, nil
}

// runCommand is `spanbench run`.
func runCommand(diagnostics io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "measure the matrix and write the report",
		Description: "Writes report.html, report.md, results.json, configurations and logs below the build directory. Ctrl-C writes what there\n" +
			"is. Exit 1 when a run failed, answers were wrong, or one of the sidecar's spans was missing; " + requirePeers + "=1 in the environment\n" +
			"makes a peer that is not installed a failure too.",
		Flags: append(matrixFlags(), &cli.StringFlag{Name: "out", Usage: "directory of the report", DefaultText: "build/bench/<time>"}),
		Action: func(c *cli.Context) error {
			o, err := matrixOptions(c)
			if err != nil {
				return err
			}
			return runMatrix(c, o, diagnostics)
		},
	}
}

// runMatrix measures and writes.
func runMatrix(c *cli.Context, o bench.Options, diagnostics io.Writer) error {
	if o.Dir = c.String("out"); o.Dir == "" {
		o.Dir = filepath.Join(c.String("build"), "bench", time.Now().UTC().Format("20060102-150405"))
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own executable: %w", err)
	}
	o.HopCommand = []string{self, hopCommand().Name}
	o.Progress = diagnostics
	if f, ok := diagnostics.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		o.Terminal = err == nil
	}
	result, err := bench.Run(c.Context, o)
	if errors.Is(err, bench.ErrMatrix) && !errors.Is(err, peer.ErrMissing) {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	if _, err := result.WriteJSON(o.Dir); err != nil {
		return err
	}
	if err := report.Write(result, o.Dir); err != nil {
		return err
	}
	for _, line := range report.Summary(result) {
		_, _ = fmt.Fprintln(c.App.Writer, line)
	}
	_, _ = fmt.Fprintf(diagnostics, "written: %s\n", filepath.Join(o.Dir, "report.html"))
	failures := result.Failures()
	for _, line := range failures {
		_, _ = fmt.Fprintln(diagnostics, line)
	}
	if result.Partial || len(failures) > 0 {
		return errMissed
	}
	return nil
}

// planCommand is `spanbench plan`.
func planCommand() *cli.Command {
	return &cli.Command{
		Name:  "plan",
		Usage: "print what would run, and how long it takes",
		Flags: matrixFlags(),
		Action: func(c *cli.Context) error {
			o, err := matrixOptions(c)
			if err != nil {
				return err
			}
			cells, err := bench.Matrix(o)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			for _, cell := range cells {
				_, _ = fmt.Fprintf(c.App.Writer, "%-12s %-18s %s\n", cell.Scenario.Name, cell.Peer.Name, cell.Scenario.Title)
			}
			_, _ = fmt.Fprintf(c.App.Writer, "cells: %d, runs of each: %d, time: about %v\n", len(cells), o.Runs, bench.Estimate(cells, o).Round(time.Second))
			return nil
		},
	}
}

// reportCommand is `spanbench report`.
func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "write report.html and report.md again from a results.json, beside it",
		ArgsUsage: "results.json",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return fmt.Errorf("%w: report takes one results.json", errUsage)
			}
			result, err := bench.Read(c.Args().First())
			if err != nil {
				return err
			}
			return report.Write(result, filepath.Dir(c.Args().First()))
		},
	}
}

// compareCommand is `spanbench compare`.
func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "say what changed between two results beyond noise; exit 1 on a regression",
		ArgsUsage: "old.json new.json",
		Flags: []cli.Flag{
			&cli.Float64Flag{Name: "threshold", Value: 0.05, Usage: "how much worse a regression is: 0.05 = 5 %"},
			&cli.BoolFlag{Name: "all", Usage: "list what is within noise too"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return fmt.Errorf("%w: compare takes two results.json", errUsage)
			}
			older, err := bench.Read(c.Args().Get(0))
			if err != nil {
				return err
			}
			newer, err := bench.Read(c.Args().Get(1))
			if err != nil {
				return err
			}
			changes, err := bench.Compare(older, newer)
			if err != nil {
				return err
			}
			threshold := c.Float64("threshold")
			if err := bench.WriteChanges(c.App.Writer, changes, threshold, c.Bool("all")); err != nil {
				return err
			}
			for _, change := range changes {
				if change.Regression(threshold) {
					return errMissed
				}
			}
			return nil
		},
	}
}

// hopCommand is a service of the mesh scenario; `spanbench run` starts it.
func hopCommand() *cli.Command {
	return &cli.Command{
		Name: "service", Usage: "a service of the mesh scenario", Hidden: true,
		Flags: []cli.Flag{&cli.StringFlag{Name: "listen", Required: true}, &cli.StringFlag{Name: "next", Required: true}},
		Action: func(c *cli.Context) error {
			ctx, cancel := context.WithCancel(c.Context)
			defer cancel()
			return bench.Hop(ctx, c.String("listen"), c.String("next"))
		},
	}
}
