package parsers

import (
	"fmt"
	"strings"
	"testing"
)

const (
	timingGet = "GET /api/v1/users/12345?verbose=true HTTP/1.1\r\nHost: users.default.svc.cluster.local:8080\r\n" +
		"User-Agent: Go-http-client/1.1\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n" +
		"X-Request-Id: 5f0c1d0e-4a3b-4c5d-9e8f-0123456789ab\r\n\r\n"
	timingOK = "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Mon, 24 Nov 2025 02:32:00 GMT\r\n" +
		"Content-Type: application/json\r\nContent-Length: 20\r\nConnection: keep-alive\r\n\r\n01234567890123456789"
)

// exchanges measures the same requests and their responses over and over on one connection.
func exchanges(b *testing.B, request, response string) {
	var out Output
	p := newHTTP1()
	req, resp := []byte(request), []byte(response)
	b.SetBytes(int64(len(req) + len(resp)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if p.Feed(ClientToServer, req, &out) != 0 {
			b.Fatal("keeps")
		}
		out.Reset()
		p.Feed(ServerToClient, resp, &out)
	}
	if n := len(out.Events); n == 0 || out.Events[n-1].Kind != ResponseEnd {
		b.Fatalf("events %+v", out.Events)
	}
}

func BenchmarkExchange(b *testing.B) { exchanges(b, timingGet, timingOK) }

// BenchmarkRequest measures a request head alone: the state is set back as its answer would.
func BenchmarkRequest(b *testing.B) {
	for name, head := range map[string]string{
		"typical":     timingGet,
		"minimal":     "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"long-values": requestWith("Cookie: " + strings.Repeat("abcdefghijklmnop", 128) + "\r\nAuthorization: Bearer " + strings.Repeat("x", 1024) + "\r\n"),
		"many-small":  requestWith(strings.Repeat("X-A: b\r\n", 64)),
		"browser": requestWith("Connection: keep-alive\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n" +
			"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
			"Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\nReferer: http://example.com/from/here\r\n" +
			"Cookie: session=0123456789abcdef; theme=dark\r\nUpgrade-Insecure-Requests: 1\r\n"),
	} {
		b.Run(name, func(b *testing.B) {
			var out Output
			p := new(http1)
			data := []byte(head)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				p.unanswered = 0
				p.requests(data, &out)
			}
			if len(out.Events) != 2 {
				b.Fatalf("events %+v", out.Events)
			}
		})
	}
}

// BenchmarkResponse measures a response alone.
func BenchmarkResponse(b *testing.B) {
	var out Output
	p := new(http1)
	data := []byte(timingOK)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		p.unanswered = 1
		p.responses(data, &out)
	}
	if len(out.Events) != 2 {
		b.Fatalf("events %+v", out.Events)
	}
}

// BenchmarkBytewise measures a head that comes a byte at a time.
func BenchmarkBytewise(b *testing.B) {
	var out Output
	p := new(http1)
	data := []byte(timingGet)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		p.unanswered = 0
		for n := 1; n <= len(data); n++ {
			p.requests(data[:n], &out)
		}
	}
	if len(out.Events) != 2 {
		b.Fatalf("events %+v", out.Events)
	}
}

func BenchmarkChunked(b *testing.B) {
	for _, tt := range []struct{ chunks, size int }{{1000, 16}, {64, 1024}, {4, 64 << 10}} {
		b.Run(fmt.Sprintf("%dx%d", tt.chunks, tt.size), func(b *testing.B) {
			chunk := fmt.Sprintf("%x\r\n%s\r\n", tt.size, strings.Repeat("x", tt.size))
			body := strings.Repeat(chunk, tt.chunks) + "0\r\n\r\n"
			exchanges(b, timingGet, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+body)
		})
	}
}

func BenchmarkPipeline(b *testing.B) {
	exchanges(b, strings.Repeat(timingGet, 16), strings.Repeat(timingOK, 16))
}

func BenchmarkSniff(b *testing.B) {
	table := Table()
	data := []byte(timingGet)
	b.ReportAllocs()
	for b.Loop() {
		if row, v := Sniff(table, data); v != Yes || row != 3 {
			b.Fatal(row, v)
		}
	}
}

func TestFeed_DoesNotAllocate(t *testing.T) {
	var out Output
	p := newHTTP1()
	head := []byte(requestWith(strings.Repeat("X-A: b\r\n", 90) + "Transfer-Encoding: chunked\r\n"))
	body := []byte("3;a=\"b\"\r\nabc\r\n0\r\nT: u\r\n\r\n")
	get := []byte(strings.Repeat(timingGet, 16))
	answers := []byte(strings.Repeat(timingOK, 16) + "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
	bad := []byte("GET / HTTP/1.1\r\nHost: h\r\n bad")
	round := func() {
		out.Reset()
		p.Feed(ClientToServer, get, &out)
		for _, n := range []int{1, 20, 300, len(head)} {
			if keep := p.Feed(ClientToServer, head[:n], &out); keep != n%len(head) {
				t.Fatalf("keeps %d of %d", keep, n)
			}
		}
		p.Feed(ClientToServer, body, &out)
		out.Reset()
		p.Feed(ServerToClient, answers, &out)
		if n := len(out.Events); n != 35 {
			t.Fatalf("%d events, the last %+v", n, out.Events[n-1])
		}
		out.Reset()
		other := http1{}
		other.requests(bad, &out)
		if n := len(out.Events); n != 1 || out.Events[0].Reason != ReasonFold {
			t.Fatalf("events %+v", out.Events)
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// requestWith returns a GET with these header lines besides Host.
func requestWith(lines string) string {
	return "GET /a/b HTTP/1.1\r\nHost: example.com\r\n" + lines + "\r\n"
}
