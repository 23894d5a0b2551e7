// Package openapi reads from an application's own description (OpenAPI 3.x, JSON or YAML) what its paths are called: the templates under
// `paths`, below the paths of its `servers`.
//
// It reads once, at the start, and only what it needs: a description with faults elsewhere is as good as one without.
package openapi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a description. The largest public ones (of clouds' whole management interfaces) have some 10 MB and some thousand paths.
const (
	maxFileBytes     = 32 << 20
	maxTemplates     = 20000
	maxTemplateBytes = 512
	// maxTried bounds the pairs of a server and a path that are looked at, those that are skipped included.
	maxTried = 1_000_000
)

// What can be wrong with a description as a whole.
var (
	ErrTooLarge = errors.New("larger than 32 MiB")
	ErrVersion  = errors.New(`want an OpenAPI 3 description (openapi: "3.…")`)
	ErrNoPaths  = errors.New("has no paths")
	ErrShape    = errors.New("a value has not the shape that OpenAPI 3 gives it")
)

// Description is what was read.
type Description struct {
	// Templates are the templates below the paths of the servers: /v1/users/{userId}. Each begins with a slash. Sorted, each once.
	Templates []string
	// Bare are the templates as they stand in the description, those left out that Templates has: what an application sees behind an
	// ingress that strips the servers' path. Sorted, each once.
	Bare []string
	// Skipped counts the keys under paths that are no usable template; Problem says what is wrong with the first of them.
	Skipped int
	Problem error

	tried int // pairs of a server and a path
}

// ReadFile reads the description in a file. Errors name what is wrong, not the file.
func ReadFile(name string) (*Description, error) {
	f, err := os.Open(name)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	return Parse(data)
}

// Parse reads a description. data may be any bytes.
func Parse(data []byte) (*Description, error) {
	if len(data) > maxFileBytes {
		return nil, ErrTooLarge
	}
	doc, err := decode(data)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(doc.version, "3.") {
		return nil, ErrVersion
	}
	d := &Description{}
	for _, p := range doc.paths {
		if strings.HasPrefix(p.template, "x-") {
			continue // an extension
		}
		if err := checkTemplate(p.template); err != nil {
			d.skip(p.template, err)
			continue
		}
		if err := d.add(p, doc.servers); err != nil {
			return nil, err
		}
	}
	d.Templates, d.Bare = sortedOnce(d.Templates), sortedOnce(d.Bare)
	d.Bare = slices.DeleteFunc(d.Bare, func(t string) bool {
		_, found := slices.BinarySearch(d.Templates, t)
		return found
	})
	switch {
	case len(d.Templates) == 0 && d.Problem != nil:
		return nil, d.Problem
	case len(d.Templates) == 0:
		return nil, ErrNoPaths
	case len(d.Templates) > maxTemplates:
		return nil, fmt.Errorf("has %d paths, at most %d are used", len(d.Templates), maxTemplates)
	}
	return d, nil
}

// add adds a template below each server's path; servers of the path itself win (OpenAPI 3.1 §4.8.9).
func (d *Description) add(p pathItem, servers []string) error {
	d.Bare = append(d.Bare, p.template)
	if len(p.servers) > 0 {
		servers = p.servers
	}
	if len(servers) == 0 {
		servers = []string{""} // §4.8.1: "/"
	}
	for _, s := range servers {
		if d.tried++; d.tried > maxTried {
			return fmt.Errorf("has servers and paths that make over %d pairs", maxTried)
		}
		t := s + p.template
		if err := checkTemplate(t); err != nil {
			d.skip(t, err)
			continue
		}
		d.Templates = append(d.Templates, t)
		if len(d.Templates) > 2*maxTemplates { // many servers: what they have in common counts once
			if d.Templates = sortedOnce(d.Templates); len(d.Templates) > maxTemplates {
				return fmt.Errorf("has over %d paths, at most %d are used", maxTemplates, maxTemplates)
			}
		}
	}
	return nil
}

func (d *Description) skip(template string, err error) {
	d.Skipped++
	if d.Problem == nil {
		d.Problem = fmt.Errorf("path %.80q: %w", template, err)
	}
}

// What can be wrong with a template.
var (
	errNoSlash   = errors.New("does not begin with a slash")
	errLong      = fmt.Errorf("longer than %d characters", maxTemplateBytes)
	errBraces    = errors.New("has braces that do not pair, or an empty name between them")
	errCharacter = errors.New("has a character that no path has")
)

// checkTemplate says why a template cannot be used. A parameter may be a part of a segment; its name has no braces or slashes.
func checkTemplate(t string) error {
	if !strings.HasPrefix(t, "/") {
		return errNoSlash
	}
	if len(t) > maxTemplateBytes {
		return errLong
	}
	if !utf8.ValidString(t) {
		return errCharacter
	}
	open := -1
	for i := range len(t) {
		switch c := t[i]; {
		case c == '{':
			if open >= 0 {
				return errBraces
			}
			open = i
		case c == '}':
			if open < 0 || i == open+1 {
				return errBraces
			}
			open = -1
		case c == '/' && open >= 0:
			return errBraces
		case c == '?' || c == '#' || c <= ' ' || c == 0x7f:
			return errCharacter
		}
	}
	if open >= 0 {
		return errBraces
	}
	return nil
}

// sortedOnce sorts and leaves out repetitions.
func sortedOnce(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// server is an entry of servers.
type server struct {
	url      string
	defaults map[string]string // of the variables
}

// path returns the path of the server's URL with the defaults of its variables, without a slash at its end; "" for none.
func (s server) path() string {
	url, ok := s.withDefaults()
	if !ok {
		return "/" + url // longer than any template, so that it is skipped for that
	}
	if _, rest, ok := strings.Cut(url, "://"); ok {
		url = ""
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			url = rest[i:]
		}
	} else if rest, ok := strings.CutPrefix(url, "//"); ok {
		_, url, _ = strings.Cut(rest, "/")
	}
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		url = url[:i]
	}
	url = strings.Trim(strings.TrimPrefix(url, "."), "/")
	if url == "" {
		return ""
	}
	return "/" + url
}

// prefix is path, cut where all templates below it are too long anyway: many servers may have one long variable.
func (s server) prefix() string {
	p := s.path()
	return strings.Clone(p[:min(len(p), maxTemplateBytes+1)])
}

// maxURLBytes bounds a URL with its variables replaced: a host may stand before the path, parameters behind it.
const maxURLBytes = 16 * maxTemplateBytes

// withDefaults returns the URL with each {name} in it replaced by the default of that variable. What has been put in is not looked at again, so
// that variables cannot multiply each other. A URL that grows too long is cut, and ok is false.
func (s server) withDefaults() (url string, ok bool) {
	var b strings.Builder
	put := func(text string) { b.WriteString(text[:min(len(text), maxURLBytes+1-b.Len())]) }
	rest := s.url
	for b.Len() <= maxURLBytes {
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			put(rest)
			break
		}
		before, after := rest[:end+1], rest[end+1:]
		if open := strings.LastIndexByte(before, '{'); open >= 0 {
			if value, known := s.defaults[before[open+1:end]]; known {
				put(before[:open])
				before = value
			}
		}
		put(before)
		rest = after
	}
	return b.String(), b.Len() <= maxURLBytes
}
