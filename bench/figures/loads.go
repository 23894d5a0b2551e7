package figures

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// Names of loads.
const (
	keep32    = "keepalive-32"
	keep256   = "keepalive-256"
	closing   = "one-per-connection"
	bulk1M    = "bulk-1m"
	bulk64K   = "bulk-64k"
	sessions  = "sessions"
	idle      = "idle"
	fullLoad  = "full-load"
	collector = "collector"
)

// values are what one measurement yields, by quantity.
type values map[string]float64

// load is something that peers are put through.
type load struct {
	name, title string
	// beside are peers measured for comparison when the load is measured at all, figure or not.
	beside []string
	// once: more runs than one tell nothing more.
	once bool
	// takes estimates the time of one run.
	takes func(o Options) time.Duration
	run   func(ctx context.Context, r *rig.Rig, o Options, p peer.Peer) (values, error)
}

// bulkConnections is how many connections fetch large bodies: enough to keep the proxy busy, few enough for its buffers to stay
// in the processor's caches as they would in use.
const bulkConnections = 8

// loads returns the loads in the order in which they run.
func loads() []load {
	return []load{
		wrkLoad(keep32, "about 200 bytes, keep-alive, 32 connections", rig.WrkLoad{Connections: 32, Path: peer.PathSmall}, 0, peer.NginxStream),
		wrkLoad(keep256, "about 200 bytes, keep-alive, 256 connections", rig.WrkLoad{Connections: 256, Path: peer.PathSmall}, 0,
			peer.NginxStream),
		wrkLoad(closing, "one connection per request, 32 at a time", rig.WrkLoad{Connections: 32, Path: peer.PathSmall, Close: true}, 0),
		wrkLoad(bulk1M, "bodies of 1 MiB", rig.WrkLoad{Connections: bulkConnections, Path: peer.Path1M}, peer.MiB, peer.NginxStream),
		wrkLoad(bulk64K, "bodies of 64 KiB", rig.WrkLoad{Connections: bulkConnections, Path: peer.Path64K}, peer.KiB64, peer.NginxStream),
		{name: sessions, title: "memory, idle and with sessions that have served a request", beside: []string{peer.HAProxyHTTP, peer.HAProxyTCP},
			takes: func(Options) time.Duration { return 8 * time.Second }, run: runSessions},
		{name: idle, title: "CPU of a proxy without traffic", beside: []string{peer.HAProxyHTTP}, once: true,
			takes: func(o Options) time.Duration { return o.Idle + 3*time.Second }, run: runIdle},
		{name: fullLoad, title: "spans at full load, 256 connections", once: true,
			takes: func(o Options) time.Duration { return o.FullLoad + 4*time.Second }, run: runFullLoad},
		{name: collector, title: "rate with and without a collector, 32 connections",
			takes: func(o Options) time.Duration { return 3 * (o.Warmup + o.Measure + 4*time.Second) }, run: runCollector},
	}
}

// wrkLoad declares a load by wrk; bodyBytes, when not 0, makes CPU count per GiB of bodies.
func wrkLoad(name, title string, l rig.WrkLoad, bodyBytes int64, beside ...string) load {
	return load{
		name: name, title: title, beside: beside,
		takes: func(o Options) time.Duration { return o.Warmup + o.Measure + 500*time.Millisecond },
		run: func(ctx context.Context, r *rig.Rig, o Options, p peer.Peer) (values, error) {
			return runWrk(ctx, r, o, p, l, bodyBytes)
		},
	}
}

// runWrk measures the CPU of a proxy under a closed loop.
func runWrk(ctx context.Context, r *rig.Rig, o Options, p peer.Peer, l rig.WrkLoad, bodyBytes int64) (values, error) {
	before, err := r.Counts(ctx)
	if err != nil {
		return nil, err
	}
	proxy, err := r.StartPeer(ctx, p, rig.Setup{})
	if err != nil {
		return nil, err
	}
	defer func() {
		r.Stop(proxy)
		_ = os.Remove(filepath.Join(proxy.Wiring.Dir, peer.AccessLog)) // some 300 bytes a request, of which most peers write none
	}()
	known := int64(1) // requests answered: the one that found it ready
	if body := peer.Body(l.Path); l.Path != peer.PathSmall {
		if err := rig.CheckAnswer(ctx, proxy.Address(), l.Path, body); err != nil {
			return nil, err
		}
		known++
	}
	l.Duration = o.Warmup
	warm, err := r.Wrk(ctx, proxy.Address(), l)
	if err != nil {
		return nil, err
	}
	l.Duration = o.Measure
	result, used, others, err := underWrk(ctx, r, proxy, l)
	if err != nil {
		return nil, err
	}
	if errs := warm.Errors + result.Errors; errs > 0 {
		return nil, fmt.Errorf("wrk: %w: %d errors:\n%s%s", rig.ErrWrong, errs, warm.Output, result.Output)
	}
	n := float64(result.Requests)
	v := values{
		rate: result.Rate(), cpuPerRequest: micros(used.CPU) / n, userPerRequest: micros(used.User) / n, sysPerRequest: micros(used.System) / n,
		proxyBusy: 100 * used.CPU.Seconds() / result.Seconds, foreign: others,
	}
	if bodyBytes > 0 {
		v[cpuPerGiB] = used.CPU.Seconds() / (n * float64(bodyBytes) / (1 << 30))
	}
	if p.Spans != peer.None && p.Share == 1 {
		r.Stop(proxy) // flushes
		want := known + warm.Requests + result.Requests
		after, err := r.AwaitSpans(ctx, before.Spans+want)
		if err != nil {
			return nil, err
		}
		v[spansMissing] = float64(max(0, want-(after.Spans-before.Spans)))
	}
	return v, nil
}

// underWrk runs wrk and returns what the proxy used meanwhile, and what processes that are none of this measurement's did, in percent
// of one processor.
func underWrk(ctx context.Context, r *rig.Rig, proxy *rig.Running, l rig.WrkLoad) (result rig.WrkResult, used proc.Usage, others float64,
	err error) {
	watch, err := rig.WatchForeign()
	if err != nil {
		return result, used, 0, err
	}
	before, err := proxy.Process.Usage()
	if err != nil {
		return result, used, 0, err
	}
	if result, err = r.Wrk(ctx, proxy.Address(), l); err != nil {
		return result, used, 0, err
	}
	after, err := proxy.Process.Usage()
	if err != nil {
		return result, used, 0, err
	}
	others, err = watch.Percent()
	return result, after.Sub(before), others, err
}

// micros is a duration in microseconds.
func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// runSessions measures memory: idle, and what each session that has served a request adds.
func runSessions(ctx context.Context, r *rig.Rig, o Options, p peer.Peer) (values, error) {
	proxy, err := r.StartPeer(ctx, p, rig.Setup{})
	if err != nil {
		return nil, err
	}
	defer r.Stop(proxy)
	before, err := rig.SettledUsage(ctx, proxy.Process)
	if err != nil {
		return nil, err
	}
	held, err := rig.OpenSessions(ctx, proxy.Address(), peer.PathSmall, o.Sessions)
	if err != nil {
		return nil, err
	}
	defer held.Close()
	after, err := rig.SettledUsage(ctx, proxy.Process)
	if err != nil {
		return nil, err
	}
	return values{
		idleMB: float64(before.RSS) / 1e6, sessionBytes: float64(after.RSS-before.RSS) / float64(o.Sessions),
		"threads": float64(after.Threads), "descriptors": float64(after.Descriptors),
	}, nil
}

// idleSettle is how long a proxy may take to come to rest after its start.
const idleSettle = 2 * time.Second

// runIdle measures the CPU of a proxy that has nothing to do.
func runIdle(ctx context.Context, r *rig.Rig, o Options, p peer.Peer) (values, error) {
	proxy, err := r.StartPeer(ctx, p, rig.Setup{})
	if err != nil {
		return nil, err
	}
	defer r.Stop(proxy)
	if err := rig.Sleep(ctx, idleSettle); err != nil {
		return nil, err
	}
	start := time.Now()
	before, err := proxy.Process.Usage()
	if err != nil {
		return nil, err
	}
	if err := rig.Sleep(ctx, o.Idle); err != nil {
		return nil, err
	}
	after, err := proxy.Process.Usage()
	if err != nil {
		return nil, err
	}
	used, took := after.Sub(before), time.Since(start).Seconds()
	return values{idleCPU: 100 * used.CPU.Seconds() / took, idleWakeups: float64(used.Wakeups) / took}, nil
}

// runFullLoad compares the spans that the collector has with the requests that entered: those that the upstream counted, which
// is all that the proxy passed on, whether wrk waited for the answer or not. At most one request per connection is in flight
// when wrk ends, so more spans than its answers and its connections are too many.
func runFullLoad(ctx context.Context, r *rig.Rig, o Options, p peer.Peer) (values, error) {
	before, err := r.Counts(ctx)
	if err != nil {
		return nil, err
	}
	proxy, err := r.StartPeer(ctx, p, rig.Setup{})
	if err != nil {
		return nil, err
	}
	defer r.Stop(proxy)
	// The request that found it ready has a span as well: it is let through before anything is counted.
	if before, err = r.AwaitSpans(ctx, before.Spans+1); err != nil {
		return nil, err
	}
	enteredBefore, err := r.UpstreamRequests(ctx)
	if err != nil {
		return nil, err
	}
	const connections = 256
	result, err := r.Wrk(ctx, proxy.Address(), rig.WrkLoad{Connections: connections, Path: peer.PathSmall, Duration: o.FullLoad})
	if err != nil {
		return nil, err
	}
	r.Stop(proxy)
	enteredAfter, err := r.UpstreamRequests(ctx)
	if err != nil {
		return nil, err
	}
	entered := enteredAfter - enteredBefore - 1 // less the second question
	after, err := r.AwaitSpans(ctx, before.Spans+entered)
	if err != nil {
		return nil, err
	}
	got := after.Spans - before.Spans
	return values{
		requests: float64(entered), spans: float64(got), rate: result.Rate(),
		notOne: float64(max(0, entered-got) + max(0, got-max(entered, result.Requests+connections))),
	}, nil
}

// runCollector measures the rate with the collector healthy, refusing connections, and taking them without an answer.
func runCollector(ctx context.Context, r *rig.Rig, o Options, p peer.Peer) (values, error) {
	v := values{}
	err := withCollector(ctx, r, o, p, v, rateHealthy, "")
	if err != nil {
		return nil, err
	}
	if err := r.SetSinkMode(ctx, sink.Dead); err != nil {
		return nil, err
	}
	err = withCollector(ctx, r, o, p, v, rateGone, droppedGone)
	// Also when ctx has ended: the next measurement needs a healthy one.
	restore, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if restored := r.SetSinkMode(restore, sink.Healthy); err == nil {
		err = restored
	}
	if err != nil {
		return nil, err
	}
	if err := r.HoldSink(); err != nil {
		return nil, err
	}
	err = withCollector(ctx, r, o, p, v, rateHung, droppedHung)
	if released := r.ReleaseSink(); err == nil {
		err = released
	}
	return v, err
}

// withCollector measures the rate as things are, and the drops that the proxy counts, unless dropped is empty.
func withCollector(ctx context.Context, r *rig.Rig, o Options, p peer.Peer, v values, quantity, dropped string) error {
	proxy, err := r.StartPeer(ctx, p, rig.Setup{Admin: true})
	if err != nil {
		return err
	}
	defer r.Stop(proxy)
	l := rig.WrkLoad{Connections: 32, Path: peer.PathSmall, Duration: o.Warmup}
	if _, err := r.Wrk(ctx, proxy.Address(), l); err != nil {
		return err
	}
	l.Duration = o.Measure
	result, _, others, err := underWrk(ctx, r, proxy, l)
	if err != nil {
		return err
	}
	v[foreign] = max(v[foreign], others)
	if v[quantity] = result.Rate(); dropped == "" || proxy.Wiring.Admin == "" {
		return nil
	}
	v[dropped], err = rig.Metric(ctx, proxy.Wiring.Admin, "spanwire_spans_dropped_total")
	return err
}
