package loadtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// batchBytes is the size up to which a pipelining connection has its requests laid out one behind the other, so that one send
// takes them all.
const batchBytes = 64 << 10

// stagger is by how much the messages of neighbouring TCP connections are shifted against each other, so that bytes which a
// proxy delivers to the wrong connection do not pass for right. A prime: the shifts of all connections differ.
const stagger = 509

// traffic is the prebuilt bytes of the requests, shared by all connections and never changed.
type traffic struct {
	// stream is a whole number of requests, each unit bytes long; a connection sends it over and over.
	// With shift it is longer than a unit, and each connection sends the unit bytes from a place of its own.
	stream []byte
	unit   int
	tcp    bool
	shift  bool
}

// buildTraffic lays out the requests of a run.
func buildTraffic(c *Config, t target) *traffic {
	if c.TCP {
		if c.Body != nil { // the user's own bytes are sent as they are, by every connection
			return &traffic{stream: c.Body, unit: len(c.Body), tcp: true}
		}
		return &traffic{stream: NewMessages(c.Seed, c.BodySize).stream, unit: c.BodySize, tcp: true, shift: true}
	}
	body := c.Body
	if body == nil && c.BodySize > 0 {
		body = RandomBytes(c.Seed, c.BodySize)
	}
	one := appendRequest(nil, c, t, body)
	stream := one
	for n := 1; n < c.Pipeline && len(stream)+len(one) <= batchBytes; n++ {
		stream = append(stream, one...)
	}
	return &traffic{stream: stream, unit: len(one)}
}

// maxShift is what TCP messages are shifted by at most.
const maxShift = 16 << 10

// of returns what connection number slot sends.
func (t *traffic) of(slot int) []byte {
	if !t.shift {
		return t.stream
	}
	from := slot * stagger % maxShift
	return t.stream[from : from+t.unit]
}

// appendRequest appends one HTTP/1.1 request in wire format.
func appendRequest(dst []byte, c *Config, t target, body []byte) []byte {
	dst = append(dst, c.Method+" "+t.path+" HTTP/1.1\r\n"...)
	defaults := []Header{{"Host", t.host}, {"User-Agent", "spanload"}}
	if c.Events {
		defaults = append(defaults, Header{"Accept", "text/event-stream"})
	}
	for _, d := range defaults {
		if !hasHeader(c.Headers, d.Name) {
			dst = append(dst, d.Name+": "+d.Value+"\r\n"...)
		}
	}
	for _, h := range c.Headers {
		dst = append(dst, h.Name+": "+h.Value+"\r\n"...)
	}
	if c.NoKeepalive {
		dst = append(dst, "Connection: close\r\n"...)
	}
	if body != nil || c.Method == "POST" || c.Method == "PUT" || c.Method == "PATCH" {
		// RFC 9110 §8.6: methods that define a body say Content-Length: 0 for an empty one.
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(body)), 10)
		dst = append(dst, "\r\n"+HeaderBodyHash+": "...)
		dst = AppendBodyHash(dst, UpdateBodyHash(0, body))
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, body...)
}

// hasHeader tells whether a field of that name is among headers.
func hasHeader(headers []Header, name string) bool {
	for _, h := range headers {
		if strings.EqualFold(h.Name, name) {
			return true
		}
	}
	return false
}

// RandomBytes returns n bytes that depend on seed alone and do not compress.
func RandomBytes(seed uint64, n int) []byte {
	var key [32]byte
	copy(key[:], fmt.Sprintf("spanload body %016x", seed))
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // documented never to fail
	return b
}
