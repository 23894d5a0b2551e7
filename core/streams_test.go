package core

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// tracingHeaders are the lines that the engine may put in or take out.
var tracingHeaders = []string{"traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled",
	"x-b3-flags", "uber-trace-id", "x-request-id", "x-trace-id"}

// withoutLines takes all lines out that the engine may put in or take out: what is left must be the same on both sides. Lines end
// with CRLF, since the engine edits no other head.
func withoutLines(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		end := bytes.Index(b, []byte("\r\n"))
		if end < 0 {
			return append(out, b...)
		}
		// A line as the engine sees it begins behind CRLF; what stands behind a bare LF is part of an opaque stream.
		if name, _, ok := bytes.Cut(b[:end], []byte(":")); !ok || !isTracingHeader(name) {
			out = append(out, b[:end+2]...)
		}
		b = b[end+2:]
	}
	return out
}

func isTracingHeader(name []byte) bool {
	for _, h := range tracingHeaders {
		if len(name) == len(h) && strings.EqualFold(string(name), h) {
			return true
		}
	}
	return false
}

// genStreams makes what a client and a server say to each other, or past each other.
func genStreams(r *rand.Rand) (client, server []byte) {
	n := 1 + r.IntN(12)
	switch r.IntN(8) {
	case 0:
		return genBinary(r), genBinary(r)
	case 1:
		return genRequests(r, n), genBinary(r)
	case 2:
		return genBinary(r), genResponses(r, n)
	case 3:
		return mutated(r, genRequests(r, n)), genResponses(r, n)
	case 4:
		return genRequests(r, n), mutated(r, genResponses(r, n))
	}
	return genRequests(r, n), genResponses(r, n)
}

// genSize makes the length of a body: mostly short, sometimes more than all buffers on the way hold.
func genSize(r *rand.Rand) int {
	switch r.IntN(40) {
	case 0:
		return r.IntN(3 << 20)
	case 1, 2, 3:
		return r.IntN(200 << 10)
	}
	return r.IntN(2000)
}

func genBinary(r *rand.Rand) []byte {
	b := make([]byte, genSize(r))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// genText makes n bytes that could stand in a header value.
func genText(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~/=;,"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// genFields makes header lines, tracing headers among them.
func genFields(r *rand.Rand, b *bytes.Buffer) {
	for range r.IntN(12) {
		name := "X-" + genText(r, 1+r.IntN(12))
		switch r.IntN(12) {
		case 0:
			// Six bytes at least: "b3: 0" would be a request not to sample, and the accounts count what is sampled.
			fmt.Fprintf(b, "%s: %s\r\n", tracingHeaders[r.IntN(len(tracingHeaders))], genText(r, 6+r.IntN(60)))
			continue
		case 1:
			b.WriteString("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n")
			continue
		}
		name = strings.NewReplacer("/", "", "=", "", ";", "", ",", "").Replace(name)
		size := r.IntN(60)
		if r.IntN(60) == 0 {
			size = r.IntN(9000)
		}
		fmt.Fprintf(b, "%s: %s\r\n", name, genText(r, size))
	}
}

// genBody ends a head and makes its body.
func genBody(r *rand.Rand, b *bytes.Buffer) {
	switch r.IntN(4) {
	case 0:
		b.WriteString("Content-Length: 0\r\n\r\n")
	case 1:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		for range r.IntN(6) {
			body := genBinary(r)
			if len(body) > 0 {
				fmt.Fprintf(b, "%x\r\n%s\r\n", len(body), body)
			}
		}
		b.WriteString("0\r\n\r\n")
	default:
		body := genBinary(r)
		fmt.Fprintf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	}
}

func genRequests(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for range n {
		target := "/" + genText(r, r.IntN(80))
		switch r.IntN(6) {
		case 0:
			fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: a\r\n", target)
			genFields(r, &b)
			genBody(r, &b)
			continue
		case 1:
			fmt.Fprintf(&b, "HEAD %s HTTP/1.1\r\nHost: a\r\n", target)
		default:
			fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: a\r\n", target)
		}
		genFields(r, &b)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

func genResponses(r *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for range n {
		switch r.IntN(10) {
		case 0:
			b.WriteString("HTTP/1.1 204 No Content\r\n\r\n")
			continue
		case 1:
			b.WriteString("HTTP/1.1 100 Continue\r\n\r\n")
		}
		fmt.Fprintf(&b, "HTTP/1.1 %d Reason\r\n", 200+r.IntN(300))
		genFields(r, &b)
		genBody(r, &b)
	}
	return b.Bytes()
}

// mutated changes a few bytes of b.
func mutated(r *rand.Rand, b []byte) []byte {
	for range 1 + r.IntN(4) {
		if len(b) == 0 {
			return b
		}
		i := r.IntN(min(len(b), 4000))
		switch r.IntN(4) {
		case 0:
			b[i] = byte(r.Uint32())
		case 1:
			b = append(b[:i:i], b[i+1:]...)
		case 2:
			b = append(b[:i:i], append([]byte("\r\n"), b[i:]...)...)
		case 3:
			b = append(b[:i:i], bytes.Replace(b[i:], []byte("\r\n"), []byte("\n"), 1)...)
		}
	}
	return b
}
