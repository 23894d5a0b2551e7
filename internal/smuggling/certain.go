package smuggling

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
)

const (
	// behind follows what is certain of a vector: who frames that differently does not see it.
	behind = "GET /behind HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	// maxBody bounds the bodies that are made; one that is announced longer never comes.
	maxBody = 64 << 10
)

// Certain is what of a vector is beyond doubt, up to its last head that is edited, and a request behind it. It does not depend on what our parser makes
// of the bytes.
type Certain struct {
	Data  []byte
	Cuts  []int    // behind heads, and where a server may answer before the client goes on
	Want  []string // method and target of each request
	Short bool     // the last body is too long to come
}

var (
	requestHead = regexp.MustCompile(`\A(?:\r\n)*([!-~]+ [^ ]+) HTTP/1\.[01]\r\n(?:[^\r\n]+\r\n)*\r\n`)
	length      = regexp.MustCompile(`(?i)\r\ncontent-length:[ \t]*([0-9]+)[ \t]*\r\n`)
	encoding    = regexp.MustCompile(`(?i)\r\ntransfer-encoding:`)
	closing     = regexp.MustCompile(`(?i)\A[^\r]* HTTP/1\.0\r\n|\r\nconnection:[^\r]*close`)
	chunkLine   = regexp.MustCompile(`\A([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?\r\n`)
	trailers    = regexp.MustCompile(`\A(?:[^\r\n]+\r\n)*\r\n`)
)

// Certain returns what is certain of v. The last body is ours where the session ends opaque, for it may be the one in doubt, or where it does not come.
// Behind a CONNECT it depends on the server what follows, so the part ends with its head. An error says where v is not what it says of itself.
func (v *Vector) Certain() (c Certain, err error) {
	var head []byte
	at, edited := 0, 0
	for n := 1; n <= v.Spans && edited < len(v.Inserts); n++ {
		m := requestHead.FindSubmatch(v.Client[at:])
		if m == nil {
			return c, fmt.Errorf("no head at byte %d", at)
		}
		head = bytes.TrimLeft(m[0], "\r\n")
		c.Want = append(c.Want, string(m[1]))
		at += len(m[0])
		c.Cuts = append(c.Cuts, at)
		if at-2 == v.Inserts[edited] {
			edited++
		}
		size := body(head, v.Client[at:])
		if size < 0 || n == v.Spans && v.Opaque != "" {
			own, comes := ownBody(head)
			c.Data, c.Short = slices.Concat(v.Client[:at], own), !comes
		} else {
			at += size
			c.Data = bytes.Clone(v.Client[:at])
		}
		if c.Short || bytes.HasPrefix(head, []byte("CONNECT ")) {
			c.cut(v)
			return c, nil
		}
	}
	if edited < len(v.Inserts) {
		return c, fmt.Errorf("the heads end elsewhere than at byte %d", v.Inserts[edited])
	}
	if !closing.Match(head) {
		c.Cuts = append(c.Cuts, len(c.Data))
		c.Data = append(c.Data, behind...)
		c.Want = append(c.Want, "GET /behind")
	}
	c.cut(v)
	return c, nil
}

// cut notes where the server of v answers, and puts the cuts in order.
func (c *Certain) cut(v *Vector) {
	for _, a := range v.Answers {
		if a.After > 0 && a.After < len(c.Data) && bytes.HasPrefix(c.Data, v.Client[:a.After]) {
			c.Cuts = append(c.Cuts, a.After)
		}
	}
	slices.Sort(c.Cuts)
	c.Cuts = slices.DeleteFunc(slices.Compact(c.Cuts), func(at int) bool { return at >= len(c.Data) })
}

// body returns the size of the body that follows head, or -1 if it is not whole.
func body(head, rest []byte) int {
	if !encoding.Match(head) {
		m := length.FindSubmatch(head)
		if m == nil {
			return 0
		}
		if n, err := strconv.Atoi(string(m[1])); err == nil && n <= len(rest) {
			return n
		}
		return -1
	}
	at := 0
	for {
		m := chunkLine.FindSubmatch(rest[at:])
		if m == nil {
			return -1
		}
		at += len(m[0])
		n, err := strconv.ParseUint(string(m[1]), 16, 64)
		switch {
		case err == nil && n == 0:
			if end := trailers.Find(rest[at:]); end != nil {
				return at + len(end)
			}
			return -1
		case err != nil || n > uint64(len(rest)) || at+int(n)+2 > len(rest):
			return -1
		}
		at += int(n) + 2
	}
}

// ownBody returns a body as head announces it; comes is false if that is too long.
func ownBody(head []byte) (b []byte, comes bool) {
	if encoding.Match(head) {
		return []byte("0\r\n\r\n"), true
	}
	m := length.FindSubmatch(head)
	if m == nil {
		return nil, true
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil || n > maxBody {
		return nil, false
	}
	return bytes.Repeat([]byte{'x'}, n), true
}
