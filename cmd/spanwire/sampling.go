package main

import (
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/sampling"
)

// buildPoller makes what asks the sampling endpoint, where the sampler is a remote one.
func (s *sidecar) buildPoller() {
	c := s.cfg
	remote := s.remoteSampler()
	if remote == nil {
		return
	}
	remote.SetInitial(c.SamplerInitial)
	s.poller = sampling.New(sampling.Config{Remote: remote, Service: c.ServiceName, Interval: c.SamplerInterval,
		Version: build().Version, Log: s.log})
}

// remoteSampler returns the remote sampler in use; nil when there is none.
func (s *sidecar) remoteSampler() *trace.Remote {
	if s.cfg.Disabled {
		return nil
	}
	return trace.RemoteOf(s.cfg.Sampler)
}

// samplerPolls returns how often the sampling endpoint was asked.
func (s *sidecar) samplerPolls() (ok, failed uint64) {
	if r := s.remoteSampler(); r != nil {
		return r.Polls.Load(), r.Failures.Load()
	}
	return 0, 0
}
