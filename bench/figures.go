package bench

import (
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/stats"
)

// Figure is one bound that the sidecar is held to in the full report.
type Figure struct {
	Text     string  `json:"text"`
	Value    float64 `json:"value"`
	Bound    float64 `json:"bound"`
	Unit     string  `json:"unit"`
	Measured bool    `json:"measured"`
	OK       bool    `json:"ok"`
	// Detail says what the value was made of.
	Detail string `json:"detail"`
}

// Figures compares the result with the bounds.
func (r *Result) Figures() []Figure {
	figures := []Figure{
		r.cpuFigure(peer.SpanwireOTLP, peer.EnvoyOTLP, 0.18),
		r.cpuFigure(peer.SpanwireZipkin, peer.EnvoyZipkin, 0.05),
		r.cpuFigure(peer.SpanwireOTLP, peer.HAProxyHTTP, 0.75),
	}
	for _, phase := range []string{Phase1000, Phase5000} {
		figures = append(figures,
			r.addedFigure("added p50 at "+phase, ScenarioSmall, phase, QP50, 0.5),
			r.addedFigure("added p99 at "+phase, ScenarioSmall, phase, QP99, 0.5),
			r.ratioFigure("total p50 at "+phase+", to HAProxy HTTP", ScenarioSmall, phase, peer.SpanwireOTLP, peer.HAProxyHTTP, QP50, 1.05),
			r.notWorse("total p99 at "+phase+", over HAProxy HTTP, beyond the interval", phase),
		)
	}
	return append(figures,
		r.addedFigure("added p99 over six traversals", ScenarioMesh, PhaseMesh, QP99, 0.5),
		r.ratioFigure("memory of all sidecars of the mesh, to Envoy", ScenarioMesh, PhaseMesh, peer.SpanwireOTLP, peer.EnvoyOTLP, QPeak, 0.25),
		r.ratioFigure("idle resident memory, to Envoy", ScenarioRest, PhaseRest, peer.SpanwireOTLP, peer.EnvoyOTLP, QRSS, 0.20),
		r.readyFigure(),
	)
}

// cpuFigure bounds CPU per request, one loop against one worker.
func (r *Result) cpuFigure(ours, other string, bound float64) Figure {
	return r.ratioFigure("CPU per request, "+ours+" to "+other, ScenarioSaturation, Phase32, ours, other, QCPU, bound)
}

// ratioFigure bounds the quotient of two peers' medians.
func (r *Result) ratioFigure(text, scenario, phase, ours, other, quantity string, bound float64) Figure {
	f := Figure{Text: text, Bound: bound, Unit: "×"}
	a, b := r.Find(scenario, phase, ours), r.Find(scenario, phase, other)
	if a == nil || b == nil {
		return f
	}
	x, okX := a.Value(quantity)
	y, okY := b.Value(quantity)
	if !okX || !okY || y == 0 {
		return f
	}
	f.Value, f.Measured = x/y, true
	f.OK, f.Detail = f.Value <= bound, Number(x)+" ÷ "+Number(y)
	return f
}

// addedFigure bounds the latency that the sidecar adds by that which Envoy adds.
func (r *Result) addedFigure(text, scenario, phase, quantity string, bound float64) Figure {
	f := Figure{Text: text + ", to Envoy's", Bound: bound, Unit: "×"}
	ours, envoy := r.added(scenario, phase, peer.SpanwireOTLP, quantity), r.added(scenario, phase, peer.EnvoyOTLP, quantity)
	if ours == nil || envoy == nil || envoy.Median <= 0 {
		return f
	}
	f.Value, f.Measured = ours.Median/envoy.Median, true
	f.OK, f.Detail = f.Value <= bound, Number(ours.Median)+" µs ÷ "+Number(envoy.Median)+" µs"
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
	f := Figure{Text: text, Unit: "µs"}
	a, b := r.Find(ScenarioSmall, phase, peer.SpanwireOTLP), r.Find(ScenarioSmall, phase, peer.HAProxyHTTP)
	if a == nil || b == nil || len(a.Values[QP99].Runs) == 0 || len(b.Values[QP99].Runs) == 0 {
		return f
	}
	difference, interval := stats.DifferenceOfMedians(a.Values[QP99].Runs, b.Values[QP99].Runs)
	f.Value, f.Measured = max(0, interval.Low), true
	f.OK, f.Detail = f.Value <= 0, Number(difference)+" µs ("+Number(interval.Low)+" to "+Number(interval.High)+")"
	return f
}

// readyFigure bounds the time from start to ready.
func (r *Result) readyFigure() Figure {
	f := Figure{Text: "ready after start", Bound: 50, Unit: "ms"}
	if c := r.Find(ScenarioRest, PhaseRest, peer.SpanwireOTLP); c != nil {
		f.Value, f.Measured = c.Value(QReady)
		f.OK, f.Detail = f.Measured && f.Value <= f.Bound, "median"
	}
	return f
}
