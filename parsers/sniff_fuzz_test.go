package parsers_test

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/parsers"
)

// maxUndecided is more bytes than any row of the table may look at before it decides.
const maxUndecided = 1200

// FuzzSniff: once decided, more bytes change nothing; nothing waits for long; the unmistakable prefaces win; and what net/http reads as a
// request to a path is HTTP/1.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n\r\n", "\r\n\r\nGET http://a/ HTTP/1.0\r\n\r\n", "\x16\x03\x01", "\x16\x03\x05", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"PRI /", "PROXY TCP4 ", "PROXY", "\r\n\r\n\x00\r\nQUIT\n", "OPTIONS * HTTP/1.1\r\n", "CONNECT a:1 HTTP/1.1\r\n", "get key\r\n", "a1 LOGIN x y\r\n",
		"*1\r\n$4\r\nPING\r\n", "", "\x00", strings.Repeat("A", 33), "A " + strings.Repeat("b", 2000)} {
		f.Add([]byte(s))
	}
	table := parsers.Table()
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4*maxUndecided {
			return
		}
		index, verdict := -1, parsers.More
		for n := 1; n <= len(data); n++ {
			i, v := parsers.Sniff(table, data[:n])
			switch {
			case v == parsers.No || v == parsers.Yes != (i >= 0):
				t.Fatalf("%d bytes: row %d, verdict %d; the last row takes everything", n, i, v)
			case verdict != parsers.More && (i != index || v != verdict):
				t.Fatalf("%q is row %d, and %q row %d", data[:n-1], index, data[:n], i)
			case v == parsers.More && n > maxUndecided:
				t.Fatalf("undecided after %d bytes", n)
			}
			index, verdict = i, v
		}
		if len(data) == 0 {
			return
		}
		name := ""
		if index >= 0 {
			name = table[index].Name
		}
		if want := preface(data); want != "" && name != want {
			t.Fatalf("%q is %q, want %q", data, name, want)
		}
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err == nil && len(req.Method) <= 32 && strings.HasPrefix(req.RequestURI, "/") && preface(data) == "" && name != "http1" && data[0] != '\n' {
			t.Fatalf("%q is %q, and net/http reads a request", data, name)
		}
	})
}

// preface names the protocol that has an unmistakable beginning.
func preface(data []byte) string {
	switch {
	case len(data) > 2 && data[0] == 0x16 && data[1] == 3 && data[2] <= 4:
		return "tls"
	case bytes.HasPrefix(data, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")):
		return "http2"
	case bytes.HasPrefix(data, []byte("PROXY ")), bytes.HasPrefix(data, []byte("\r\n\r\n\x00\r\nQUIT\n")):
		return "proxy"
	}
	return ""
}
