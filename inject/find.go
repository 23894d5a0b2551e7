package inject

import (
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// template is a Pod within a manifest: the template of a workload, or a Pod itself.
type template struct {
	kind, name string
	// owner is the workload, pod the Pod or the template, spec the Pod's spec. For a Pod owner and pod are one.
	owner, pod, spec *ast.MappingNode
}

// paths says where a kind of ours has its Pod; what is of another group is not ours, whatever its kind is called.
func paths(apiVersion, kind string) (path []string, ok bool) {
	group, _, grouped := strings.Cut(apiVersion, "/")
	if !grouped {
		group = ""
	}
	switch group + "/" + kind {
	case "/Pod":
		return nil, true
	case "/PodTemplate":
		return []string{"template"}, true
	case "/ReplicationController", "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job":
		return []string{"spec", "template"}, true
	case "batch/CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, true
	}
	return nil, false
}

// listItems is whether a kind holds objects of any kind in its items.
func isList(apiVersion, kind string) bool {
	if item, ok := strings.CutSuffix(kind, "List"); ok {
		_, ours := paths(apiVersion, item)
		return ours || kind == "List"
	}
	return false
}

// templates returns the Pods within a document.
func (d *document) templates(body ast.Node) ([]template, error) {
	object := asMapping(body)
	if object == nil {
		return nil, nil
	}
	apiVersion, err := d.readText(object, "apiVersion")
	if err != nil {
		return nil, err
	}
	kind, err := d.readText(object, "kind")
	if err != nil {
		return nil, err
	}
	if isList(apiVersion, kind) {
		return d.listed(object)
	}
	path, ok := paths(apiVersion, kind)
	if !ok {
		return nil, nil
	}
	t := template{kind: kind, owner: object}
	if t.name, err = d.nameOf(object); err != nil {
		return nil, err
	}
	if t.pod, err = d.follow(object, path); err != nil || t.pod == nil {
		return nil, err
	}
	if t.spec, err = d.follow(t.pod, []string{"spec"}); err != nil || t.spec == nil {
		return nil, err
	}
	return []template{t}, nil
}

// nameOf returns the name of an object, or what a name is generated from.
func (d *document) nameOf(object *ast.MappingNode) (string, error) {
	metadata, err := d.read(object, "metadata")
	if err != nil {
		return "", err
	}
	name, err := d.readText(asMapping(metadata), "name")
	if err != nil || name != "" {
		return name, err
	}
	name, err = d.readText(asMapping(metadata), "generateName")
	return strings.TrimRight(name, "-"), err
}

// listed returns the Pods within the items of a list.
func (d *document) listed(object *ast.MappingNode) ([]template, error) {
	value, err := d.find(object, "items")
	if err != nil {
		return nil, err
	}
	if alias, ok := bare(value).(*ast.AliasNode); ok {
		return nil, d.at(alias, "an alias for %q: write it out", "items")
	}
	items, _ := bare(value).(*ast.SequenceNode)
	if items == nil {
		return nil, nil
	}
	var all []template
	for _, item := range items.Values {
		if _, ok := item.(*ast.AliasNode); ok {
			return nil, d.at(item, "an alias for a whole object: write it out")
		}
		found, err := d.templates(item)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// follow returns the mapping at a path; nil when there is none. What stands elsewhere under an anchor cannot be edited here.
func (d *document) follow(m *ast.MappingNode, path []string) (*ast.MappingNode, error) {
	for _, key := range path {
		v, err := d.find(m, key)
		if v == nil || err != nil {
			return nil, err
		}
		if _, ok := bare(v).(*ast.AliasNode); ok {
			return nil, d.at(v, "an alias for %q: write it out", key)
		}
		if m = asMapping(v); m == nil {
			return nil, nil
		}
	}
	return m, nil
}

// bare takes anchors and tags off a node.
func bare(n ast.Node) ast.Node {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			n = v.Value
		default:
			return n
		}
	}
}

// asMapping returns n as a mapping, nil when it is none.
func asMapping(n ast.Node) *ast.MappingNode {
	m, _ := bare(n).(*ast.MappingNode)
	return m
}

// entryAt returns the entry of a key and its position; nil when it is absent.
func entryAt(m *ast.MappingNode, key string) (*ast.MappingValueNode, int) {
	if m == nil {
		return nil, -1
	}
	for i, e := range m.Values {
		if keyText(e.Key) == key {
			return e, i
		}
	}
	return nil, -1
}

// valueAt returns the value of a key, nil when it is absent.
func valueAt(m *ast.MappingNode, key string) ast.Node {
	if e, _ := entryAt(m, key); e != nil {
		return e.Value
	}
	return nil
}

// foreign returns the tag of a node by which it may be another text than is written, such as !!binary; nil without one.
func foreign(n ast.Node) *ast.TagNode {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			n = v.Value
		case *ast.TagNode:
			if v.Start.Value != "!!str" {
				return v
			}
			n = v.Value
		default:
			return nil
		}
	}
}

// stringAt returns the scalar at a key as text, "" when it is absent or no scalar.
func stringAt(m *ast.MappingNode, key string) string {
	s, _ := scalarText(valueAt(m, key))
	return s
}

// scalarText returns a scalar as text; ok is false for what is none, null among it, and for what a tag makes another text of.
func scalarText(n ast.Node) (s string, ok bool) {
	if foreign(n) != nil {
		return "", false
	}
	switch n := bare(n).(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// mergeIn returns the entry "<<" of a mapping, nil without one.
func mergeIn(m *ast.MappingNode) *ast.MappingValueNode {
	for _, e := range m.Values {
		if _, ok := e.Key.(*ast.MergeKeyNode); ok {
			return e
		}
	}
	return nil
}
