//go:build e2e

package hostile

import (
	"encoding/hex"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/smuggling"
)

// answerPatience is how long a server may take to refuse what is certain. Only one that waits for more takes it all. One that differs is given
// secondPatience, for once more.
const (
	answerPatience = 2 * time.Second
	secondPatience = 10 * time.Second
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

// opinionOf says what o means where c is certain: the server saw exactly the requests that are wanted; or it gave an error for the first, unasked, and saw
// none behind it; or something else. An error behind a request that it answered may be the rest of that, read as another, and one at the half-close may be
// for a rest that never came: it framed them differently.
func opinionOf(o outcome, c *smuggling.Certain) opinion {
	equal := len(o.seen) == len(c.Want)
	for i, line := range o.seen {
		m := logLine.FindStringSubmatch(line)
		if m == nil || i == len(c.Want) {
			return differs
		}
		request := logEscape.ReplaceAllStringFunc(m[1], escaped)
		equal = equal && m[2] < "400"
		if request != c.Want[i] && (request != "<BADREQ>" || i > 0) {
			return differs
		}
	}
	if equal && (c.Short || !slices.ContainsFunc(statusLines(o.answer), errorReply.MatchString)) {
		return agrees
	}
	if first := statusLines(o.early); len(o.seen) <= 1 && len(first) > 0 && errorReply.MatchString(first[0]) {
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
		send := func(patience time.Duration) (outcome, error) {
			return s.outcome(way{addr: s.addr, cuts: c.Cuts, patience: patience}, &smuggling.Vector{Client: c.Data})
		}
		o, err := send(answerPatience)
		if err == nil && opinionOf(o, &c) == differs {
			t.Logf("%s: %s saw %q and answered %q, once more", v, s.name, o.seen, statusLines(o.answer))
			o, err = send(secondPatience)
		}
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
		seen          []string
		early, answer string
		want          opinion
	}{
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`}, ok + ok, ok + ok, agrees},
		{[]string{"\"GET /\xc3\xa9\"", `"GET /behind"`}, ok + ok, ok + ok, agrees},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 400`}, bad, bad, refuses},
		{[]string{`"<BADREQ>" 400`}, bad, bad, refuses},
		{nil, bad, bad, refuses},
		{[]string{"\"GET /\xc3\xa9\""}, bad, bad, refuses},
		{nil, "", "", differs},
		{nil, "", bad, differs},
		{[]string{"\"GET /\xc3\xa9\""}, "", bad, differs},
		{[]string{"\"GET /\xc3\xa9\""}, ok + bad, ok + bad, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"<BADREQ>" 400`}, ok + bad, ok + bad, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"0" 400`}, ok + bad, ok + bad, differs},
		{[]string{"\"GET /\xc3\xa9\""}, ok, ok, differs},
		{[]string{`"GET / HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`}, ok + ok, ok + ok, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 400`, `"GET /behind HTTP/1.1" 200`}, bad + ok, bad + ok, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"GET /smuggled HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`}, ok + ok + ok, ok + ok + ok, differs},
		{[]string{`"GET /\xC3\xA9 HTTP/1.1" 200`, `"GET /behind HTTP/1.1" 200`, `"<BADREQ>" 400`}, ok + ok + bad, ok + ok + bad, differs},
	} {
		if got := opinionOf(outcome{seen: test.seen, early: test.early, answer: test.answer}, &c); got != test.want {
			t.Errorf("saw %q, answered %q, %q before the half-close: %s, want %s", test.seen, test.answer, test.early, got, test.want)
		}
	}
}
