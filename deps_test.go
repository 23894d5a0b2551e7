// Package spanwire_test holds the tests of the project as a whole: the arrows between its packages.
package spanwire_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path that imports of the project's own packages begin with.
const module = "github.com/spanwire/spanwire"

// rule says what the packages at and below dir may import.
type rule struct {
	dir string
	// own lists the project's packages that may be imported; "x/..." is x and all below it. Packages at and below dir may always
	// import each other, unless alone is set.
	own   []string
	alone bool
	// modules: packages of other modules may be imported. Without it: the standard library and own.
	modules bool
}

// rules is the layout of docs/architecture.md. The longest dir that matches decides; a package that none matches fails the test, so
// that a new directory gets its place in the order when it is made.
var rules = []rule{
	{dir: "parsers"},
	{dir: "core/span", alone: true},
	{dir: "core/ring"},
	{dir: "core/loop", modules: true},
	{dir: "core/route"},
	{dir: "core/verify"},
	{dir: "core/trace", own: []string{"core/route", "core/span", "parsers"}},
	{dir: "core", own: []string{"parsers"}, modules: true},
	{dir: "exporters", own: []string{"core/span", "core/ring"}, modules: true},
	{dir: "sampling", own: []string{"core/trace", "core/span"}, modules: true},
	{dir: "openapi", own: []string{"internal/yamlbound"}, modules: true},
	{dir: "accesslog", own: []string{"core/span", "core/ring"}},
	{dir: "statsd"},
	{dir: "settings", own: []string{"core/...", "parsers", "internal/yamlbound"}, modules: true},
	{dir: "admin", own: []string{"core/...", "parsers", "exporters/..."}, modules: true},
	{dir: "intercept", modules: true},
	{dir: "inject", own: []string{"internal/yamlbound"}, modules: true},
	{dir: "cmd", alone: true, own: []string{"core/...", "parsers", "exporters/...", "accesslog", "statsd", "admin/...", "sampling", "settings", "openapi", "intercept/...", "inject", "deploy/...", "loadtest/...", "bench/..."}, modules: true},
	{dir: "cmd/spanwire", own: []string{"core/...", "parsers", "exporters/...", "accesslog", "statsd", "admin/...", "sampling", "settings", "openapi", "intercept/...", "inject", "deploy/..."}, modules: true},
	{dir: "loadtest", modules: true},
	{dir: "bench", own: []string{"loadtest/...", "internal/port"}, modules: true},
	{dir: "deploy", modules: true},
	// What the demo and its tests know about a span comes from the outside only: they judge the product, so they share no code with it.
	{dir: "demo/service"},
	{dir: "demo", own: []string{"internal/port"}, modules: true},
	{dir: "e2e", own: []string{"demo/..."}, modules: true},
	{dir: "e2e/redirect", own: []string{"core/..."}},
	{dir: "internal/yamlbound", alone: true, modules: true},
	{dir: "internal/need", alone: true},
	{dir: "internal/netns", own: []string{"internal/need"}},
	{dir: "internal/port"},
	{dir: "internal/sidecar", own: []string{"internal/need", "internal/port"}},
	{dir: "internal/proof"},
	{dir: "internal/smuggling", alone: true},
	{dir: "tools/testreport", own: []string{"internal/need"}},
	{dir: "tools/fuzzcorpus"},
	{dir: "tools/proof", own: []string{"internal/proof"}},
	{dir: "tools/soak", own: []string{"internal/proof"}, modules: true},
}

// testOnly are packages that test files may import wherever they stand.
var testOnly = []string{"internal/need", "internal/netns", "internal/proof", "internal/sidecar", "internal/smuggling", "parsers/parsertest"}

// heavy are modules that the sidecar must not link: they serve tests, the demo and the load generator.
var heavy = []string{
	"github.com/HdrHistogram/", "github.com/openzipkin/", "github.com/jaegertracing/", "github.com/apache/thrift",
	"go.opentelemetry.io/proto/", "google.golang.org/protobuf", "google.golang.org/grpc", "testing",
}

func TestImportsPointOneWay(t *testing.T) {
	for dir, imports := range projectImports(t) {
		if _, ok := ruleFor(dir); !ok {
			t.Errorf("directory %s has no rule; say in deps_test.go what it may import", dir)
			continue
		}
		for _, imp := range imports {
			if problem := judge(dir, imp.path, imp.test); problem != "" {
				t.Errorf("%s: %s", imp.file, problem)
			}
		}
	}
}

// TestSidecarLinksNoTestLibraries walks the imports from cmd/spanwire through the project's own packages.
func TestSidecarLinksNoTestLibraries(t *testing.T) {
	all := projectImports(t)
	const binary = "cmd/spanwire"
	if len(all[binary]) == 0 {
		t.Fatalf("%s imports nothing: is the sidecar gone?", binary)
	}
	seen := map[string]bool{binary: true}
	for queue := []string{binary}; len(queue) > 0; queue = queue[1:] {
		for _, imp := range all[queue[0]] {
			if imp.test {
				continue
			}
			for _, banned := range heavy {
				if imp.path == banned || strings.HasPrefix(imp.path, banned) && banned != "testing" {
					t.Errorf("%s: the sidecar would link %s", imp.file, imp.path)
				}
			}
			if own, ok := strings.CutPrefix(imp.path, module+"/"); ok && !seen[own] {
				seen[own] = true
				queue = append(queue, own)
			}
		}
	}
}

// TestJudge holds the judge itself to account: an arrow that points back must be found, one that follows the data must not.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		dir, imported string
		test, allowed bool
	}{
		{dir: "core", imported: module + "/parsers", allowed: true},
		{dir: "core", imported: module + "/core/trace", allowed: true},
		{dir: "core", imported: "golang.org/x/sys/unix", allowed: true},
		{dir: "core", imported: module + "/exporters"},
		{dir: "core/span", imported: "net/netip", allowed: true},
		{dir: "core/span", imported: module + "/core"},
		{dir: "core/span", imported: "golang.org/x/sys/unix"},
		{dir: "core/ring", imported: module + "/core/span"},
		{dir: "core/loop", imported: module + "/core"},
		{dir: "core/trace", imported: module + "/core/span", allowed: true},
		{dir: "core/trace", imported: module + "/core/ring"},
		{dir: "core/trace", imported: module + "/core"},
		{dir: "parsers", imported: module + "/core/span"},
		{dir: "parsers", imported: module + "/core/span", test: true},
		{dir: "parsers", imported: module + "/internal/need", test: true, allowed: true},
		{dir: "parsers", imported: module + "/internal/need"},
		{dir: "parsers", imported: "github.com/google/go-cmp/cmp", test: true, allowed: true},
		{dir: "exporters", imported: module + "/core/span", allowed: true},
		{dir: "exporters", imported: module + "/core"},
		{dir: "exporters", imported: module + "/admin"},
		{dir: "cmd/spanwire", imported: module + "/exporters", allowed: true},
		{dir: "cmd/spanwire", imported: module + "/loadtest"},
		{dir: "cmd/spanload", imported: module + "/loadtest", allowed: true},
		{dir: "cmd/spanload", imported: module + "/cmd/spanwire"},
		{dir: "bench", imported: module + "/cmd/spanwire"},
		{dir: "demo", imported: module + "/core/span"},
		{dir: "demo/service", imported: "github.com/openzipkin/zipkin-go/model"},
		{dir: "brand/new", imported: module + "/core"},
	} {
		problem := judge(c.dir, c.imported, c.test)
		if (problem == "") != c.allowed {
			t.Errorf("judge(%s imports %s, test %v) = %q; allowed: %v", c.dir, c.imported, c.test, problem, c.allowed)
		}
	}
}

// judge says what is wrong with an import by a file in dir; "" = nothing. Tests may use other modules, since they link into
// nothing, but their arrows between the project's packages point the same way.
func judge(dir, imported string, test bool) string {
	r, ok := ruleFor(dir)
	if !ok {
		return "directory " + dir + " has no rule"
	}
	own, isOwn := strings.CutPrefix(imported, module+"/")
	switch {
	case !isOwn && (r.modules || test || standard(imported)):
		return ""
	case !isOwn:
		return fmt.Sprintf("%s may import the standard library only, not %s", r.dir, imported)
	case test && (slices.Contains(testOnly, own) || own == dir):
		return ""
	case !r.alone && within(own, r.dir+"/..."):
		return ""
	}
	for _, allowed := range r.own {
		if within(own, allowed) {
			return ""
		}
	}
	return fmt.Sprintf("%s must not import %s: the arrow points back", dir, own)
}

// ruleFor returns the rule with the longest dir at or above dir.
func ruleFor(dir string) (best rule, ok bool) {
	for _, r := range rules {
		if within(dir, r.dir+"/...") && (!ok || len(r.dir) > len(best.dir)) {
			best, ok = r, true
		}
	}
	return best, ok
}

// within reports whether dir matches pattern: equal, or below x for "x/...".
func within(dir, pattern string) bool {
	base, deep := strings.CutSuffix(pattern, "/...")
	return dir == base || deep && strings.HasPrefix(dir, base+"/")
}

// standard reports whether the import path is of the standard library: its first element has no dot.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

// imported is one import of one file.
type imported struct {
	file string
	path string
	test bool // by a _test.go file
}

// projectImports parses the imports of every Go file of this module, whatever its build constraints, by directory.
func projectImports(t *testing.T) map[string][]imported {
	t.Helper()
	found := map[string][]imported{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			if base := entry.Name(); name != "." && (base[0] == '.' || base == "testdata" || base == "build" || otherModule(name)) {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(name))
		if dir == "." {
			return nil // the tests of the project as a whole
		}
		for _, spec := range file.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[dir] = append(found[dir], imported{file: name, path: p, test: strings.HasSuffix(name, "_test.go")})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// otherModule reports whether dir is the root of another module.
func otherModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
