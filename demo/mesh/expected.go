package mesh

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/demo/spans"
)

// Outline is the tree that every request must leave behind, as spans.Node.Outline writes it: one span for each side of each call,
// the two prices side by side, the coupon's failure on both sides.
const Outline = `server frontend get /checkout/{id} 200
  client frontend get /cart/{id} 200
    server cart get /cart/{id} 200
      client cart get /price/apple 200
        server pricing get /price/apple 200
      client cart get /price/pear 200
        server pricing get /price/pear 200
      client cart post /coupons/spring 503 error
        server pricing post /coupons/spring 503 error
`

// SpansPerRequest is the number of spans in Outline.
const SpansPerRequest = 9

// ErrWrongTrace says that a trace is not what the requests must have left behind.
var ErrWrongTrace = errors.New("wrong trace")

// Verify returns nil when the spans are exactly those of one burst: a trace for each path, each with the tree of Outline, each
// path the root of one trace. Otherwise it returns every difference.
func Verify(received []spans.Span, paths []string) error {
	var problems []error
	wrong := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("%w: "+format, append([]any{ErrWrongTrace}, args...)...))
	}
	if want := len(paths) * SpansPerRequest; len(received) != want {
		wrong("%d spans, want %d", len(received), want)
	}
	seen := map[string]int{}
	traces := spans.ByTrace(received)
	for _, id := range slices.Sorted(maps.Keys(traces)) {
		root, err := spans.Tree(traces[id])
		if err != nil {
			wrong("%s: %w:\n%s", id, err, list(traces[id]))
			continue
		}
		if got := root.Outline(); got != Outline {
			wrong("%s:\n%swant:\n%s", id, indent(got), indent(Outline))
		}
		seen[rootPath(root)]++
	}
	for _, path := range paths {
		if seen[path] != 1 {
			wrong("%s is the root of %d traces", path, seen[path])
		}
		delete(seen, path)
	}
	for path := range seen {
		wrong("root with path %q, which was never asked for", path)
	}
	return errors.Join(problems...)
}

// rootPath returns the path of the request that began the trace.
func rootPath(root *spans.Node) string {
	for _, tag := range []string{"url.path", "http.path"} {
		if path := root.Tags[tag]; path != "" {
			return path
		}
	}
	return ""
}

// list writes spans that form no tree, one a line.
func list(trace []spans.Span) string {
	var b strings.Builder
	for _, s := range trace {
		fmt.Fprintf(&b, "  %s under %s: %s %s %s %s\n", s.ID, cmp.Or(s.ParentID, "nothing"), s.Kind, s.Service, s.Name, s.Status())
	}
	return b.String()
}

// indent moves every line by two spaces.
func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}
