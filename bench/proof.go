package bench

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/rig"
	"github.com/spanwire/spanwire/loadtest"
	"github.com/spanwire/spanwire/loadtest/server"
)

// exchanges lists what the phases that go to the i-th upstream send, each once, with what must come back; address is the upstream's. A
// scenario without phases is proven with the small body.
func (s Scenario) exchanges(i int, address string) (all []rig.Exchange) {
	for _, phase := range s.Phases {
		if phase.Upstream != i {
			continue
		}
		x := s.exchange(phase, address)
		if !slices.ContainsFunc(all, func(y rig.Exchange) bool { return reflect.DeepEqual(x, y) }) {
			all = append(all, x)
		}
	}
	if len(s.Phases) == 0 {
		all = append(all, s.exchange(Phase{Path: peer.PathSmall}, address))
	}
	return all
}

// exchange is the phase's request, as spanload makes it of the same arguments, and the answer that its upstream makes of its own.
func (s Scenario) exchange(phase Phase, address string) rig.Exchange {
	x := rig.Exchange{Method: http.MethodGet, Path: phase.Path}
	if method, ok := argument(phase.Load, "--method"); ok {
		x.Method = method
	}
	for i, arg := range phase.Load {
		if arg == "--header" && i+1 < len(phase.Load) {
			name, value, _ := strings.Cut(phase.Load[i+1], ":")
			x.Headers = append(x.Headers, loadtest.Header{Name: name, Value: strings.TrimSpace(value)})
		}
	}
	defaults := loadtest.DefaultConfig("")
	if size := size(phase.Load); size > 0 {
		x.Body = loadtest.RandomBytes(defaults.Seed, size)
	}
	if len(s.Upstreams) == 0 {
		x.Answer = peer.Body(phase.Path)
		return x
	}
	args := s.Upstreams[phase.Upstream].Args
	switch {
	case s.Upstreams[phase.Upstream].TCP:
		return rig.Exchange{Echo: true, Body: x.Body}
	case phase.Path == server.PathEvents:
		x.Events = server.DefaultEvents
		if n, ok := argument(args, "--events"); ok {
			x.Events = number(n)
		}
	default:
		x.Answer, x.Hashed = loadtest.RandomBytes(0, size(args)), true
	}
	if len(x.Body) > 0 {
		x.Upstream = address
	}
	return x
}

// argument returns the value of a flag in arguments of spanload.
func argument(args []string, flag string) (string, bool) {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1], true
	}
	return "", false
}

// size is the value of --body-size; 0 = none.
func size(args []string) int {
	if value, ok := argument(args, "--body-size"); ok {
		return number(value)
	}
	return 0
}

// number reads a number of a declaration.
func number(value string) int {
	n, err := strconv.Atoi(value)
	if err != nil {
		panic("BUG: a scenario's argument: " + err.Error())
	}
	return n
}

// proveAll proves exchanges one after the other and returns how many held.
func proveAll(ctx context.Context, address string, all []rig.Exchange) (held int64, err error) {
	for _, x := range all {
		if err := x.Prove(ctx, address); err != nil {
			return held, err
		}
		held++
	}
	return held, nil
}

// proveCell proves that the scenario's requests are answered right through the peer, and measures nothing.
func proveCell(ctx context.Context, r *rig.Rig, c Cell, o Options) error {
	if c.Scenario.measure != nil {
		proxy, err := r.StartPeer(ctx, c.Peer, rig.Setup{Service: c.Scenario.Name})
		if err != nil {
			return fmt.Errorf("proof: %w", err)
		}
		r.Stop(proxy)
		return nil
	}
	_, stop, err := place(ctx, r, c, o)
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	stop()
	return nil
}
