package bench

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/bench/stats"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// Quantities of results.json; docs/benchmarks.md describes each.
const (
	QCPU         = "cpu_us_per_request"
	QUser        = "user_us_per_request"
	QSystem      = "system_us_per_request"
	QCPUPerGiB   = "cpu_s_per_gib"
	QMachine     = "machine_us_per_request"
	QProcesses   = "processes_us_per_request"
	QBusy        = "proxy_busy_percent"
	QForeign     = "foreign_cpu_percent"
	QRate        = "requests_per_s"
	QP50         = "p50_us"
	QP90         = "p90_us"
	QP99         = "p99_us"
	QP999        = "p99_9_us"
	QSamples     = "latency_samples"
	QErrors      = "errors"
	QRSS         = "rss_mb"
	QPeak        = "peak_rss_mb"
	QSpans       = "spans_per_request"
	QSpansMissed = "spans_missing"
	QArrived     = "spans_arrived_per_request"
	QIdleCPU     = "idle_cpu_percent"
	QWakeups     = "wakeups_per_s"
	QThreads     = "threads"
	QFDs         = "descriptors"
	QReady       = "ready_ms"
)

// PhaseRun is one run of one phase.
type PhaseRun struct {
	Phase  string
	Values map[string]float64
	// Histogram is the distribution of the latencies, as spanload writes it (hdr_v2); empty = the phase tells none.
	Histogram string
	// Notes say what weakens the run; an empty list = nothing.
	Notes []string
}

// note adds a note.
func (p *PhaseRun) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// runCell measures one cell once.
func runCell(ctx context.Context, r *rig.Rig, c Cell, o Options) ([]PhaseRun, error) {
	if c.Scenario.measure != nil {
		return c.Scenario.measure(ctx, r, c.Peer, o)
	}
	if err := r.SetSinkMode(ctx, sink.Healthy); err != nil {
		return nil, err
	}
	before, err := r.Counts(ctx)
	if err != nil {
		return nil, err
	}
	t, stop, err := place(ctx, r, c, o)
	if err != nil {
		return nil, err
	}
	defer stop()
	if c.Peer.Share == 1 {
		t.spans, t.lossy = float64(c.Scenario.traversals()), c.Scenario.Lossy
	}
	runs, sent, err := runPhases(ctx, r, c.Scenario, t, o)
	if err != nil {
		return nil, err
	}
	if c.Peer.Spans != peer.None && !c.Peer.Ours() {
		// Envoy does not send what it still holds when it ends, which is no part of what is measured here.
		if _, err := r.AwaitSpans(ctx, before.Spans+sent*int64(c.Scenario.traversals())+t.checkSpans); err != nil {
			return nil, err
		}
	}
	t.stop(r) // a sidecar sends its last spans
	if c.Peer.Spans != peer.None {
		err = countSpans(ctx, r, c, &runs[len(runs)-1], before.Spans, sent, t.checkSpans)
	}
	return runs, err
}

// runPhases runs the phases one after the other; sent is the number of requests of all.
func runPhases(ctx context.Context, r *rig.Rig, s Scenario, t *placed, o Options) (runs []PhaseRun, sent int64, err error) {
	mode := sink.Healthy
	for i, phase := range s.Phases {
		wanted := phase.Collector
		if wanted == "" {
			wanted = sink.Healthy
		}
		if wanted != mode {
			if err := r.SetSinkMode(ctx, wanted); err != nil {
				return nil, 0, err
			}
			mode = wanted
		}
		warm := time.Duration(0)
		if i == 0 {
			warm = warmup
		}
		run, n, err := runPhase(ctx, r, phase, t, warm, phase.length(o))
		if err != nil {
			return nil, 0, fmt.Errorf("phase %s: %w", phase.Name, err)
		}
		runs, sent = append(runs, run), sent+n
	}
	if mode != sink.Healthy {
		return runs, sent, r.SetSinkMode(ctx, sink.Healthy)
	}
	return runs, sent, nil
}

// runPhase runs spanload through one phase and reads what the proxies and the machine used meanwhile, its warm-up included: what is
// divided by is all requests.
func runPhase(ctx context.Context, r *rig.Rig, phase Phase, t *placed, warm, measure time.Duration) (PhaseRun, int64, error) {
	run := PhaseRun{Phase: phase.Name, Values: map[string]float64{}}
	url := t.entries[phase.Upstream]
	spans, err := r.Counts(ctx)
	if err != nil {
		return run, 0, err
	}
	if phase.Path != "" {
		url = "http://" + url + phase.Path
	}
	watch, err := rig.WatchForeign()
	if err != nil {
		return run, 0, err
	}
	before, err := t.read()
	if err != nil {
		return run, 0, err
	}
	result, err := r.Load(ctx, url, warm, measure, phase.Load)
	if err != nil {
		return run, 0, err
	}
	held, err := t.usage() // memory is that under load, and so is how busy the proxies are
	loaded := time.Since(before.at)
	if err != nil {
		return run, 0, err
	}
	if run.Values[QForeign], err = watch.Percent(); err != nil {
		return run, 0, err
	}
	if result.Requests.Sent == 0 {
		return run, 0, fmt.Errorf("%w: no request was sent: %s", rig.ErrWrong, result.FirstError)
	}
	arrived, err := t.settle(ctx, r, spans.Spans, result.Requests.Sent)
	if err != nil {
		return run, 0, err
	}
	after, err := t.read()
	if err != nil {
		return run, 0, err
	}
	run.take(phase, result)
	run.takeUse(phase, result, before, held, after)
	if processors := t.processors(r); processors > 0 {
		run.Values[QBusy] = 100 * float64(held.CPU-before.proxies.CPU) / float64(loaded) / float64(processors)
	}
	if t.lossy {
		run.Values[QArrived] = float64(arrived-spans.Spans) / float64(result.Requests.Sent)
	}
	return run, result.Requests.Sent, nil
}

// settle waits until the proxies have sent the spans of a phase's requests, so that the CPU of spans that were still held as its last
// answer came is counted with it. Only where all requests are traced and no span is lost on purpose; it returns how many have come.
func (t *placed) settle(ctx context.Context, r *rig.Rig, before, sent int64) (int64, error) {
	if t.spans == 0 || t.lossy {
		counts, err := r.Counts(ctx)
		return counts.Spans, err
	}
	counts, err := r.AwaitSpans(ctx, before+int64(math.Floor(t.spans*float64(sent))))
	return counts.Spans, err
}

// countSpans compares the spans that the collector has with the requests; it notes a loss in the last phase, where the account of
// the whole cell stands.
func countSpans(ctx context.Context, r *rig.Rig, c Cell, last *PhaseRun, before, sent, checks int64) error {
	perRequest := float64(c.Scenario.traversals())
	want := sent*int64(c.Scenario.traversals()) + checks
	least := want
	if c.Peer.Share < 1 {
		least = 0 // sampled by chance
	}
	counts, err := r.AwaitSpans(ctx, before+least)
	if err != nil {
		return err
	}
	got := counts.Spans - before
	last.Values[QSpans] = float64(got) / (float64(want) / perRequest)
	if c.Peer.Share < 1 {
		return nil
	}
	missing := want - got
	last.Values[QSpansMissed] = math.Abs(float64(missing))
	switch {
	case missing == 0:
	case c.Scenario.Lossy && missing < 0:
		last.note("%d more than %d spans arrived: sent again after the collector had taken them and was cut off before its answer", -missing, want)
	case c.Scenario.Lossy:
		last.note("%d of %d spans did not arrive, as may happen here", missing, want)
	case missing > 0:
		last.note(markLost+": %d of %d did not arrive, so its cost is understated", missing, want)
	default:
		last.note(markExtra+": %d more than %d arrived", -missing, want)
	}
	return nil
}

// restSettle is how long a proxy may take to come to rest after its start.
const restSettle = 2 * time.Second

// measureRest starts the proxy several times, for the time until it is ready, and watches the last one without traffic.
func measureRest(ctx context.Context, r *rig.Rig, p peer.Peer, o Options) ([]PhaseRun, error) {
	run := PhaseRun{Phase: PhaseRest, Values: map[string]float64{}}
	starts := restStarts
	if o.Quick {
		starts = restQuickStarts
	}
	ready := make([]float64, 0, starts)
	var proxy *rig.Running
	for range starts {
		if proxy != nil {
			r.Stop(proxy)
		}
		var err error
		if proxy, err = r.StartPeer(ctx, p, rig.Setup{Service: ScenarioRest}); err != nil {
			return nil, err
		}
		ready = append(ready, proxy.Ready.Seconds()*1000)
	}
	defer r.Stop(proxy)
	watch := restWatch
	if o.Short > 0 {
		watch = o.Short
	} else if err := rig.Sleep(ctx, restSettle); err != nil {
		return nil, err
	}
	start := time.Now()
	before, err := proxy.Process.Usage()
	if err != nil {
		return nil, err
	}
	if err := rig.Sleep(ctx, watch); err != nil {
		return nil, err
	}
	after, err := proxy.Process.Usage()
	if err != nil {
		return nil, err
	}
	used, took := after.Sub(before), time.Since(start).Seconds()
	v := run.Values
	v[QReady] = stats.Median(ready)
	v[QIdleCPU], v[QWakeups] = 100*used.CPU.Seconds()/took, float64(used.Wakeups)/took
	v[QRSS], v[QPeak] = float64(after.RSS)/1e6, float64(after.PeakRSS)/1e6
	v[QThreads], v[QFDs] = float64(after.Threads), float64(after.Descriptors)
	return []PhaseRun{run}, nil
}
