package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// What decides whether and how a Pod is injected must be read as kubectl reads it, or not at all: aliases are resolved or refused, a merge
// key that may bring such a value is refused, and booleans are those of YAML 1.1 (go.yaml.in/yaml/v2, resolve.go).

// anchored is what stands under an anchor.
type anchored struct {
	value ast.Node // nil for a name that is given twice: which of them an alias means depends on the order
	// keys are those of a mapping; unclear is true for what is none, and for one with a merge key of its own.
	keys    map[string]bool
	unclear bool
}

// findAnchors collects the anchors of a document.
func (d *document) findAnchors(body ast.Node) {
	d.anchors, d.ports = map[string]*anchored{}, map[*ast.SequenceNode][]declaredPort{}
	for n := range nodes(body) {
		a, ok := n.(*ast.AnchorNode)
		if !ok {
			continue
		}
		name := a.Name.GetToken().Value
		if d.anchors[name] != nil {
			d.anchors[name] = &anchored{unclear: true}
			continue
		}
		d.anchors[name] = anchoredAt(a.Value)
	}
}

func anchoredAt(n ast.Node) *anchored {
	x := &anchored{value: n, keys: map[string]bool{}}
	m := asMapping(n)
	if m == nil || mergeIn(m) != nil {
		x.unclear = true
		return x
	}
	for _, e := range m.Values {
		x.keys[keyText(e.Key)] = true
	}
	return x
}

// resolve returns what a node stands for: itself, or what its alias means; nil for an alias of nothing, or of one of two things.
func (d *document) resolve(n ast.Node) ast.Node {
	alias, ok := bare(n).(*ast.AliasNode)
	if !ok {
		return n
	}
	x := d.anchors[alias.Value.GetToken().Value]
	if x == nil || x.value == nil {
		return nil
	}
	if _, again := bare(x.value).(*ast.AliasNode); again {
		return nil
	}
	return x.value
}

// brings reports whether the value of a merge key has, or may have, the key.
func (d *document) brings(merged ast.Node, key string) bool {
	switch v := bare(merged).(type) {
	case *ast.AliasNode:
		x := d.anchors[v.Value.GetToken().Value]
		return x == nil || x.unclear || x.keys[key]
	case *ast.MappingNode:
		e, _ := entryAt(v, key)
		return e != nil || mergeIn(v) != nil
	case *ast.SequenceNode:
		return slices.ContainsFunc(v.Values, func(n ast.Node) bool {
			if _, nested := bare(n).(*ast.SequenceNode); nested {
				return true
			}
			return d.brings(n, key)
		})
	}
	return true
}

// find returns the value of a key as it is written, nil when it is absent. A merge key that brings it is refused, unless it stands before
// the key itself: those after it win for kubectl, against YAML's definition of them.
func (d *document) find(m *ast.MappingNode, key string) (value ast.Node, err error) {
	if m == nil {
		return nil, nil
	}
	if err := d.plainKeys(m); err != nil {
		return nil, err
	}
	entry, at := entryAt(m, key)
	for i, e := range m.Values {
		if _, ok := e.Key.(*ast.MergeKeyNode); ok && i > at && d.brings(e.Value, key) {
			return nil, d.at(e.Key, "a merge key where %q is looked for: write it out", key)
		}
	}
	if entry == nil {
		return nil, nil
	}
	return entry.Value, nil
}

// plainKeys refuses keys that say less than they are: "? key", and those with an anchor, an alias or a tag.
func (d *document) plainKeys(m *ast.MappingNode) error {
	for _, e := range m.Values {
		if !plainKey(e.Key) {
			return d.at(e.Key, "a key with a question mark, an anchor, an alias or a tag: write it plainly")
		}
	}
	return nil
}

func plainKey(key ast.Node) bool {
	switch key.(type) {
	case *ast.MappingKeyNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		return false
	}
	return true
}

// read is find with aliases resolved, for what is read only and never edited; nil also for null.
func (d *document) read(m *ast.MappingNode, key string) (value ast.Node, err error) {
	written, err := d.find(m, key)
	if written == nil || err != nil {
		return nil, err
	}
	if value = d.resolve(written); value == nil {
		return nil, d.at(written, "an alias for %q: write it out", key)
	}
	if empty(value) {
		return nil, nil
	}
	return value, nil
}

// readText returns the scalar at a key as text, "" when it is absent or no scalar.
func (d *document) readText(m *ast.MappingNode, key string) (string, error) {
	value, err := d.read(m, key)
	if err != nil {
		return "", err
	}
	s, _, err := d.scalar(value)
	return s, err
}

// scalar is scalarText; a tag that makes another text of it is an error.
func (d *document) scalar(n ast.Node) (s string, ok bool, err error) {
	if tag := foreign(n); tag != nil {
		return "", false, d.at(tag, "the tag %s on a text that is read: write it plainly", tag.Start.Value)
	}
	s, ok = scalarText(n)
	return s, ok, nil
}

// plainText returns a scalar without quotes as text.
func plainText(n ast.Node) (s string, ok bool) {
	if a, is := n.(*ast.AnchorNode); is {
		n = a.Value
	}
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, n.Token.Type == token.StringType
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// Words of YAML 1.1 for the two booleans, each also with a capital first letter or all in capitals.
const (
	yes = " y yes true on "
	no  = " n no false off "
)

// readBool returns a boolean, false when it is absent. An alias and whatever is no boolean to kubectl is an error.
func (d *document) readBool(m *ast.MappingNode, key string) (bool, error) {
	value, err := d.find(m, key)
	if err != nil || value == nil || empty(value) {
		return false, err
	}
	s, ok := plainText(value)
	lower := strings.ToLower(s)
	ok = ok && (s == lower || s == strings.ToUpper(s) || s[1:] == lower[1:])
	switch word := " " + lower + " "; {
	case ok && s != "" && strings.Contains(yes, word):
		return true, nil
	case ok && s != "" && strings.Contains(no, word):
		return false, nil
	}
	return false, d.at(value, "%s: want true or false, written here", key)
}

// readInt returns a whole number, absent when there is none. Numbers that YAML 1.1 and 1.2 read differently, such as 010, are refused, and so
// are aliases.
func (d *document) readInt(m *ast.MappingNode, key string, absent int) (int, error) {
	value, err := d.find(m, key)
	if err != nil || value == nil || empty(value) {
		return absent, err
	}
	s, ok := plainText(value)
	n, err := strconv.ParseInt(s, 10, 32)
	if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != s {
		return 0, d.at(value, "%s: want a whole number in decimal digits, written here", key)
	}
	return int(n), nil
}
