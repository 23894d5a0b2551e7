package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spanwire/spanwire/loadtest/server"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// serveOptions is what `spanload serve` is told besides how to answer.
type serveOptions struct {
	listen string
	tcp    bool
	loops  int
}

// serveSettings declares the flags of `spanload serve`.
func serveSettings(h *server.Options, o *serveOptions) []setting {
	return []setting{
		{"listen", "ADDR", "127.0.0.1:8080", "address; port 0 picks one", setString(&o.listen)},
		{"tcp", "", "", "echo what comes, in place of HTTP", setSwitch(&o.tcp)},
		{"loops", "N", "1", "event loops of the echo server", setInt(&o.loops, "1 or more")},
		{"latency", "DIST", "0s", "delay of answers: " + server.DistributionForms, setParsed(&h.Latency, server.ParseDistribution)},
		{"pause", "TIME", "0s", "hold all answers back for so long …", setDuration(&h.Pause)},
		{"pause-every", "TIME", "0s", "… at the end of every such time", setDuration(&h.PauseEvery)},
		{"body-size", "BYTES", "0", "size of bodies, or a range such as 100..2000", setParsed(&h.BodySize, server.ParseSize)},
		{"chunked", "", "", "send bodies in chunks", setSwitch(&h.Chunked)},
		{"chunk-size", "BYTES", "4096", "size of a chunk", setInt(&h.ChunkSize, "1 or more bytes")},
		{"chunk-delay", "TIME", "0s", "time between chunks", setDuration(&h.ChunkDelay)},
		{"error-rate", "SHARE", "0", "share of requests answered with --error-status", setFloat(&h.ErrorRate, "0 to 1")},
		{"error-status", "CODE", "500", "that status", setInt(&h.ErrorStatus, "200 to 599")},
		{"reset-rate", "SHARE", "0", "share of requests answered with a reset, half of them within the answer",
			setFloat(&h.ResetRate, "0 to 1")},
		{"events", "N", "10", "events sent on " + server.PathEvents, setInt(&h.Events, "1 to 1000000")},
		{"event-interval", "TIME", "0s", "time before each", setDuration(&h.EventInterval)},
		{"seed", "N", "0", "determines delays, sizes and faults", setInt(&h.Seed, "a whole number")},
	}
}

// runServe is `spanload serve`. It prints its address once it listens, and what it saw when it is told to end.
func runServe(ctx context.Context, args []string, out, _ *os.File) error {
	o := serveOptions{listen: "127.0.0.1:8080", loops: 1}
	var h server.Options
	if err := parseAll(serveSettings(&h, &o), args); err != nil {
		return err
	}
	if o.loops < 1 {
		return usage("--loops %d (allowed: 1 or more)", o.loops)
	}
	if o.tcp {
		e, err := server.StartEcho(o.listen, o.loops)
		if err != nil {
			return err
		}
		say(out, "listening on %s\n", e.Address())
		<-ctx.Done()
		say(out, "echoed %d bytes\n", e.Bytes())
		return e.Close()
	}
	if err := h.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	s, err := server.StartHTTP(o.listen, h)
	if err != nil {
		return err
	}
	say(out, "listening on %s\n", s.Address())
	<-ctx.Done()
	say(out, "%+v\n", s.Stats())
	return s.Close()
}

// sinkSettings declares the flags of `spanload sink`.
func sinkSettings(o *sink.Options) []setting {
	return []setting{
		{"listen", "ADDR", "127.0.0.1:4318", "address for spans; port 0 picks one", setString(&o.Listen)},
		{"control", "ADDR", "the same", "address for GET /count, POST /reset and POST /mode?set=MODE[&delay=TIME]", setString(&o.Control)},
		{"mode", "MODE", "healthy", "one of " + sink.ModeNames(), setParsed(&o.Mode, sink.ParseMode)},
		{"delay", "TIME", "1s", "delay of answers in mode slow", setDuration(&o.Delay)},
	}
}

// runSink is `spanload sink`. It prints its addresses once it listens, and the counts when it is told to end.
func runSink(ctx context.Context, args []string, out, _ *os.File) error {
	o := sink.Options{Listen: "127.0.0.1:4318"}
	if err := parseAll(sinkSettings(&o), args); err != nil {
		return err
	}
	s, err := sink.Start(o)
	if err != nil {
		return err
	}
	say(out, "listening on %s\n", s.Address())
	if control := s.ControlAddress(); control != "" {
		say(out, "control on %s\n", control)
	}
	<-ctx.Done()
	say(out, "%+v\n", s.Counts())
	return s.Close()
}

// parseAll is parse for commands that take flags only.
func parseAll(settings []setting, args []string) error {
	rest, err := parse(settings, args)
	if err == nil && len(rest) > 0 {
		return usage("argument %q (allowed: flags only)", rest[0])
	}
	return err
}
