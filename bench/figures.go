package bench

import (
	"fmt"
	"strings"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// Figure is one bound that the sidecar is held to in the full report.
type Figure struct {
	Text  string  `json:"text"`
	Value float64 `json:"value"`
	// Interval is the value's 95 % interval; nil where the value is made of one already.
	Interval *stats.Interval `json:"interval,omitempty"`
	Bound    float64         `json:"bound"`
	Unit     string          `json:"unit"`
	Measured bool            `json:"measured"`
	// OK: the value is within the bound, and was made of valid runs of ours.
	OK bool `json:"ok"`
	// Invalid: a run of ours that it is made of is no measurement.
	Invalid bool `json:"invalid"`
	// Detail says what the value was made of.
	Detail string `json:"detail"`
	// Why says what keeps the value above the bound, should it be missed; empty = nobody knows.
	Why string `json:"why,omitempty"`
}

// Reasons for missing a bound that are known beforehand.
const (
	whyWakeups = "far from saturation most of what a proxy adds is not work but the wake-ups of a processor at rest, for the request and for its " +
		"answer, which every proxy has alike; see docs/performance.md"
	whyBatches = "spans are encoded some hundred at a time by the processor of the loop, and a batch of them arrives at a collector that shares the " +
		"client's processor: who comes meanwhile waits; see docs/performance.md"
	whyKernel = "most of the sidecar's CPU is the kernel's, for the system calls that relaying takes; see docs/performance.md"
)

// WithinNoise reports whether the bound lies within the value's interval: another run might judge otherwise.
func (f Figure) WithinNoise() bool {
	return f.Measured && f.Interval != nil && f.Interval.Contains(f.Bound)
}

// Verdict says in words whether the figure is held. It is judged by the value; the interval says only how surely.
func (f Figure) Verdict() string {
	verdict := "held"
	switch {
	case !f.Measured:
		return "not measured"
	case f.Invalid:
		return "not held (invalid)"
	case !f.OK:
		verdict = "not held"
	}
	if f.WithinNoise() {
		verdict += ", within noise"
	}
	return verdict
}

// Figures compares the result with the bounds.
func (r *Result) Figures() []Figure {
	figures := []Figure{
		r.cpuFigure(peer.SpanwireOTLP, 0.18, whyKernel, peer.EnvoyOTLP),
		// What Envoy needs for Zipkin grows with the batch: ours is held to the size with which Envoy does better.
		r.cpuFigure(peer.SpanwireZipkin, 0.05, whyKernel, peer.EnvoyZipkin, peer.EnvoyZipkin128),
		r.cpuFigure(peer.SpanwireOTLP, 0.75, whyKernel, peer.HAProxyHTTP),
	}
	for _, phase := range []string{Phase1000, Phase5000} {
		figures = append(figures,
			r.addedFigure("added p50 at "+phase, ScenarioSmall, phase, QP50, 0.5, whyWakeups),
			r.addedFigure("added p99 at "+phase, ScenarioSmall, phase, QP99, 0.5, ""),
			r.ratioFigure("total p50 at "+phase+", to HAProxy HTTP", ScenarioSmall, phase, peer.SpanwireOTLP, peer.HAProxyHTTP, QP50, 1.05,
				whyWakeups),
			r.notWorse("total p99 at "+phase+", over HAProxy HTTP, beyond the interval", phase),
		)
	}
	return append(figures,
		r.addedFigure("added p99 over six traversals", ScenarioMesh, PhaseMesh, QP99, 0.5, ""),
		r.ratioFigure("memory of all sidecars of the mesh, to Envoy", ScenarioMesh, PhaseMesh, peer.SpanwireOTLP, peer.EnvoyOTLP, QPeak, 0.25, ""),
		r.ratioFigure("idle resident memory, to Envoy", ScenarioRest, PhaseRest, peer.SpanwireOTLP, peer.EnvoyOTLP, QRSS, 0.20, ""),
		r.readyFigure(),
	)
}

// cpuFigure bounds CPU per request, one loop against one worker, by that of the other that does best.
func (r *Result) cpuFigure(ours string, bound float64, why string, others ...string) Figure {
	best, least := others[0], 0.0
	for _, name := range others {
		c := r.Find(ScenarioSaturation, Phase32, name)
		if c == nil {
			continue
		}
		if v, ok := c.Value(QCPU); ok && (least == 0 || v < least) {
			best, least = name, v
		}
	}
	text := "CPU per request, " + ours + " to " + others[0]
	if len(others) > 1 {
		text = "CPU per request, " + ours + " to the best of " + strings.Join(others, ", ")
	}
	f := r.ratioFigure(text, ScenarioSaturation, Phase32, ours, best, QCPU, bound, why)
	if f.Measured && len(others) > 1 {
		f.Detail += ", " + best
	}
	return f
}

// ratioFigure bounds the quotient of two peers' values.
func (r *Result) ratioFigure(text, scenario, phase, ours, other, quantity string, bound float64, why string) Figure {
	f := Figure{Text: text, Bound: bound, Unit: "×", Why: why}
	a, b := r.Find(scenario, phase, ours), r.Find(scenario, phase, other)
	if a == nil || b == nil {
		return f
	}
	x, okX := a.Value(quantity)
	y, okY := b.Value(quantity)
	if !okX || !okY || y == 0 {
		return f
	}
	f.Detail = Number(x) + " ÷ " + Number(y)
	f.judge(stats.Ratio, a, b, quantity)
	return f
}

// judge fills in a value that f makes of the quantity in our cell and in another's.
func (f *Figure) judge(of func(a, b stats.Statistic) (float64, stats.Interval), ours, other *CellResult, quantity string) {
	a, okA := ours.statistic(quantity)
	b, okB := other.statistic(quantity)
	if !okA || !okB {
		return
	}
	value, interval := of(a, b)
	f.Value, f.Interval, f.Measured = value, &interval, true
	f.conclude(ours, other)
}

// conclude compares the value with the bound, and says of the cells that it was made of what weakens it: ours first.
func (f *Figure) conclude(cells ...*CellResult) {
	f.Invalid = cells[0].Invalid() > 0
	f.OK = f.Value <= f.Bound && !f.Invalid
	for _, c := range cells {
		if n := c.Invalid(); n > 0 {
			f.Detail += fmt.Sprintf("; invalid runs of %s: %d", c.Peer, n)
		}
		if c.Saturated() {
			f.Detail += "; " + c.Peer + " is saturated, its latency is queueing"
		}
	}
}

// addedFigure bounds the latency that the sidecar adds by that which Envoy adds.
func (r *Result) addedFigure(text, scenario, phase, quantity string, bound float64, why string) Figure {
	f := Figure{Text: text + ", to Envoy's", Bound: bound, Unit: "×", Why: why}
	ours, envoy := r.added(scenario, phase, peer.SpanwireOTLP, quantity), r.added(scenario, phase, peer.EnvoyOTLP, quantity)
	if ours == nil || envoy == nil || envoy.Median <= 0 {
		return f
	}
	f.Detail = Number(ours.Median) + " µs ÷ " + Number(envoy.Median) + " µs"
	direct := r.Find(scenario, phase, peer.Direct)
	if direct == nil {
		return f
	}
	base, ok := direct.statistic(quantity)
	if !ok {
		return f
	}
	f.judge(func(a, b stats.Statistic) (float64, stats.Interval) { return stats.RatioOfExcess(a, b, base) },
		r.Find(scenario, phase, peer.SpanwireOTLP), r.Find(scenario, phase, peer.EnvoyOTLP), quantity)
	return f
}

// added returns the added latency of a peer; nil when it was not measured.
func (r *Result) added(scenario, phase, name, quantity string) *Difference {
	c := r.Find(scenario, phase, name)
	switch {
	case c == nil:
		return nil
	case quantity == QP50:
		return c.AddedP50
	}
	return c.AddedP99
}

// notWorse bounds what our p99 has over HAProxy's: nothing, unless the interval of the difference reaches down to nothing.
func (r *Result) notWorse(text, phase string) Figure {
	f := Figure{Text: text, Unit: "µs", Why: whyBatches}
	ours, other := r.Find(ScenarioSmall, phase, peer.SpanwireOTLP), r.Find(ScenarioSmall, phase, peer.HAProxyHTTP)
	if ours == nil || other == nil {
		return f
	}
	a, okA := ours.statistic(QP99)
	b, okB := other.statistic(QP99)
	if !okA || !okB {
		return f
	}
	difference, interval := stats.Difference(a, b)
	f.Value, f.Measured = max(0, interval.Low), true
	f.Detail = Number(difference) + " µs (" + Number(interval.Low) + " to " + Number(interval.High) + ")"
	f.conclude(ours, other)
	return f
}

// readyFigure bounds the time from start to ready.
func (r *Result) readyFigure() Figure {
	f := Figure{Text: "ready after start", Bound: 50, Unit: "ms"}
	c := r.Find(ScenarioRest, PhaseRest, peer.SpanwireOTLP)
	if c == nil {
		return f
	}
	if s, ok := c.statistic(QReady); ok {
		value, interval := stats.Itself(s)
		f.Value, f.Interval, f.Measured, f.Detail = value, &interval, true, "median"
		f.conclude(c)
	}
	return f
}
