package inject

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/token"

	"github.com/spanwire/spanwire/internal/yamlbound"
)

// What is injected stands between two comment lines, and a line that it replaces stands after the first of them as a comment of its
// own. So the manifest itself says how it was, byte for byte, and a reader sees what is whose.
const (
	markBegin = "# >>> spanwire"
	markEnd   = "# <<< spanwire"
	// markWas precedes a replaced line.
	markWas = "#|"
)

// region replaces the lines from, inclusive, to, exclusive, of a stream; from = to inserts before from.
type region struct {
	from, to int
	// lines are the new ones, without endings. The marks are indented as the first.
	lines []string
}

// apply returns the stream with the regions in it. Invariant: they do not overlap (place makes sure).
func (s *source) apply(regions []region) []byte {
	var b strings.Builder
	next := 0
	for _, r := range regions {
		for _, l := range s.lines[next:r.from] {
			b.WriteString(l)
		}
		s.appendRegion(&b, r)
		next = r.to
	}
	for _, l := range s.lines[next:] {
		b.WriteString(l)
	}
	return []byte(b.String())
}

func (s *source) appendRegion(b *strings.Builder, r region) {
	eol := ending(s.lines[min(r.from, len(s.lines)-1)])
	if eol == "" && r.from > 0 {
		eol = ending(s.lines[r.from-1])
	}
	if eol == "" {
		eol = "\n"
	}
	indent := indentOf(r.lines[0])
	b.WriteString(indent + markBegin + eol)
	last := eol
	for _, l := range s.lines[r.from:r.to] {
		last = ending(l)
		b.WriteString(indent + markWas + content(l))
		if last != "" {
			b.WriteString(last)
		} else {
			b.WriteString(eol)
		}
	}
	for _, l := range r.lines {
		b.WriteString(l + eol)
	}
	b.WriteString(indent + markEnd + last) // without an ending where the stream had none
}

// sorted returns the regions in the order of the stream; ok is false when two overlap.
func sorted(regions []region) (_ []region, ok bool) {
	slices.SortStableFunc(regions, func(a, b region) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return a.to - b.to
	})
	for i := 1; i < len(regions); i++ {
		if regions[i].from < regions[i-1].to {
			return nil, false
		}
	}
	return regions, true
}

// indentOf returns the spaces that the line begins with.
func indentOf(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " "))] }

// clean returns the lines of the document without what is injected, and whether there was any. A mark counts only where it is a
// comment: in a string that holds a manifest it is the string's business.
func (d *document) clean() (lines []string, found bool, err error) {
	own := d.src.lines[d.from:d.to]
	if !slices.ContainsFunc(own, func(l string) bool { return strings.Contains(l, markBegin) }) {
		return own, false, nil
	}
	comments, err := d.comments()
	if err != nil {
		return nil, false, err
	}
	is := func(i int, mark string) bool {
		return comments[i] && strings.TrimLeft(content(own[i]), " ") == mark
	}
	for i := 0; i < len(own); i++ {
		if !is(i, markBegin) {
			lines = append(lines, own[i])
			continue
		}
		indent := indentOf(own[i])
		end := i + 1
		for end < len(own) && content(own[end]) != indent+markEnd {
			end++
		}
		if end == len(own) {
			return nil, false, &Error{d.from + i + 1, len(indent) + 1, "\"" + markBegin + "\" without its \"" + markEnd + "\""}
		}
		for i++; i < end; i++ {
			was, ok := strings.CutPrefix(own[i], indent+markWas)
			if !ok {
				break
			}
			lines = append(lines, was)
		}
		if ending(own[end]) == "" && len(lines) > 0 {
			lines[len(lines)-1] = content(lines[len(lines)-1])
		}
		i, found = end, true
	}
	return lines, found, nil
}

// comments returns which lines of the document, counted from its first, are comments.
func (d *document) comments() (map[int]bool, error) {
	tokens, err := yamlbound.Tokenize(d.text())
	if err != nil {
		return nil, d.syntaxError(err)
	}
	lines := map[int]bool{}
	for _, t := range tokens {
		if t.Type == token.CommentType {
			lines[t.Position.Line-1] = true
		}
	}
	return lines, nil
}

// Uninject returns the stream as it was before Inject, and whether there was anything to take out.
func Uninject(in []byte) (out []byte, found bool, err error) {
	s, err := newSource(in)
	if err != nil {
		return nil, false, err
	}
	var b strings.Builder
	for _, d := range s.documents() {
		if err := yamlbound.CheckText(d.text()); err != nil {
			return nil, false, d.syntaxError(err)
		}
		lines, any, err := d.clean()
		if err != nil {
			return nil, false, err
		}
		found = found || any
		for _, l := range lines {
			b.WriteString(l)
		}
	}
	return []byte(b.String()), found, nil
}
