package bench

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/bench/peer"
)

// pair is one thing that two results must have alike to be compared.
type pair struct {
	what string
	a, b any
}

// sameMethod says what differs in how two results were made.
func sameMethod(a, b *Result) error {
	pairs := []pair{
		{"schema", a.Schema, b.Schema},
		{"processor", a.Machine.CPU, b.Machine.CPU},
		{"number of cores", a.Machine.Cores, b.Machine.Cores},
		{"architecture", a.Machine.Arch, b.Machine.Arch},
		{"kernel", a.Machine.Kernel, b.Machine.Kernel},
		{"governor", a.Machine.Governor, b.Machine.Governor},
		{"quick", a.Method.Quick, b.Method.Quick},
		{"length of phases", a.Method.Short, b.Method.Short},
		{"warm-up", a.Method.Warmup, b.Method.Warmup},
		{"workers", a.Method.Workers, b.Method.Workers},
		{"pinning", a.Method.Pinning, b.Method.Pinning},
		{"client", a.Method.Client, b.Method.Client},
		{"version of the client", a.Versions[string(peer.Spanload)], b.Versions[string(peer.Spanload)]},
		{"version of the upstream", a.Versions[string(peer.Nginx)], b.Versions[string(peer.Nginx)]},
	}
	for _, s := range a.Scenarios {
		if i := slices.IndexFunc(b.Scenarios, func(t ScenarioInfo) bool { return t.Name == s.Name }); i >= 0 {
			t := b.Scenarios[i]
			pairs = append(pairs, pair{"traversals of " + s.Name, s.Traversals, t.Traversals}, pair{"scenario " + s.Name, s.Phases, t.Phases})
		}
	}
	for _, p := range a.Peers {
		if i := slices.IndexFunc(b.Peers, func(q PeerInfo) bool { return q.Name == p.Name }); i >= 0 {
			q := b.Peers[i]
			pairs = append(pairs, pair{"spans of " + p.Name, p.Spans, q.Spans}, pair{"share of " + p.Name, p.Share, q.Share})
		}
	}
	var differ []string
	for _, p := range pairs {
		if !reflect.DeepEqual(p.a, p.b) {
			differ = append(differ, fmt.Sprintf("%s (%v, %v)", p.what, p.a, p.b))
		}
	}
	if a.Partial {
		differ = append(differ, "the older is partial")
	}
	if b.Partial {
		differ = append(differ, "the newer is partial")
	}
	if len(differ) > 0 {
		return fmt.Errorf("%w: %s", ErrDifferent, strings.Join(differ, "; "))
	}
	return nil
}

// otherVersion reports whether the two results have the named peer in different versions. The sidecar's own differ as a rule: it is what is
// compared.
func otherVersion(a, b *Result, name string) bool {
	p, err := peer.ByName(name)
	return err == nil && p.Tool != "" && !p.Ours() && a.Versions[string(p.Tool)] != b.Versions[string(p.Tool)]
}
