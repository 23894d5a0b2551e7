package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spanwire/spanwire/admin"
	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/sampling"
	"github.com/spanwire/spanwire/settings"
)

// errTwice ends the process at a second signal.
var errTwice = errors.New("ended at once by a second signal")

// run is the sidecar: settings, parts, start, signals, drain.
func run(c *cli.Context, flags *settings.Flags, environ []string, stderr io.Writer) error {
	if err := noArguments(c); err != nil {
		return err
	}
	loaded, err := settings.Load(flags, environ)
	if err != nil {
		return usageError{err}
	}
	cfg := &loaded.Config
	log, level := newLogger(stderr, cfg)
	for _, w := range loaded.Warnings {
		log.Warn(w)
	}
	setThreads(cfg.Loops)
	tuneCollector()
	signals := watchSignals()
	s := &sidecar{cfg: cfg, log: log, quit: make(chan struct{}, 1)}
	if err := s.build(loaded, level); err != nil {
		s.close(context.Background())
		return err
	}
	if err := s.start(); err != nil {
		s.close(context.Background())
		return err
	}
	s.logStart(loaded)
	releaseStartMemory()
	ended := make(chan struct{})
	defer close(ended)
	go keepReleasing(s.engine, ended)
	return s.wait(signals)
}

// setThreads bounds the threads that run Go code: one for each loop. What stands beside the loops (exporters, admin) runs when one of them
// waits, or lets the drain run. One thread more costs 5 to 8 % of the CPU of every request: each time a loop is about to wait, the
// scheduler wakes the idle thread to look for work. A GOMAXPROCS of the environment wins.
func setThreads(loops int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(loops)
	}
}

// sidecar is the parts of a running process.
type sidecar struct {
	cfg     *settings.Config
	log     *slog.Logger
	engine  *core.Engine
	export  exports
	tell    tellers
	admin   *admin.Server
	poller  *sampling.Poller // nil: the sampler asks nobody
	polling bool             // poller was started
	quit    chan struct{}    // POST /quitquitquit
}

// build makes the parts, in the order of the path of a byte; listeners are bound, nothing is accepted.
func (s *sidecar) build(loaded *settings.Loaded, level *slog.LevelVar) error {
	engineConfig, err := s.engineConfig(loaded)
	if err != nil {
		return err
	}
	if s.engine, err = core.New(engineConfig); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err = spared(s.engine.Listeners()); err != nil {
		return err
	}
	if err = s.export.build(s.cfg, s.engine.Rings(), s.log); err != nil {
		return usageError{err}
	}
	if err = s.tell.build(s.cfg, s.engine, s.log); err != nil {
		return usageError{err}
	}
	s.buildPoller()
	ac := admin.Config{
		Admin: s.cfg.Admin, Metrics: s.cfg.Metrics, AnyPath: s.cfg.MetricsAnyPath, Build: build(), Ready: s.engine.Ready,
		Relay: s.engine.Stats, Verify: s.cfg.Verify, Exports: s.export.stats, SamplerPolls: s.samplerPolls, Settings: settingsJSON(loaded.Entries), Probes: probes(s.cfg),
		SetLevel: levelSetter(level), Drain: s.beginDrain, Quit: s.requestQuit, Log: s.log,
	}
	s.tell.describe(&ac)
	if s.cfg.MetricsOperations && !s.cfg.Disabled {
		ac.Operations = s.engine.Operations
	}
	if s.admin, err = admin.New(ac); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// engineConfig translates the settings for the engine.
func (s *sidecar) engineConfig(loaded *settings.Loaded) (core.Config, error) {
	c := s.cfg
	ec := core.Config{Loops: c.Loops, Transparent: c.Listen, Heartbeat: c.Heartbeat, DialTimeout: c.DialTimeout, BusyPoll: c.BusyPoll, HTTPPorts: c.HTTPPorts,
		Disabled: c.Disabled, Verify: verifyRules(c), Log: s.log}
	for _, l := range c.Explicit {
		kind := span.Server
		if l.Outbound {
			kind = span.Client
		}
		ec.Explicit = append(ec.Explicit, core.Listen{Addr: l.Addr, Upstream: l.Upstream, Kind: kind})
	}
	if c.Disabled {
		return ec, nil
	}
	ec.LogRequests, ec.CountStatuses = c.AccessLog.On(), c.Statsd != ""
	maxPeers := 0
	if c.MetricsOperations {
		ec.MaxSeries = c.MaxSeries
	}
	if c.MetricsPeers {
		maxPeers = c.MaxPeers
	}
	described := s.readOpenAPI()
	routes, err := routes(c)
	if err != nil {
		return ec, err
	}
	ec.Trace, err = trace.NewShared(trace.Config{
		CountOperations: c.MetricsOperations, MaxPeers: maxPeers, DescribeAll: ec.LogRequests,
		Routes: routes, RouteHeader: c.RouteHeader, RouteCookie: c.RouteCookie,
		RequestIDHeader: c.RequestIDHeader, Propagators: c.Propagators, Sampler: c.Sampler,
		SamplerRules: c.SamplerRules, JoinTTL: c.JoinTTL, JoinSize: c.JoinSize,
		Naming: c.Naming, NoInject: c.NoInject, MaxOperations: c.MaxOperations, IgnorePaths: c.IgnorePaths,
		IgnoreAgents: c.IgnoreAgents,
		FoldPaths:    c.FoldPaths, Fold: c.Fold, Templates: described.Templates, BareTemplates: described.Bare,
		XSourceHeader: c.XSourceHeader, XSourceValue: c.XSourceValue,
		TagHeaders: c.TagHeaders, TagCookies: c.TagCookies, RedactQuery: c.RedactQuery, TraceResponseHeader: c.TraceResponseHeader,
	})
	var setting *trace.SettingError
	if errors.As(err, &setting) {
		err = fmt.Errorf("%s %q: %s", loaded.Place(setting.Setting), setting.Value, setting.Why)
	}
	if err != nil {
		return ec, usageError{err}
	}
	return ec, nil
}

// start lets the parts go, the receiving ends first.
func (s *sidecar) start() error {
	s.export.start()
	s.tell.start()
	if err := s.engine.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if s.poller != nil {
		s.poller.Start()
		s.polling = true
	}
	s.admin.Start()
	return nil
}

// wait sleeps until the process is told to end, drains, and says what was done. Only a second signal cuts the drain short: where a
// container asks by /quitquitquit when it has finished, the orchestrator's SIGTERM follows, and is the first.
func (s *sidecar) wait(signals <-chan os.Signal) error {
	cause, taken, err := awaitEnd(signals, s.quit, s.engine.Failed(), s.log)
	if err != nil {
		return fmt.Errorf("running: %w", err)
	}
	s.log.Info("draining", "cause", cause, "timeout", s.cfg.DrainTimeout.String())
	done := make(chan struct{})
	go func() {
		s.end()
		close(done)
	}()
	for {
		select {
		case <-done:
			s.logEnd()
			return nil
		case sig := <-signals:
			if ignored(sig, s.log) {
				continue
			}
			if taken++; taken > 1 {
				return errTwice
			}
			s.log.Info("draining already", "cause", sig.String())
		}
	}
}

// flushShare is how long the last flush may take when the drain timeout allows: time for a few attempts, and not for a collector that is
// gone to hold up the end of a process whose sessions have ended.
const flushShare = 3 * time.Second

// end drains, closes and flushes, all within the drain timeout.
func (s *sidecar) end() {
	now := time.Now()
	deadline := now.Add(s.cfg.DrainTimeout)
	sessions, cancel := context.WithDeadline(context.Background(), deadline.Add(-min(flushShare, s.cfg.DrainTimeout/2)))
	defer cancel()
	s.drain(sessions)
	if soon := time.Now().Add(flushShare); soon.Before(deadline) {
		deadline = soon
	}
	flush, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	s.close(flush)
}

// lastShare is how long before the sessions are cut off no more are accepted: what takes longer would most likely be cut off too.
const lastShare = 2 * time.Second

// drain waits until the engine has drained or ctx ends.
func (s *sidecar) drain(ctx context.Context) {
	deadline, _ := ctx.Deadline()
	accepting, cancel := context.WithDeadline(ctx, deadline.Add(-min(lastShare, time.Until(deadline)/4)))
	defer cancel()
	if s.engine.Drain(accepting) == nil {
		return
	}
	s.engine.StopAccepting()
	if err := s.engine.Drain(ctx); err != nil {
		s.log.Warn("drain timeout", "error", err)
	}
}

// close ends the parts that there are: sessions first, so that their spans are flushed.
func (s *sidecar) close(flush context.Context) {
	if s.polling {
		s.poller.Stop()
	}
	if s.engine != nil {
		s.engine.Close()
	}
	told := make(chan struct{})
	go func() { // beside the last flush: an access log that nobody reads takes none of its time
		defer close(told)
		s.tell.shutdown(flush)
	}()
	s.export.shutdown(flush)
	<-told
	if s.admin != nil {
		s.admin.Close(flush)
	}
}

// beginDrain makes the process not ready and returns at once.
func (s *sidecar) beginDrain() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.engine.Drain(over) // it only says how many sessions are open
}

// requestQuit asks for what SIGTERM asks for.
func (s *sidecar) requestQuit() {
	select {
	case s.quit <- struct{}{}:
	default: // asked before
	}
}

// probes are the ports of the application that may be dialled: those of the settings at the loopback address, and the upstreams
// of inbound listeners where they are.
func probes(c *settings.Config) map[uint16]string {
	m := map[uint16]string{}
	for _, p := range c.ProbePorts {
		m[p] = net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p)))
	}
	for _, l := range c.Explicit {
		if _, port, err := net.SplitHostPort(l.Upstream); err == nil && !l.Outbound {
			if n, err := strconv.ParseUint(port, 10, 16); err == nil {
				m[uint16(n)] = l.Upstream
			}
		}
	}
	return m
}
