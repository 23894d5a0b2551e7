package main

import (
	"fmt"
	"strings"
	"time"
)

// exporterNames are the exporters in use, in the order of arrays by exporter.
var exporterNames = [...]string{"otlp", "zipkin"}

// account is what one exporter says of its spans.
type account struct {
	Exported uint64 `json:"exported"`
	Dropped  uint64 `json:"dropped"`
	Queued   uint64 `json:"queued"`
}

// sample is what was measured at a time.
type sample struct {
	At          float64                     `json:"seconds"` // since the traffic began
	Requests    uint64                      `json:"requests"`
	Unexpected  uint64                      `json:"unexpected"`
	Altered     uint64                      `json:"altered"`
	RSS         float64                     `json:"rss_mib"`
	Descriptors float64                     `json:"descriptors"`
	Threads     float64                     `json:"threads"`
	Goroutines  float64                     `json:"goroutines"`
	Sessions    float64                     `json:"sessions"`
	Pending     float64                     `json:"pending_bytes"`
	Recorded    uint64                      `json:"recorded"`
	Exporters   [len(exporterNames)]account `json:"exporters"`
}

// take measures once.
func (r *runner) take() (sample, series, error) {
	m, err := r.sidecar.scrape()
	if err != nil {
		return sample{}, nil, err
	}
	p, err := r.sidecar.process()
	if err != nil {
		return sample{}, nil, err
	}
	c := r.tally.counts()
	s := sample{
		At: time.Since(r.began).Seconds(), Requests: c.requests, Unexpected: c.failures,
		Altered: c.altered + uint64(m.sum("spanwire_altered_bytes_total")),
		RSS:     p.rss, Descriptors: p.descriptors, Threads: p.threads,
		Goroutines: m.sum("go_goroutines"), Sessions: m.sum("spanwire_sessions"), Pending: m.sum("spanwire_pending_bytes"),
		Recorded: uint64(m.sum("spanwire_spans_recorded_total")),
	}
	for i, name := range exporterNames {
		label := `exporter="` + name + `"`
		s.Exporters[i] = account{
			Exported: uint64(m.sum("spanwire_spans_exported_total", label)),
			Dropped:  uint64(m.sum("spanwire_spans_dropped_total", label)),
			Queued:   uint64(m.sum("spanwire_spans_queued", label)),
		}
	}
	return s, m, nil
}

// gap is recorded − exported − dropped − queued.
func (s *sample) gap(exporter int) int64 {
	a := s.Exporters[exporter]
	return int64(s.Recorded) - int64(a.Exported+a.Dropped+a.Queued) //nolint:gosec // counts of spans are far below 2^63
}

// columns is the heading of what line writes; of two exporters both values are given.
const columns = "    time  requests unexpected  rss MiB descriptors threads goroutines sessions  recorded          exported         dropped      queued altered"

// line is the sample as a line under columns.
func (s *sample) line() string {
	each := func(value func(account) uint64) string {
		var values []string
		for _, a := range s.Exporters {
			values = append(values, fmt.Sprint(value(a)))
		}
		return strings.Join(values, "/")
	}
	return fmt.Sprintf("%8s %9d %10d %8.2f %11.0f %7.0f %10.0f %8.0f %9d %17s %15s %11s %7d",
		time.Duration(s.At*float64(time.Second)).Round(time.Second), s.Requests, s.Unexpected, s.RSS, s.Descriptors, s.Threads, s.Goroutines, s.Sessions,
		s.Recorded, each(func(a account) uint64 { return a.Exported }), each(func(a account) uint64 { return a.Dropped }),
		each(func(a account) uint64 { return a.Queued }), s.Altered)
}
