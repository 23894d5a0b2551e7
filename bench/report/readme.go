package report

import (
	"fmt"
	"strings"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/bench/peer"
)

// readmePeers are the rows of the README's table.
var readmePeers = [...]string{
	peer.SpanwireOTLP, peer.SpanwireZipkin, peer.EnvoyOTLP, peer.EnvoyZipkin, peer.EnvoyZipkin128, peer.EnvoyHTTP, peer.HAProxyHTTP, peer.NginxHTTP,
}

// readmeProse sets tracing beside what HAProxy needs for passing the bytes alone; empty when one of them was not measured.
func readmeProse(r *bench.Result) string {
	var parts []string
	for _, at := range []struct{ when, scenario, phase string }{
		{"at 1 000 requests a second", bench.ScenarioSmall, bench.Phase1000},
		{"at saturation", bench.ScenarioSaturation, bench.Phase32},
	} {
		ours, other := r.Find(at.scenario, at.phase, peer.SpanwireOTLP), r.Find(at.scenario, at.phase, peer.HAProxyTCP)
		if ours == nil || other == nil {
			continue
		}
		x, okX := ours.Value(bench.QCPU)
		y, okY := other.Value(bench.QCPU)
		if okX && okY && y > 0 {
			parts = append(parts, fmt.Sprintf("%s %s and %s µs, %.0f %%", at.when, bench.Number(x), bench.Number(y), 100*x/y))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "\nCPU for a request traced as OTLP, beside HAProxy's TCP mode, which passes the bytes only: " + strings.Join(parts, "; ") + ".\n"
}
