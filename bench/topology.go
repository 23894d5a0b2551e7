package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/internal/port"
)

// placed is a running arrangement of proxies.
type placed struct {
	// entries are where clients go, by index of the scenario's upstreams.
	entries []string
	proxies []*rig.Running
	// checkSpans is how many spans the checks before the measurement have made, if every request is traced.
	checkSpans int64
	services   []*proc.Process // that are no proxies: stopped with them
	// spans is how many each request makes; 0 = none, or by chance. lossy: some are lost on purpose.
	spans float64
	lossy bool
}

// topology starts an arrangement; upstreams are the addresses of the scenario's servers.
type topology func(ctx context.Context, r *rig.Rig, p peer.Peer, s Scenario, upstreams []string, o Options) (*placed, error)

// stop ends the proxies and services.
func (t *placed) stop(r *rig.Rig) {
	for _, p := range t.proxies {
		r.Stop(p)
	}
	for _, p := range t.services {
		r.Group.Stop(p)
	}
}

// usage sums up what the proxies use.
func (t *placed) usage() (total proc.Usage, err error) {
	for _, p := range t.proxies {
		if p.Process == nil {
			continue
		}
		u, err := p.Process.Usage()
		if err != nil {
			return total, err
		}
		total = total.Add(u)
	}
	return total, nil
}

// startSingle places one proxy with a listener for each upstream.
func startSingle(ctx context.Context, r *rig.Rig, p peer.Peer, s Scenario, upstreams []string, _ Options) (*placed, error) {
	setup := rig.Setup{Service: s.Name, Check: s.check(0)}
	for _, u := range upstreams {
		setup.Routes = append(setup.Routes, peer.Route{Upstream: u})
	}
	if p.Tool == "" {
		return &placed{entries: upstreams}, s.checkAll(ctx, upstreams)
	}
	proxy, err := r.StartPeer(ctx, p, setup)
	if err != nil {
		return nil, err
	}
	t := &placed{proxies: []*rig.Running{proxy}, checkSpans: proxy.Checks}
	for _, route := range proxy.Wiring.Routes {
		t.entries = append(t.entries, route.Listen)
	}
	if err := s.checkAll(ctx, t.entries[1:], 1); err != nil {
		t.stop(r)
		return nil, err
	}
	t.checkSpans += int64(len(t.entries) - 1)
	return t, nil
}

// checkAll proves that every entry answers right; from is the index of the first of them among the scenario's upstreams.
func (s Scenario) checkAll(ctx context.Context, entries []string, from ...int) error {
	first := 0
	if len(from) > 0 {
		first = from[0]
	}
	for i, address := range entries {
		if err := s.check(first+i)(ctx, address); err != nil {
			return err
		}
	}
	return nil
}

// check returns the proof that what is reached through the i-th entry answers right.
func (s Scenario) check(i int) func(ctx context.Context, address string) error {
	switch {
	case len(s.Upstreams) == 0:
		return func(ctx context.Context, address string) error {
			return rig.CheckAnswer(ctx, address, peer.PathSmall, peer.SmallBody())
		}
	case s.Upstreams[i].TCP:
		return rig.CheckEcho
	}
	path := "/"
	if j := slices.IndexFunc(s.Phases, func(p Phase) bool { return p.Upstream == i }); j >= 0 {
		path = s.Phases[j].Path
	}
	return func(ctx context.Context, address string) error { return rig.CheckHashed(ctx, address, path) }
}

// startUpstreams starts the scenario's servers, on the client's processors. With none the nginx is the upstream.
func startUpstreams(ctx context.Context, r *rig.Rig, s Scenario) (addresses []string, started []*proc.Process, err error) {
	if len(s.Upstreams) == 0 {
		return []string{r.Upstream}, nil, nil
	}
	for i, u := range s.Upstreams {
		address, p, err := r.StartServer(ctx, "server-"+s.Name+"-"+strconv.Itoa(i), u.Args, s.check(i))
		if err != nil {
			for _, p := range started {
				r.Group.Stop(p)
			}
			return nil, nil, fmt.Errorf("upstream of %s: %w", s.Name, err)
		}
		addresses, started = append(addresses, address), append(started, p)
	}
	return addresses, started, nil
}

// meshServices is the number of services in the mesh.
const meshServices = 3

// startMesh places a chain of services, each with a sidecar that its inbound and outbound traffic passes:
//
//	client → [in] frontend [out] → [in] cart [out] → [in] pricing [out] → upstream
//
// With the peer that is no proxy the services talk to each other.
func startMesh(ctx context.Context, r *rig.Rig, p peer.Peer, s Scenario, upstreams []string, o Options) (_ *placed, err error) {
	t := &placed{}
	defer func() {
		if err != nil {
			t.stop(r)
		}
	}()
	next := upstreams[0]
	names := [meshServices]string{"frontend", "cart", "pricing"}
	for i := meshServices - 1; i >= 0; i-- { // from the end: each then answers as soon as it runs
		outbound := next
		if p.Tool != "" {
			if outbound, err = port.Free("127.0.0.1"); err != nil {
				return nil, err
			}
		}
		service, running, err := startHop(ctx, r, o, names[i], outbound)
		if err != nil {
			return nil, err
		}
		t.services = append(t.services, running)
		if next = service; p.Tool == "" {
			continue
		}
		behind := int64(2 * (meshServices - 1 - i))
		proxy, err := r.StartPeer(ctx, p, rig.Setup{Service: names[i], Check: s.check(0), Routes: []peer.Route{
			{Upstream: service}, {Listen: outbound, Upstream: nextOf(t, upstreams[0]), Outbound: true},
		}})
		if err != nil {
			return nil, err
		}
		t.proxies = append(t.proxies, proxy)
		t.checkSpans += proxy.Checks * (behind + 2)
		next = proxy.Address()
	}
	t.entries = []string{next}
	t.checkSpans += int64(2 * len(t.proxies))
	return t, s.check(0)(ctx, next)
}

// nextOf returns where the outbound traffic of the service that is being placed goes: the sidecar placed last, or the upstream.
func nextOf(t *placed, upstream string) string {
	if len(t.proxies) == 0 {
		return upstream
	}
	return t.proxies[len(t.proxies)-1].Address()
}

// startHop starts a service that passes on what it is asked.
func startHop(ctx context.Context, r *rig.Rig, o Options, name, next string) (string, *proc.Process, error) {
	address, err := port.Free("127.0.0.1")
	if err != nil {
		return "", nil, err
	}
	args := slices.Concat(o.HopCommand[1:], []string{"--listen", address, "--next", next})
	p, err := r.StartHelper(ctx, "service-"+name, o.HopCommand[0], args, address)
	return address, p, err
}
