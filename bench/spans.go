package bench

import "github.com/spanwire/spanwire/bench/peer"

// SpanAccount says in how many runs of ours that trace every request, where none may be lost, spans were compared with requests, in how many
// cells, and which of these did not have exactly one for each request and traversal.
func (r *Result) SpanAccount() (cells, runs int, lost []string) {
	for _, c := range r.Cells {
		p, err := peer.ByName(c.Peer)
		counted := c.Values[QSpansMissed].Runs
		if err != nil || !p.Ours() || lossy(c.Scenario) || len(counted) == 0 {
			continue
		}
		cells, runs = cells+1, runs+len(counted)
		for _, missing := range counted {
			if missing != 0 {
				lost = append(lost, c.Scenario+"/"+c.Peer)
				break
			}
		}
	}
	return cells, runs, lost
}

// lossy reports whether the named scenario loses spans on purpose.
func lossy(name string) bool {
	for _, s := range Scenarios(DefaultIdle) {
		if s.Name == name {
			return s.Lossy
		}
	}
	return false
}
