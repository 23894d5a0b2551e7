// Package figures measures the figures that the sidecar is held to: one loop, wrk as the client, HAProxy and nginx beside it in the
// same run, medians of interleaved runs.
package figures

import (
	"path"
	"strings"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// Schema names the version of the JSON that a run writes.
const Schema = "spanbench-figures/1"

// Quantities that measurements yield.
const (
	cpuPerRequest  = "cpu_us_per_request"
	userPerRequest = "user_us_per_request"
	sysPerRequest  = "system_us_per_request"
	cpuPerGiB      = "cpu_s_per_gib"
	rate           = "requests_per_s"
	proxyBusy      = "proxy_busy_percent"  // share of one processor that the proxy used
	foreign        = "foreign_cpu_percent" // of one processor, used by processes that are none of the measurement's
	spansMissing   = "spans_missing"       // of requests answered; traced peers
	idleMB         = "idle_rss_mb"
	sessionBytes   = "rss_bytes_per_session"
	idleCPU        = "idle_cpu_percent"
	idleWakeups    = "idle_wakeups_per_s"
	requests       = "requests"
	spans          = "spans"
	notOne         = "requests_without_exactly_one_span"
	rateHealthy    = "requests_per_s_collector_healthy"
	rateGone       = "requests_per_s_collector_gone"
	rateHung       = "requests_per_s_collector_hung"
	droppedGone    = "drops_counted_collector_gone"
	droppedHung    = "drops_counted_collector_hung"
)

// figure is one bound: quantity of subject under load, divided by that of reference where there is one.
type figure struct {
	name, text string
	load       string
	subject    string
	quantity   string
	reference  string // peer; empty = the value itself is bounded, or divided by refQuantity of the subject
	refQuant   string // empty = quantity
	bound      float64
	atLeast    bool // the value must not be below the bound; otherwise not above
	unit       string
}

// ratio reports whether the value is a quotient.
func (f figure) ratio() bool { return f.reference != "" || f.refQuant != "" }

// divisor returns the peer and quantity that a ratio divides by.
func (f figure) divisor() (peerName, quantity string) {
	peerName, quantity = f.reference, f.refQuant
	if peerName == "" {
		peerName = f.subject
	}
	if quantity == "" {
		quantity = f.quantity
	}
	return peerName, quantity
}

// versus declares a bound on CPU relative to a peer.
func versus(name, load, quantity, subject, reference string, bound float64) figure {
	return figure{
		name: name, load: load, quantity: quantity, subject: subject, reference: reference, bound: bound, unit: "×",
		text: subject + " ÷ " + reference,
	}
}

// all returns the figures in the order of the table.
func all() []figure {
	const otlp, zipkin, opaque, everything = peer.SpanwireOTLP, peer.SpanwireZipkin, peer.SpanwireOpaque, peer.SpanwireAll
	figures := []figure{
		versus("otlp-32-http", keep32, cpuPerRequest, otlp, peer.HAProxyHTTP, 0.75),
		versus("otlp-32-tcp", keep32, cpuPerRequest, otlp, peer.HAProxyTCP, 1.05),
		versus("otlp-256-http", keep256, cpuPerRequest, otlp, peer.HAProxyHTTP, 0.60),
		versus("otlp-256-tcp", keep256, cpuPerRequest, otlp, peer.HAProxyTCP, 1.05),
		versus("zipkin-32-http", keep32, cpuPerRequest, zipkin, peer.HAProxyHTTP, 0.80),
		versus("zipkin-32-tcp", keep32, cpuPerRequest, zipkin, peer.HAProxyTCP, 1.10),
		versus("zipkin-256-http", keep256, cpuPerRequest, zipkin, peer.HAProxyHTTP, 0.65),
		versus("zipkin-256-tcp", keep256, cpuPerRequest, zipkin, peer.HAProxyTCP, 1.10),
		versus("opaque-32-tcp", keep32, cpuPerRequest, opaque, peer.HAProxyTCP, 0.95),
		versus("opaque-256-tcp", keep256, cpuPerRequest, opaque, peer.HAProxyTCP, 0.95),
		versus("everything-32", keep32, cpuPerRequest, everything, otlp, 1.25),
		versus("close-http", closing, cpuPerRequest, otlp, peer.HAProxyHTTP, 1.00),
		versus("bulk-1m-opaque", bulk1M, cpuPerGiB, opaque, peer.HAProxyTCP, 0.60),
		versus("bulk-1m-traced", bulk1M, cpuPerGiB, otlp, peer.HAProxyTCP, 0.60),
		versus("bulk-64k-opaque", bulk64K, cpuPerGiB, opaque, peer.HAProxyTCP, 0.75),
		versus("bulk-64k-traced", bulk64K, cpuPerGiB, otlp, peer.HAProxyTCP, 0.75),
		{name: "idle-rss", text: "resident memory, idle", load: sessions, subject: otlp, quantity: idleMB, bound: 13, unit: "MB"},
		{name: "session-rss", text: "resident memory per idle session that has served a request", load: sessions, subject: otlp,
			quantity: sessionBytes, bound: 1536, unit: "bytes"},
		{name: "idle-cpu", text: "CPU of one core, idle", load: idle, subject: otlp, quantity: idleCPU, bound: 0.1, unit: "%"},
		{name: "spans-exact", text: "requests without exactly one span", load: fullLoad, subject: otlp, quantity: notOne, unit: "requests"},
		{name: "collector-gone-rate", text: "rate with the collector gone ÷ with it there", load: collector, subject: otlp,
			quantity: rateGone, refQuant: rateHealthy, bound: 0.95, atLeast: true, unit: "×"},
		{name: "collector-hung-rate", text: "rate with the collector hung ÷ with it there", load: collector, subject: otlp,
			quantity: rateHung, refQuant: rateHealthy, bound: 0.95, atLeast: true, unit: "×"},
		{name: "collector-gone-drops", text: "spans counted as dropped, collector gone", load: collector, subject: otlp,
			quantity: droppedGone, bound: 1, atLeast: true, unit: "spans"},
		{name: "collector-hung-drops", text: "spans counted as dropped, collector hung", load: collector, subject: otlp,
			quantity: droppedHung, bound: 1, atLeast: true, unit: "spans"},
	}
	return figures
}

// Names lists the figures.
func Names() (names []string) {
	for _, f := range all() {
		names = append(names, f.name)
	}
	return names
}

// choose returns the figures whose name, or whose load's name, matches one of the patterns (path.Match; a plain word also matches as
// the beginning of a figure's name). No patterns = all.
func choose(figures []figure, patterns []string) (chosen []figure) {
	for _, f := range figures {
		if len(patterns) == 0 || matches(f, patterns) {
			chosen = append(chosen, f)
		}
	}
	return chosen
}

// matches reports whether one of the patterns means the figure.
func matches(f figure, patterns []string) bool {
	for _, pattern := range patterns {
		for _, name := range []string{f.name, f.load} {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				return true
			}
		}
		if strings.HasPrefix(f.name, pattern) {
			return true
		}
	}
	return false
}

// Verdict is a figure with what was measured.
type Verdict struct {
	Name     string  `json:"name"`
	Text     string  `json:"text"`
	Load     string  `json:"load"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Bound    float64 `json:"bound"`
	AtLeast  bool    `json:"at_least"` // the bound is the lowest allowed value
	OK       bool    `json:"ok"`
	Measured bool    `json:"measured"`
	// Interval is the 95 % interval of a ratio of medians; nil for others and for single runs.
	Interval *stats.Interval `json:"interval,omitempty"`
	// Notes say what weakens the value: a spread, missing spans.
	Notes []string `json:"notes,omitempty"`
}
