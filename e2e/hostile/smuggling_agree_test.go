//go:build e2e

package hostile

import (
	"encoding/hex"
	"regexp"
	"slices"
	"testing"

	"github.com/spanwire/spanwire/internal/smuggling"
)

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

// opinionOf says what o means where c is certain: the server saw exactly the requests that are wanted, or the first of them and then gave an error, or something else.
func opinionOf(o outcome, c *smuggling.Certain) opinion {
	for i, line := range o.seen {
		m := logLine.FindStringSubmatch(line)
		switch {
		case m == nil || i == len(c.Want):
			return differs
		case m[2] >= "400" && i == len(o.seen)-1:
			return refuses
		case m[2] >= "400" || logEscape.ReplaceAllStringFunc(m[1], escaped) != c.Want[i]:
			return differs
		}
	}
	failed := slices.ContainsFunc(statusLines(o.answer), errorReply.MatchString)
	switch {
	case len(o.seen) == len(c.Want) && (!failed || c.Short):
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
	c, err := v.Certain()
	if err != nil {
		t.Errorf("%s: %v", v, err)
		return
	}
	n.edited++
	refused, different := []string{}, false
	for _, s := range servers {
		o, err := s.outcome(way{addr: s.addr, cuts: c.Cuts}, &smuggling.Vector{Client: c.Data})
		if err != nil {
			t.Errorf("%s: %s: %v", v, s.name, err)
			continue
		}
		switch opinionOf(o, &c) {
		case differs:
			different = true
			t.Errorf("%s: %s saw %q and answered %q, where %q is certain\nsent %q", v, s.name, o.seen, statusLines(o.answer), c.Want, c.Data)
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
	c := smuggling.Certain{Want: []string{"GET /\xc3\xa9", "GET /behind"}}
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
		if got := opinionOf(outcome{test.seen, test.answer}, &c); got != test.want {
			t.Errorf("saw %q, answered %q: %s, want %s", test.seen, test.answer, got, test.want)
		}
	}
}
