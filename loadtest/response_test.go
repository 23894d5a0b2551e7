package loadtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outcome is what a parser made of a stream of answers, in a form to compare.
type outcome struct {
	answers []string
	err     error
	rest    framing
}

// read feeds a stream in pieces that end at the given places.
func read(stream string, noBody bool, cuts ...int) outcome {
	var r response
	r.reset()
	var o outcome
	cuts = append(cuts, len(stream))
	from := 0
	for _, cut := range cuts {
		piece := []byte(stream[from:cut])
		from = cut
		for len(piece) > 0 {
			n, done, err := r.feed(piece, noBody)
			if err != nil {
				o.err = err
				return o
			}
			piece = piece[n:]
			if done {
				o.answers = append(o.answers, describe(&r))
				r.reset()
			} else if len(piece) > 0 {
				o.err = errors.New("BUG: bytes left of an answer that is not complete")
				return o
			}
		}
	}
	o.rest = r.state
	if r.endOfStream() {
		o.answers = append(o.answers, describe(&r))
	}
	return o
}

// describe sums up a complete answer.
func describe(r *response) string {
	s := fmt.Sprintf("%d body %d", r.status, r.bodyBytes)
	if r.close {
		s += " close"
	}
	if r.hasHash {
		s += fmt.Sprintf(" hash %v", r.wantHash == r.hash)
	}
	if r.wantBytes >= 0 {
		s += fmt.Sprintf(" length %v", r.wantBytes == r.bodyBytes)
	}
	return s
}

// answerCases are streams of answers and what a strict reader makes of them.
var answerCases = []struct {
	name, stream string
	noBody       bool
	want         []string
	err          error
}{
	{name: "length", stream: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", want: []string{"200 body 5"}},
	{name: "empty body", stream: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", want: []string{"200 body 0"}},
	{name: "no reason, no space", stream: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", want: []string{"200 body 0"}},
	{name: "two in a row", stream: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx",
		want: []string{"200 body 2", "404 body 1"}},
	{name: "chunked", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=\"y\"\r\n0123456789\r\n0\r\n\r\n",
		want: []string{"200 body 15"}},
	{name: "chunked with trailers", want: []string{"200 body 1"},
		stream: "HTTP/1.1 200 OK\r\ntransfer-encoding:Chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\n"},
	{name: "interim answer", stream: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", want: []string{"200 body 1"}},
	{name: "early hints do not leak", want: []string{"200 body 1"},
		stream: "HTTP/1.1 103 Early Hints\r\nX-Body-Hash: crc32c=00000000\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"},
	{name: "no content", stream: "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
		want: []string{"204 body 0", "304 body 0"}},
	{name: "head", stream: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Body-Hash: crc32c=12345678\r\n\r\n", noBody: true, want: []string{"200 body 0"}},
	{name: "until close", stream: "HTTP/1.1 200 OK\r\n\r\nall of this", want: []string{"200 body 11 close"}},
	{name: "1.0 closes", stream: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", want: []string{"200 body 1 close"}},
	{name: "1.0 keeps alive", stream: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", want: []string{"200 body 1"}},
	{name: "close among options", stream: "HTTP/1.1 200 OK\r\nConnection: foo , Close\r\nContent-Length: 1\r\n\r\nx",
		want: []string{"200 body 1 close"}},
	{name: "right hash", stream: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Body-Hash: crc32c=e3069283\r\n\r\n123456789",
		want: []string{"200 body 9 hash true"}},
	{name: "wrong hash", stream: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Body-Hash: crc32c=e3069283\r\n\r\n123456780",
		want: []string{"200 body 9 hash false"}},
	{name: "hash over chunks", want: []string{"200 body 9 hash true length true"},
		stream: "HTTP/1.1 200 OK\r\nX-Body-Length: 9\r\nTransfer-Encoding: chunked\r\nX-Body-Hash: crc32c=e3069283\r\n\r\n" +
			"4\r\n1234\r\n5\r\n56789\r\n0\r\n\r\n"},
	{name: "chunks shorter than told", want: []string{"200 body 4 length false"},
		stream: "HTTP/1.1 200 OK\r\nX-Body-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n"},
	{name: "equal lengths twice", stream: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", want: []string{"200 body 1"}},
	{name: "incomplete", stream: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"},

	{name: "not HTTP", stream: "SSH-2.0-OpenSSH_9.9\r\n\r\n", err: errStatusLine},
	{name: "status of two digits", stream: "HTTP/1.1 20 OK    \r\n\r\n", err: errStatusLine},
	{name: "status of four digits", stream: "HTTP/1.1 2000 OK\r\n\r\n", err: errStatusLine},
	{name: "HTTP/2", stream: "HTTP/2.0 200 OK\r\n\r\n", err: errStatusLine},
	{name: "bare LF", stream: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", err: errStatusLine},
	{name: "bare LF in fields", stream: "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n", err: errHeaderLine},
	{name: "space before colon", stream: "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n", err: errHeaderLine},
	{name: "folded", stream: "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", err: errHeaderLine},
	{name: "no colon", stream: "HTTP/1.1 200 OK\r\nabc\r\n\r\n", err: errHeaderLine},
	{name: "lengths differ", stream: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", err: errContentLength},
	{name: "length with sign", stream: "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", err: errContentLength},
	{name: "length and chunked", stream: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", err: errTransfer},
	{name: "chunked in 1.0", stream: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", err: errTransfer},
	{name: "gzip coding", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", err: errTransfer},
	{name: "upgrade", stream: "HTTP/1.1 101 Switching Protocols\r\n\r\n", err: errUpgrade},
	{name: "chunk size empty", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", err: errChunk},
	{name: "chunk size huge", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1234567890123456\r\n", err: errChunk},
	{name: "chunk size no hex", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5g\r\n", err: errChunk},
	{name: "chunk size bare LF", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n", err: errChunk},
	{name: "chunk longer than said", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n", err: errChunk},
	{name: "trailer bare LF", stream: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n", err: errHeaderLine},
	{name: "head without end", stream: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", maxHeadBytes), err: errHeadTooLong},
}

func TestResponse_SameAtEverySplit(t *testing.T) {
	for _, c := range answerCases {
		t.Run(c.name, func(t *testing.T) {
			whole := read(c.stream, c.noBody)
			if fmt.Sprint(whole.answers) != fmt.Sprint(c.want) || !errors.Is(whole.err, c.err) {
				t.Fatalf("in one piece: %v, %v; want %v, %v", whole.answers, whole.err, c.want, c.err)
			}
			step := 1 + len(c.stream)/1000 // the endless head is cut at a thousand places, not at all of them
			every := []int{}
			for cut := 1; cut < len(c.stream); cut += step {
				every = append(every, cut)
				if got := read(c.stream, c.noBody, cut); !same(got, whole) {
					t.Fatalf("cut at %d: %+v; whole: %+v", cut, got, whole)
				}
			}
			if got := read(c.stream, c.noBody, every...); !same(got, whole) {
				t.Fatalf("byte by byte: %+v; whole: %+v", got, whole)
			}
		})
	}
}

// same compares what is known at the end: where an error was found may depend on the split, which one and the rest may not.
func same(a, b outcome) bool {
	return fmt.Sprint(a.answers) == fmt.Sprint(b.answers) && errors.Is(a.err, b.err) && (a.err != nil || a.rest == b.rest)
}

func TestResponse_TrailersAndExtensionsAreBounded(t *testing.T) {
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	endless := strings.Repeat("A: b\r\n", maxHeadBytes)
	if o := read(head+"0\r\n"+endless, false); !errors.Is(o.err, errHeadTooLong) {
		t.Errorf("trailers without end: %v", o.err)
	}
	if o := read(head+"0;"+strings.Repeat("x", 2*maxHeadBytes), false); !errors.Is(o.err, errChunk) {
		t.Errorf("extension without end: %v", o.err)
	}
}

func TestResponse_AllocatesNothing(t *testing.T) {
	var r response
	r.reset()
	whole := []byte(answerCases[0].stream)
	cut := len(whole) / 2
	feed := func() {
		for _, piece := range [][]byte{whole, whole[:cut], whole[cut:]} {
			if _, done, err := r.feed(piece, false); err != nil {
				t.Fatal(err)
			} else if done {
				r.reset()
			}
		}
	}
	feed() // makes the spill buffer
	if n := testing.AllocsPerRun(100, feed); n != 0 {
		t.Errorf("%v allocations for two answers", n)
	}
}

// TestBoundOfAHead: a head of exactly the bound is read and one byte more is refused, in whatever pieces it comes.
func TestBoundOfAHead(t *testing.T) {
	const start, end = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: ", "\r\n\r\n"
	longest := start + strings.Repeat("b", maxHeadBytes-len(start)-len(end)) + end
	longer := start + "b" + longest[len(start):]
	for _, cuts := range [][]int{nil, {1}, {len(start)}, {maxHeadBytes - 1}, {1, maxHeadBytes - 2}, {maxHeadBytes}} {
		if o := read(longest, false, cuts...); o.err != nil || len(o.answers) != 1 {
			t.Errorf("cut at %d, a head of the bound: %+v", cuts, o)
		}
		if o := read(longer, false, cuts...); !errors.Is(o.err, errHeadTooLong) {
			t.Errorf("cut at %d, a byte more: %+v", cuts, o)
		}
	}
}
