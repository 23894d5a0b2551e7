package openapi

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const yamlDescription = `# the shop
openapi: 3.0.3
info: {title: Shop, version: "1"}
servers:
  - url: https://api.example.org/{base}/v1/
    variables:
      base: {default: shop}
  - url: /internal
paths:
  x-owner: somebody
  /orders:
    get: {responses: {}}
  /orders/{orderId}: &order
    get: {}
  /files/{name}.{ext}: *order
  "/status":
    servers: [{url: "http://status.example.org"}]
`

const jsonDescription = `{"openapi": "3.1.0", "servers": [{"url": "https://api.example.org/{base}/v1/",
"variables": {"base": {"default": "shop", "enum": ["shop"]}}}, {"url": "/internal"}],
"paths": {"x-owner": "somebody", "/orders": {"get": {}}, "/orders/{orderId}": {}, "/files/{name}.{ext}": {"$ref": "#/x"},
"/status": {"servers": [{"url": "http://status.example.org"}]}}}`

func TestReadsTemplates(t *testing.T) {
	for name, text := range map[string]string{"yaml": yamlDescription, "json": jsonDescription, "json with a mark": "\ufeff" + jsonDescription} {
		d, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := []string{"/internal/files/{name}.{ext}", "/internal/orders", "/internal/orders/{orderId}",
			"/shop/v1/files/{name}.{ext}", "/shop/v1/orders", "/shop/v1/orders/{orderId}", "/status"}
		if !slices.Equal(d.Templates, want) {
			t.Errorf("%s: templates %q", name, d.Templates)
		}
		if bare := []string{"/files/{name}.{ext}", "/orders", "/orders/{orderId}"}; !slices.Equal(d.Bare, bare) {
			t.Errorf("%s: bare %q", name, d.Bare)
		}
		if d.Skipped != 0 || d.Problem != nil {
			t.Errorf("%s: %d skipped, %v", name, d.Skipped, d.Problem)
		}
	}
}

func TestServerPaths(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"", ""}, {"/", ""}, {"/v1", "/v1"}, {"/v1/", "/v1"}, {"https://a", ""}, {"https://a:8080/", ""}, {"https://a/v1?x=/y#z", "/v1"},
		{"//a/v1", "/v1"}, {"./v1", "/v1"}, {"v1", "/v1"}, {"https://{host}/{v}", "/v9"}, {"https://a/{unknown}/x", "/{unknown}/x"},
	} {
		s := server{url: c.url, defaults: map[string]string{"host": "h", "v": "v9"}}
		if got := s.path(); got != c.want {
			t.Errorf("%q: got %q, want %q", c.url, got, c.want)
		}
	}
}

// A variable's default may look like another variable: it is text. Else a few kilobytes of them would become gigabytes, and which came first
// would be chance.
func TestServerVariablesAreReplacedOnce(t *testing.T) {
	for _, c := range []struct {
		url      string
		defaults map[string]string
		want     string
	}{
		{"/{a}/{b}", map[string]string{"a": "{b}", "b": "{a}"}, "/{b}/{a}"},
		{"/{a}{a}", map[string]string{"a": "x{b", "b": "y"}, "/x{bx{b"},
		{"/{a}b}", map[string]string{"a": "{", "b": "y"}, "/{b}"},
		{"/{x{a}/}{a}", map[string]string{"a": "y"}, "/{xy/}y"},
	} {
		for range 10 { // the order of a map is another each time
			if got := (server{url: c.url, defaults: c.defaults}).path(); got != c.want {
				t.Fatalf("%q with %v: got %q, want %q", c.url, c.defaults, got, c.want)
			}
		}
	}
}

func TestServerPathsStayShort(t *testing.T) {
	many := func(s string) string { return strings.Repeat(s, 400) }
	for name, text := range map[string]string{
		"each holds the next": `{"url": "/{a}", "variables": {"a": {"default": "` + many("{b}") + `"}, "b": {"default": "` + many("{c}") + `"}, "c": {"default": "` +
			many("{d}") + `"}, "d": {"default": "` + many("x") + `"}}}`,
		"one many times":    `{"url": "/` + many("{a}") + `", "variables": {"a": {"default": "` + many(many("x")) + `"}}}`,
		"long as it stands": `{"url": "https://` + many(many("x")) + `/y"}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := Parse([]byte(`{"openapi": "3.0.0", "paths": {"/p": {}, "/q": {"servers": [{"url": "/v1"}]}}, "servers": [` + text + `]}`))
		runtime.ReadMemStats(&after)
		if err != nil || !slices.Equal(d.Templates, []string{"/v1/q"}) || d.Skipped != 1 || !errors.Is(d.Problem, errLong) {
			t.Errorf("%s: %.200v, %v", name, d, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(text))
		}
	}
}

func TestWrongDescriptions(t *testing.T) {
	head := "openapi: 3.0.0\n"
	for _, c := range []struct {
		name, text string
		is         error
		says       string
	}{
		{"empty", "", ErrVersion, ""},
		{"comment", "# nothing\n", ErrVersion, ""},
		{"Swagger 2", "swagger: \"2.0\"\npaths:\n  /a: {}\n", ErrVersion, ""},
		{"version as a number", `{"openapi": 3, "paths": {"/a": {}}}`, ErrVersion, ""},
		{"no YAML", "openapi: [3\n", nil, "want JSON or YAML"},
		{"cut JSON", `{"openapi": "3.0.0", "paths": {"/a"`, nil, "want JSON or YAML"},
		{"list", "- a\n", ErrVersion, ""},
		{"no paths", head, ErrNoPaths, ""},
		{"empty paths", head + "paths:\n", ErrNoPaths, ""},
		{"paths a list", head + "paths: [/a]\n", ErrShape, "paths"},
		{"paths a list, JSON", `{"openapi": "3.0.0", "paths": ["/a"]}`, ErrShape, ""},
		{"only wrong paths", head + "paths:\n  a: {}\n", errNoSlash, `"a"`},
		{"braces", head + "paths:\n  /a/{b: {}\n", errBraces, ""},
		{"too large", strings.Repeat(" ", maxFileBytes+1), ErrTooLarge, ""},
		{"alias to itself", head + "paths: &p\n  /a: *p\n", nil, ""},
		{"unknown alias", head + "paths: *nothing\n", nil, ""},
	} {
		d, err := Parse([]byte(c.text))
		if c.is == nil && c.says == "" {
			continue // it is enough that it ends
		}
		if err == nil || d != nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// One wrong path does not take the others with it.
func TestDescriptionsAreUsedInPart(t *testing.T) {
	d, err := Parse([]byte("openapi: 3.0.0\npaths:\n  /a: {}\n  b: {}\n  /c/{}: {}\n  /d/{e{f}}: {}\n  /g/}h{: {}\n  /i/{j/k}: {}\n  /l?m: {}\n  /n o: {}\n  /\xb6: {}\n  /" +
		strings.Repeat("x", maxTemplateBytes) + ": {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Templates, []string{"/a"}) || d.Skipped != 9 || !errors.Is(d.Problem, errNoSlash) {
		t.Errorf("%q, %d skipped, %v", d.Templates, d.Skipped, d.Problem)
	}
}

// Cut down to the lines of interest or not, a file says the same; those that cannot be cut down are parsed as they are.
func TestCuttingDownChangesNothing(t *testing.T) {
	const head, op = "openapi: 3.0.0\n", "    get:\n      description: |\n        servers:\n        /no: {}\n      responses: {}\n"
	for _, c := range []struct {
		name, text string
		cut        bool
	}{
		{"shop", yamlDescription, true},
		{"operations", head + "paths:\n  /a:\n" + op + "  /b/{c}:\n" + op, true},
		{"no indentation of lists", head + "servers:\n- url: /v1\n- url: /v2\npaths:\n  /a:\n    servers:\n    - url: /v3\n    get: {}\n  /b:\n" + op, true},
		{"other keys around", "info:\n  title: |\n    paths:\n      /no: {}\n" + head + "components:\n  x: [1,\n    2]\npaths:\n    /a:\n        get: {}\ntags:\n  - name: paths\n", true},
		{"quotes", "\"openapi\": '3.0.0'\n'paths' :\n  '/a' : {}\n  \"/b:c\": {}\n  /d:e:\n    get: {}\n", true},
		{"comments and marks", "%YAML 1.2\n---\n# x\n" + head + "paths: # y\n\n  # z\n  /a: # none\n" + op + "...\n", true},
		{"comments", "---\n# x\n" + head + "paths: # y\n\n  # z\n  /a: # w\n" + op, true},
		{"CRLF", strings.ReplaceAll(head+"paths:\n  /a:\n"+op, "\n", "\r\n"), true},
		{"values on the line of the key", head + "paths:\n  /a: {get: {}, post: {\n     x: y}}\n  /b: &x {}\n  /c: *x\n  /d:\n    $ref: 'x.yaml#/d'\n", true},
		{"servers on the line of the key", head + "paths:\n  /a: {servers: [{url: /v1}]}\n", false},
		{"flow", "{openapi: 3.0.0, paths: {/a: {}, /b: {}}}\n", false},
		{"flow below", head + "paths: {/a: {},\n  /b: {}}\n", false},
		{"alias", "x: &s [{url: /v1}]\n" + head + "servers: *s\npaths:\n  /a: {}\n", false},
		{"escape in a key", head + "paths:\n  \"/a\\u0062\": {}\n", false},
		{"key of several lines", head + "paths:\n  ? /a\n  : {}\n", false},
	} {
		short, err := cutDown([]byte(c.text))
		if c.cut != (err == nil) || err != nil && !errors.Is(err, ErrStyle) {
			t.Errorf("%s: cut down %v, want %v", c.name, err, c.cut)
		}
		whole, err := parseYAML([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if short != nil && !reflect.DeepEqual(short, whole) {
			t.Errorf("%s: cut down to %+v, want %+v", c.name, short, whole)
		}
	}
}

// A large description costs little memory; one that would cost much is refused.
func TestLargeDescriptions(t *testing.T) {
	var b strings.Builder
	b.WriteString("openapi: 3.0.0\npaths:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "  /r%d/{id}:\n    get:\n      summary: %s\n", i, strings.Repeat("x", 400))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	d, err := Parse([]byte(b.String()))
	runtime.ReadMemStats(&after)
	if err != nil || len(d.Templates) != 5000 {
		t.Fatal(err)
	}
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(16*b.Len()); got > most {
		t.Errorf("%d bytes allocated for %d, want at most %d", got, b.Len(), most)
	}
	flow := "{" + strings.ReplaceAll(b.String()[:maxWholeBytes], "\n", " ") + "}"
	if _, err := Parse([]byte(flow)); !errors.Is(err, ErrStyle) {
		t.Errorf("%v, want %v", err, ErrStyle)
	}
}

// Servers multiply paths: what they make is bounded, and what they have in common counts once, whoever repeats it.
func TestServersTimesPaths(t *testing.T) {
	const many = 1000
	list := func(format string) string {
		var all []string
		for i := range many {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, ", ")
	}
	var servers []string
	for i := range 3 * maxTemplates {
		servers = append(servers, fmt.Sprintf(`{"url": "/%d"}`, i))
	}
	const long = `{url: "/{a}", variables: {a: {default: "%0512d"}}}`
	for name, c := range map[string]struct {
		text string
		want int // templates; 0, -1: an error
	}{
		"in JSON":              {`{"openapi": "3.0.0", "servers": [` + list(`{"url": "/%d"}`) + `], "paths": {` + list(`"/p%d": {}`) + `}}`, 0},
		"in YAML":              {"{openapi: 3.0.0, servers: [" + list("{url: /%d}") + "], paths: {" + list("/p%d: {}") + "}}", 0},
		"repeated by aliases":  {"{openapi: 3.0.0, servers: &s [" + list("{url: /%d}") + "], paths: {" + list("/p%d: {servers: *s}") + "}}", 0},
		"the same path":        {"{openapi: 3.0.0, servers: &s [" + list("{url: http://h%d/v1}") + "], paths: {" + list("/p%d: {servers: *s}") + "}}", many},
		"and one is different": {"{openapi: 3.0.0, servers: &s [{url: /v2}, " + list("{url: http://h%d/v1}") + "], paths: {" + list("/p%d: {servers: *s}") + "}}", 2 * many},
		"below one path":       {`{"openapi": "3.0.0", "servers": [` + strings.Join(servers, ", ") + `], "paths": {"/p": {}}}`, 0},
		"skipped":              {`{"openapi": "3.0.0", "servers": [` + list(`{"url": "/ %d"}`) + `], "paths": {` + list(`"/p%d": {}`) + `, "/q": {}}}`, -1},
		"too long":             {"{openapi: 3.0.0, servers: &s [{url: /v1}, " + list(long) + "], paths: {/a: {servers: *s}}}", 1},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		d, err := Parse([]byte(c.text))
		runtime.ReadMemStats(&after)
		switch {
		case c.want == 0 && (err == nil || !strings.Contains(err.Error(), "has over 20000 paths, at most 20000")):
			t.Errorf("%s: %v", name, err)
		case c.want < 0 && (err == nil || !strings.Contains(err.Error(), "make over 1000000 pairs")):
			t.Errorf("%s: %v", name, err)
		case c.want > 0 && (err != nil || len(d.Templates) != c.want):
			t.Errorf("%s: %v, want %d templates", name, err, c.want)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(c.text))
		}
	}
}

// A few kilobytes of YAML must not take gigabytes, whether it is read whole or cut down; the error says what is too much.
func TestNestingIsBounded(t *testing.T) {
	const head = "openapi: 3.0.0\npaths:\n  /a: {}\nservers:\n"
	for name, text := range map[string]string{
		"brackets":    strings.Repeat("[", 5000),
		"dashes":      strings.Repeat("- ", 20000),
		"in servers":  head + "- url: " + strings.Repeat("[", 5000),
		"a long key":  strings.Repeat("k", 50000) + ":\n" + strings.Repeat(" - 1\n", 20000),
		"in one path": "openapi: 3.0.0\npaths:\n  /a:\n    servers:\n    " + strings.Repeat("- ", 20000) + "\n",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse([]byte(text))
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "nested too deeply") || !strings.Contains(err.Error(), "allowed") {
			t.Errorf("%s: %v", name, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, got, len(text))
		}
	}
	deep := head + "- url: " + strings.Repeat("[", 5000) + "\n" + strings.Repeat("info: x\n", maxWholeBytes/8)
	if _, err := Parse([]byte(deep)); err == nil || !strings.Contains(err.Error(), "servers: nested too deeply") {
		t.Errorf("deep in a large file: %v", err)
	}
	large := head + strings.Repeat("- url: /v1\n", maxWholeBytes/8)
	if _, err := Parse([]byte(large)); !errors.Is(err, ErrStyle) {
		t.Errorf("large servers: %v, want %v", err, ErrStyle)
	}
}

func TestReadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "api.yaml")
	if _, err := ReadFile(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(file, []byte(yamlDescription), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := ReadFile(file); err != nil || len(d.Templates) != 7 {
		t.Errorf("%v, %v", d, err)
	}
}

// FuzzParse: any bytes are a description or an error, and what is taken is fit for use.
func FuzzParse(f *testing.F) {
	for _, s := range []string{yamlDescription, jsonDescription, "", "openapi: 3.0.0\npaths: {/a: &x {servers: *x}}\n", "a: &a *a\n", "{", "- - -", "? a\n: b\n",
		"openapi: 3.0.0\npaths:\n  /a/{b}-{c}: !!map {}\n", "<<: {openapi: 3.0.0}\n", "openapi: |\n  3.0\npaths: {}\n",
		strings.Repeat("[", 1200), strings.Repeat("- ", 1200), strings.Repeat("{a: ", 1200), "openapi: 3.0.0\npaths:\n  /a:\n    servers:\n    " + strings.Repeat("- ", 1200) + "\n",
		`{"openapi": "3.0.0", "paths": {"/p": {}}, "servers": [{"url": "/{a}{a}", "variables": {"a": {"default": "{b}{b}"}, "b": {"default": "{a}x"}}}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if (d == nil) != (err != nil) {
			t.Fatalf("%v, %v", d, err)
		}
		if err != nil {
			return
		}
		for _, list := range [][]string{d.Templates, d.Bare} {
			if !slices.IsSorted(list) {
				t.Errorf("%q is not sorted", list)
			}
			for _, x := range list {
				if checkTemplate(x) != nil {
					t.Errorf("%q: %v", x, checkTemplate(x))
				}
			}
		}
	})
}
