package trace

import (
	"bytes"
	"strings"
)

// glob is a pattern in which * stands for anything, the empty string included. It is split at its stars, so that matching takes
// the leftmost place for each part in turn: linear in the text, whatever the pattern.
type glob struct {
	parts [][]byte // one: exact
}

func parseGlobs(texts []string) []glob {
	gs := make([]glob, 0, len(texts))
	for _, t := range texts {
		var g glob
		for _, p := range strings.Split(t, "*") {
			g.parts = append(g.parts, []byte(p))
		}
		gs = append(gs, g)
	}
	return gs
}

// match reports whether all of v is as the pattern says.
func (g *glob) match(v []byte) bool {
	first, last := g.parts[0], g.parts[len(g.parts)-1]
	if len(g.parts) == 1 {
		return bytes.Equal(v, first)
	}
	if !bytes.HasPrefix(v, first) {
		return false
	}
	v = v[len(first):]
	for _, p := range g.parts[1 : len(g.parts)-1] {
		i := bytes.Index(v, p)
		if i < 0 {
			return false
		}
		v = v[i+len(p):]
	}
	return bytes.HasSuffix(v, last)
}

func matchAny(gs []glob, v []byte) bool {
	for i := range gs {
		if gs[i].match(v) {
			return true
		}
	}
	return false
}

// ignored reports whether the request is to have no span.
func (t *Tracer) ignored(r *Request) bool {
	if len(t.s.ignorePaths) > 0 && matchAny(t.s.ignorePaths, r.Head.Path.In(r.Data)) {
		return true
	}
	return len(t.s.ignoreAgents) > 0 && t.seen.has(headUserAgent) && matchAny(t.s.ignoreAgents, t.value(headUserAgent, r))
}
