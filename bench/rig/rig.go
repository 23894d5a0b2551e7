// Package rig sets a measurement up: an upstream, a span collector and one proxy between them and a client, each on the processors
// it is to have, each checked to answer right before anything is measured.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/internal/port"
)

// The package's errors.
var (
	// ErrWrong is wrapped when something answers other than it should.
	ErrWrong = errors.New("wrong answer")
	// ErrNotReady is wrapped when something does not answer in time.
	ErrNotReady = errors.New("not ready in time")
	// ErrOutput is wrapped when a tool's output cannot be read.
	ErrOutput = errors.New("unexpected output")
)

// Pinning says which processors run what.
type Pinning struct {
	// Proxy and Others are lists of processors; both empty = not pinned.
	Proxy  []int `json:"proxy"`
	Others []int `json:"others"`
}

// String describes it for reports.
func (p Pinning) String() string {
	if len(p.Proxy) == 0 {
		return "nothing pinned: the scheduler places all processes"
	}
	return fmt.Sprintf("the proxy alone on processors %v; client, upstream and collector share processors %v", p.Proxy, p.Others)
}

// DefaultPinning gives a proxy of one worker the last processor and everything else the others; nothing is pinned on a single one.
func DefaultPinning(cores int) Pinning { return PinningFor(cores, 1) }

// PinningFor gives a proxy the last processors, one for each worker, and everything else the others. Nothing is pinned when none would be
// left for these.
func PinningFor(cores, workers int) Pinning {
	if cores <= workers {
		return Pinning{}
	}
	p := Pinning{}
	for cpu := range cores {
		if cpu < cores-workers {
			p.Others = append(p.Others, cpu)
		} else {
			p.Proxy = append(p.Proxy, cpu)
		}
	}
	return p
}

// Rig is what the measurements of one run share. One goroutine uses it.
type Rig struct {
	Group   *proc.Group
	Tools   peer.Tools
	Pinning Pinning
	// Workers is how many event loops or worker threads a proxy gets.
	Workers int
	// Dir is the report's directory: configurations and logs go below it.
	Dir string

	Upstream string // host:port once StartUpstream has run
	sink     sinkAddresses
	started  map[string]int // how often each peer was started, for the names of processes
}

// New makes a rig whose files go below dir. Close must be called, whatever happens.
func New(dir string, tools peer.Tools, pinning Pinning) (*Rig, error) {
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		return nil, fmt.Errorf("report directory: %w", err)
	}
	if _, err := proc.RaiseFileLimit(); err != nil {
		return nil, err
	}
	return &Rig{
		Group: proc.NewGroup(filepath.Join(dir, "logs")), Tools: tools, Pinning: pinning, Workers: 1, Dir: dir, started: map[string]int{},
	}, nil
}

// Close ends every process that the rig has started.
func (r *Rig) Close() { r.Group.Close() }

// loopback is where everything listens.
const loopback = "127.0.0.1"

// readyTimeout is how long a process may take until it answers: Envoy takes a second on a busy machine.
const readyTimeout = 20 * time.Second

// pollInterval is the time between two looks at something that is awaited.
const pollInterval = 2 * time.Millisecond

// poll calls check until it returns nil, p ends, ctx ends, or limit is over.
func poll(ctx context.Context, p *proc.Process, limit time.Duration, check func() error) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		if ended := p.Err(); ended != nil {
			return ended
		}
		next := time.NewTimer(pollInterval)
		select {
		case <-ctx.Done():
			next.Stop()
			return ctx.Err()
		case <-deadline.C:
			next.Stop()
			return fmt.Errorf("%s: %w after %v: %w", p.Name, ErrNotReady, limit, err)
		case <-next.C:
		}
	}
}

// Sleep waits for d or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// StartUpstream starts the nginx that answers at once.
func (r *Rig) StartUpstream(ctx context.Context) (*proc.Process, error) {
	address, err := port.Free(loopback)
	if err != nil {
		return nil, err
	}
	p, err := peer.StartUpstream(r.Group, r.Tools, filepath.Join(r.Dir, "configurations", "upstream"), address, r.Pinning.Others)
	if err != nil {
		return nil, err
	}
	r.Upstream = address
	return p, poll(ctx, p, readyTimeout, func() error { return CheckAnswer(ctx, address, peer.PathSmall, peer.SmallBody()) })
}

// Running is a proxy under measurement; of the peer without a tool it has addresses only.
type Running struct {
	Peer    peer.Peer
	Process *proc.Process
	Wiring  peer.Wiring
	// Ready is the time from the start until it answered right.
	Ready time.Duration
	// Checks is how many requests it has answered meanwhile, right or wrong: each made a span, if it traces.
	Checks int64
}

// Address is where its first listener is: what a client talks to.
func (p *Running) Address() string { return p.Wiring.Routes[0].Listen }

// Setup says how a proxy is to be started.
type Setup struct {
	// Routes; a Listen that is empty gets a free port on 127.0.0.1. None = one inbound route to the rig's upstream.
	Routes []peer.Route
	// Service is the name that its spans carry; empty = bench.
	Service string
	// Admin: its metrics are wanted (ours only).
	Admin bool
	// Collector replaces the rig's sink as the place where spans go: host:port.
	Collector string
	// Check proves that it answers right at address; nil = GET / answers the upstream's small body.
	Check func(ctx context.Context, address string) error
	// Connections is how many client connections it must be able to hold; 0 = many.
	Connections int
}

// StartPeer starts a proxy and returns once it has answered right. The peer without a tool is the upstream itself.
func (r *Rig) StartPeer(ctx context.Context, p peer.Peer, s Setup) (*Running, error) {
	w, err := r.wire(p, s)
	if err != nil {
		return nil, err
	}
	running := &Running{Peer: p, Wiring: w}
	check := s.Check
	if check == nil {
		check = func(ctx context.Context, address string) error {
			return CheckAnswer(ctx, address, peer.PathSmall, peer.SmallBody())
		}
	}
	if p.Tool == "" {
		running.Wiring.Routes = []peer.Route{{Listen: w.Routes[0].Upstream}}
		return running, check(ctx, running.Address())
	}
	start := time.Now()
	running.Process, err = p.Start(r.Group, r.Tools, w, r.Pinning.Proxy)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, running.Process, readyTimeout, func() error {
		err := check(ctx, running.Address())
		if err == nil || errors.Is(err, ErrWrong) {
			running.Checks++
		}
		return err
	})
	running.Ready = time.Since(start)
	if err != nil {
		r.Group.Stop(running.Process)
		return nil, err
	}
	return running, nil
}

// wire fills in what a setup leaves open.
func (r *Rig) wire(p peer.Peer, s Setup) (peer.Wiring, error) {
	r.started[p.Name]++
	w := peer.Wiring{
		Name: p.Name + "-" + strconv.Itoa(r.started[p.Name]), Service: "bench", Sink: r.sink.spans, Workers: r.Workers,
		Connections: s.Connections, Routes: append([]peer.Route(nil), s.Routes...),
	}
	if s.Service != "" {
		w.Service = s.Service
	}
	if s.Collector != "" {
		w.Sink = s.Collector
	}
	// Ports differ from run to run; the last configuration of each peer stands for all.
	w.Dir = filepath.Join(r.Dir, "configurations", p.Name, w.Service)
	if len(w.Routes) == 0 {
		w.Routes = []peer.Route{{Upstream: r.Upstream}}
	}
	var err error
	for i := range w.Routes {
		if w.Routes[i].Listen == "" {
			if w.Routes[i].Listen, err = port.Free(loopback); err != nil {
				return w, err
			}
		}
	}
	if s.Admin && p.Ours() {
		w.Admin, err = port.Free(loopback)
	}
	return w, err
}

// Stop ends a proxy and waits until it is gone: a sidecar has then sent its last spans.
func (r *Rig) Stop(p *Running) {
	if p.Process != nil {
		r.Group.Stop(p.Process)
	}
}

// Foreign measures how much of the machine others use during a measurement.
type Foreign struct {
	steal  time.Duration
	others time.Duration
	begin  time.Time
}

// WatchForeign begins.
func WatchForeign() (Foreign, error) {
	machine, err := proc.ReadTimes()
	if err != nil {
		return Foreign{}, err
	}
	all, own, err := proc.ReadAll(os.Getpid())
	return Foreign{steal: machine.Steal, others: all - own, begin: time.Now()}, err
}

// Percent is the time that processes not started by this program, and the host of a virtual machine, have taken since then: in
// percent of one processor.
func (f Foreign) Percent() (float64, error) {
	now, err := WatchForeign()
	if err != nil {
		return 0, err
	}
	others := now.others - f.others + now.steal - f.steal
	return max(0, 100*others.Seconds()/now.begin.Sub(f.begin).Seconds()), nil
}
