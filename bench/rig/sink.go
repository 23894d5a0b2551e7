package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/internal/port"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// sinkAddresses is where the collector listens.
type sinkAddresses struct {
	spans, control string
	process        *proc.Process
}

// StartSink starts the collector that counts spans.
func (r *Rig) StartSink(ctx context.Context) (*proc.Process, error) {
	path, err := r.Tools.Find(peer.Spanload)
	if err != nil {
		return nil, err
	}
	spans, err := port.Free(loopback)
	if err != nil {
		return nil, err
	}
	control, err := port.Free(loopback)
	if err != nil {
		return nil, err
	}
	p, err := r.Group.Start(proc.Spec{
		Name: "sink", Path: path, Args: []string{"sink", "--listen", spans, "--control", control}, CPUs: r.Pinning.Others,
	})
	if err != nil {
		return nil, err
	}
	r.sink = sinkAddresses{spans: spans, control: control, process: p}
	return p, poll(ctx, p, readyTimeout, func() error {
		_, err := r.Counts(ctx)
		return err
	})
}

// SinkAddress is where spans go.
func (r *Rig) SinkAddress() string { return r.sink.spans }

// Counts returns what the collector has received.
func (r *Rig) Counts(ctx context.Context) (sink.Counts, error) {
	return r.control(ctx, http.MethodGet, "/count")
}

// SetSinkMode changes how the collector behaves.
func (r *Rig) SetSinkMode(ctx context.Context, mode sink.Mode) error {
	_, err := r.control(ctx, http.MethodPost, "/mode?set="+string(mode))
	return err
}

// HoldSink stops the collector's process in its tracks (SIGSTOP): it takes connections, by the kernel, and answers nothing.
func (r *Rig) HoldSink() error { return r.sink.process.Signal(syscall.SIGSTOP) }

// ReleaseSink lets it go on.
func (r *Rig) ReleaseSink() error { return r.sink.process.Signal(syscall.SIGCONT) }

// control asks the collector's control address.
func (r *Rig) control(ctx context.Context, method, path string) (c sink.Counts, err error) {
	body, err := get(ctx, method, r.sink.control, path)
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("collector: %w: %w", ErrOutput, err)
	}
	return c, nil
}

// settleTime is how long the count must stand still to be the last one: batches wait for a second at most.
const settleTime = 2500 * time.Millisecond

// AwaitSpans waits until the collector has at least want spans and returns the counts then, or those after none has come for a
// while. That some are missing is no error here.
func (r *Rig) AwaitSpans(ctx context.Context, want int64) (sink.Counts, error) {
	var last sink.Counts
	changed := time.Now()
	for {
		c, err := r.Counts(ctx)
		if err != nil {
			return c, err
		}
		if c.Spans != last.Spans {
			last, changed = c, time.Now()
		}
		if c.Spans >= want || time.Since(changed) > settleTime {
			return c, nil
		}
		if err := Sleep(ctx, 20*time.Millisecond); err != nil {
			return c, err
		}
	}
}
