package openapi

import (
	"bytes"
	"errors"

	"github.com/spanwire/spanwire/internal/yamlbound"
)

// A parsed YAML file takes some seventy times its size in memory, far more than a sidecar may have; and of a description one line in a
// hundred is of interest. So a file in block style, as nearly all are, is cut down: only `openapi` and `servers`, at the top and
// of single paths, are parsed; the keys under `paths` are taken as they stand. In block style the content of a value
// is indented more than its key, even within scalars and flow collections of several lines (YAML 1.2.2 §8.1.1, §7.3), so that
// what is left out cannot be told for what is kept.

// maxWholeBytes bounds what is parsed as it stands when it cannot be cut down. 1 MiB takes about 75 MiB in block style, 130 MiB in flow style, and
// 430 MiB at the worst that was found, a list of single digits; what would take more by its nesting or long keys, yamlbound refuses.
const maxWholeBytes = 1 << 20

// ErrStyle is the error of a YAML file that would take too much memory.
var ErrStyle = errors.New("YAML over 1 MiB must be in block style, its servers under 1 MiB and without aliases; JSON need not")

// outline is the cutting down.
type outline struct {
	head  []byte // the lines of openapi and servers at the top
	paths []cutPath
	part  part
	path  int  // indentation of the keys under paths; 0 = none seen yet
	item  int  // indentation within the current path; 0 = none seen yet
	keeps bool // within the servers of a path
}

// cutPath is a key under paths, with the lines of its servers.
type cutPath struct {
	template string
	servers  []byte
}

// part is where at the top of the file the current line belongs.
type part uint8

const (
	partNone  part = iota // what is left out
	partWhole             // openapi, servers
	partPaths
)

// cutDown reads a file in block style; the error is ErrStyle when it is in another, or not YAML.
func cutDown(data []byte) (doc *document, err error) {
	var o outline
	for len(data) > 0 {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		line = bytes.TrimRight(line, " \t\r")
		text := bytes.TrimLeft(line, " ")
		if len(text) == 0 || text[0] == '#' {
			continue
		}
		if bytes.Equal(line, documentStart) && len(o.head) == 0 && o.part == partNone || line[0] == '%' {
			continue
		}
		if bytes.Equal(line, documentStart) || bytes.Equal(line, documentEnd) {
			break
		}
		if !o.take(line, text, len(line)-len(text)) {
			return nil, ErrStyle
		}
	}
	if len(o.paths) == 0 {
		return nil, ErrStyle
	}
	return o.document()
}

// document parses what is to be parsed.
func (o *outline) document() (doc *document, err error) {
	doc, err = parsePart(o.head)
	if err != nil {
		return nil, err
	}
	for _, p := range o.paths {
		item := pathItem{template: p.template}
		if len(p.servers) > 0 {
			below, err := parsePart(p.servers)
			if err != nil {
				return nil, err
			}
			item.servers = below.servers
		}
		doc.paths = append(doc.paths, item)
	}
	return doc, nil
}

// parsePart parses lines that were kept; the error is ErrStyle when that cannot be done, unless it would cost too much.
func parsePart(part []byte) (doc *document, err error) {
	if len(part) > maxWholeBytes || bytes.IndexByte(part, '*') >= 0 { // an alias, whose anchor may have been left out
		return nil, ErrStyle
	}
	doc, err = parseYAML(part)
	var costly *yamlbound.Error
	if errors.As(err, &costly) {
		return nil, errors.New("servers: " + costly.Message) // its place is not that in the file
	}
	if err != nil {
		return nil, ErrStyle
	}
	return doc, nil
}

var (
	documentStart = []byte("---")
	documentEnd   = []byte("...")
)

// take looks at a line, whose text is indented by so many spaces. It reports false when the file cannot be cut down.
func (o *outline) take(line, text []byte, indent int) bool {
	if indent == 0 && text[0] != '-' {
		return o.top(line, text)
	}
	switch o.part {
	case partWhole:
		o.head = keep(o.head, line)
	case partPaths:
		return o.underPaths(line, text, indent)
	}
	return true
}

// top begins a key at the top.
func (o *outline) top(line, text []byte) bool {
	key, value, ok := cutKey(text)
	if !ok {
		return false // a flow collection, or something else that is no block mapping
	}
	switch string(key) {
	case "openapi", "servers":
		o.part = partWhole
		o.head = keep(o.head, line)
	case "paths":
		if len(value) > 0 && value[0] != '#' {
			return false
		}
		o.part = partPaths
	default:
		o.part = partNone
	}
	return true
}

// underPaths keeps keys, without what is on their lines, and the servers below them.
func (o *outline) underPaths(line, text []byte, indent int) bool {
	if o.path == 0 {
		o.path = indent
	}
	if o.path == 0 {
		return false // a sequence
	}
	if o.keeps && (indent > o.item || indent == o.item && text[0] == '-') {
		p := &o.paths[len(o.paths)-1]
		p.servers = keep(p.servers, line)
		return true
	}
	o.keeps = false
	if indent < o.path {
		return false
	}
	if indent == o.path {
		key, value, ok := cutKey(text)
		if !ok || bytes.Contains(value, []byte("servers")) {
			return false
		}
		o.paths = append(o.paths, cutPath{template: string(key)})
		o.item = 0
		return true
	}
	if o.item == 0 {
		o.item = indent
	}
	if key, _, ok := cutKey(text); ok && indent == o.item && string(key) == "servers" {
		o.keeps = true
		p := &o.paths[len(o.paths)-1]
		p.servers = keep(p.servers, line)
	}
	return true
}

func keep(lines, line []byte) []byte { return append(append(lines, line...), '\n') }

// cutKey returns the key of a line of a block mapping, without quotes, and what stands behind its colon; false when it has none.
func cutKey(text []byte) (key, value []byte, ok bool) {
	if q := text[0]; q == '"' || q == '\'' {
		end := bytes.IndexByte(text[1:], q)
		if end < 0 || bytes.IndexByte(text[1:1+end], '\\') >= 0 {
			return nil, nil, false
		}
		key, value = text[1:1+end], bytes.TrimLeft(text[end+2:], " ")
		if len(value) == 0 || value[0] != ':' {
			return nil, nil, false
		}
		return key, bytes.TrimLeft(value[1:], " "), true
	}
	if bytes.IndexByte([]byte("{[?&*!|>%@`,]}"), text[0]) >= 0 {
		return nil, nil, false
	}
	if i := bytes.Index(text, []byte(": ")); i >= 0 {
		return bytes.TrimRight(text[:i], " "), bytes.TrimLeft(text[i+2:], " "), true
	}
	if n := len(text) - 1; text[n] == ':' {
		return bytes.TrimRight(text[:n], " "), nil, true
	}
	return nil, nil, false
}
