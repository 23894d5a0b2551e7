package openapi

import (
	"errors"
	"os"
	"path/filepath"
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
	d, err := Parse([]byte("openapi: 3.0.0\npaths:\n  /a: {}\n  b: {}\n  /c/{}: {}\n  /d/{e{f}}: {}\n  /g/}h{: {}\n  /i/{j/k}: {}\n  /l?m: {}\n  /n o: {}\n  /" +
		strings.Repeat("x", maxTemplateBytes) + ": {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Templates, []string{"/a"}) || d.Skipped != 8 || !errors.Is(d.Problem, errNoSlash) {
		t.Errorf("%q, %d skipped, %v", d.Templates, d.Skipped, d.Problem)
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
		"openapi: 3.0.0\npaths:\n  /a/{b}-{c}: !!map {}\n", "<<: {openapi: 3.0.0}\n", "openapi: |\n  3.0\npaths: {}\n"} {
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
