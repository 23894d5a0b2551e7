package parsers

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

func TestHTTP1_StateIsSmallAndHoldsNoPointer(t *testing.T) {
	if size := unsafe.Sizeof(http1{}); size > 128 {
		t.Errorf("every idle session holds %d bytes", size)
	}
	var walk func(path string, typ reflect.Type)
	walk = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Struct:
			for i := range typ.NumField() {
				walk(path+"."+typ.Field(i).Name, typ.Field(i).Type)
			}
		case reflect.Bool, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		default:
			t.Errorf("%s is a %s", path, typ)
		}
	}
	walk("http1", reflect.TypeFor[http1]())
}

func TestHTTP1_RemembersTheMethodsOf64Requests(t *testing.T) {
	p := newHTTP1()
	var out Output
	// HEAD and GET in turns, so that a slip by one shows.
	pair := "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"
	feed(t, p, ClientToServer, strings.Repeat(pair, 32), &out)
	answers := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	out.Reset()
	feed(t, p, ServerToClient, strings.Repeat(answers, 32), &out)
	ends := 0
	for _, e := range out.Events {
		if e.Kind == Opaque {
			t.Fatalf("opaque at %d: %s", e.At, e.Reason)
		}
		if e.Kind == ResponseEnd {
			if want := int64(ends % 2 * 2); e.BodyBytes != want {
				t.Fatalf("response %d: body of %d bytes, want %d", ends, e.BodyBytes, want)
			}
			ends++
		}
	}
	if ends != 64 {
		t.Fatalf("%d responses", ends)
	}
}

func TestHTTP1_TurnsOpaqueAtTheSixtyFifthRequest(t *testing.T) {
	p := newHTTP1()
	var out Output
	request := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	feed(t, p, ClientToServer, strings.Repeat(request, 65), &out)
	last := out.Events[len(out.Events)-1]
	if last.Kind != Opaque || last.Reason != ReasonPipeline || int(last.At) != 64*len(request) {
		t.Fatalf("last event %+v", last)
	}
}

func TestHTTP1_KeepsNoBytesOfBodies(t *testing.T) {
	for _, tt := range []struct{ name, head, body string }{
		{"length", "Content-Length: 100\r\n\r\n", "abc"},
		{"chunk size", "Transfer-Encoding: chunked\r\n\r\n", "12"},
		{"chunk extension", "Transfer-Encoding: chunked\r\n\r\n", "12;a=\""},
		{"chunk data", "Transfer-Encoding: chunked\r\n\r\n", "12\r\nabc"},
		{"trailers", "Transfer-Encoding: chunked\r\n\r\n", "0\r\nA: b\r\nC"},
		{"last CR", "Transfer-Encoding: chunked\r\n\r\n", "0\r\n\r"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newHTTP1()
			var out Output
			feed(t, p, ClientToServer, "POST / HTTP/1.1\r\nHost: h\r\n"+tt.head+tt.body, &out)
			feed(t, p, ServerToClient, "HTTP/1.1 200 OK\r\n"+tt.head+tt.body, &out)
		})
	}
}

func TestHTTP1_WalksAHeadThatComesInPiecesOnce(t *testing.T) {
	p := new(http1)
	head := "GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("a", 1000)
	var out Output
	for n := 1; n <= len(head); n++ {
		if keep := p.Feed(ClientToServer, []byte(head[:n]), &out); keep != n {
			t.Fatalf("keeps %d of %d", keep, n)
		}
		if p.request.scan.pos != uint32(n) {
			t.Fatalf("would resume at %d of %d", p.request.scan.pos, n)
		}
	}
}

func TestOutput_FieldsSurviveGrowth(t *testing.T) {
	p := newHTTP1()
	var out Output
	data := "GET /a HTTP/1.1\r\nHost: first\r\n\r\nGET /b HTTP/1.1\r\nHost: second\r\n" + strings.Repeat("A: b\r\n", 90) + "\r\n"
	feed(t, p, ClientToServer, data, &out)
	for i, want := range []string{"first", "", "second"} {
		if i == 1 {
			continue
		}
		if got := string(out.Events[i].Head.Fields[0].Value.In([]byte(data))); got != want {
			t.Errorf("event %d: host %q, want %q", i, got, want)
		}
	}
}

func TestReason_EachHasANameOfItsOwn(t *testing.T) {
	seen := map[string]Reason{}
	for r := range NumReasons {
		name := r.String()
		if other, ok := seen[name]; ok || name == "" {
			t.Errorf("reason %d is called %q, as is %d", r, name, other)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("%q is no label value", name)
		}
		seen[name] = r
	}
	if NumReasons.String() != "invalid" {
		t.Error("a reason that does not exist has a name")
	}
}

func TestFraming_HasNames(t *testing.T) {
	for f, want := range map[framing]string{
		framingNone: "none", framingLength: "length", framingChunked: "chunked", framingClose: "close",
	} {
		if f.String() != want {
			t.Errorf("%d is called %q", f, f)
		}
	}
}

// feed feeds a stream that must keep nothing.
func feed(t *testing.T, s Stream, dir Direction, data string, out *Output) {
	t.Helper()
	if keep := s.Feed(dir, []byte(data), out); keep != 0 {
		t.Fatalf("keeps %d bytes", keep)
	}
}
