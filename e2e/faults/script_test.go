//go:build e2e

package faults

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
)

// kind is what a conversation is made of.
type kind uint8

const (
	kindHTTP    kind = iota // requests and answers, one after the other or pipelined
	kindEcho                // raw bytes, echoed as they come
	kindUpload              // raw bytes up to the client's FIN, then a receipt
	kindStream              // a line up, raw bytes down until the server's FIN
	conversions             // how many there are
)

// tokenBytes is the length of a token as it stands in the first bytes of a conversation.
const tokenBytes = len("c-00000000")

// maxRequests is how many requests a conversation has at most.
const maxRequests = 24

// script is a conversation, word for word: both ends make it from the token, so that each knows every byte that it must get.
type script struct {
	token uint32
	kind  kind
	n     int // requests
	depth int // how many of them are under way at once
	// halfClose: the client sends FIN behind its last request. lastCloses: the server ends the last answer by FIN.
	halfClose, lastCloses bool
	up, down              int // raw: bytes
}

// table is what bodies are cut from.
var table = func() []byte {
	b := make([]byte, 9<<20)
	c := rand.NewChaCha8([32]byte{7})
	_, _ = c.Read(b)
	return b
}()

// slice returns n bytes that belong to (token, part) alone.
func slice(token uint32, part, n int) []byte {
	r := rand.New(rand.NewPCG(uint64(token), uint64(part)))
	at := r.IntN(1 << 20)
	return table[at : at+n]
}

// newScript returns the conversation of a token.
func newScript(token uint32) script {
	r := rand.New(rand.NewPCG(uint64(token), 1<<40))
	s := script{token: token, n: 1, depth: 1}
	switch x := r.IntN(100); {
	case x < 76:
		s.kind = kindHTTP
		s.n = 1 + r.IntN(maxRequests)
		if r.IntN(3) == 0 {
			s.depth = 2 + r.IntN(14)
		}
		s.halfClose = r.IntN(5) == 0
		s.lastCloses = r.IntN(3) == 0
	case x < 88:
		s.kind, s.up = kindEcho, size(r)
		s.down = s.up
		s.halfClose = r.IntN(2) == 0
	case x < 94:
		s.kind, s.up, s.halfClose, s.down = kindUpload, size(r)*8, true, 100
	default:
		s.kind, s.down = kindStream, size(r)*8
	}
	return s
}

// size draws the size of a body: most are small, a few as large as a socket's buffers.
func size(r *rand.Rand) int {
	switch x := r.IntN(100); {
	case x < 50:
		return r.IntN(1 << 10)
	case x < 80:
		return r.IntN(16 << 10)
	case x < 97:
		return r.IntN(128 << 10)
	}
	return r.IntN(1 << 20)
}

// rawLine is how a raw conversation begins.
func (s *script) rawLine() []byte {
	if s.token%2 == 0 {
		return fmt.Appendf(nil, "\x00c-%08x\n", s.token)
	}
	return fmt.Appendf(nil, "RAW c-%08x\n", s.token) // nearly a request
}

// rawUp and rawDown are the bytes of a raw conversation, the client's behind its line.
func (s *script) rawUp() []byte { return slice(s.token, -1, s.up) }
func (s *script) rawDown() []byte {
	if s.kind == kindEcho {
		return s.rawUp()
	}
	return slice(s.token, -2, s.down)
}

// message is a request or an answer: its head, and its body as framed.
type message struct{ head, body []byte }

// path is the target of request i.
func (s *script) path(i int) string { return fmt.Sprintf("/c-%08x/%d", s.token, i) }

// method returns the method of request i.
func (s *script) method(i int) string {
	return [...]string{"GET", "GET", "POST", "PUT", "HEAD", "DELETE"}[s.random(i, 0).IntN(6)]
}

// random is the source of everything about part p of exchange i.
func (s *script) random(i, p int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(s.token)<<8|uint64(i), uint64(p)+99))
}

// request returns request i.
func (s *script) request(i int) (m message) {
	r, method := s.random(i, 1), s.method(i)
	h := fmt.Appendf(nil, "%s %s?n=%d HTTP/1.1\r\nHost: app-%d.test\r\nX-Seq: %d\r\n", method, s.path(i), r.IntN(1e6), s.token%50, i)
	for k := range r.IntN(6) {
		h = fmt.Appendf(h, "X-Fill-%d: %x\r\n", k, slice(s.token, 100+i, r.IntN(40)))
	}
	if r.IntN(40) == 0 {
		h = fmt.Appendf(h, "Cookie: %x\r\n", slice(s.token, 200+i, 6000))
	}
	if r.IntN(4) == 0 { // a context of its own, which is replaced
		h = fmt.Appendf(h, "traceparent: 00-%032x-%016x-01\r\n", uint64(s.token)+1, i+1)
	}
	if r.IntN(4) == 0 {
		h = fmt.Appendf(h, "X-Request-Id: r-%08x-%d\r\n", s.token, i)
	}
	if s.lastCloses && i == s.n-1 {
		h = append(h, "Connection: close\r\n"...)
	}
	if method == "POST" || method == "PUT" {
		h, m.body = frame(h, r, slice(s.token, 2*i, size(r)))
	}
	m.head = append(h, "\r\n"...)
	return m
}

// response returns the answer to request i.
func (s *script) response(i int) (m message) {
	r, head := s.random(i, 2), s.method(i) == "HEAD"
	var h []byte
	if r.IntN(10) == 0 {
		h = append(h, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"...)
	}
	body := slice(s.token, 2*i+1, size(r))
	closes := s.lastCloses && i == s.n-1
	status := [...]string{"200 OK", "200 OK", "200 OK", "201 Created", "404 Not Found", "500 Oops", "204 No Content", "304 Not Modified"}[r.IntN(8)]
	h = fmt.Appendf(h, "HTTP/1.1 %s\r\nX-Answer: %s %d\r\n", status, s.path(i), i)
	if closes {
		h = append(h, "Connection: close\r\n"...)
	}
	switch {
	case status[0] == '2' && status[2] == '4' || status[0] == '3': // 204 and 304 have no body
	case head:
		h = fmt.Appendf(h, "Content-Length: %d\r\n", len(body))
	case closes && r.IntN(2) == 0:
		m.body = body // FIN ends it
	default:
		h, m.body = frame(h, r, body)
	}
	m.head = append(h, "\r\n"...)
	return m
}

// frame adds the header of a body to h and returns the body as it goes over the wire: with its length, or in chunks.
func frame(h []byte, r *rand.Rand, body []byte) (head, framed []byte) {
	if r.IntN(2) == 0 {
		return fmt.Appendf(h, "Content-Length: %d\r\n", len(body)), body
	}
	h = append(h, "Transfer-Encoding: chunked\r\n"...)
	for len(body) > 0 {
		n := min(len(body), 1+r.IntN(1+r.IntN(64<<10)))
		framed = strconv.AppendInt(framed, int64(n), 16)
		if r.IntN(8) == 0 {
			framed = append(framed, ";ext=1"...)
		}
		framed = append(append(append(framed, "\r\n"...), body[:n]...), "\r\n"...)
		body = body[n:]
	}
	framed = append(framed, "0\r\n"...)
	if r.IntN(6) == 0 {
		framed = append(framed, "X-Trailer: end\r\n"...)
	}
	return h, append(framed, "\r\n"...)
}

// ours are the headers that the sidecar may add, replace or leave out.
var ours = [][]byte{[]byte("traceparent"), []byte("tracestate"), []byte("b3"), []byte("x-b3-"), []byte("uber-trace-id"), []byte("x-request-id")}

// isOurs reports whether a header line is one that the sidecar may have touched; with part, whether it is the beginning of one.
func isOurs(line []byte, part bool) bool {
	l := bytes.ToLower(line)
	for _, name := range ours {
		if bytes.HasPrefix(l, name) || part && bytes.HasPrefix(name, l) {
			return true
		}
	}
	return false
}

// without returns a head without the lines that are ours. A last line without its end is kept, unless it may be one of ours.
func without(head []byte) []byte {
	var left []byte
	for line := range bytes.Lines(head) {
		if !isOurs(line, !bytes.HasSuffix(line, []byte("\n"))) {
			left = append(left, line...)
		}
	}
	return left
}
