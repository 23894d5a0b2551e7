package inject

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/spanwire/spanwire/internal/yamlbound"
)

// Error is what is wrong with a manifest, and where.
type Error struct {
	// Line and Column count from 1; a column is a character, not a byte.
	Line, Column int
	Message      string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

// maxBytes keeps a hostile stream from costing more than it is worth, as yamlbound does. The API server itself refuses objects over 3 MiB.
const maxBytes = 32 << 20

// source is a stream of YAML as lines. Invariant: the lines joined are the stream, byte for byte.
type source struct {
	lines []string // each with its line ending, if it has one
}

// newSource cuts text into lines, and refuses what no API server takes as YAML: what is not UTF-8, control characters.
func newSource(text []byte) (*source, error) {
	if len(text) > maxBytes {
		return nil, &Error{1, 1, fmt.Sprintf("%d bytes: want at most %d", len(text), maxBytes)}
	}
	s := &source{}
	for _, l := range bytes.SplitAfter(text, []byte("\n")) {
		if len(l) == 0 {
			continue
		}
		s.lines = append(s.lines, string(l))
	}
	for i, l := range s.lines {
		if at, what := unreadable(content(l)); at >= 0 {
			return nil, &Error{i + 1, utf8.RuneCountInString(l[:at]) + 1, what}
		}
	}
	return s, nil
}

// unreadable returns the place of the first character that YAML does not allow (YAML 1.2.2 §5.1), -1 when there is none. A lone
// carriage return would be a line break to YAML and none to us.
func unreadable(line string) (at int, what string) {
	for i, r := range line {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(line[i:], string(utf8.RuneError)):
			return i, "not UTF-8"
		case r == '\r':
			return i, "a carriage return within a line"
		case r < 0x20 && r != '\t', r == 0x7f:
			return i, fmt.Sprintf("a control character (%#x)", r)
		case r == 0x85, r == 0x2028, r == 0x2029:
			return i, fmt.Sprintf("a line separator (%#x) that not all readers take for one", r)
		}
	}
	return -1, ""
}

// content returns the line without its ending.
func content(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
}

// ending returns what ends the line: "\n", "\r\n", or "" at the end of a stream without a last newline.
func ending(line string) string { return line[len(content(line)):] }

// document is one document of a stream: its lines from, inclusive, to, exclusive.
type document struct {
	src      *source
	from, to int
	// bom is how many bytes of a byte order mark the first line begins with.
	bom int
	// anchors are those of the document, by name; findAnchors sets them.
	anchors map[string]*anchored
	// ports are those of the lists of ports that were read.
	ports map[*ast.SequenceNode][]declaredPort
}

// documents cuts the stream at the lines that separate documents. "---" in the first column does that wherever it stands, within
// scalars too (YAML 1.2.2 §9.1.2, c-forbidden); so a document that we cannot edit cannot spoil the reading of the next.
func (s *source) documents() []*document {
	var docs []*document
	from := 0
	for i := range s.lines {
		if i > from && separator(content(s.lines[i])) && !directives(s.lines[from:i]) {
			docs = append(docs, &document{src: s, from: from, to: i})
			from = i
		}
	}
	if from < len(s.lines) {
		docs = append(docs, &document{src: s, from: from, to: len(s.lines)})
	}
	for _, d := range docs {
		if strings.HasPrefix(s.lines[d.from], "\ufeff") {
			d.bom = len("\ufeff")
		}
	}
	return docs
}

// directives reports whether the lines hold directives and nothing but comments beside them: what belongs to the document that
// the next separator begins (YAML 1.2.2 §9.1.1).
func directives(lines []string) (some bool) {
	for _, l := range lines {
		switch l = strings.TrimPrefix(content(l), "\ufeff"); {
		case strings.HasPrefix(l, "%"):
			some = true
		case l != "" && l[0] != '#':
			return false
		}
	}
	return some
}

func separator(line string) bool {
	rest, ok := strings.CutPrefix(line, "---")
	return ok && (rest == "" || rest[0] == ' ' || rest[0] == '\t')
}

// text returns the document as the parser shall see it: line endings are newlines (its line numbers go wrong on "\r\n"), no byte
// order mark.
func (d *document) text() string {
	var b strings.Builder
	for i, l := range d.src.lines[d.from:d.to] {
		c := content(l)
		if i == 0 {
			c = c[d.bom:]
		}
		b.WriteString(c)
		if ending(l) != "" {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// parse reads the document; body is nil when it holds nothing but comments.
func (d *document) parse() (body ast.Node, err error) {
	file, err := yamlbound.Parse(d.text())
	if err != nil {
		return nil, d.syntaxError(err)
	}
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		if body != nil {
			return nil, d.at(doc.Body, "more than one document between two lines ---")
		}
		body = doc.Body
	}
	return body, nil
}

// syntaxError gives an error of the parser the line and column within the stream.
func (d *document) syntaxError(err error) error {
	if errors.Is(err, yamlbound.ErrFault) {
		return &Error{d.from + 1, 1, "the document that begins here is not YAML"}
	}
	var costly *yamlbound.Error
	if errors.As(err, &costly) {
		return &Error{d.from + costly.Line, costly.Column, costly.Message}
	}
	var positioned interface {
		GetToken() *token.Token
		GetMessage() string
	}
	if errors.As(err, &positioned) && positioned.GetToken() != nil && positioned.GetToken().Position != nil {
		p := positioned.GetToken().Position
		message, _, _ := strings.Cut(positioned.GetMessage(), " already defined at")
		if message != positioned.GetMessage() {
			message += " is there already" // the position in that message counts from the document's first line
		}
		return &Error{d.from + max(p.Line, 1), max(p.Column, 1), message}
	}
	message, _, _ := strings.Cut(err.Error(), "\n")
	return &Error{d.from + 1, 1, message}
}

// at returns an error at the place of a node.
func (d *document) at(n ast.Node, format string, args ...any) error {
	line, column := 1, 1
	if n != nil && n.GetToken() != nil && n.GetToken().Position != nil {
		line, column = max(n.GetToken().Position.Line, 1), max(n.GetToken().Position.Column, 1)
	}
	return &Error{d.from + line, column, fmt.Sprintf(format, args...)}
}

// place is where a token begins: a line of the stream, from 0, and a byte within it.
type place struct{ line, byte int }

// placeOf finds the token in the lines, and makes sure that it stands there as it is written: what the parser says of positions is
// believed only where the text agrees.
func (d *document) placeOf(t *token.Token) (place, bool) {
	if t == nil || t.Position == nil {
		return place{}, false
	}
	line := d.from + t.Position.Line - 1
	if line < d.from || line >= d.to || t.Position.Column < 1 {
		return place{}, false
	}
	text := content(d.src.lines[line])
	at := 0
	if line == d.from {
		at = d.bom
	}
	for range t.Position.Column - 1 {
		if at >= len(text) {
			return place{}, false
		}
		_, n := utf8.DecodeRuneInString(text[at:])
		at += n
	}
	rest := text[at:]
	want, _, _ := strings.Cut(t.Value, "\n")
	if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') || strings.HasPrefix(rest, want) && want != "" {
		return place{line, at}, true
	}
	return place{}, false
}
