package trace

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spanwire/spanwire/core/span"
)

// TestFoldsIdentifiers is what a person would want to read for paths as they occur.
func TestFoldsIdentifiers(t *testing.T) {
	s := newShared(t, Config{})
	for _, c := range [][2]string{
		// Words stay.
		{"/", "/"},
		{"", ""},
		{"/api/v1/users", "/api/v1/users"},
		{"/api/v2.1/users", "/api/v2.1/users"},
		{"/oauth2/authorize", "/oauth2/authorize"},
		{"/.well-known/openid-configuration", "/.well-known/openid-configuration"},
		{"/s3/upload", "/s3/upload"},
		{"/feedback/defaced", "/feedback/defaced"},
		{"/decade/facade", "/decade/facade"},
		{"/getUserProfileByAccountName", "/getUserProfileByAccountName"},
		{"/UserService/GetHTTPStatusCodes", "/UserService/GetHTTPStatusCodes"},
		{"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Check"},
		{"/internationalization", "/internationalization"},
		{"/ORDER_CONFIRMATION", "/ORDER_CONFIRMATION"},
		{"/blog/my-first-post-about-go", "/blog/my-first-post-about-go"},
		{"/blog/top-10-things-to-see", "/blog/top-10-things-to-see"},
		{"/report-2024", "/report-2024"},
		{"/iphone-12-pro-max", "/iphone-12-pro-max"},
		{"/jquery-3.7.1.min.js", "/jquery-3.7.1.min.js"},
		{"/static/app.js", "/static/app.js"},
		{"/version/1.2.3", "/version/1.2.3"},
		{"/api//double", "/api//double"},
		{"/trailing/", "/trailing/"},
		{"/users/{id}", "/users/{id}"},
		{"/café/menü", "/café/menü"},
		{"/sha256/base64", "/sha256/base64"},
		{"/http2/h264", "/http2/h264"},
		{"/python3.11/lib", "/python3.11/lib"},
		// Numbers.
		{"/users/1", "/users/{id}"},
		{"/users/42/orders/7", "/users/{id}/orders/{id}"},
		{"/users/1234567890123456789", "/users/{id}"},
		{"/balance/-12", "/balance/{id}"},
		{"/geo/52.5200/13.4050", "/geo/{id}/{id}"},
		{"/archive/2024/01", "/archive/{id}/{id}"},
		{"/img/12345.png", "/img/{id}.png"},
		{"/img/7.png", "/img/{id}.png"},
		{"/order-12345", "/order-{id}"},
		{"/INV-2024-000173", "/INV-2024-{id}"},
		{"/user_1234567", "/user_{id}"},
		{"/item12345678", "/item{id}"},
		{"/49-30-1234567", "/{id}"},
		{"/users/123,456789", "/users/{id}"},
		// UUIDs.
		{"/u/550e8400-e29b-41d4-a716-446655440000", "/u/{uuid}"},
		{"/u/550E8400-E29B-41D4-A716-446655440000/x", "/u/{uuid}/x"},
		{"/u/{550e8400-e29b-41d4-a716-446655440000}", "/u/{uuid}"},
		{"/u/550e8400e29b41d4a716446655440000", "/u/{hex}"},
		// Hexadecimal.
		{"/commit/3f2a9c1b", "/commit/{hex}"},
		{"/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commit/{hex}"},
		{"/obj/507f1f77bcf86cd799439011", "/obj/{hex}"},
		{"/contract/0xdAC17F958D2ee523a2206206994597C13D831ec7", "/contract/{hex}"},
		{"/static/app.3f2a9c1b.js", "/static/app.{hex}.js"},
		{"/static/main-5d41402abc4b2a76.css", "/static/main-{hex}.css"},
		// Dates.
		{"/day/2024-01-15", "/day/{date}"},
		{"/month/2024-01", "/month/{date}"},
		{"/at/2024-01-15T10:00:00Z", "/at/{date}"},
		{"/at/2024-01-15T10%3A00%3A00%2B02%3A00", "/at/{date}"},
		{"/day/20240115", "/day/{id}"},
		{"/no/2024-13-15", "/no/2024-13-15"},
		// Addresses.
		{"/mail/ann@example.org", "/mail/{email}"},
		{"/mail/ann.lee%40mail.example.org/inbox", "/mail/{email}/inbox"},
		{"/@ann", "/@ann"},
		{"/host/10.0.0.1", "/host/{ip}"},
		// Random text.
		{"/t/dQw4w9WgXcQ8", "/t/{token}"},
		{"/k/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/k/{token}"},
		{"/k/0ujtsYcgvSTl8PAuAdqWYSMnLOv", "/k/{token}"},
		{"/n/V1StGXR8_Z5jdHi6B-myT", "/n/{token}"},
		{"/customers/cus_NffrFeUfNV2Hib", "/customers/cus_{token}"},
		{"/reset/eyJhbGciOiJIUzI1NiJ9", "/reset/{token}"},
		{"/x/dGhpcyBpcyBhIHRlc3Q5", "/x/{token}"},
		// Path parameters.
		{"/shop;jsessionid=1A530637289A03B07199A44E8D531427", "/shop"},
		{"/map;z=3/tile;x=1", "/map/tile"},
	} {
		if got := string(s.appendFolded(nil, []byte(c[0]))); got != c[1] {
			t.Errorf("%s: got %s, want %s", c[0], got, c[1])
		}
	}
}

func TestFoldRules(t *testing.T) {
	for _, c := range []struct {
		name, fold string
		rules      []string
		in, want   string
	}{
		{"default replacement of a segment", "off", []string{"/[a-zA-Z0-9]{24}"}, "/a/507f1f77bcf86cd799439011/b", "/a/{id}/b"},
		{"default replacement", "off", []string{"[0-9]+"}, "/a/12/b-7", "/a/{id}/b-{id}"},
		{"replacement", "off", []string{"^/shops/[^/]+=>/shops/{shop}"}, "/shops/berlin/items/1", "/shops/{shop}/items/1"},
		{"groups", "off", []string{"^/(de|fr)/([^/]+)=>/{lang}/$2"}, "/de/about", "/{lang}/about"},
		{"in order", "off", []string{"/x=>/y", "/y=>/z"}, "/x/y", "/z/z"},
		{"before the fixed rules", "auto", []string{"^/users/[0-9]+=>/users/{user}"}, "/users/1/orders/2",
			"/users/{user}/orders/{id}"},
		{"empty replacement", "off", []string{"/v[0-9]+=>"}, "/v1/users", "/users"},
		{"arrow in the replacement", "off", []string{"/a=>/b=>c"}, "/a", "/b=>c"},
		{"no match", "off", []string{"/a=>/b"}, "/c/12", "/c/12"},
	} {
		s := newShared(t, Config{Fold: c.fold, FoldPaths: c.rules})
		if got := string(s.appendFolded(nil, []byte(c.in))); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	for _, text := range []string{"", "=>x", "(", "a=>\x01"} {
		if _, err := NewShared(Config{FoldPaths: []string{text}}); !errors.Is(err, ErrConfig) {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		naming string
		kind   span.Kind
		head   string
		want   string
	}{
		{"otel", span.Server, "GET /users/12?x=1 HTTP/1.1\nHost: a", "GET /users/{id}"},
		{"otel", span.Client, "POST /users HTTP/1.1\nHost: a:80", "POST /users"},
		{"otel", span.Server, "PROPFIND /dav HTTP/1.1", "PROPFIND /dav"},
		{"otel", span.Server, "get /x HTTP/1.1", "HTTP /x"},
		{"otel", span.Server, "AVERYLONGMETHODNAMEINDEED /x HTTP/1.1", "HTTP /x"},
		{"otel", span.Server, "GET ?x=1 HTTP/1.1", "GET /"},
		{"netra", span.Server, "GET /users/12?x=1 HTTP/1.1\nHost: a", "/users/{id}"},
		{"netra", span.Client, "GET /users/12 HTTP/1.1\nHost: shop:8080", "shop:8080/users/{id}"},
		{"netra", span.Client, "GET /a HTTP/1.1\nHost: u:secret@shop12345678", "shop12345678/a"},
	} {
		f := newFixture(t, Config{Naming: c.naming})
		for range 2 { // the second time from the cache
			if a, _ := f.begin(request(c.kind, c.head)); string(a.Rec.Text(span.Name)) != c.want {
				t.Errorf("%s: %q: got %q, want %q", c.naming, c.head, a.Rec.Text(span.Name), c.want)
			}
		}
	}
}

func TestConnectRequestsHaveNoPath(t *testing.T) {
	f := newFixture(t, Config{})
	r := request(span.Client, "CONNECT db:5432 HTTP/1.1\nHost: db:5432")
	r.Head.Path.Hi = r.Head.Path.Lo
	if a, _ := f.begin(r); string(a.Rec.Text(span.Name)) != "CONNECT" {
		t.Errorf("got %q", a.Rec.Text(span.Name))
	}
}

func TestNamesAreCapped(t *testing.T) {
	s := newShared(t, Config{MaxOperations: 3})
	a, b := &fixture{tb: t, t: s.NewTracer()}, &fixture{tb: t, t: s.NewTracer()}
	name := func(f *fixture, path string) string {
		x, _ := f.begin(request(span.Server, "GET "+path+" HTTP/1.1"))
		return string(x.Rec.Text(span.Name))
	}
	for range 2 {
		for _, c := range []struct {
			f          *fixture
			path, want string
		}{{a, "/a", "GET /a"}, {b, "/b", "GET /b"}, {a, "/c/1", "GET /c/{id}"}, {b, "/d", "{other}"}, {b, "/a", "GET /a"}, {a,
			"/e", "{other}"},
			{b, "/c/2", "GET /c/{id}"}} {
			if got := name(c.f, c.path); got != c.want {
				t.Errorf("%s: got %q, want %q", c.path, got, c.want)
			}
		}
	}
	if a.t.Stats.OtherOperations != 2 || b.t.Stats.OtherOperations != 2 {
		t.Errorf("counted %d and %d", a.t.Stats.OtherOperations, b.t.Stats.OtherOperations)
	}
}

// TestNameCacheTellsPathsApart: far more paths than slots, each named for itself.
func TestNameCacheTellsPathsApart(t *testing.T) {
	f := newFixture(t, Config{MaxOperations: 1 << 20})
	word := func(n int) string {
		w := ""
		for ; n > 0; n /= 26 {
			w += string(rune('a' + n%26))
		}
		return "/p" + w
	}
	for range 2 {
		for n := range 5 * nameSlots {
			a, _ := f.begin(request(span.Server, "GET "+word(n)+" HTTP/1.1"))
			if got := string(a.Rec.Text(span.Name)); got != "GET "+word(n) {
				t.Fatalf("%s is called %q", word(n), got)
			}
		}
	}
}

func TestLongPathsAreCut(t *testing.T) {
	f := newFixture(t, Config{FoldPaths: []string{"(a|aa)+$=>x"}})
	for _, path := range []string{"/" + strings.Repeat("a", 65000), strings.Repeat("/1", 32000), strings.Repeat("/ab-12345",
		7000), "/" + strings.Repeat(";", 65000)} {
		a, _ := f.begin(request(span.Server, "GET "+path+"?"+strings.Repeat("a=b&", 9000)+" HTTP/1.1"))
		if n := len(a.Rec.Text(span.Name)); n == 0 || n > span.MaxBytes(span.Name) {
			t.Errorf("name of %d bytes", n)
		}
	}
}

// TestNamesEndAtTheCut: what stands behind the first KiB of a path, or of what a parser calls the operation, costs nothing and changes nothing.
func TestNamesEndAtTheCut(t *testing.T) {
	short, long := "/"+strings.Repeat("a", 1023), "/"+strings.Repeat("a", 64<<10)
	rules := []string{"^(.*)z$=>/last"} // matches only what is behind the cut
	for _, naming := range []string{"otel", "netra"} {
		for _, c := range []Config{
			{Naming: naming, FoldPaths: rules}, {Naming: naming, FoldPaths: rules, BareTemplates: []string{"/described"}},
		} {
			f := newFixture(t, c)
			name := func(kind span.Kind, path string) string {
				a, _ := f.begin(request(kind, "GET "+path+" HTTP/1.1\nHost: a"))
				return string(a.Rec.Text(span.Name))
			}
			if got := name(span.Server, "/z"); !strings.HasSuffix(got, "/last") {
				t.Fatalf("the rule does not match: %q", got)
			}
			for _, kind := range []span.Kind{span.Server, span.Client} {
				want := name(kind, short)
				for _, path := range []string{short + "z", long + "z", long, long + "/other"} {
					if got := name(kind, path); got != want {
						t.Errorf("%s: %d bytes of path are called %q, the first KiB %q", naming, len(path), got, want)
					}
				}
			}
			longest := 0
			for i := range f.t.names.slots {
				longest = max(longest, len(f.t.names.slots[i].raw))
			}
			if longest > 1100 {
				t.Errorf("%s: a key of %d bytes", naming, longest)
			}
		}
	}
	// What a parser calls the operation is cut as well.
	f := newFixture(t, Config{})
	r := request(span.Server, "GET "+long+" HTTP/1.1")
	r.Head.Operation = r.Head.Path
	if slot := f.t.operation(r, nil, nil, nil); len(slot.raw) != maxFoldBytes {
		t.Errorf("a key of %d bytes", len(slot.raw))
	}
}

func TestLongNamesAreCutBetweenCharacters(t *testing.T) {
	f := newFixture(t, Config{})
	for pad := range 4 {
		a, _ := f.begin(request(span.Server, "GET /"+strings.Repeat("x", pad)+strings.Repeat("€", 100)+" HTTP/1.1"))
		name := a.Rec.Text(span.Name)
		if n := span.MaxBytes(span.Name); !utf8.Valid(name) || len(name) > n || len(name) < n-2 {
			t.Errorf("%d bytes: %q", len(name), name)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"/health", []string{"/health"}, []string{"/health/", "/healthz", "/", ""}},
		{"/static/*", []string{"/static/", "/static/a/b"}, []string{"/static", "/x/static/"}},
		{"*.css", []string{".css", "/a/b.css"}, []string{"/a.css/", "/a.cs"}},
		{"/a/*/b", []string{"/a//b", "/a/x/y/b"}, []string{"/a/b", "/a/x/b/c"}},
		{"*a*b*", []string{"ab", "xaybz", "aab"}, []string{"ba", "a", ""}},
		{"a*a", []string{"aa", "aba"}, []string{"a", "ab"}},
		{"*", []string{"", "x"}, nil},
		{"**", []string{"", "x"}, nil},
		{"kube-probe/*", []string{"kube-probe/1.33"}, []string{"Kube-Probe/1.33"}},
		{"", []string{""}, []string{"x"}},
	} {
		g := parseGlobs([]string{c.pattern})
		for _, v := range c.yes {
			if !matchAny(g, []byte(v)) {
				t.Errorf("%q does not match %q", c.pattern, v)
			}
		}
		for _, v := range c.no {
			if matchAny(g, []byte(v)) {
				t.Errorf("%q matches %q", c.pattern, v)
			}
		}
	}
}
