package trace

import (
	"bytes"
	"slices"
	"strings"
)

// templates finds the template of a path in a tree of segments. It is made at the start and does not change.
//
// Where a path has several, the one that is concrete where they first differ wins (OpenAPI 3.1 §4.8.8.2: concrete paths before
// templated ones): plain segments before segments with a parameter in them, and these before parameters. A search visits each node
// once at most, so its time is bounded by the description, and in a description without overlaps by the path's segments.
type templates struct {
	based, bare *templateNode // below the servers' paths; as they stand in the description
}

// templateNode is what may follow a prefix of segments.
type templateNode struct {
	plain []plainEdge // sorted by text
	mixed []mixedEdge // those with most text first
	param *templateNode
	name  string // the template that ends here; "" = none
}

type plainEdge struct {
	text string
	to   *templateNode
}

// mixedEdge is a segment with parameters and other text: parts are what stands before, between and behind the parameters.
type mixedEdge struct {
	text  string
	parts [][]byte
	bytes int // of all parts
	to    *templateNode
}

// newTemplates builds the trees; nil when there is nothing in them. Every template begins with a slash, and its braces pair.
func newTemplates(based, bare []string) *templates {
	if len(based)+len(bare) == 0 {
		return nil
	}
	t := &templates{based: new(templateNode), bare: new(templateNode)}
	for _, x := range based {
		t.based.add(x)
	}
	for _, x := range bare {
		t.bare.add(x)
	}
	return t
}

// add enters a template. Of two that differ in the names of parameters only the first stays.
func (n *templateNode) add(template string) {
	for seg := range strings.SplitSeq(template[1:], "/") {
		n = n.child(seg)
	}
	if n.name == "" {
		n.name = template
	}
}

// child returns the node behind a segment, making it when there is none.
func (n *templateNode) child(seg string) *templateNode {
	open := strings.IndexByte(seg, '{')
	switch {
	case open < 0:
		i, found := slices.BinarySearchFunc(n.plain, seg, func(e plainEdge, s string) int { return strings.Compare(e.text, s) })
		if !found {
			n.plain = slices.Insert(n.plain, i, plainEdge{seg, new(templateNode)})
		}
		return n.plain[i].to
	case open == 0 && strings.IndexByte(seg, '}') == len(seg)-1:
		if n.param == nil {
			n.param = new(templateNode)
		}
		return n.param
	}
	m := mixedEdge{}
	for rest := seg; ; {
		before, behind, ok := strings.Cut(rest, "{")
		m.parts = append(m.parts, []byte(before))
		m.bytes += len(before)
		if !ok {
			break
		}
		_, rest, _ = strings.Cut(behind, "}")
	}
	m.text = string(bytes.Join(m.parts, []byte("{}")))
	for i := range n.mixed {
		if n.mixed[i].text == m.text {
			return n.mixed[i].to
		}
	}
	m.to = new(templateNode)
	n.mixed = append(n.mixed, m)
	slices.SortStableFunc(n.mixed, func(a, b mixedEdge) int { return b.bytes - a.bytes })
	return m.to
}

// find returns the template of a path, "" when it has none. A slash at the path's end may be left out.
func (t *templates) find(path []byte) string {
	if len(path) == 0 || path[0] != '/' {
		return ""
	}
	for _, root := range [...]*templateNode{t.based, t.bare} {
		if name := root.find(path[1:], true); name != "" {
			return name
		}
		if end := len(path) - 1; end > 0 && path[end] == '/' {
			if name := root.find(path[1:end], true); name != "" {
				return name
			}
		}
	}
	return ""
}

// find returns the template of the rest of a path; more is false when there are no segments left.
func (n *templateNode) find(rest []byte, more bool) string {
	if !more {
		return n.name
	}
	seg, rest, more := bytes.Cut(rest, slash)
	seg, _, _ = bytes.Cut(seg, semicolon) // parameters of the segment (RFC 3986 §3.3)
	if to := n.plainChild(seg); to != nil {
		if name := to.find(rest, more); name != "" {
			return name
		}
	}
	if len(seg) == 0 {
		return "" // a parameter is not empty
	}
	for i := range n.mixed {
		if n.mixed[i].match(seg) {
			if name := n.mixed[i].to.find(rest, more); name != "" {
				return name
			}
		}
	}
	if n.param != nil {
		return n.param.find(rest, more)
	}
	return ""
}

var slash = []byte{'/'}

// plainChild returns the node behind a plain segment, nil if there is none.
func (n *templateNode) plainChild(seg []byte) *templateNode {
	lo, hi := 0, len(n.plain)
	for lo < hi {
		mid := (lo + hi) / 2
		if n.plain[mid].text < string(seg) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(n.plain) && n.plain[lo].text == string(seg) {
		return n.plain[lo].to
	}
	return nil
}

// match reports whether the segment is as the edge says, with at least one byte for each parameter. It takes the leftmost place for
// each part: linear in the segment.
func (m *mixedEdge) match(seg []byte) bool {
	last := len(m.parts) - 1
	if !bytes.HasPrefix(seg, m.parts[0]) {
		return false
	}
	seg = seg[len(m.parts[0]):]
	for _, p := range m.parts[1:last] {
		if len(seg) == 0 {
			return false
		}
		i := bytes.Index(seg[1:], p)
		if i < 0 {
			return false
		}
		seg = seg[1+i+len(p):]
	}
	return len(seg) > len(m.parts[last]) && bytes.HasSuffix(seg, m.parts[last])
}
