package trace

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

func TestFindsTemplates(t *testing.T) {
	tree := newTemplates([]string{
		"/", "/v1/pets", "/v1/pets/mine", "/v1/pets/{petId}", "/v1/pets/{petId}/photos/{photo}", "/v1/pets/mine/{what}",
		"/v1/pets/{id}/owners", "/v1/files/{name}.json", "/v1/files/{name}", "/v1/files/{a}-{b}.tar.gz", "/v1/jobs/{id}:cancel",
		"/v1/{kind}/latest", "/a/{x}/c", "/a/b/{y}", "/slash/", "/report{year}",
	}, []string{"/pets", "/pets/{petId}", "/v1/pets"})
	for _, c := range []struct{ path, want string }{
		{"/", "/"},
		{"", ""},
		{"*", ""},
		{"/v1/pets", "/v1/pets"},
		{"/v1/pets/", "/v1/pets"},
		{"/v1/pets//", ""},
		{"/v1/pets/7", "/v1/pets/{petId}"},
		{"/v1/pets/rex", "/v1/pets/{petId}"},
		{"/v1/pets/rex;color=brown", "/v1/pets/{petId}"},
		// Concrete before templated, and back where that leads nowhere.
		{"/v1/pets/mine", "/v1/pets/mine"},
		{"/v1/pets/mine/toys", "/v1/pets/mine/{what}"},
		{"/v1/pets/mine/photos/2", "/v1/pets/{petId}/photos/{photo}"},
		{"/v1/pets/rex/owners", "/v1/pets/{id}/owners"},
		{"/a/b/c", "/a/b/{y}"},
		{"/a/z/c", "/a/{x}/c"},
		{"/v1/pets/latest", "/v1/pets/{petId}"},
		{"/v1/cars/latest", "/v1/{kind}/latest"},
		// Parts of segments.
		{"/v1/files/a.json", "/v1/files/{name}.json"},
		{"/v1/files/.json", "/v1/files/{name}"}, // a parameter is not empty
		{"/v1/files/a.b", "/v1/files/{name}"},
		{"/v1/files/x-1-2.tar.gz", "/v1/files/{a}-{b}.tar.gz"},
		{"/v1/files/-.tar.gz", "/v1/files/{name}"},
		{"/v1/jobs/7:cancel", "/v1/jobs/{id}:cancel"},
		{"/v1/jobs/7", ""},
		{"/report2024", "/report{year}"},
		{"/report", ""},
		{"/slash/", "/slash/"},
		{"/slash", ""},
		// Behind an ingress that strips the servers' path.
		{"/pets/7", "/pets/{petId}"},
		{"/v1", ""},
		{"/v2/pets/7", ""},
		{"/v1/pets/7/photos", ""},
		{"/V1/pets", ""},
	} {
		if got := tree.find([]byte(c.path)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.path, got, c.want)
		}
	}
	if newTemplates(nil, nil) != nil {
		t.Error("a tree of nothing")
	}
}

// A template names inbound requests, before the rules of folding; outbound requests with the same path are folded.
func TestTemplatesNameInboundOperations(t *testing.T) {
	f := newFixture(t, Config{Templates: []string{"/shops/{city}", "/shops/{city}/items/{item}"}, FoldPaths: []string{"^/shops/berlin=>/rule"}})
	for range 2 { // the second time from the cache
		for _, c := range []struct {
			kind         span.Kind
			target, want string
		}{
			{span.Server, "/shops/berlin", "GET /shops/{city}"},
			{span.Client, "/shops/berlin", "GET /rule"},
			{span.Server, "/shops/ulm/items/7?q=1", "GET /shops/{city}/items/{item}"},
			{span.Client, "/shops/ulm/items/7", "GET /shops/ulm/items/{id}"},
			{span.Server, "/others/7", "GET /others/{id}"},
			{span.Server, "/shops/" + strings.Repeat("x", maxFoldBytes), ""}, // too long to look at: folded, and cut
		} {
			a, _ := f.begin(request(c.kind, "GET "+c.target+" HTTP/1.1"))
			got := string(a.Rec.Text(span.Name))
			if c.want == "" {
				c.want = ("GET " + c.target)[:span.MaxBytes(span.Name)]
			}
			if got != c.want {
				t.Errorf("%v %.40s: got %q, want %q", c.kind, c.target, got, c.want)
			}
		}
	}
	f = newFixture(t, Config{Naming: "netra", MaxOperations: 1, BareTemplates: []string{"/a/{b}", "/c/{d}"}})
	for _, want := range []string{"/a/{b}", "{other}", "/a/{b}"} {
		path := map[string]string{"/a/{b}": "/a/x", "{other}": "/c/x"}[want]
		if a, _ := f.begin(request(span.Server, "GET "+path+" HTTP/1.1")); string(a.Rec.Text(span.Name)) != want {
			t.Errorf("got %q, want %q", a.Rec.Text(span.Name), want)
		}
	}
}

// FuzzTemplates: what is found has the path's segments, with the text of each that is plain.
func FuzzTemplates(f *testing.F) {
	list := []string{"/a/{x}", "/a/b", "/a/{x}/c", "/{p}/b/{q}", "/a/{n}.{e}/d", "/a/x{n}y{m}z", "/"}
	tree := newTemplates(list, nil)
	for _, s := range []string{"/a/b", "/a/7/c", "/z/b/1", "/a/f.g/d", "/a/x1y2z", "/a//", "//", "/a;b/c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, path []byte) {
		name := tree.find(path)
		if name == "" {
			return
		}
		if n := bytes.Count(path, slash) - strings.Count(name, "/"); n != 0 && (n != 1 || !bytes.HasSuffix(path, slash)) {
			t.Errorf("%q is called %q", path, name)
		}
		got := bytes.Split(path, slash)
		for i, seg := range strings.Split(name, "/") {
			text, _, _ := bytes.Cut(got[i], semicolon)
			if !strings.Contains(seg, "{") && string(text) != seg {
				t.Errorf("%q is called %q", path, name)
			}
		}
	})
}

// BenchmarkTemplates is the first sight of a path with a description of 1000 templates.
func BenchmarkTemplates(b *testing.B) {
	var list []string
	for i := range 250 {
		base := fmt.Sprintf("/api/v1/resource%d", i)
		list = append(list, base, base+"/{id}", base+"/{id}/parts/{part}", base+"/{id}/parts/{part}.json")
	}
	for i := range 64 { // what makes a search go back and forth
		list = append(list, "/"+strings.Repeat("{p}/", i)+"end")
	}
	tree := newTemplates(list, nil)
	for name, path := range map[string]string{
		"found": "/api/v1/resource217/12345/parts/7", "not found": "/api/v1/resource217/12345/pieces/7",
		"1 KiB of segments": strings.Repeat("/a", maxFoldBytes/2),
	} {
		path := []byte(path)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tree.find(path)
			}
		})
	}
}
