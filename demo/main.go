// Command demo shows the sidecar at work: three services that know nothing of tracing, a sidecar beside each, a burst of requests,
// and the trace that comes out. It exits with 0 only when the tree of every trace is exactly right.
//
// The spans go to a collector inside this program, or to a real Zipkin or Jaeger that it starts. Everything is started on free
// ports of the loopback interface and stopped again, whatever happens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/demo/hosts"
	"github.com/spanwire/spanwire/demo/waterfall"
)

// patience bounds the whole demo. It takes seconds; with a real server some more for its start.
const patience = 5 * time.Minute

// The exit codes of a demo that did not succeed; a shell reports 130 for a program that Ctrl-C ended.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// options are the command line.
type options struct {
	spanwire, service string
	collector         string
	zipkinJar, jaeger string
	requests          int
	keep              bool
	transparent       bool
	inside, hold      bool // this process was started by the transparent demo
}

func main() {
	// Children are killed when the thread that started them ends (see mesh.StartProcess); the main thread lives as long as the process.
	runtime.LockOSThread()
	os.Exit(demo())
}

// demo runs the demo and returns the exit code.
func demo() int {
	var opts options
	flag.StringVar(&opts.spanwire, "spanwire", "build/spanwire", "path of the sidecar")
	flag.StringVar(&opts.service, "service", "build/demo-service", "path of the demo's service")
	flag.StringVar(&opts.collector, "collector", "demo", "where the spans go: demo, zipkin or jaeger")
	flag.StringVar(&opts.zipkinJar, "zipkin-jar", "", "path of Zipkin's executable jar")
	flag.StringVar(&opts.jaeger, "jaeger", "", "path of Jaeger's executable")
	flag.IntVar(&opts.requests, "requests", 48, "how many requests to send")
	flag.BoolVar(&opts.keep, "keep", false, "on a terminal, leave Zipkin or Jaeger running until Ctrl-C, so that its pages can be looked at")
	flag.BoolVar(&opts.transparent, "transparent", false, "three hosts with redirect rules, in network namespaces (needs root)")
	flag.BoolVar(&opts.inside, "inside", false, "with -transparent: the namespace is there (the demo says so to itself)")
	flag.BoolVar(&opts.hold, "hold", false, "hold a host of -transparent (the demo says so to itself)")
	flag.Parse()
	if opts.hold {
		hosts.Hold()
		return 0
	}

	// The first Ctrl-C cleans up; stop gives the second one its usual meaning back.
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(interrupted, stop)
	ctx, cancel := context.WithTimeout(interrupted, patience)
	defer cancel()

	s := &show{out: os.Stdout, style: waterfall.StyleFor(os.Stdout)}
	if opts.transparent && !opts.inside {
		code, err := isolated()
		if err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			return exitUsage
		}
		return code
	}
	err := runScenes(ctx, interrupted, s, opts)
	switch {
	case err == nil:
		return 0
	case interrupted.Err() != nil:
		s.say("Interrupted; everything that was started has been stopped.")
		return exitInterrupted
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "demo:", err)
		return exitUsage
	default:
		fmt.Fprintln(os.Stderr, "\ndemo: FAILED:", err)
		return exitFailed
	}
}
