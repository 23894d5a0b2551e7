package trace

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

func TestRedactsSecrets(t *testing.T) {
	for _, c := range [][2]string{
		{"", ""},
		{"a=1&b=2", "a=1&b=2"},
		{"token=abc", "token=REDACTED"},
		{"a=1&access_token=abc&b=2", "a=1&access_token=REDACTED&b=2"},
		{"API_KEY=abc", "API_KEY=REDACTED"},
		{"Password=a=b=c&x", "Password=REDACTED&x"},
		{"userPassword=x", "userPassword=REDACTED"},
		{"X-Amz-Signature=00&X-Amz-Date=1", "X-Amz-Signature=REDACTED&X-Amz-Date=1"},
		{"X-Amz-Credential=AK&X-Amz-Security-Token=T", "X-Amz-Credential=REDACTED&X-Amz-Security-Token=REDACTED"},
		{"code=4%2F0&state=x", "code=REDACTED&state=x"},
		{"PHPSESSIONID=1;next=2", "PHPSESSIONID=REDACTED;next=2"},
		{"client_secret=x", "client_secret=REDACTED"},
		{"sv=1&sig=abc", "sv=1&sig=REDACTED"},
		{"design=1&author=2&pinned=3", "design=1&author=2&pinned=3"},
		{"token", "token"},
		{"token=", "token="},
		{"=token", "=token"},
		{"&&a=1&", "&&a=1&"},
		{"%74oken=abc", "%74oken=REDACTED"},
		{"to%6Ben=abc", "to%6Ben=REDACTED"},
		{"to%6=abc&tok%e=1", "to%6=abc&tok%e=1"},
		{"user[password]=x", "user[password]=REDACTED"},
		{"user%5Bpass%77ord%5D=x", "user%5Bpass%77ord%5D=REDACTED"},
		{strings.Repeat("n", 129) + "=secret", strings.Repeat("n", 129) + "=REDACTED"},
	} {
		if got := string(new(redaction).append(nil, []byte(c[0]), 256)); got != c[1] {
			t.Errorf("%q: got %q, want %q", c[0], got, c[1])
		}
	}
}

func TestRedactsWhatIsAskedFor(t *testing.T) {
	const query = "page=2&Email=a%40b&token=x&flag&empty=&zip%63ode=1"
	for _, c := range []struct {
		list []string
		want string
	}{
		{nil, "page=2&Email=a%40b&token=REDACTED&flag&empty=&zip%63ode=REDACTED"},
		{[]string{"all"}, "page=REDACTED&Email=REDACTED&token=REDACTED&flag&empty=&zip%63ode=REDACTED"},
		{[]string{"none"}, query},
		{[]string{"email"}, "page=2&Email=REDACTED&token=REDACTED&flag&empty=&zip%63ode=REDACTED"},
		{[]string{"none", "EMAIL", "zipcode"}, "page=2&Email=REDACTED&token=x&flag&empty=&zip%63ode=REDACTED"},
	} {
		f := newFixture(t, Config{RedactQuery: c.list})
		a, _ := f.begin(request(span.Server, "GET /a;token=x/b?"+query+" HTTP/1.1"))
		if got := string(a.Rec.Text(span.Query)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.list, got, c.want)
		}
		if shown := bytes.Contains(a.Rec.Text(span.Path), []byte("token=x")); shown != (len(c.list) > 0 && c.list[0] == "none") {
			t.Errorf("%v: path %q", c.list, a.Rec.Text(span.Path))
		}
	}
	for _, list := range [][]string{{"all", "x"}, {"x", "none"}, {""}, {strings.Repeat("x", 129)}} {
		if _, err := NewShared(Config{RedactQuery: list}); err == nil {
			t.Errorf("%q is taken", list)
		}
	}
}

func TestSpansHoldNoSecrets(t *testing.T) {
	f := newFixture(t, Config{})
	r := request(span.Client,
		"GET /a;jsessionid=S3CR3T/b;x=1;token=S3CR3T;y=2/c?token=S3CR3T&x=1 HTTP/1.1\n"+
			"Host: ann:S3CR3T@shop:80\nAuthorization: S3CR3T\nCookie: c=S3CR3T\n")
	a, _ := f.begin(r)
	for _, c := range []struct {
		f    span.Field
		want string
	}{
		{span.Query, "token=REDACTED&x=1"}, {span.Host, "shop:80"}, {span.Name, "GET /a/b/c"},
		{span.Path, "/a;jsessionid=REDACTED/b;x=1;token=REDACTED;y=2/c"},
	} {
		if got := string(a.Rec.Text(c.f)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.f, got, c.want)
		}
	}
	for x := range span.NumFields {
		if bytes.Contains(a.Rec.Text(x), []byte("S3CR3T")) {
			t.Errorf("text %v holds a secret: %q", x, a.Rec.Text(x))
		}
	}
}

func TestTexts(t *testing.T) {
	f := newFixture(t, Config{TagHeaders: []string{"X-Tenant:tenant", "User-Agent", "x-request-id:rid"},
		TagCookies: []string{"exp:experiment", "ab"}})
	head := "PUT /a/7?q=1 HTTP/1.1\nHost: shop\nUser-Agent: ua/1\nX-Request-Id: r1\n" +
		"x-tenant: acme\nX-Tenant: other\nCookie: z=0; exp=blue; EXP=no\nCookie: ab=\"1\"; exp=red\n"
	a, _ := f.begin(request(span.Server, head))
	for x, want := range map[span.Field]string{span.Name: "PUT /a/{id}", span.Protocol: "http", span.Method: "PUT",
		span.Path: "/a/7", span.Query: "q=1",
		span.Host: "shop", span.UserAgent: "ua/1", span.RequestID: "r1", span.TraceState: ""} {
		if got := string(a.Rec.Text(x)); got != want {
			t.Errorf("text %v: got %q, want %q", x, got, want)
		}
	}
	var tags []string
	for i := range a.Rec.NumTags() {
		k, v := a.Rec.Tag(i)
		tags = append(tags, string(k)+"="+string(v))
	}
	if got := strings.Join(tags, " "); got != `User-Agent=ua/1 rid=r1 tenant=acme experiment=blue ab="1"` {
		t.Errorf("tags %s", got)
	}
	if a.Rec.Start != 1700000000e9 || a.Rec.Minor != 1 || a.Rec.Kind != span.Server {
		t.Errorf("%+v", a.Rec)
	}
	if a, _ = f.begin(request(span.Client, head)); a.Rec.NumTags() != 0 {
		t.Error("an outbound span has tags of inbound ones")
	}
}
