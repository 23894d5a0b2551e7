package yamlbound

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// lines joins n lines, each made from its number.
func lines(n int, line func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(line(i))
		b.WriteByte('\n')
	}
	return b.String()
}

// nested returns n lines, each indented by one more than the one before.
func nested(n int, line string) string {
	return lines(n, func(i int) string { return strings.Repeat(" ", i) + line })
}

// What nests without end is refused, before it has cost much.
func TestTooDeep(t *testing.T) {
	const deep = MaxDepth + 1
	for name, text := range map[string]string{
		"brackets":                   strings.Repeat("[", deep),
		"brackets by the million":    strings.Repeat("[", 1<<20),
		"braces":                     strings.Repeat("{", deep),
		"maps":                       strings.Repeat("{a: ", deep),
		"brackets on lines":          strings.Repeat("[\n", deep),
		"dashes":                     strings.Repeat("- ", deep),
		"dashes by the hundreds":     strings.Repeat("- ", 400000),
		"dashes and keys":            strings.Repeat("- ", deep/2) + "a:\n" + strings.Repeat(" ", 2*deep) + strings.Repeat("- ", deep/2),
		"indented maps":              nested(deep, "a:"),
		"indented sequences":         nested(deep, "-"),
		"indented maps within flow":  "[\n" + nested(deep, "a:"),
		"indented maps, CRLF":        strings.ReplaceAll(nested(deep, "a:"), "\n", "\r\n"),
		"maps in columns of tags":    lines(deep, func(i int) string { return fmt.Sprintf("k%d: !t", i) }),
		"maps after tags on a line":  lines(deep, func(i int) string { return fmt.Sprintf("k%d:\n !t", i) }),
		"maps after tagged anchors":  lines(deep, func(i int) string { return fmt.Sprintf("k%d: !t &a", i) }),
		"a second document":          "a: b\n---\n" + strings.Repeat("- ", deep),
		"question marks and mapping": strings.Repeat("? ", 100000),
		"tags":                       strings.Repeat("!\n", deep),
		"tags of a value":            "a: " + strings.Repeat("!t\n  ", deep) + "b",
		"tags in brackets":           strings.Repeat("["+strings.Repeat("!\n", deep-2), 10),
		"tags and anchors":           strings.Repeat("!t &a\n", deep),
	} {
		used, err := allocated(text)
		var e *Error
		if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || !strings.Contains(e.Message, "nested too deeply") {
			t.Errorf("%s: %v", name, err)
		}
		if used > 16<<20+uint64(8*len(text)) {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(text))
		}
		if _, err := Tokenize(text); !errors.As(err, &e) {
			t.Errorf("%s: tokens: %v", name, err)
		}
	}
}

// The parser takes each key of a block mapping one call deeper than the one before.
func TestTooManyKeys(t *testing.T) {
	key := func(i int) string { return fmt.Sprintf("k%d: 1", i) }
	below := func(i int) string { return "  " + key(i) }
	for name, c := range map[string]struct{ head, first, one string }{
		"at the top":          {"", lines(MaxKeys, key), "k: 1"},
		"below a key":         {"a:\n", lines(MaxKeys-1, below), "  k: 1"},
		"in a list":           {"- a: b\n", lines(MaxKeys-1, below), "  k: 1"},
		"with values between": {"", lines(MaxKeys-2, func(i int) string { return fmt.Sprintf("k%d:\n  a: [b, {c: d}]\n  e:\n  - f", i) }), "k: 1\nl: 1\nm: 1"},
	} {
		if _, err := Tokenize(c.head + c.first); err != nil {
			t.Errorf("%s: %.200v", name, err)
		}
		var e *Error
		if _, err := Tokenize(c.head + c.first + c.one + "\n"); !errors.As(err, &e) || e.Line < MaxKeys || !strings.Contains(e.Message, "too many keys") {
			t.Errorf("%s, one more: %.200v", name, err)
		}
	}
	// The mappings around count, too: their keys are still open.
	around := lines(MaxKeys/2, key) + "last:\n" + lines(MaxKeys/2, below)
	var e *Error
	if _, err := Tokenize(around); !errors.As(err, &e) || e.Line < MaxKeys || !strings.Contains(e.Message, "too many keys") {
		t.Errorf("in two mappings: %.200v", err)
	}
	explicit := lines(MaxKeys, func(i int) string { return fmt.Sprintf("? k%d\n: 1", i) })
	if _, err := Tokenize(explicit); err != nil {
		t.Errorf("with question marks: %.200v", err)
	}
	if _, err := Tokenize(explicit + "? k\n: 1\n"); !errors.As(err, &e) {
		t.Errorf("with question marks, one more: %.200v", err)
	}
	if _, err := Tokenize(lines(MaxKeys, key) + "---\n" + lines(MaxKeys, key)); err != nil {
		t.Errorf("in two documents: %.200v", err)
	}
}

// As deep as is allowed, a text costs a few megabytes.
func TestAsDeepAsAllowed(t *testing.T) {
	const deep = MaxDepth - 1
	for name, text := range map[string]string{
		"brackets":           strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"maps":               strings.Repeat("{a: ", deep) + strings.Repeat("}", deep),
		"dashes":             strings.Repeat("- ", deep),
		"indented maps":      nested(deep, "a:"),
		"indented sequences": nested(deep, "-"),
	} {
		used, err := allocated(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if used > 16<<20 {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
		t.Logf("%s: %d bytes for %d", name, used, len(text))
	}
}

// What costs is the path of each value: long keys and many values at a depth that is allowed cost as much as depth.
func TestTooMuchPath(t *testing.T) {
	long := strings.Repeat("k", 50000)
	values := strings.Repeat("1,", 50000)
	items := strings.Repeat(" - 1\n", 20000)
	for name, text := range map[string]string{
		"many values, deep":          strings.Repeat("[", 900) + values + "1" + strings.Repeat("]", 900),
		"a long key":                 long + ":\n" + items,
		"a long key, flow":           "{" + long + ": [" + values + "1]}",
		"a long key, flow, quote":    `{"` + long + `,": [` + values + "1]}",
		"a long key below another":   "{" + long + ":\nb: [" + values + "1]}",
		"a long key with a mark":     "? " + long + "\n:\n" + lines(20000, func(i int) string { return fmt.Sprintf("  k%d: 1", i) }),
		"a long key without a colon": "? \"" + long + "\"\n" + items,
		"a long key with a tag":      "!t " + long + ":\n" + lines(20000, func(i int) string { return fmt.Sprintf("  k%d: 1", i) }),
		"a long key in a list":       "- " + long + ":\n" + strings.Repeat("  - 1\n", 20000),
	} {
		used, err := allocated(text)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Message, "keys too long") {
			t.Errorf("%s: %.200v", name, err)
		}
		if used > uint64(600*len(text)) {
			t.Errorf("%s: %d bytes allocated for %d", name, used, len(text))
		}
	}
}

// Neither scalars nor comments nest, and what has ended counts no more.
func TestNotDeep(t *testing.T) {
	many := 3 * MaxDepth
	for name, text := range map[string]string{
		"pairs":               strings.Repeat("- [{a: [b]}]\n", many),
		"a flat map":          lines(many, func(i int) string { return fmt.Sprintf("k%d: {a: b}", i) }),
		"maps in maps":        lines(many, func(i int) string { return fmt.Sprintf("k%d:\n  a:\n    b: c\n  d:\n  - e: f\n    g: h", i) }),
		"sequences":           strings.Repeat("- - a\n  - b\n-\n  - c: d\n", many),
		"no indentation":      "a:\n" + strings.Repeat("- b: c\n  d:\n  - e\n", many),
		"documents":           strings.Repeat("---\na: [b]\n", many/10),
		"tags and anchors":    lines(many, func(i int) string { return fmt.Sprintf("k%d: !!str a\nl%d: &a%d\nm%d: !t {a: b}", i, i, i, i) }),
		"text":                "a: |\n" + strings.Repeat("  - b: c # d\n", many),
		"text with brackets":  "a: |\n  " + strings.Repeat("[", MaxDepth-1),
		"comments":            strings.Repeat("# - - [ ? a: b\n", MaxDepth-1) + "a: b\n",
		"flow over lines":     "a: {\n  b: [\n    1, 2\n  ],\n}\n",
		"one long line":       "[" + strings.Repeat("{a-b: {c: d}}, ", maxIndicators/2) + "]",
		"pairs in a sequence": "[" + strings.Repeat("a: b, ", many) + "c: d]",
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// allocated parses a text and returns what that has allocated.
func allocated(text string) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Parse(text)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

// paths adds up the paths that the parser has made: for each key, each value of one, and each item.
type paths struct{ total int }

// Visit implements ast.Visitor.
func (p *paths) Visit(n ast.Node) ast.Visitor {
	switch x := n.(type) {
	case *ast.MappingValueNode:
		p.total += max(len(x.Key.GetPath())-len("$"), 0) + max(len(x.GetPath())-len("$"), 0)
	case *ast.SequenceNode:
		for _, entry := range x.Entries {
			p.total += len(entry.GetPath()) - len("$")
		}
	}
	return p
}

// FuzzParse: whatever the text, the paths of what is parsed are not much longer than what was counted for them: memory is bounded, not counted to
// the byte.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"a: {b: [c, d], ? e : f}\n", "- - a: !t\n  b: &x\n    c: *x\n", "{a:\nb: c\nd: e}\n", "? a\n:\n  b: c\n  d: e\n", "[a: b\n, - c]\n",
		"a: !t\nb: !t &c\nd: e\n", "a: |\n  b\n---\nc: >-\n  d\n...\n", "- !!seq\n- a\n", "[[[[", "- - - -", "\"a\\n\": 'b'\n", "<<: {a: b}\n", "!t a:\n  b: c\n",
		"[\na: b\n]\n", "&a b: c\n", "{a: {b: c}\n, d: e}", "a:\n- b\n- c: d\ne: f\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4<<10 {
			t.Skip("the parser's time grows faster than the text")
		}
		file, err := Parse(text)
		if err != nil {
			var e *Error
			if errors.As(err, &e) && (e.Line < 1 || e.Column < 1) {
				t.Errorf("an error without a place: %v", err)
			}
			return
		}
		tokens, err := Tokenize(text)
		if err != nil {
			t.Fatalf("parsed, but not cut into tokens: %v", err)
		}
		m := measure{most: freePathBytes + pathBytesPerOne*len(text)}
		for _, x := range tokens {
			if x.Type != token.CommentType {
				_ = m.take(x)
			}
		}
		made := &paths{}
		for _, doc := range file.Docs {
			if doc.Body != nil {
				ast.Walk(made, doc.Body)
			}
		}
		if made.total > 2*m.total+256 {
			t.Errorf("paths of %d bytes, %d counted", made.total, m.total)
		}
	})
}
