package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/peer"
)

// Method returns the paragraphs that say how it was measured.
func Method(r *bench.Result) []string {
	m := r.Method
	var versions []string
	for tool, version := range r.Versions {
		versions = append(versions, tool+": "+version)
	}
	slices.Sort(versions)
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Second)
	return []string{
		fmt.Sprintf("Machine: %s (%s), %d cores, %s MB of memory, kernel %s, governor %s, load at the start %s. Started %s, took %v.",
			r.Machine.CPU, r.Machine.Arch, r.Machine.Cores, bench.Number(float64(r.Machine.Memory>>20)), r.Machine.Kernel, r.Machine.Governor,
			r.Machine.Load, r.Started.Format(time.RFC3339), took),
		"Versions: " + strings.Join(versions, "; ") + ".",
		fmt.Sprintf("Placement: %s. Every proxy has %d event loop or worker thread. Client and upstream share their processor with the "+
			"collector, so rates at saturation are those of the whole machine and no measure of a proxy: there, only CPU per request is "+
			"compared.", m.Pinning, m.Workers),
		fmt.Sprintf("Runs: %d of each cell, interleaved (peer A, B, C, A, B, C …), each with a proxy started anew and %.1f s of warm-up. Values "+
			"are medians of runs unless they say otherwise; the spread (±) is (highest − lowest) ÷ median, and a result says so when it exceeds "+
			"15 %%; about a median of 0 the lowest and the highest are told in its place.", m.Runs, m.Warmup),
		"Client: spanload. Open loop at the stated rates, latency counted from when each request was due, so that a stall shows in every " +
			"request it delays; closed loop at saturation. Every answer is checked, and before anything is measured every proxy has " +
			"answered right through each of its listeners. A run in which the rate was not reached is invalid: its row says so, and a bound " +
			"that one of ours has part in is not held. Where proxies used more than 80 % of the processors they had at a fixed rate, the row " +
			"says that they were saturated: what is told as latency is then the queue in front of them.",
		cpuMethod(r),
		latencyMethod(r),
		"Spans: the collector counts what arrives, as it arrives; traced runs compare it with the requests sent. A run that lost spans is " +
			"marked, whoever's it is: work that was not done costs nothing. Where the collector fails on purpose, lost spans and spans that " +
			"were sent again are counted against each other.",
		settingsMethod(r),
		"Bounds: a quotient has its 95 % interval by bootstrap over the runs, and is judged by its value; where the bound lies within the " +
			"interval the verdict says that it is within noise, and another run may judge otherwise.",
	}
}

// settingsMethod says what was made the same for all.
func settingsMethod(r *bench.Result) string {
	text := "Matched settings: spans in batches of 512 or one second, W3C trace context with OTLP and B3's headers with Zipkin, no access log, no " +
		"TLS, keep-alive to the upstream. "
	if slices.ContainsFunc(r.Peers, func(p bench.PeerInfo) bool { return p.Name == peer.EnvoyZipkin128 }) {
		text += "What Envoy needs to write a span as Zipkin's JSON grows with the batch, and 512 is the sidecar's own size, so Envoy's Zipkin tracer " +
			"is there with batches of 128 as well, and the sidecar is judged by whichever does better. "
	}
	return text + "HAProxy and nginx give every request a unique id in a header, since the sidecar and Envoy do where they read HTTP: the same work " +
		"for all. All configurations are beside this report."
}

// cpuMethod says where CPU is read.
func cpuMethod(r *bench.Result) string {
	text := "CPU: user and system time of the proxy's whole process tree, from the scheduler's own account, read once the spans of the requests " +
		"have left, so that none is made for nothing; beside it the machine's from /proc/stat"
	if has(r, bench.QProcesses) {
		text += ", the sum of what all processes and threads of the kernel used by their own accounts, less the measuring program itself, so that " +
			"nothing hides in another process"
	}
	return text + ", and what all processes outside the measurement used, by their own accounts. The kernel splits user from system time, and " +
		"counts the machine's, by what runs as its clock ticks: below saturation, where work keeps time with the clock, these two are rough, " +
		"and the other sums are not. Where the machine's is less than its parts it is left out. Memory: resident set, and its peak."
}

// latencyMethod says what added latency and percentiles are made of.
func latencyMethod(r *bench.Result) string {
	p99 := "The p99 and p99.9 are medians of runs, told from 10 000 and 100 000 samples over all runs on."
	if slices.ContainsFunc(r.Cells, func(c bench.CellResult) bool { return len(c.Tails) > 0 }) {
		p99 = "The p99 and p99.9 are those of all samples of all runs together (their histograms merged), with a 95 % interval by bootstrap over the " +
			"runs; a p99 is told from 10 000 samples on, a p99.9 from 100 000."
	}
	return "Added latency: the difference to the same client and upstream without a proxy, with a 95 % interval by bootstrap over the runs. " + p99
}

// has reports whether some cell has the quantity.
func has(r *bench.Result, quantity string) bool {
	return slices.ContainsFunc(r.Cells, func(c bench.CellResult) bool { _, ok := c.Value(quantity); return ok })
}
