package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/spanwire/spanwire/internal/yamlbound"
)

// document is the part of a description that is read.
type document struct {
	version string
	servers []string // their paths, each once
	paths   []pathItem
}

// pathItem is an entry under paths.
type pathItem struct {
	template string
	servers  []string // as of document
}

// decode reads JSON or YAML. JSON is YAML, too, but takes a tenth of the time and memory when it is read as what it is.
func decode(data []byte) (*document, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		return decodeJSON(trimmed)
	}
	doc, err := cutDown(data)
	if err != nil && len(data) <= maxWholeBytes {
		return parseYAML(data)
	}
	return doc, err
}

// The shapes of JSON.
type (
	jsonDocument struct {
		OpenAPI any                        `json:"openapi"`
		Servers []jsonServer               `json:"servers"`
		Paths   map[string]json.RawMessage `json:"paths"`
	}
	jsonServer struct {
		URL       string `json:"url"`
		Variables map[string]struct {
			Default any `json:"default"`
		} `json:"variables"`
	}
	jsonPath struct {
		Servers []jsonServer `json:"servers"`
	}
)

func decodeJSON(data []byte) (*document, error) {
	var in jsonDocument
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShape, err)
	}
	version, _ := in.OpenAPI.(string)
	doc := &document{version: version, servers: jsonServers(in.Servers)}
	for template, raw := range in.Paths {
		p := pathItem{template: template}
		var item jsonPath
		if strings.HasPrefix(template, "/") && json.Unmarshal(raw, &item) == nil {
			p.servers = jsonServers(item.Servers)
		}
		doc.paths = append(doc.paths, p)
	}
	return doc, nil
}

func jsonServers(in []jsonServer) (paths []string) {
	for _, s := range in {
		v := server{url: s.URL, defaults: map[string]string{}}
		for name, x := range s.Variables {
			v.defaults[name] = fmt.Sprint(x.Default)
		}
		paths = append(paths, v.prefix())
	}
	return sortedOnce(paths)
}

// parseYAML reads the first document of a YAML file. Should the library panic on one, then that is one more way to say that the file is
// wrong: a description must not keep the sidecar from starting.
func parseYAML(data []byte) (doc *document, err error) {
	defer func() {
		if p := recover(); p != nil {
			doc, err = nil, fmt.Errorf("want JSON or YAML: %v", p)
		}
	}()
	parsed, err := yamlbound.Parse(string(data))
	var costly *yamlbound.Error
	if errors.As(err, &costly) {
		return nil, costly
	}
	if err != nil {
		text, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("want JSON or YAML: %s", text)
	}
	for _, d := range parsed.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.DirectiveType {
			continue
		}
		y := yaml{anchors: anchorsOf(d.Body), read: map[*ast.SequenceNode][]string{}}
		top, ok := y.mapping(d.Body)
		if !ok {
			return nil, ErrVersion
		}
		return y.document(top)
	}
	return nil, ErrVersion
}

// yaml reads nodes, with the anchors that aliases refer to.
type yaml struct {
	anchors anchors
	read    map[*ast.SequenceNode][]string // servers, which aliases may repeat under each path
}

// anchors collects the nodes with a name.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if x, ok := n.(*ast.AnchorNode); ok && x.Name != nil {
		a[x.Name.GetToken().Value] = x.Value
	}
	return a
}

func anchorsOf(n ast.Node) anchors {
	a := anchors{}
	ast.Walk(a, n)
	return a
}

// maxAliases bounds how often an alias may lead to another.
const maxAliases = 8

// resolve follows aliases, and takes anchors and tags off.
func (y yaml) resolve(n ast.Node) ast.Node {
	for range maxAliases {
		switch x := n.(type) {
		case *ast.AnchorNode:
			n = x.Value
		case *ast.TagNode:
			n = x.Value
		case *ast.AliasNode:
			n = y.anchors[x.Value.GetToken().Value]
		default:
			return n
		}
	}
	return nil
}

// mapping returns the entries of a mapping, false when n is none.
func (y yaml) mapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch x := y.resolve(n).(type) {
	case *ast.MappingNode:
		return x.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{x}, true
	}
	return nil, false
}

// text returns the text of a scalar, "" for anything else.
func (y yaml) text(n ast.Node) string {
	switch x := y.resolve(n).(type) {
	case *ast.StringNode:
		return x.Value
	case *ast.LiteralNode:
		return x.Value.Value
	case ast.ScalarNode:
		return x.GetToken().Value
	}
	return ""
}

func (y yaml) document(top []*ast.MappingValueNode) (*document, error) {
	doc := &document{}
	for _, entry := range top {
		switch y.text(entry.Key) {
		case "openapi":
			doc.version = y.text(entry.Value)
		case "servers":
			doc.servers = y.servers(entry.Value)
		case "paths":
			paths, ok := y.mapping(entry.Value)
			if !ok {
				if _, null := y.resolve(entry.Value).(*ast.NullNode); null {
					continue
				}
				return nil, fmt.Errorf("paths: %w", ErrShape)
			}
			for _, p := range paths {
				doc.paths = append(doc.paths, y.path(p))
			}
		}
	}
	return doc, nil
}

func (y yaml) path(entry *ast.MappingValueNode) pathItem {
	p := pathItem{template: y.text(entry.Key)}
	item, _ := y.mapping(entry.Value)
	for _, e := range item {
		if y.text(e.Key) == "servers" {
			p.servers = y.servers(e.Value)
		}
	}
	return p
}

func (y yaml) servers(n ast.Node) (paths []string) {
	list, ok := y.resolve(n).(*ast.SequenceNode)
	if !ok {
		return nil
	}
	if paths, ok := y.read[list]; ok {
		return paths
	}
	for _, item := range list.Values {
		s := server{defaults: map[string]string{}}
		fields, _ := y.mapping(item)
		for _, f := range fields {
			switch y.text(f.Key) {
			case "url":
				s.url = y.text(f.Value)
			case "variables":
				y.variables(f.Value, s.defaults)
			}
		}
		paths = append(paths, s.prefix())
	}
	paths = sortedOnce(paths)
	y.read[list] = paths
	return paths
}

// variables collects the defaults of a server's variables.
func (y yaml) variables(n ast.Node, into map[string]string) {
	vars, _ := y.mapping(n)
	for _, v := range vars {
		fields, _ := y.mapping(v.Value)
		for _, f := range fields {
			if y.text(f.Key) == "default" {
				into[y.text(v.Key)] = y.text(f.Value)
			}
		}
	}
}
