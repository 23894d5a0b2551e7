// Package smuggling holds published desync vectors as data (vectors/*.txt; vectors/README.md tells the format and the sources) and says what must become of each:
// which heads gain lines, how many requests are certain, and what arrives. It is for tests only.
package smuggling

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed vectors/*.txt
var files embed.FS

// Vector is what one client sends, what a scripted server answers, and what must become of it. Offsets count the client's bytes.
type Vector struct {
	Class  string // the file's name without number and extension
	Title  string // the file's heading
	Name   string
	Source string
	Why    string

	Client  []byte   // all that the client sends
	Inserts []int    // where our lines go in
	Gone    []Range  // lines that leave
	Answers []Answer // in order

	Spans  int    // requests that are certain
	Opaque string // why the session ends opaque; "" = it does not

	Refused []string // the servers that refuse a request whose head is edited, or one before it
}

// Range is a half-open range of offsets.
type Range struct{ Lo, Hi int }

// Answer is what the server says once it has received the client's first After bytes.
type Answer struct {
	After int
	Data  []byte
}

// String returns the class and the name.
func (v *Vector) String() string { return v.Class + ": " + v.Name }

// All returns the vectors, in the order of the files.
func All() ([]Vector, error) {
	list, err := files.ReadDir("vectors")
	if err != nil {
		return nil, err
	}
	var all []Vector
	for _, f := range list {
		text, err := files.ReadFile("vectors/" + f.Name())
		if err != nil {
			return nil, err
		}
		vs, err := parse(f.Name(), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, vs...)
	}
	return all, nil
}

// parse parses one file.
func parse(file, text string) ([]Vector, error) {
	_, class, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".txt"), "_")
	title := ""
	var all []Vector
	for i, line := range strings.Split(text, "\n") {
		if t, ok := strings.CutPrefix(line, "# "); ok {
			title = t
			continue
		}
		if name, ok := strings.CutPrefix(line, "## "); ok {
			all = append(all, Vector{Class: class, Title: title, Name: name, Spans: -1})
			continue
		}
		if len(all) == 0 || line == "" {
			continue
		}
		if err := all[len(all)-1].line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		}
	}
	for i := range all {
		v := &all[i]
		if v.Source == "" || v.Why == "" || v.Spans < 0 || len(v.Client) == 0 || len(v.Inserts) > v.Spans {
			return nil, fmt.Errorf("%s: %s: incomplete", file, v.Name)
		}
	}
	return all, nil
}

var expectation = regexp.MustCompile(`^edited (\d+), spans (\d+)(?:, opaque ([a-z0-9_]+))?$`)

// line takes one line of a vector.
func (v *Vector) line(line string) (err error) {
	if value, ok := strings.CutPrefix(line, "source: "); ok {
		v.Source = value
		return nil
	}
	if value, ok := strings.CutPrefix(line, "why: "); ok {
		v.Why = value
		return nil
	}
	if value, ok := strings.CutPrefix(line, "expect: "); ok {
		return v.expect(value)
	}
	if value, ok := strings.CutPrefix(line, "refused: "); ok {
		v.Refused = strings.Split(value, ", ")
		return nil
	}
	if line == "^" {
		v.Inserts = append(v.Inserts, len(v.Client))
		return nil
	}
	mark, text := line[0], line[1:]
	end := `\r\n`
	if rest, ok := strings.CutPrefix(text, "+"); ok && mark != '-' {
		text, end = rest, ""
	}
	data, err := unescape(strings.TrimPrefix(text, " ") + end)
	if err != nil {
		return err
	}
	switch mark {
	case '>':
	case '-':
		v.Gone = append(v.Gone, Range{len(v.Client), len(v.Client) + len(data)})
	case '<':
		if n := len(v.Answers); n > 0 && v.Answers[n-1].After == len(v.Client) {
			v.Answers[n-1].Data = append(v.Answers[n-1].Data, data...)
		} else {
			v.Answers = append(v.Answers, Answer{len(v.Client), data})
		}
		return nil
	default:
		return fmt.Errorf("line %q", line)
	}
	v.Client = append(v.Client, data...)
	return nil
}

// expect takes the expectation. The heads that it says are edited must be marked in what follows, which Marked checks.
func (v *Vector) expect(value string) (err error) {
	m := expectation.FindStringSubmatch(value)
	if m == nil {
		return fmt.Errorf("expectation %q", value)
	}
	if v.Spans, err = strconv.Atoi(m[2]); err != nil {
		return err
	}
	edited, err := strconv.Atoi(m[1])
	if err != nil {
		return err
	}
	v.Opaque = m[3]
	v.Inserts = make([]int, 0, edited)
	return nil
}

// Marked reports whether as many heads are marked as the expectation says.
func (v *Vector) Marked() bool { return len(v.Inserts) == cap(v.Inserts) }

// Splits returns the offsets within the client's bytes at which a cut is most likely to matter: around line ends and colons, around the places of our
// lines, and where the server speaks.
func (v *Vector) Splits() []int {
	var at []int
	add := func(offsets ...int) {
		for _, o := range offsets {
			if o > 0 && o < len(v.Client) {
				at = append(at, o)
			}
		}
	}
	const edge = 2048 // long fillers are not split throughout
	for i, c := range v.Client {
		if (c == '\r' || c == '\n' || c == ':') && (i < edge || len(v.Client)-i < edge) {
			add(i, i+1)
		}
	}
	for _, o := range v.Inserts {
		add(o-1, o, o+1, o+2, o+3)
	}
	for _, a := range v.Answers {
		add(a.After)
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// unescape resolves the escapes of a line.
func unescape(s string) ([]byte, error) {
	var out []byte
	for len(s) > 0 {
		if s[0] != '\\' {
			out, s = append(out, s[0]), s[1:]
			continue
		}
		if rest, ok := strings.CutPrefix(s, `\0`); ok {
			out, s = append(out, 0), rest
			continue
		}
		rest, ok := strings.CutPrefix(s, `\{`)
		if !ok {
			c, _, tail, err := strconv.UnquoteChar(s, 0)
			if err != nil {
				return nil, fmt.Errorf("escape %q: %w", s, err)
			}
			out, s = append(out, byte(c)), tail
			continue
		}
		body, tail, _ := strings.Cut(rest, "}")
		cut := strings.LastIndexByte(body, '*')
		if cut < 0 {
			return nil, fmt.Errorf("repetition %q", body)
		}
		piece, err := unescape(body[:cut])
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(body[cut+1:])
		if err != nil {
			return nil, err
		}
		out, s = append(out, []byte(strings.Repeat(string(piece), n))...), tail
	}
	return out, nil
}
