package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"
)

// coresForWorkers is from how many processors on a proxy may have more workers than one: with fewer, client and upstream would take from the
// very processors that are to be measured.
const coresForWorkers = 4

// allWorkers stands for as many workers as there are processors.
const allWorkers = "all"

// workersFlag says how many event loops or worker threads every proxy gets.
func workersFlag() cli.Flag {
	return &cli.StringFlag{Name: "workers", Value: "1", Usage: fmt.Sprintf(
		"event loops of the sidecar, workers of the others: a number, or all = one for each processor; more than 1 from %d processors on", coresForWorkers)}
}

// workers reads the value of workersFlag on a machine with so many processors.
func workers(value string, cores int) (int, error) {
	n := cores
	if value != allWorkers {
		var err error
		if n, err = strconv.Atoi(value); err != nil || n < 1 || n > cores {
			return 0, fmt.Errorf("%w: --workers %s (allowed: 1 to %d, or %s)", errUsage, value, cores, allWorkers)
		}
		if n == 1 {
			return 1, nil
		}
	}
	if cores < coresForWorkers {
		return 0, fmt.Errorf("%w: --workers %s needs %d processors or more, here are %d (allowed: 1)", errUsage, value, coresForWorkers, cores)
	}
	return n, nil
}
