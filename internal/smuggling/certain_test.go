package smuggling

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryEditedHeadIsCertain(t *testing.T) {
	vs := all(t)
	for i := range vs {
		if c, err := vs[i].Certain(); len(vs[i].Inserts) > 0 && (err != nil || len(c.Want) == 0) {
			t.Errorf("%s: %q is certain: %v", &vs[i], c.Want, err)
		}
	}
}

func TestWhatIsCertain(t *testing.T) {
	const post = "POST /a HTTP/1.1\r\nHost: h\r\n"
	for _, c := range []struct {
		name, expect, text string
		data               string
		cuts               []int
		want               []string
		short, bad         bool
	}{
		{name: "a whole body", expect: "edited 1, spans 1", text: "> POST /a HTTP/1.1|> Host: h|> Content-Length: 2|^|>|>+ ok",
			data: post + "Content-Length: 2\r\n\r\nok" + behind, cuts: []int{48, 50}, want: []string{"POST /a", "GET /behind"}},
		{name: "chunks and trailers", expect: "edited 1, spans 1", text: "> POST /a HTTP/1.1|> Host: h|> Transfer-Encoding: chunked|^|>|> 2;a=b|> ok|> 0|> X: y|>",
			data: post + "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX: y\r\n\r\n" + behind,
			cuts: []int{57, 79}, want: []string{"POST /a", "GET /behind"}},
		{name: "a body in doubt", expect: "edited 1, spans 1, opaque chunk",
			text: "> POST /a HTTP/1.1|> Host: h|> Transfer-Encoding: chunked|^|>|> 0x2|> ok|> 0|>",
			data: post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + behind, cuts: []int{57, 62}, want: []string{"POST /a", "GET /behind"}},
		{name: "a body that does not come", expect: "edited 1, spans 1", text: "> POST /a HTTP/1.1|> Host: h|> Content-Length: 3|^|>|>+ ok",
			data: post + "Content-Length: 3\r\n\r\nxxx" + behind, cuts: []int{48, 51}, want: []string{"POST /a", "GET /behind"}},
		{name: "a body that cannot come", expect: "edited 1, spans 1", text: "> POST /a HTTP/1.1|> Host: h|> Content-Length: 99999999|^|>|>+ ok",
			data: post + "Content-Length: 99999999\r\n\r\n", want: []string{"POST /a"}, short: true},
		{name: "an answer in between", expect: "edited 1, spans 2", text: ">|> GET /a HTTP/1.1|>|< HTTP/1.1 200 OK|<|> GET /b HTTP/1.0|^|>|> GET /c HTTP/1.0|>",
			data: "\r\nGET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.0\r\n\r\n", cuts: []int{21}, want: []string{"GET /a", "GET /b"}},
		{name: "a tunnel", expect: "edited 2, spans 2", text: "> CONNECT a:1 HTTP/1.1|> Host: h|^|>|> GET /b HTTP/1.1|> Host: h|^|>",
			data: "CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", want: []string{"CONNECT a:1"}},
		{name: "a head elsewhere", expect: "edited 1, spans 1", text: "> POST /a HTTP/1.1|> Host: h|> Content-Length: 2|>|^|>", bad: true},
		{name: "no head", expect: "edited 1, spans 1", text: "> GET /a|^|>", bad: true},
	} {
		vs, err := parse("1_x.txt", "## y\nsource: s\nwhy: w\nexpect: "+c.expect+"\n"+strings.ReplaceAll(c.text, "|", "\n"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := vs[0].Certain()
		if c.bad && err != nil {
			continue
		}
		if c.bad || err != nil || string(got.Data) != c.data || !slices.Equal(got.Want, c.want) || !slices.Equal(got.Cuts, c.cuts) || got.Short != c.short {
			t.Errorf("%s: %q cut at %v, %q, short %v, %v", c.name, got.Data, got.Cuts, got.Want, got.Short, err)
		}
	}
}
