package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/report"
)

// publishCommand is `spanbench publish`.
func publishCommand() *cli.Command {
	return &cli.Command{
		Name:      "publish",
		Usage:     "write docs/overhead.md with its pictures, and the README's table, from a results.json",
		ArgsUsage: "[results.json]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "write nothing: exit 1 when what is published differs from docs/overhead.json"},
			&cli.StringFlag{Name: "root", Value: ".", Usage: "directory of the project"},
		},
		Action: func(c *cli.Context) error {
			switch check := c.Bool("check"); {
			case check && c.NArg() == 0:
				return report.CheckPublished(c.String("root"))
			case check || c.NArg() != 1:
				return fmt.Errorf("%w: publish takes one results.json, or --check and none", errUsage)
			}
			result, err := bench.Read(c.Args().First())
			if err != nil {
				return err
			}
			if why := unfit(result); why != "" {
				return fmt.Errorf("%w: %s is %s, and not to be published (allowed: a full run of make bench)", errUsage, c.Args().First(), why)
			}
			return report.Publish(result, c.String("root"))
		},
	}
}

// unfit says why a result is no full report; empty when it is one.
func unfit(r *bench.Result) string {
	switch {
	case r.Partial:
		return "partial"
	case r.Method.Short > 0:
		return "shortened"
	case r.Method.Quick:
		return "of a quick run"
	case len(r.Missing) > 0:
		return "without " + r.Missing[0]
	case len(r.Scenarios) < len(bench.Scenarios(bench.DefaultIdle)):
		return "of some scenarios only"
	}
	return ""
}
