package inject

import (
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
)

// tree is what a document says, apart from how it is written. An edit is made twice, in the text and in the tree; that the new text
// says what the new tree does proves that the edit did what it should and nothing else.
type tree struct {
	form form
	// text is a scalar as it is written (string: its value), an anchor's, alias's or tag's name.
	text string
	// keys and items: a mapping has as many of both, a sequence has items, an anchor or a tag has one.
	keys  []string
	items []*tree
}

type form uint8

const (
	null   form = iota
	text        // a string
	plain       // a number, a boolean
	fields      // a mapping
	list        // a sequence
	anchor
	alias
	tag
)

// builder makes trees from nodes and remembers which became which.
type builder struct {
	of map[ast.Node]*tree
}

func (b *builder) build(n ast.Node) *tree {
	t := b.make(n)
	b.of[n] = t
	return t
}

func (b *builder) make(n ast.Node) *tree {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return &tree{}
	case *ast.StringNode:
		return &tree{form: text, text: n.Value}
	case *ast.LiteralNode:
		return &tree{form: text, text: n.Value.Value}
	case *ast.MappingNode:
		t := &tree{form: fields}
		for _, v := range n.Values {
			t.keys = append(t.keys, keyText(v.Key))
			t.items = append(t.items, b.build(v.Value))
		}
		return t
	case *ast.MappingValueNode:
		return &tree{form: fields, keys: []string{keyText(n.Key)}, items: []*tree{b.build(n.Value)}}
	case *ast.SequenceNode:
		t := &tree{form: list}
		for _, v := range n.Values {
			t.items = append(t.items, b.build(v))
		}
		return t
	case *ast.AnchorNode:
		return &tree{form: anchor, text: n.Name.GetToken().Value, items: []*tree{b.build(n.Value)}}
	case *ast.AliasNode:
		return &tree{form: alias, text: n.Value.GetToken().Value}
	case *ast.TagNode:
		return &tree{form: tag, text: n.Start.Value, items: []*tree{b.build(n.Value)}}
	}
	return &tree{form: plain, text: n.GetToken().Value}
}

// keyText returns a key of a mapping as text.
func keyText(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.MappingKeyNode:
		return "? " + keyText(n.Value)
	}
	return n.GetToken().Value
}

// equal reports whether two trees say the same, in the same order.
func (t *tree) equal(o *tree) bool {
	return t.form == o.form && t.text == o.text && slices.Equal(t.keys, o.keys) &&
		slices.EqualFunc(t.items, o.items, (*tree).equal)
}

// put inserts key: value into a mapping at position i.
func (t *tree) put(i int, key string, value *tree) {
	t.keys = slices.Insert(t.keys, i, key)
	t.items = slices.Insert(t.items, i, value)
}

// Ordered values, from which the text and the tree of what is injected are made: a mapping in order, a list, a string, an int, a
// bool.
type (
	mapping []entry
	entry   struct {
		key   string
		value any
	}
)

// treeOf returns the tree of an ordered value.
func treeOf(v any) *tree {
	switch v := v.(type) {
	case mapping:
		t := &tree{form: fields}
		for _, e := range v {
			t.keys = append(t.keys, e.key)
			t.items = append(t.items, treeOf(e.value))
		}
		return t
	case []any:
		t := &tree{form: list}
		for _, e := range v {
			t.items = append(t.items, treeOf(e))
		}
		return t
	case string:
		return &tree{form: text, text: v}
	case int:
		return &tree{form: plain, text: strconv.Itoa(v)}
	case bool:
		return &tree{form: plain, text: strconv.FormatBool(v)}
	}
	panic("BUG: a value of another type")
}
