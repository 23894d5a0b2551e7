package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/loadtest/server"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// serveOptions is what `spanload serve` is told.
type serveOptions struct {
	listen string
	tcp    bool
	http   server.Options
	echo   server.EchoOptions // what it has in common with http is there
	given  []string           // flags, with their values
}

// Flags of `spanload serve` that mean something without --tcp only, and with it only. The others are for both.
var (
	forHTTP = [...]string{"body-size", "chunked", "chunk-size", "chunk-delay", "error-rate", "error-status", "events", "event-interval"}
	forTCP  = [...]string{"loops", "message-size", "message-seed"}
)

// serveSettings declares the flags of `spanload serve`.
func serveSettings(o *serveOptions) []setting {
	h, e := &o.http, &o.echo
	settings := []setting{
		{"listen", "ADDR", "127.0.0.1:8080", "address; port 0 picks one", setString(&o.listen)},
		{"tcp", "", "", "echo what comes, in place of HTTP", setSwitch(&o.tcp)},
		{"latency", "DIST", "0s", "delay of answers: " + server.DistributionForms, setParsed(&h.Latency, server.ParseDistribution)},
		{"pause", "TIME", "0s", "hold all answers back for so long …", setDuration(&h.Pause)},
		{"pause-every", "TIME", "0s", "… at the end of every such time", setDuration(&h.PauseEvery)},
		{"reset-rate", "SHARE", "0", "share of requests answered with a reset, half of them within the answer; with --tcp, of pieces that come",
			setFloat(&h.ResetRate, "0 to 1")},
		{"seed", "N", "0", "determines delays, sizes and faults", setInt(&h.Seed, "a whole number")},
		{"body-size", "BYTES", "0", "size of bodies, or a range such as 100..2000", setParsed(&h.BodySize, server.ParseSize)},
		{"chunked", "", "", "send bodies in chunks", setSwitch(&h.Chunked)},
		{"chunk-size", "BYTES", "4096", "size of a chunk", setInt(&h.ChunkSize, "1 or more bytes")},
		{"chunk-delay", "TIME", "0s", "time between chunks", setDuration(&h.ChunkDelay)},
		{"error-rate", "SHARE", "0", "share of requests answered with --error-status", setFloat(&h.ErrorRate, "0 to 1")},
		{"error-status", "CODE", "500", "that status", setInt(&h.ErrorStatus, "200 to 599")},
		{"events", "N", "10", "events sent on " + server.PathEvents, setInt(&h.Events, "1 to 1000000")},
		{"event-interval", "TIME", "0s", "time before each", setDuration(&h.EventInterval)},
		{"loops", "N", "1", "with --tcp: event loops", setInt(&e.Loops, "1 or more")},
		{"message-size", "BYTES", "0", "with --tcp: reset who sends anything but messages of spanload --tcp --body-size BYTES; 0 = nobody",
			setInt(&e.Message, "a number of bytes")},
		{"message-seed", "N", "1", "with --tcp: its --seed", setInt(&e.MessageSeed, "a whole number")},
	}
	for i, s := range settings {
		settings[i].set = func(value string) error {
			if s.form == "" {
				o.given = append(o.given, s.name)
			} else {
				o.given = append(o.given, s.name+" "+value)
			}
			return s.set(value)
		}
	}
	return settings
}

// misplaced is the error for the first flag that means nothing with, or without, --tcp, or without --message-size; nil when there is none.
func (o *serveOptions) misplaced() error {
	wrong, with := forTCP[:], "with --tcp only"
	if o.tcp {
		wrong, with = forHTTP[:], "without --tcp only; with it --latency, --pause, --pause-every, --reset-rate, --seed, --"+strings.Join(forTCP[:], ", --")
	}
	for _, flag := range o.given {
		name, _, _ := strings.Cut(flag, " ")
		if slices.Contains(wrong, name) {
			return usage("--%s (allowed: %s)", flag, with)
		}
		if name == "message-seed" && o.echo.Message == 0 {
			return usage("--%s (allowed: with --message-size above 0 only)", flag)
		}
	}
	return nil
}

// runServe is `spanload serve`. It prints its address once it listens, and what it saw when it is told to end.
func runServe(ctx context.Context, args []string, out, _ *os.File) error {
	o := serveOptions{listen: "127.0.0.1:8080", echo: server.EchoOptions{Loops: 1, MessageSeed: 1}}
	if err := parseAll(serveSettings(&o), args); err != nil {
		return err
	}
	if err := o.misplaced(); err != nil {
		return err
	}
	if o.tcp {
		return serveEcho(ctx, &o, out)
	}
	if err := o.http.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	s, err := server.StartHTTP(o.listen, o.http)
	if err != nil {
		return err
	}
	say(out, "listening on %s\n", s.Address())
	<-ctx.Done()
	say(out, "%+v\n", s.Stats())
	return s.Close()
}

// serveEcho is `spanload serve --tcp`.
func serveEcho(ctx context.Context, o *serveOptions, out *os.File) error {
	e := o.echo
	e.Latency, e.Pause, e.PauseEvery, e.ResetRate, e.Seed = o.http.Latency, o.http.Pause, o.http.PauseEvery, o.http.ResetRate, o.http.Seed
	if e.Loops < 1 {
		return usage("--loops %d (allowed: 1 or more)", e.Loops)
	}
	if err := e.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	s, err := server.StartEcho(o.listen, e)
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
