package inject

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// editor collects the edits of one document: as regions of lines where the text is in block style, as splices within lines where it
// is in flow style. Every edit is made in the tree too.
type editor struct {
	doc     *document
	trees   builder
	root    *tree
	regions []region
	splices []splice
}

// splice replaces the text between two places.
type splice struct {
	from, to place
	text     string
}

// unclear is the error for text that is written in a way that cannot be edited safely.
func (e *editor) unclear(n ast.Node, what string) error {
	return e.doc.at(n, "cannot edit %s as it is written here: write it on lines of its own", what)
}

// startsLine returns the line of the key and its indent, if nothing but spaces precedes it.
func (e *editor) startsLine(t *token.Token) (line int, indent string, ok bool) {
	p, ok := e.doc.placeOf(t)
	if !ok {
		return 0, "", false
	}
	indent = e.doc.src.lines[p.line][:p.byte]
	return p.line, indent, strings.Trim(indent, " ") == ""
}

// addItems adds items to the list at key of the Pod's spec, which has a list "containers": first, or at the end.
func (e *editor) addItems(spec *ast.MappingNode, key string, items []any, atEnd bool) error {
	entry, i := entryAt(spec, key)
	if entry == nil {
		return e.newList(spec, key, items)
	}
	if _, ok := entry.Value.(*ast.AliasNode); ok {
		return e.doc.at(entry.Value, "an alias for %q: write it out", key)
	}
	switch v := bare(entry.Value).(type) {
	case *ast.SequenceNode:
		if err := e.extend(v, items, atEnd); err != nil {
			return err
		}
		t, n := e.trees.of[v], 0
		if atEnd {
			n = len(t.items)
		}
		t.items = slices.Insert(t.items, n, treeOf(items).items...)
		return nil
	case *ast.NullNode, nil:
		line, indent, ok := e.startsLine(entry.Key.GetToken())
		if spec.IsFlowStyle || !ok || entry.Value != nil && bare(entry.Value) != entry.Value {
			return e.unclear(entry.Key, key)
		}
		e.regions = append(e.regions, region{line, line + 1, blockEntry(indent+key+":", items, indent)})
		e.trees.of[spec].items[i] = treeOf(items)
		return nil
	}
	return e.doc.at(entry.Value, "%s: want a list", key)
}

// newList adds the list key to the spec, before "containers" in block style, first in flow style.
func (e *editor) newList(spec *ast.MappingNode, key string, items []any) error {
	before, i := entryAt(spec, "containers")
	if spec.IsFlowStyle {
		before, i = spec.Values[0], 0
		p, ok := e.doc.placeOf(before.Key.GetToken())
		if !ok {
			return e.unclear(before.Key, "the Pod's spec")
		}
		e.splices = append(e.splices, splice{p, p, quote(key) + ": " + flow(items) + ", "})
	} else {
		line, indent, ok := e.startsLine(before.Key.GetToken())
		if !ok {
			return e.unclear(before.Key, "the Pod's spec")
		}
		e.regions = append(e.regions, region{line, line, blockEntry(indent+key+":", items, indent)})
	}
	e.trees.of[spec].put(i, key, treeOf(items))
	return nil
}

// extend adds items to a list that is there.
func (e *editor) extend(s *ast.SequenceNode, items []any, atEnd bool) error {
	if s.IsFlowStyle {
		return e.extendFlow(s, items, atEnd)
	}
	line, indent, ok := e.startsLine(s.Entries[0].Start)
	if !ok {
		return e.unclear(s, "the list")
	}
	lines := block(items, indent)
	if !atEnd {
		e.regions = append(e.regions, region{line, line, lines})
		return nil
	}
	last, _, ok := e.startsLine(s.Entries[len(s.Entries)-1].Start)
	if !ok {
		return e.unclear(s, "the list")
	}
	end := e.blockEnd(last, len(indent), false)
	if before := e.doc.src.lines[end-1]; ending(before) == "" {
		e.regions = append(e.regions, region{end - 1, end, append([]string{content(before)}, lines...)})
		return nil
	}
	e.regions = append(e.regions, region{end, end, lines})
	return nil
}

func (e *editor) extendFlow(s *ast.SequenceNode, items []any, atEnd bool) error {
	at := s.Start
	if atEnd {
		at = s.End
	}
	p, ok := e.doc.placeOf(at)
	if !ok {
		return e.unclear(s, "the list")
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(flow(items), "["), "]")
	switch {
	case len(s.Values) > 0 && atEnd:
		inner = ", " + inner
	case len(s.Values) > 0:
		inner += ", "
	}
	if !atEnd {
		p.byte++
	}
	e.splices = append(e.splices, splice{p, p, inner})
	return nil
}

// blockEnd returns the line after the block that begins in line: the next that is indented by indent or less. With tight, blank lines
// and comments at its end do not belong to it.
func (e *editor) blockEnd(line, indent int, tight bool) int {
	end, solid := line+1, line+1
	for ; end < e.doc.to; end++ {
		l := content(e.doc.src.lines[end])
		rest := strings.TrimLeft(l, " ")
		if rest == "" {
			continue
		}
		if len(l)-len(rest) <= indent {
			break
		}
		if rest[0] != '#' {
			solid = end + 1
		}
	}
	if tight {
		return solid
	}
	return end
}

// replaceEntry puts key: value in the place of an entry of a mapping.
func (e *editor) replaceEntry(m *ast.MappingNode, i int, key string, value mapping) error {
	entry := m.Values[i]
	p, ok := e.doc.placeOf(entry.Key.GetToken())
	if !ok {
		return e.unclear(entry.Key, keyText(entry.Key))
	}
	_, indent, first := e.startsLine(entry.Key.GetToken())
	inner := asMapping(entry.Value)
	switch {
	case !m.IsFlowStyle && first:
		end := e.blockEnd(p.line, len(indent), true)
		if inner.IsFlowStyle {
			close, ok := e.doc.placeOf(inner.End)
			if !ok {
				return e.unclear(entry.Key, keyText(entry.Key))
			}
			end = max(end, close.line+1)
		}
		e.regions = append(e.regions, region{p.line, end, blockEntry(indent+key+":", value, indent)})
	case inner.IsFlowStyle:
		end, ok := e.doc.placeOf(inner.End)
		if !ok {
			return e.unclear(entry.Key, keyText(entry.Key))
		}
		end.byte++
		e.splices = append(e.splices, splice{p, end, quote(key) + ": " + flow(value)})
	default:
		return e.unclear(entry.Key, keyText(entry.Key))
	}
	t := e.trees.of[m]
	t.keys[i], t.items[i] = key, treeOf(value)
	return nil
}

// finish makes regions of the splices and returns all, sorted.
func (e *editor) finish() ([]region, error) {
	slices.SortStableFunc(e.splices, func(a, b splice) int {
		if a.from.line != b.from.line {
			return a.from.line - b.from.line
		}
		return a.from.byte - b.from.byte
	})
	for i := 0; i < len(e.splices); {
		// Splices that share a line become one region.
		first, last, j := e.splices[i].from.line, e.splices[i].to.line, i+1
		for ; j < len(e.splices) && e.splices[j].from.line <= last; j++ {
			last = max(last, e.splices[j].to.line)
		}
		e.regions = append(e.regions, region{first, last + 1, e.spliced(first, last, e.splices[i:j])})
		i = j
	}
	regions, ok := sorted(e.regions)
	if !ok {
		return nil, &Error{e.doc.from + 1, 1, "two changes to one line: write the Pods of this document in block style"}
	}
	return regions, nil
}

// spliced returns the lines first to last with the splices made.
func (e *editor) spliced(first, last int, splices []splice) []string {
	var b strings.Builder
	line, at := first, 0
	copyTo := func(p place) {
		for ; line < p.line; line, at = line+1, 0 {
			b.WriteString(content(e.doc.src.lines[line])[at:] + "\n")
		}
		text := content(e.doc.src.lines[line])
		b.WriteString(text[min(at, p.byte):p.byte])
		at = max(at, p.byte)
	}
	for _, s := range splices {
		copyTo(s.from)
		b.WriteString(s.text)
		line, at = s.to.line, s.to.byte
	}
	copyTo(place{last, len(content(e.doc.src.lines[last]))})
	return strings.Split(b.String(), "\n")
}
