package route

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func newRoutes(tb testing.TB, allow ...string) *Routes {
	tb.Helper()
	a, err := ParseAllow(allow)
	if err != nil {
		tb.Fatal(err)
	}
	r := New(a, 0, 0)
	tb.Cleanup(r.Close)
	return r
}

func TestValues(t *testing.T) {
	r := newRoutes(t)
	for text, want := range map[string]string{ // pairs as host>target
		"a=b":                       "a>b:80",
		"a:81=b:82":                 "a:81>b:82",
		"a=b, c=d:1":                "a>b:80 c>d:1",
		" a=b ":                     "a>b:80",
		"a=a":                       "", // maps to itself
		"a=a,b=c":                   "b>c:80",
		"a=A.B":                     "a>a.b:80",
		"a=10.0.0.1:9":              "a>10.0.0.1:9",
		"a=[fd00::1]:9,b=[fd00::2]": "a>[fd00::1]:9 b>[fd00::2]:80",
		"[fd00::1]:8=b":             "[fd00::1]:8>b:80",
		"svc_1.ns=x-y.z":            "svc_1.ns>x-y.z:80",
		"a=b,a=c":                   "a>b:80 a>c:80",
	} {
		v := r.Parse([]byte(text))
		if v == nil {
			t.Errorf("%q: malformed", text)
			continue
		}
		var got []string
		for _, p := range v.pairs {
			got = append(got, p.host+">"+p.to.Name)
		}
		if s := strings.Join(got, " "); s != want || v.Text != strings.TrimSpace(text) {
			t.Errorf("%q: %s, want %s; text %q", text, s, want, v.Text)
		}
	}
	if v := r.Parse([]byte("a=b,a=c")); v.Find([]byte("a")).Name != "b:80" || v.Find([]byte("A")) != nil || v.Find(nil) != nil {
		t.Error("the first exact match counts")
	}
	if a, b := r.Parse([]byte("a=b")), r.Parse([]byte("x=b:80")); a.Find([]byte("a")) != b.Find([]byte("x")) {
		t.Error("one target has two places")
	}
}

func TestMalformedValues(t *testing.T) {
	r := newRoutes(t)
	for _, text := range []string{
		"", " ", "a", "=", "a=", "=b", "a=b,", ",a=b", "a=b,,c=d", "a=b=c", "a=b:", "a=b:0", "a=b:65536", "a=b:+1", "a=b:x", "a=b:1:2",
		"a=b c", "a=b\r\nX: y", "a=b\x00", "a=b/c", "a=u@b", "a=[fd00::1", "a=[fe80::1%eth0]", "a=[10.0.0.1]", "a=fd00::1", "a=[]", "a=[fd00::1]x",
		"a=2130706433", "a=0x7f000001", "a=127.1", "a=010.0.0.1", "a=256.0.0.1", "a=.b", "a=-b", "a=b..c", "a=\xc3\xa9", "a=" + strings.Repeat("x", 254),
		"a=" + strings.Repeat("b,a=", 400) + "b", strings.Repeat("a=b,", maxPairs) + "a=b",
	} {
		if v := r.Parse([]byte(text)); v != nil {
			t.Errorf("%q: %+v", text, v)
		}
	}
}

func FuzzValue(f *testing.F) {
	for _, s := range []string{"a=b", "a:81=b:82, c=[fd00::1]:3", "a=a", "a=127.1", "a=b,", "a=[::ffff:127.0.0.1]:80", "=\x00="} {
		f.Add([]byte(s), []byte("a"))
	}
	r := newRoutes(f)
	cache := r.NewCache()
	f.Fuzz(func(t *testing.T, text, host []byte) {
		v := r.Parse(text)
		if c := cache.Parse(text); (c == nil) != (v == nil) || c != nil && c.Text != v.Text {
			t.Fatalf("the cache says %v, the parser %v", c, v)
		}
		if v == nil {
			return
		}
		for i := range len(v.Text) {
			if v.Text[i] < ' ' && v.Text[i] != '\t' || v.Text[i] > '~' {
				t.Fatalf("%q would go into a head", v.Text)
			}
		}
		if again := r.Parse([]byte(v.Text)); again == nil || len(again.pairs) != len(v.pairs) {
			t.Fatalf("%q parses differently a second time", v.Text)
		}
		for _, p := range v.pairs {
			if p.to.port == 0 || p.host == "" || p.to.host == "" {
				t.Fatalf("%+v", p)
			}
			if a := p.to.Answer(); a != nil {
				for _, ap := range a.Addrs {
					if !ap.Addr().IsPrivate() {
						t.Fatalf("%q leads to %v", text, ap)
					}
				}
			}
		}
		v.Find(host)
	})
}

func TestWhereRoutesMayLead(t *testing.T) {
	for _, c := range []struct {
		allow string
		yes   string
		no    string
	}{
		{"", "10.1.2.3 172.16.0.1 172.31.9.9 192.168.1.1 fd00::1 fc12::1",
			"127.0.0.1 ::1 169.254.169.254 fe80::1 fd00:ec2::254 fd20:ce::254 8.8.8.8 172.32.0.1 0.0.0.0 :: 2001:db8::1 " +
				"::ffff:127.0.0.1 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 100.64.0.1 224.0.0.1 255.255.255.255"},
		{"0.0.0.0/0 ::/0", "8.8.8.8 10.0.0.1 2001:db8::1", "127.0.0.1 169.254.169.254 ::1 fd00:ec2::254 100.100.100.200 0.0.0.0"},
		{"127.0.0.0/8", "127.0.0.1 ::ffff:127.9.9.9", "10.0.0.1 ::1"},
		{"169.254.169.254", "169.254.169.254", "169.254.169.253"},
		{"10.1.0.0/16", "10.1.0.1", "10.2.0.1 192.168.1.1"},
	} {
		var entries []string // none, not an empty list: the default
		if c.allow != "" {
			entries = strings.Fields(c.allow)
		}
		a, err := ParseAllow(entries)
		if err != nil {
			t.Fatal(err)
		}
		for want, list := range map[bool]string{true: c.yes, false: c.no} {
			for _, ip := range strings.Fields(list) {
				if a.Permits("x", netip.MustParseAddr(ip)) != want {
					t.Errorf("%q: %s permitted: %v", c.allow, ip, !want)
				}
			}
		}
	}
	a, err := ParseAllow([]string{"svc.test", "*.dev.test"})
	if err != nil {
		t.Fatal(err)
	}
	public, metadata := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("169.254.169.254")
	for host, want := range map[string]bool{"svc.test": true, "svc.test.": true, "a.dev.test": true, "dev.test": false, "xdev.test": false, "other": false} {
		if a.Permits(host, public) != want {
			t.Errorf("%s: %v", host, !want)
		}
		if a.Permits(host, metadata) {
			t.Errorf("%s opens a metadata address", host)
		}
	}
	for _, bad := range []string{"", "10.0.0.0/33", "a b", "*", "a/b", "::ffff:10.0.0.0/104"} {
		if _, err := ParseAllow([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestTheTableForgets(t *testing.T) {
	r := New(&Allow{}, time.Second, 0)
	v, w := r.Parse([]byte("a=10.0.0.1")), r.Parse([]byte("a=10.0.0.2"))
	at := func(s float64) int64 { return int64(s * 1e9) }
	id := []byte("one")
	if r.Table.Recall(id, 0) != nil {
		t.Error("something is remembered at first")
	}
	ref := r.Table.Remember(id, v, at(0))
	if r.Table.Recall(id, at(100)) != v {
		t.Error("forgotten while the request is in flight")
	}
	second := r.Table.Remember(id, w, at(101))
	r.Table.Release(ref, at(102))
	if r.Table.Recall(id, at(200)) != w {
		t.Error("the newer request is in flight")
	}
	r.Table.Release(second, at(201))
	r.Table.Release(Ref{}, at(201))
	if r.Table.Recall(id, at(201.9)) != w || r.Table.Recall(id, at(202.8)) != w {
		t.Error("forgotten before the lifetime after the last use")
	}
	if r.Table.Recall(id, at(204)) != nil || r.Table.Recall([]byte("two"), at(204)) != nil {
		t.Error("remembered for too long")
	}
}

func TestTheTableIsBounded(t *testing.T) {
	r := New(&Allow{}, time.Hour, 128)
	v := r.Parse([]byte("a=10.0.0.1"))
	live := r.Table.Remember([]byte("live"), v, 1)
	for i := range 100000 {
		ref := r.Table.Remember([]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}, v, int64(i))
		r.Table.Release(ref, int64(i))
	}
	if r.Table.Recall([]byte("live"), 100000) != v {
		t.Error("a request in flight was pushed out")
	}
	r.Table.Release(live, 1)
	n := 0
	for i := range r.Table.shards {
		n += len(r.Table.shards[i].sets) * tableWays
	}
	if n > 128 {
		t.Errorf("room for %d", n)
	}
}
