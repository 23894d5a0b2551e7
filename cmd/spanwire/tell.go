package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/spanwire/spanwire/accesslog"
	"github.com/spanwire/spanwire/admin"
	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/settings"
	"github.com/spanwire/spanwire/statsd"
)

// tellers tell about requests beside spans: the access log and statsd. Either may be nil.
type tellers struct {
	log     *accesslog.Log
	statsd  *statsd.Sender
	started bool
}

// build makes what the settings ask for; nothing when tracing is disabled, since then no request is seen.
func (x *tellers) build(c *settings.Config, engine *core.Engine, log *slog.Logger) error {
	if c.Disabled {
		return nil
	}
	if c.AccessLog.On() {
		var err error
		x.log, err = accesslog.Open(accesslog.Config{File: c.AccessLog.File, Output: os.Stdout, JSON: c.AccessLog.JSON, Log: log}, engine.RequestRings())
		if err != nil {
			return err
		}
	}
	if c.Statsd != "" {
		x.statsd = statsd.New(statsd.Config{Addr: c.Statsd, Prefix: c.StatsdPrefix, Counts: func() (statsd.Counts, bool) {
			counts, ok := engine.Statuses()
			return statsd.Counts(counts), ok
		}})
	}
	return nil
}

// describe adds the accounts to what the metrics show.
func (x *tellers) describe(c *admin.Config) {
	if x.log != nil {
		c.AccessLog = func() admin.AccessLogStats {
			st := x.log.Stats()
			return admin.AccessLogStats{Lines: st.Lines, Dropped: byReason[accesslog.Reason](st.Dropped[:])}
		}
	}
	if x.statsd != nil {
		c.Statsd = func() admin.StatsdStats {
			st := x.statsd.Stats()
			return admin.StatsdStats{Datagrams: st.Datagrams, Errors: byReason[statsd.Reason](st.Errors[:])}
		}
	}
}

// byReason names counters that are indexed by a reason.
func byReason[R interface {
	~uint8
	String() string
}](counts []uint64) []admin.ReasonCounter {
	named := make([]admin.ReasonCounter, len(counts))
	for i, n := range counts {
		named[i] = admin.ReasonCounter{Reason: R(i).String(), N: n}
	}
	return named
}

// start lets lines and datagrams flow.
func (x *tellers) start() {
	x.started = true
	if x.log != nil {
		x.log.Start()
	}
	if x.statsd != nil {
		x.statsd.Start()
	}
}

// shutdown tells what is left until ctx ends; the engine is closed.
func (x *tellers) shutdown(ctx context.Context) {
	if !x.started {
		return
	}
	if x.log != nil {
		x.log.Shutdown(ctx)
	}
	if x.statsd != nil {
		x.statsd.Close(ctx)
	}
}
