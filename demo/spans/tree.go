package spans

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What can be wrong with the shape of a trace.
var (
	ErrNoRoot    = errors.New("no root span")
	ErrRoots     = errors.New("more than one root span")
	ErrOrphan    = errors.New("a span's parent is missing")
	ErrDuplicate = errors.New("one span id twice")
	ErrDetached  = errors.New("spans hang in a circle")
)

// Node is a span with its children, ordered by start.
type Node struct {
	Span
	Children []*Node
}

// Tree links the spans of one trace by their parent ids. Anything but exactly one root above every span is an error. The order of
// trace decides the order of siblings.
func Tree(trace []Span) (*Node, error) {
	nodes := make(map[string]*Node, len(trace))
	for _, s := range trace {
		if nodes[s.ID] != nil {
			return nil, fmt.Errorf("%w: %s", ErrDuplicate, s.ID)
		}
		nodes[s.ID] = &Node{Span: s}
	}
	var root *Node
	for _, s := range trace {
		n := nodes[s.ID]
		if s.ParentID == "" {
			if root != nil {
				return nil, fmt.Errorf("%w: %s %s and %s %s", ErrRoots, root.Kind, root.Service, n.Kind, n.Service)
			}
			root = n
			continue
		}
		parent := nodes[s.ParentID]
		if parent == nil {
			return nil, fmt.Errorf("%w: %s of %s %s", ErrOrphan, s.ParentID, s.Kind, s.Service)
		}
		parent.Children = append(parent.Children, n)
	}
	if root == nil {
		return nil, ErrNoRoot
	}
	if reached := root.count(); reached != len(trace) {
		return nil, fmt.Errorf("%w: %d of %d below the root", ErrDetached, reached, len(trace))
	}
	return root, nil
}

// count returns the number of spans at and below n.
func (n *Node) count() int {
	total := 1
	for _, c := range n.Children {
		total += c.count()
	}
	return total
}

// Outline writes the tree as text, two spaces of indent a level and one span a line: kind, service, operation, status and, for a
// failed span, "error". Siblings are ordered by their text, so that equal trees have equal outlines whatever ran first. Operations
// are lower case, as Zipkin keeps them.
func (n *Node) Outline() string {
	return strings.Join(n.lines(), "\n") + "\n"
}

// lines returns the outline of n, unindented.
func (n *Node) lines() []string {
	head := fmt.Sprintf("%s %s %s %s", n.Kind, n.Service, strings.ToLower(n.Name), n.Status())
	if n.Error() != "" {
		head += " error"
	}
	blocks := make([]string, 0, len(n.Children))
	for _, c := range n.Children {
		blocks = append(blocks, strings.Join(c.lines(), "\n"))
	}
	slices.Sort(blocks)
	out := []string{head}
	for _, block := range blocks {
		for line := range strings.SplitSeq(block, "\n") {
			out = append(out, "  "+line)
		}
	}
	return out
}
