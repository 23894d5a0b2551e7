//go:build e2e

package hostile

import (
	"bytes"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/smuggling"
	"github.com/spanwire/spanwire/parsers"
	"github.com/spanwire/spanwire/parsers/parsertest"
)

const (
	// behind is the target of a request that follows the certain ones: who frames them differently does not see it.
	behind = "/behind"
	// maxBody bounds the bodies that are made; one that is announced longer never comes.
	maxBody = 64 << 10
)

// certain is what of a vector is beyond doubt, up to its last head that is edited, with a body where the vector's own is not whole, and a request behind it.
type certain struct {
	data []byte
	cuts []int    // where a server answers before the client goes on
	want []string // method and target of each request
	cut  bool     // the body is too long to come
}

var (
	announcedLength = regexp.MustCompile(`(?i)\r\ncontent-length: *([0-9]+) *\r\n`)
	announcedCoding = regexp.MustCompile(`(?i)\r\ntransfer-encoding:`)
	announcedClose  = regexp.MustCompile(`(?i)\A[^\r]* HTTP/1\.0\r\n|\r\nconnection:[^\r]*close`)
)

// certainPart returns what is certain of v. Behind a CONNECT it depends on the server what follows, so the part ends with its head.
func certainPart(v *smuggling.Vector) (c certain, err error) {
	steps := []parsertest.Step{}
	for server, data := range v.Turns() {
		s := parsertest.Step{Dir: parsers.ClientToServer, Data: slices.Clone(data)}
		if server {
			s.Dir = parsers.ServerToClient
		}
		steps = append(steps, s)
	}
	events, err := parsertest.Replay(parsers.Table(), steps)
	if err != nil {
		return c, err
	}
	var requests []string
	var head []byte
	end, whole, edited := 0, false, 0
	for _, event := range events {
		words := strings.Fields(event)
		if words[0] == "RequestEnd" && edited == len(requests) {
			end, whole = atoi(words[1]), true
		}
		if words[0] != "RequestStart" {
			continue
		}
		lo, hi, _ := strings.Cut(words[1], "-")
		this := v.Client[atoi(lo):atoi(hi)]
		line, _, _ := bytes.Cut(this, []byte(" HTTP/1."))
		requests = append(requests, string(line))
		if strings.HasPrefix(words[len(words)-1], "insert=") {
			edited, head, end, whole = len(requests), this, atoi(hi), false
		}
		if words[2] == "CONNECT" {
			break
		}
	}
	c.want = requests[:edited]
	c.data = bytes.Clone(v.Client[:end])
	for _, a := range v.Answers {
		if a.After > 0 && a.After < end {
			c.cuts = append(c.cuts, a.After)
		}
	}
	if !whole {
		own, comes := body(head)
		c.data, c.cut = append(c.data, own...), !comes
	}
	if c.cut || bytes.HasPrefix(head, []byte("CONNECT ")) || announcedClose.Match(head) {
		return c, nil
	}
	c.cuts = append(c.cuts, len(c.data))
	c.data = append(c.data, "GET "+behind+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"...)
	c.want = append(c.want, "GET "+behind)
	return c, nil
}

// body returns a body as the head announces it; comes is false if that is too long.
func body(head []byte) (b []byte, comes bool) {
	if announcedCoding.Match(head) {
		return []byte("0\r\n\r\n"), true
	}
	m := announcedLength.FindSubmatch(head)
	if m == nil {
		return nil, true // a CONNECT
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil || n > maxBody {
		return nil, false
	}
	return bytes.Repeat([]byte{'x'}, n), true
}

// The opinions that a server may have of what is certain.
type opinion string

const (
	agrees  opinion = "agrees"
	refuses opinion = "refuses"
	differs opinion = "differs"
)

var (
	logLine    = regexp.MustCompile(`\A"(.*?)(?: HTTP/1\.[0-9])?"(?: ([0-9]+))?\z`)
	logEscape  = regexp.MustCompile(`\\x[0-9A-F]{2}`)
	errorReply = regexp.MustCompile(`\AHTTP/1\.[01] [45]`)
)

// escaped returns the byte that nginx writes as \xHH.
func escaped(s string) string {
	b, err := hex.DecodeString(s[len(`\x`):])
	if err != nil {
		panic("BUG: " + s)
	}
	return string(b)
}

// of says what o means: the server saw exactly the requests that are wanted, or the first of them and then gave an error, or something else.
func (c *certain) of(o outcome) opinion {
	for i, line := range o.seen {
		m := logLine.FindStringSubmatch(line)
		switch {
		case m == nil || i == len(c.want):
			return differs
		case m[2] >= "400" && i == len(o.seen)-1:
			return refuses
		case m[2] >= "400" || logEscape.ReplaceAllStringFunc(m[1], escaped) != c.want[i]:
			return differs
		}
	}
	failed := slices.ContainsFunc(statusLines(o.answer), errorReply.MatchString)
	switch {
	case len(o.seen) == len(c.want) && (!failed || c.cut):
		return agrees
	case failed:
		return refuses
	}
	return differs
}

// agree sends to each server, directly, what of v is certain. Each is to see the same requests; those that refuse one are the ones that v declares.
func agree(t *testing.T, v *smuggling.Vector, servers []*server, n *tally) {
	if len(v.Inserts) == 0 {
		return
	}
	c, err := certainPart(v)
	if err != nil || len(c.want) == 0 {
		t.Errorf("%s: %q is certain: %v", v, c.want, err)
		return
	}
	n.edited++
	refused, different := []string{}, false
	for _, s := range servers {
		o, err := s.outcome(way{addr: s.addr, cuts: c.cuts}, &smuggling.Vector{Client: c.data})
		if err != nil {
			t.Errorf("%s: %s: %v", v, s.name, err)
			continue
		}
		switch c.of(o) {
		case differs:
			different = true
			t.Errorf("%s: %s saw %q and answered %q, where %q is certain\nsent %q", v, s.name, o.seen, statusLines(o.answer), c.want, c.data)
		case refuses:
			refused = append(refused, s.name)
		}
	}
	if different {
		n.different++
	}
	if len(refused) > 0 {
		n.refused++
	}
	if !slices.Equal(refused, v.Refused) {
		t.Errorf("%s: refused by %q, declared are %q", v, refused, v.Refused)
	}
}

func TestWhatServersMakeOfCertainRequests(t *testing.T) {
	const ok, bad = "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n"
	c := certain{want: []string{"GET /\xc3\xa9", "GET /behind"}}
	for _, test := range []struct {
		seen   []string
		answer string
		want   opinion
	}{
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`}, ok + ok, agrees},
		{[]string{"\"GET /\xc3\xa9\"", `"GET /behind"`}, ok + ok, agrees},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 400`}, bad, refuses},
		{[]string{`"<BADREQ>" 400`}, bad, refuses},
		{nil, bad, refuses},
		{[]string{"\"GET /\xc3\xa9\""}, bad, refuses},
		{nil, "", differs},
		{[]string{"\"GET /\xc3\xa9\""}, ok, differs},
		{[]string{`"GET / HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`}, ok + ok, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 400`, `"GET /behind HTTP/1.1" 200`}, bad + ok, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"GET /smuggled HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`}, ok + ok + ok, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`, `"<BADREQ>" 400`}, ok + ok + bad, differs},
	} {
		if got := c.of(outcome{test.seen, test.answer}); got != test.want {
			t.Errorf("saw %q, answered %q: %s, want %s", test.seen, test.answer, got, test.want)
		}
	}
}
