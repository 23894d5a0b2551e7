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

// place starts the scenario's servers and proxies, each proven to answer the scenario's requests right; stop ends them all.
func place(ctx context.Context, r *rig.Rig, c Cell, o Options) (t *placed, stop func(), err error) {
	upstreams, servers, err := startUpstreams(ctx, r, c.Scenario)
	if err != nil {
		return nil, nil, err
	}
	start := c.Scenario.Topology
	if start == nil {
		start = startSingle
	}
	t, err = start(ctx, r, c.Peer, c.Scenario, upstreams, o)
	stopServers := func() {
		for _, p := range servers {
			r.Group.Stop(p)
		}
	}
	if err != nil {
		stopServers()
		return nil, nil, err
	}
	return t, func() { t.stop(r); stopServers() }, nil
}

// startSingle places one proxy with a listener for each upstream.
func startSingle(ctx context.Context, r *rig.Rig, p peer.Peer, s Scenario, upstreams []string, _ Options) (*placed, error) {
	t := &placed{entries: upstreams}
	first := s.exchanges(0, upstreams[0])
	if p.Tool != "" {
		setup := rig.Setup{Service: s.Name, Check: first[0].Prove}
		for _, u := range upstreams {
			setup.Routes = append(setup.Routes, peer.Route{Upstream: u})
		}
		proxy, err := r.StartPeer(ctx, p, setup)
		if err != nil {
			return nil, err
		}
		t = &placed{proxies: []*rig.Running{proxy}, checkSpans: proxy.Checks}
		for _, route := range proxy.Wiring.Routes {
			t.entries = append(t.entries, route.Listen)
		}
		first = first[1:] // proven as it became ready
	}
	for i, entry := range t.entries {
		left := first
		if i > 0 {
			left = s.exchanges(i, upstreams[i])
		}
		held, err := proveAll(ctx, entry, left)
		if err != nil {
			t.stop(r)
			return nil, err
		}
		t.checkSpans += held
	}
	return t, nil
}

// startUpstreams starts the scenario's servers, on the client's processors. With none the nginx is the upstream.
func startUpstreams(ctx context.Context, r *rig.Rig, s Scenario) (addresses []string, started []*proc.Process, err error) {
	if len(s.Upstreams) == 0 {
		return []string{r.Upstream}, nil, nil
	}
	for i, u := range s.Upstreams {
		address, p, err := r.StartServer(ctx, "server-"+s.Name+"-"+strconv.Itoa(i), u.Args, func(ctx context.Context, address string) error {
			_, err := proveAll(ctx, address, s.exchanges(i, address))
			return err
		})
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
	next, proofs := upstreams[0], s.exchanges(0, upstreams[0])
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
		proxy, err := r.StartPeer(ctx, p, rig.Setup{Service: names[i], Check: proofs[0].Prove, Routes: []peer.Route{
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
	held, err := proveAll(ctx, next, proofs)
	t.checkSpans += held * int64(2*len(t.proxies))
	return t, err
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
