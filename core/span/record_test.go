package span

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
	"unsafe"
)

func TestRecordIsOneKiB(t *testing.T) {
	if n := unsafe.Sizeof(Record{}); n != 1024 {
		t.Errorf("a Record has %d bytes, want 1024: four to a page of a ring", n)
	}
}

func TestRecordHoldsNoPointer(t *testing.T) {
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for f := range typ.Fields() {
				walk(path+"."+f.Name, f.Type)
			}
		case reflect.Array:
			walk(path+"[]", typ.Elem())
		case reflect.Pointer, reflect.Slice, reflect.String, reflect.Map, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
			t.Errorf("%s is a %s", path, typ.Kind())
		}
	}
	walk("Record", reflect.TypeFor[Record]())
}

func TestTextIsCutAtItsLimitOnAUTF8Boundary(t *testing.T) {
	for _, c := range []struct {
		name, in string
		field    Field
		want     int
	}{
		{"empty", "", Name, 0},
		{"short", "GET /", Name, 5},
		{"exactly the limit", strings.Repeat("a", 128), Name, 128},
		{"one byte over", strings.Repeat("a", 129), Name, 128},
		{"two-byte sequence across the limit", strings.Repeat("a", 127) + "é", Name, 127},
		{"three-byte sequence, two bytes within", strings.Repeat("a", 126) + "€", Name, 126},
		{"four-byte sequence, three bytes within", strings.Repeat("a", 125) + "😀b", Name, 125},
		{"sequence ends at the limit", strings.Repeat("a", 124) + "😀b", Name, 128},
		{"continuation bytes only", strings.Repeat("\x80", 200), Name, 128},
		{"Latin-1 at the limit", strings.Repeat("a", 127) + "\xE9\xE9", Name, 128},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a, b Record
			a.SetText(c.field, []byte(c.in))
			b.SetTextString(c.field, c.in)
			if got := string(a.Text(c.field)); got != c.in[:c.want] {
				t.Errorf("%d bytes %q, want %d", len(got), got, c.want)
			}
			if !bytes.Equal(a.Text(c.field), b.Text(c.field)) {
				t.Error("SetText and SetTextString differ")
			}
		})
	}
}

func TestTextsShareTheSpaceOfTheRecord(t *testing.T) {
	var r Record
	total := 0
	long := bytes.Repeat([]byte("x"), 1000)
	for f := range NumFields {
		r.SetText(f, long)
		if n := len(r.Text(f)); n > MaxBytes(f) {
			t.Errorf("field %d has %d bytes, limit %d", f, n, MaxBytes(f))
		} else {
			total += n
		}
	}
	if total != textBytes {
		t.Errorf("%d bytes stored, the record has space for %d", total, textBytes)
	}
	if r.AddTag("k", nil) {
		t.Error("a tag was taken by a full record")
	}
}

func TestTags(t *testing.T) {
	var r Record
	if r.AddTag(strings.Repeat("k", maxTagBytes+1), nil) {
		t.Error("a key over the limit was taken")
	}
	for i := range MaxTags {
		if !r.AddTag(strings.Repeat("k", i+1), []byte(strings.Repeat("v", i))) {
			t.Fatalf("tag %d refused", i)
		}
	}
	if r.AddTag("one more", nil) || r.NumTags() != MaxTags {
		t.Errorf("%d tags, limit %d", r.NumTags(), MaxTags)
	}
	for i := range MaxTags {
		if k, v := r.Tag(i); len(k) != i+1 || len(v) != i {
			t.Errorf("tag %d: %q=%q", i, k, v)
		}
	}
	r.Reset()
	if r.NumTags() != 0 {
		t.Error("tags outlive Reset")
	}
	r.AddTag("long", []byte(strings.Repeat("v", 127)+"é"))
	if _, v := r.Tag(0); len(v) != 127 {
		t.Errorf("value has %d bytes", len(v))
	}
}

// full returns a record with every field set.
func full() *Record {
	r := &Record{
		TraceID: TraceID{1, 15: 2}, SpanID: ID{3}, ParentID: ID{4},
		Start: 5, Duration: 6, FirstByte: 7, RequestBytes: 8, ResponseBytes: 9, RequestBody: 10, ResponseBody: 11,
		Client: EndpointFrom(netip.MustParseAddrPort("10.0.0.1:1")), Server: EndpointFrom(netip.MustParseAddrPort("[::1]:2")),
		Status: 200, Kind: Client, Flags: Sampled | Debug, Join: JoinLate, Failure: FailureOpaque, Minor: 1,
	}
	for f := range NumFields {
		r.SetText(f, bytes.Repeat([]byte{'a' + byte(f)}, 10+int(f)))
	}
	r.AddTag("k1", []byte("v1"))
	r.AddTag("k2", []byte("v2"))
	return r
}

// same compares two records by what their methods and fields show.
func same(a, b *Record) bool {
	for f := range NumFields {
		if !bytes.Equal(a.Text(f), b.Text(f)) {
			return false
		}
	}
	if a.NumTags() != b.NumTags() {
		return false
	}
	for i := range a.NumTags() {
		ak, av := a.Tag(i)
		bk, bv := b.Tag(i)
		if !bytes.Equal(ak, bk) || !bytes.Equal(av, bv) {
			return false
		}
	}
	x, y := *a, *b
	x.tags, y.tags = [MaxTags]tag{}, [MaxTags]tag{}
	x.buf, y.buf = [textBytes]byte{}, [textBytes]byte{}
	return x == y
}

func TestCopyToCopiesEveryField(t *testing.T) {
	src := full()
	v := reflect.ValueOf(*src)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test leaves %s zero", v.Type().Field(i).Name)
		}
	}
	dst := full()
	dst.SetText(Name, []byte("something that was there before"))
	dst.AddTag("k3", []byte("v3"))
	src.CopyTo(dst)
	if !same(src, dst) {
		t.Errorf("got %+v\nwant %+v", dst, src)
	}
}

func TestResetLeavesNothing(t *testing.T) {
	r := full()
	r.Reset()
	if !same(r, &Record{}) {
		t.Errorf("%+v", r)
	}
}

func TestEndpoint(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"10.1.2.3:80", "10.1.2.3:80"},
		{"[::ffff:10.1.2.3]:80", "10.1.2.3:80"},
		{"[2001:db8::1]:443", "[2001:db8::1]:443"},
		{"[fe80::1%lo]:443", "[fe80::1]:443"},
	} {
		if got := EndpointFrom(netip.MustParseAddrPort(c.in)).AddrPort().String(); got != c.want {
			t.Errorf("%s became %s, want %s", c.in, got, c.want)
		}
	}
	if e := EndpointFrom(netip.AddrPort{}); e != (Endpoint{}) || e.AddrPort().IsValid() {
		t.Errorf("no address became %+v", e)
	}
}

func TestEveryEnumeratorHasAName(t *testing.T) {
	seen := map[string]bool{}
	for j := range NumJoins {
		if s := j.String(); s == "unknown" || seen[s] {
			t.Errorf("join %d: %q", j, s)
		} else {
			seen[s] = true
		}
	}
	for f := FailureRefused; f < NumFailures; f++ {
		if s := f.String(); s == "" || seen[s] {
			t.Errorf("failure %d: %q", f, s)
		} else {
			seen[s] = true
		}
	}
	if FailureNone.String() != "" || Server.String() != "server" || Client.String() != "client" {
		t.Error("wrong name")
	}
}

func TestFillingAndCopyingAllocatesNothing(t *testing.T) {
	r, dst, text := &Record{}, &Record{}, []byte("GET /some/path")
	if n := testing.AllocsPerRun(1000, func() {
		r.Reset()
		for f := range NumFields {
			r.SetText(f, text)
			r.SetTextString(f, "text")
		}
		r.AddTag("key", text)
		r.CopyTo(dst)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzCut checks the cut against what it promises: at most the limit, never within a sequence of valid text, and no shorter than it
// must be.
func FuzzCut(f *testing.F) {
	f.Add([]byte("plain"), 3)
	f.Add([]byte("a€b😀c"), 7)
	f.Add([]byte("\x80\x80\x80\x80\x80"), 2)
	f.Add([]byte("\xF0\x9F\x98"), 2)
	f.Add([]byte(""), 0)
	f.Fuzz(func(t *testing.T, v []byte, limit int) {
		limit = max(0, min(limit, textBytes))
		n := cutUTF8(v, limit)
		switch {
		case n > limit || n > len(v):
			t.Fatalf("cut at %d, limit %d, length %d", n, limit, len(v))
		case len(v) <= limit && n != len(v):
			t.Fatalf("cut at %d though all %d fit", n, len(v))
		case n < min(limit, len(v))-3:
			t.Fatalf("cut at %d, limit %d: a sequence is four bytes at most", n, limit)
		case utf8.Valid(v) && !utf8.Valid(v[:n]):
			t.Fatalf("%q cut within a sequence: %q", v, v[:n])
		case n < len(v) && utf8.Valid(v):
			if _, size := utf8.DecodeRune(v[n:]); n+size <= limit {
				t.Fatalf("%q cut at %d though %d more fit", v, n, size)
			}
		}
		if n != cutUTF8(string(v), limit) {
			t.Fatal("bytes and string are cut differently")
		}
	})
}
