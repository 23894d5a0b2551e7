// Command soak sends mixed traffic through a sidecar for a long time, ends and starts its collectors meanwhile, and judges at the end
// what only time shows: memory, descriptors, threads and goroutines that grow, spans that are lost or doubled, bytes that are altered. It
// prints a line a minute and writes soak.md and soak.json. An interrupt ends it early, with the same report of what it has seen. `make soak`
// runs it.
//
// The program under test is judged from the outside only: by what its clients see and count, its metrics, /proc, and its collectors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() { os.Exit(soak(os.Args[1:])) }

// soak runs the command: 0 all verdicts passed, 1 one failed, 2 wrong usage.
func soak(args []string) int {
	r := &runner{out: os.Stdout, tally: newTally()}
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.StringVar(&r.bin, "bin", "build/spanwire", "the sidecar to run")
	minutes := flags.Float64("minutes", 2, "how long traffic is sent, in minutes; at least 1")
	flags.Float64Var(&r.rate, "rate", 400, "requests a second, all kinds together")
	flags.Uint64Var(&r.seed, "seed", 1, "of what is random in the traffic")
	flags.BoolVar(&r.race, "race", false, "the sidecar is built with the race detector: do not judge its memory and its speed")
	dir := flags.String("out", "build/soak", "directory of the report")
	render := flags.String("render", "", "directory whose soak.json to make soak.md of again, and the summary for tools/proof; nothing is run")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *render != "" {
		return again(*render)
	}
	r.length = time.Duration(*minutes * float64(time.Minute))
	if flags.NArg() > 0 || r.length < time.Minute || r.rate < 50 || r.rate > 5000 {
		fmt.Fprintln(os.Stderr, "soak: allowed are no arguments, -minutes of at least 1, -rate from 50 to 5000")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Printf("%.0f requests a second for %s; of two values in a column the first is %s's\n%s\n", r.rate, r.length, exporterNames[0], columns)
	o, err := r.execute(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	}
	rep := r.reportOf(o)
	fmt.Print("\n", rep.summary())
	if err := errors.Join(rep.write(*dir), rep.summarize()); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	}
	if !rep.passed() {
		return 1
	}
	return 0
}

// again renders a kept report.
func again(dir string) int {
	rep, err := readReport(filepath.Join(dir, "soak.json"))
	if err == nil {
		err = errors.Join(rep.write(dir), rep.summarize())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 1
	}
	return 0
}
