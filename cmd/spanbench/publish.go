package main

import (
	"fmt"
	"strings"

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
			if why := result.Unfit(); len(why) > 0 {
				return fmt.Errorf("%w: %s is not to be published (allowed: a full run of make bench of a committed state). It is:\n  %s", errUsage,
					c.Args().First(), strings.Join(why, "\n  "))
			}
			return report.Publish(result, c.String("root"))
		},
	}
}
