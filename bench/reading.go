package bench

import (
	"runtime"
	"strings"
	"time"

	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/loadtest"
)

// reading is what had been used at one moment.
type reading struct {
	at      time.Time
	proxies proc.Usage
	machine proc.Times
	// processes is the CPU of all processes but this one, those that have ended included.
	processes time.Duration
}

// read reads. The proxies come last: at the first of two readings what they use from then on is part of what the machine uses, and at the
// second they are at rest.
func (t *placed) read() (r reading, err error) {
	if r.machine, err = proc.ReadTimes(); err != nil {
		return r, err
	}
	if r.processes, err = proc.ReadOthers(); err != nil {
		return r, err
	}
	r.proxies, err = t.usage()
	r.at = time.Now()
	return r, err
}

// processors is how many the proxies have for themselves, or may keep busy when nothing is pinned; 0 without a proxy.
func (t *placed) processors(r *rig.Rig) int {
	switch {
	case len(t.proxies) == 0:
		return 0
	case len(r.Pinning.Proxy) > 0:
		return len(r.Pinning.Proxy)
	}
	return min(runtime.NumCPU(), r.Workers*len(t.proxies))
}

// take fills in what the client saw.
func (p *PhaseRun) take(phase Phase, result *loadtest.Result) {
	v := p.Values
	v[QRate], v[QErrors] = result.Rate, float64(result.Unexpected())
	latency := &result.Latency
	if result.EventLatency != nil {
		latency = result.EventLatency
	}
	if phase.Latency {
		p.Histogram = latency.Histogram
		v[QSamples] = float64(latency.Count)
		v[QP50], v[QP90], v[QP99], v[QP999] = us(latency.P50), us(latency.P90), us(latency.P99), us(latency.P999)
	}
	if !result.Valid {
		p.note(markInvalid+"%s", strings.Join(result.Reasons, "; "))
	}
	if wrong := result.Unexpected(); wrong > 0 {
		p.note("%d "+markUnexpected+"; first: %s", wrong, result.FirstError)
	}
	for _, warning := range result.Warnings {
		if !strings.HasPrefix(warning, "p99 and above") { // percentiles are judged over all runs
			p.note("%s", warning)
		}
	}
}

// takeUse fills in what it took: until the spans had left, memory as it was under load.
func (p *PhaseRun) takeUse(phase Phase, result *loadtest.Result, before reading, held proc.Usage, after reading) {
	n := float64(result.Requests.Sent)
	v := p.Values
	v[QMachine] = micros(after.machine.Sub(before.machine).Busy()) / n
	v[QProcesses] = micros(after.processes-before.processes) / n
	if after.proxies.Processes == 0 {
		return
	}
	used := after.proxies.Sub(before.proxies)
	v[QCPU], v[QUser], v[QSystem] = micros(used.CPU)/n, micros(used.User)/n, micros(used.System)/n
	v[QRSS], v[QPeak] = float64(held.RSS)/1e6, float64(held.PeakRSS)/1e6
	if crossed := float64(result.Bytes.Sent+result.Bytes.Received) / (1 << 30); phase.GiB && crossed > 0 {
		v[QCPUPerGiB] = used.CPU.Seconds() / crossed
	}
}

// micros is a duration in microseconds; us is one of nanoseconds.
func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
func us(ns int64) float64            { return float64(ns) / 1e3 }
