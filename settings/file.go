package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/spanwire/spanwire/internal/yamlbound"
)

// file is a configuration file: a YAML mapping whose keys are names of settings. The value of a repeatable setting may be a
// sequence, that of one whose values are K=V a mapping too.
type file struct {
	path   string
	values map[string][]string
}

// get returns the values of a setting; ok is false when the file (or there is none: f may be nil) does not have it.
func (f *file) get(name string) (values []string, ok bool) {
	if f == nil {
		return nil, false
	}
	values, ok = f.values[name]
	return values, ok
}

// parseFile reads a configuration file. Scalars are taken as they are written, so that 1e3, 010 or off mean what they mean on a
// command line. A key without a value is as good as absent: what is left when a list is commented out.
func parseFile(path string, data []byte, table []Setting) (*file, error) {
	parsed, err := yamlbound.Parse(string(data))
	var costly *yamlbound.Error
	if errors.As(err, &costly) {
		return nil, fmt.Errorf("%s line %d: %s", path, costly.Line, costly.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: want YAML: %s", path, firstLine(err.Error()))
	}
	f := &file{path: path, values: map[string][]string{}}
	var bodies []ast.Node
	for _, doc := range parsed.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		return f, nil
	}
	if len(bodies) > 1 {
		return nil, fmt.Errorf("%s: want one YAML document, not %d", path, len(bodies))
	}
	if bodies[0].Type() == ast.NullType {
		return f, nil
	}
	top, ok := bodies[0].(*ast.MappingNode)
	if !ok {
		return nil, fmt.Errorf("%s: want a mapping of setting names to values", path)
	}
	for _, entry := range top.Values {
		key := scalarText(entry.Key)
		i := slices.IndexFunc(table, func(s Setting) bool { return s.Name == key })
		if i < 0 {
			return nil, fmt.Errorf("%s line %d: unknown key %q: want one of %s", path, line(entry.Key), key, namesOf(table))
		}
		if _, twice := f.values[key]; twice {
			return nil, fmt.Errorf("%s line %d: key %q stands there twice", path, line(entry.Key), key)
		}
		values, err := nodeValues(entry.Value, &table[i])
		if err != nil {
			return nil, fmt.Errorf("%s line %d: %s: %w; want %s", path, line(entry.Key), key, err, table[i].Allowed)
		}
		if values != nil {
			f.values[key] = values
		}
	}
	return f, nil
}

// errShape: a value is built in a way that its setting does not take.
var errShape = errors.New("a value of this shape is not allowed")

// nodeValues returns what the value of a setting says; nil for no value, and an empty list for [] (which overrides what is
// weaker).
func nodeValues(node ast.Node, s *Setting) ([]string, error) {
	switch n := node.(type) {
	case *ast.NullNode:
		return nil, nil
	case *ast.SequenceNode:
		if !s.form.many() {
			return nil, errShape
		}
		values := []string{}
		for _, v := range n.Values {
			if !isScalar(v) {
				return nil, errShape
			}
			values = append(values, scalarText(v))
		}
		return values, nil
	case *ast.MappingNode:
		if !strings.Contains(s.Value, "K=V") {
			return nil, errShape
		}
		values := []string{}
		for _, v := range n.Values {
			if !isScalar(v.Value) {
				return nil, errShape
			}
			values = append(values, scalarText(v.Key)+"="+scalarText(v.Value))
		}
		return values, nil
	}
	if !isScalar(node) {
		return nil, errShape
	}
	return []string{scalarText(node)}, nil
}

// isScalar reports whether the node is a value of its own: no alias, tag or collection.
func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

// scalarText returns the text of a scalar as it is written, quotes and escapes resolved.
func scalarText(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	}
	return n.GetToken().Value
}

func line(n ast.Node) int { return n.GetToken().Position.Line }

// namesOf returns the names of all settings, for the error line of an unknown one.
func namesOf(table []Setting) string {
	names := make([]string, len(table))
	for i, s := range table {
		names[i] = s.Name
	}
	return strings.Join(names, " ")
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
