package verify

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const c2s, s2c = clientToServer, serverToClient

// open begins a session with the test's rules.
func open(outbound bool) (*Session, *Checker, *findings) {
	c, f := NewChecker(NewRules(&testNames)), new(findings)
	return c.Open(outbound, f), c, f
}

// edited has head arrive and announces that remove (a line of it) goes and insert comes before its empty line. It returns what is to be sent.
func edited(s *Session, d int, head, remove, insert string) string {
	s.Received(d, []byte(head))
	out := strings.TrimSuffix(head, "\r\n") + insert + "\r\n"
	s.Head(d, 0, uint64(len(head)-2))
	if remove != "" {
		i := strings.Index(head, remove)
		s.Delete(d, uint64(i), uint64(i+len(remove)))
		out = strings.Replace(out, remove, "", 1)
	}
	s.Insert(d, []byte(insert))
	return out
}

// Each fault is told by its place and length. The head is 27 bytes: "GET / HTTP/1.1\r\nHost: a\r\n\r\n".
func TestFaultsAreToldByTheirPlace(t *testing.T) {
	const head, ours = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "traceparent: 00\r\n"
	for _, c := range []struct {
		name string
		play func(s *Session)
		want Finding
	}{
		{"a byte differs", func(s *Session) {
			s.Received(s2c, []byte("hello, world"))
			s.Sent(s2c, []byte("hello"))
			s.Sent(s2c, []byte(", wOrld"))
		}, Finding{Direction: s2c, Fault: Differs, Offset: 8, SentOffset: 8, Bytes: 1}},
		{"a byte behind an edit differs", func(s *Session) {
			out := edited(s, c2s, head, "", ours)
			s.Sent(c2s, []byte(out[:len(out)-1]+"\r"))
		}, Finding{Direction: c2s, Fault: Differs, Offset: 26, SentOffset: 26 + 17, Bytes: 1}},
		{"a byte of what is inserted differs", func(s *Session) {
			s.Sent(c2s, []byte(strings.Replace(edited(s, c2s, head, "", ours), "00\r", "01\r", 1)))
		}, Finding{Direction: c2s, Fault: Inserted, Offset: 25, SentOffset: 25 + 14, Bytes: 1}},
		{"more is sent than came", func(s *Session) {
			s.Received(c2s, []byte("ab"))
			s.Sent(c2s, []byte("abc"))
		}, Finding{Direction: c2s, Fault: Surplus, Offset: 2, SentOffset: 2, Bytes: 1}},
		{"the end comes too early", func(s *Session) {
			s.Received(s2c, []byte("abc"))
			s.Sent(s2c, []byte("a"))
			s.Ended(s2c)
		}, Finding{Direction: s2c, Fault: Lost, Offset: 1, SentOffset: 1, Bytes: 2}},
		{"the end comes before what is inserted", func(s *Session) {
			s.Sent(c2s, []byte(edited(s, c2s, head, "", ours)[:30]))
			s.Ended(c2s)
		}, Finding{Direction: c2s, Fault: Lost, Offset: 25, SentOffset: 30, Bytes: 2}},
		{"bytes go on behind a gap", func(s *Session) {
			s.Received(c2s, []byte("abc"))
			s.Skip(c2s, 1)
			s.Sent(c2s, []byte("bc"))
		}, Finding{Direction: c2s, Fault: Lost, Offset: 1, Bytes: 1}},
		{"bytes go on behind what was given up", func(s *Session) {
			s.Received(c2s, []byte("abc"))
			s.Discard(c2s)
			s.Received(c2s, []byte("d"))
			s.Sent(c2s, []byte("d"))
		}, Finding{Direction: c2s, Fault: Lost, Offset: 3, Bytes: 1}},
		{"a line of another name is deleted", func(s *Session) {
			s.Sent(c2s, []byte(edited(s, c2s, head, "Host: a\r\n", ours)))
		}, Finding{Direction: c2s, Fault: Edit, Offset: 16, Bytes: 9}},
		{"a line of another name is inserted", func(s *Session) {
			s.Sent(c2s, []byte(edited(s, c2s, head, "", "Cookie: a\r\n")))
		}, Finding{Direction: c2s, Fault: Edit, Offset: 25, Bytes: 11}},
		{"an edit is announced too late", func(s *Session) {
			s.Received(c2s, []byte(head))
			s.Sent(c2s, []byte(head[:3]))
			s.Head(c2s, 0, 25)
			s.Sent(c2s, []byte(head[3:]))
		}, Finding{Direction: c2s, Fault: Edit, Offset: 0, SentOffset: 3, Bytes: 1}},
		{"an edit is no edit of a head", func(s *Session) {
			s.Received(s2c, []byte("body\r\na: b\r\n\r\n"))
			s.Head(s2c, 0, 12)
			s.Sent(s2c, []byte("body\r\na: b\r\n\r\n"))
		}, Finding{Direction: s2c, Fault: Edit, Bytes: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, checker, found := open(false)
			c.play(s)
			s.Close()
			if !reflect.DeepEqual(*found, findings{c.want}) {
				t.Errorf("found %+v, want %+v", *found, c.want)
			}
			if got := checker.Counts[c.want.Direction].Altered; got != c.want.Bytes {
				t.Errorf("%d bytes altered, want %d", got, c.want.Bytes)
			}
		})
	}
}

// besides keeps what is told when a session ends, too.
type besides struct {
	findings
	rest []Rest
}

func (b *besides) AlteredBesides(r Rest) { b.rest = append(b.rest, r) }

// What is not told by its place, after the first findings of a direction, is told in sum, with its range, when the session ends.
func TestTheEndTellsWhatWasNotReported(t *testing.T) {
	alter := func(s *Session, d, times int) {
		for range times { // each at the second and fourth byte of ten
			s.Received(d, []byte("0123456789"))
			s.Sent(d, []byte("0x2x456789"))
		}
	}
	for _, c := range []struct {
		name     string
		play     func(s *Session)
		findings int
		want     []Rest
	}{
		{"nothing besides", func(s *Session) { alter(s, s2c, maxFindings) }, maxFindings, nil},
		{"two places besides", func(s *Session) { alter(s, s2c, maxFindings+2) }, maxFindings,
			[]Rest{{Direction: s2c, Findings: 2, Bytes: 4, From: 10*maxFindings + 1, To: 10*maxFindings + 14}}},
		{"both directions", func(s *Session) { alter(s, s2c, maxFindings+1); alter(s, c2s, maxFindings+1) }, 2 * maxFindings,
			[]Rest{{Direction: c2s, Findings: 1, Bytes: 2, From: 41, To: 44}, {Direction: s2c, Findings: 1, Bytes: 2, From: 41, To: 44}}},
		{"more is sent than came", func(s *Session) { alter(s, c2s, maxFindings); s.Sent(c2s, []byte("abc")) }, maxFindings,
			[]Rest{{Direction: c2s, Findings: 1, Bytes: 3, From: 40, To: 40}}},
		{"the end comes too early", func(s *Session) { alter(s, c2s, maxFindings); s.Received(c2s, []byte("abc")); s.Ended(c2s) }, maxFindings,
			[]Rest{{Direction: c2s, Findings: 1, Bytes: 3, From: 40, To: 43}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			checker, f := NewChecker(NewRules(&testNames)), new(besides)
			s := checker.Open(false, f)
			c.play(s)
			if len(f.rest) > 0 {
				t.Errorf("told before the end: %+v", f.rest)
			}
			s.Close()
			if !reflect.DeepEqual(f.rest, c.want) || len(f.findings) != c.findings {
				t.Errorf("%d findings and %+v, want %d and %+v", len(f.findings), f.rest, c.findings, c.want)
			}
			told := uint64(0)
			for _, x := range f.findings {
				told += x.Bytes
			}
			for _, r := range f.rest {
				told += r.Bytes
			}
			if altered := checker.Counts[c2s].Altered + checker.Counts[s2c].Altered; told != altered {
				t.Errorf("%d bytes told of, %d altered", told, altered)
			}
			again := checker.Open(false, f)
			again.Close()
			if len(f.rest) != len(c.want) {
				t.Errorf("the next session tells of this one: %+v", f.rest)
			}
		})
	}
}

// What the settings name may be inserted and deleted, on its side and in its direction only.
func TestRules(t *testing.T) {
	const request, response = "GET / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK\r\nServer: a\r\n"
	for _, c := range []struct {
		name           string
		d              int
		outbound       bool
		remove, insert string
		allowed        bool
	}{
		{"context", c2s, false, "b3: 0\r\n", "b3: 1\r\ntraceparent: 0\r\n", true},
		{"name in capitals", c2s, false, "TRACESTATE: 0\r\n", "TRACEPARENT: 1\r\n", true},
		{"tracestate is not written", c2s, false, "", "tracestate: a=b\r\n", false},
		{"request id", c2s, false, "", "x-request-id: 1\r\n", true},
		{"empty request id", c2s, false, "X-Request-Id:\t \r\n", "X-Request-Id: 1\r\n", true},
		{"request id that is not empty", c2s, false, "X-Request-Id: 0\r\n", "X-Request-Id: 1\r\n", false},
		{"source, inbound", c2s, false, "", "X-Source: a\r\n", false},
		{"source, outbound", c2s, true, "X-Source: b\r\n", "X-Source: a\r\n", true},
		{"route, outbound", c2s, true, "", "X-Route: a=b\r\n", true},
		{"route is not deleted", c2s, true, "X-Route: a=b\r\n", "b3: 0\r\n", false},
		{"trace id in a request", c2s, false, "", "X-Trace-Id: 0\r\n", false},
		{"trace id in a response", s2c, false, "X-Trace-Id: 1\r\n", "X-Trace-Id: 0\r\n", true},
		{"context in a response", s2c, false, "", "traceparent: 0\r\n", false},
		{"nothing comes for what goes", c2s, false, "b3: 0\r\n", "", false},
		{"no colon", c2s, false, "", "traceparent\r\n", false},
		{"space before the colon", c2s, false, "", "traceparent : 0\r\n", false},
		{"no end", c2s, false, "", "traceparent: 0", false},
		{"a bare line feed", c2s, false, "", "traceparent: 0\nCookie: a\r\n", false},
		{"an empty line", c2s, false, "", "traceparent: 0\r\n\r\n", false},
		{"two lines at once", c2s, false, "b3: 0\r\nb3: 1\r\n", "b3: 2\r\n", false},
		{"part of a line", c2s, false, "ost: a\r\n", "b3: 2\r\n", false},
		{"the start line", c2s, false, "GET / HTTP/1.1\r\n", "b3: 2\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, checker, found := open(c.outbound)
			head := request
			if c.d == s2c {
				head = response
			}
			if !strings.Contains(head, c.remove) {
				head += c.remove
			}
			s.Sent(c.d, []byte(edited(s, c.d, head+"\r\n", c.remove, c.insert)))
			s.Ended(c.d)
			s.Close()
			if got := checker.Counts[c.d].Altered == 0 && len(*found) == 0; got != c.allowed {
				t.Errorf("allowed: %v, want %v: %+v", got, c.allowed, *found)
			}
		})
	}
	t.Run("nothing, where nothing is parsed", func(t *testing.T) {
		c, f := NewChecker(NewRules(nil)), new(findings)
		s := c.Open(false, f)
		s.Sent(c2s, []byte(edited(s, c2s, request+"\r\n", "", "traceparent: 0\r\n")))
		if len(*f) == 0 {
			t.Error("an edit was allowed")
		}
	})
}

// A stream that never comes to rest, for each read brings the rest of one head and the begin of the next, takes no more memory for that; and
// nothing is allocated for a request.
func TestEndlessStreamsTakeNoMoreMemory(t *testing.T) {
	s, c, found := open(false)
	first, rest, ours := []byte("GET / HTTP/1.1\r\nb3: 0\r\n"), []byte("Host: a\r\n\r\n"), []byte("b3: 1\r\n")
	s.Received(c2s, first)
	at, out := uint64(0), []byte("GET / HTTP/1.1\r\nHost: a\r\nb3: 1\r\n\r\n")
	request := func() {
		s.Received(c2s, rest)
		s.Received(c2s, first)
		n := uint64(len(first) + len(rest))
		s.Head(c2s, at, at+n-2)
		s.Delete(c2s, at+16, at+23)
		s.Insert(c2s, ours)
		s.Sent(c2s, out)
		at += n
	}
	if n := testing.AllocsPerRun(10000, request); n > 0 {
		t.Errorf("%v allocations a request", n)
	}
	w := s.streams[c2s].w
	if len(*found) > 0 || cap(w.bytes) > 4096 || cap(w.edits) > 64 || cap(w.text) > 4096 {
		t.Errorf("%d bytes, %d edits, %d of text kept; found %v", cap(w.bytes), cap(w.edits), cap(w.text), *found)
	}
	s.Close()
	if got := c.Counts[c2s]; got.Undelivered != uint64(len(first)) || got.Verified != at {
		t.Errorf("%+v, want all but the last head's begin verified", got)
	}
}

// Sessions and buffers are used again.
func TestSessionsAllocateNothingInTheLongRun(t *testing.T) {
	c, f := NewChecker(NewRules(nil)), new(findings)
	data := make([]byte, 64<<10)
	if n := testing.AllocsPerRun(1000, func() {
		s := c.Open(false, f)
		for d := range 2 {
			s.Received(d, data)
			s.Sent(d, data)
			s.Ended(d)
		}
		s.Close()
	}); n > 0 {
		t.Errorf("%v allocations a session", n)
	}
	for range 10 * freeWindows {
		c.Open(false, f).Received(0, make([]byte, 2*freeWindowMax))
	}
	if len(c.windows) > freeWindows {
		t.Errorf("%d windows kept", len(c.windows))
	}
}

// The sums notice what a comparison that is itself at fault would miss.
func TestSumsAreASecondAccount(t *testing.T) {
	for _, end := range []func(*Session){
		func(s *Session) { s.Sent(s2c, []byte("XYZ")) },
		(*Session).Close,
	} {
		s, c, found := open(false)
		s.Received(s2c, []byte("abc"))
		copy(s.streams[s2c].w.bytes, "XYZ") // as if the copy were not what came
		end(s)
		if len(*found) != 1 || (*found)[0].Fault != Sum || c.Counts[s2c].Altered != 1 {
			t.Errorf("found %+v", *found)
		}
	}
}

func TestFaultsHaveNames(t *testing.T) {
	for f := Differs; f <= Sum; f++ {
		if strings.ToLower(fmt.Sprint(f)) != f.String() || f.String() == "" {
			t.Errorf("fault %d is called %q", f, f.String())
		}
	}
}

// BenchmarkSession is a request and its response, of 100 and of size bytes, taken in and sent in one piece each.
func BenchmarkSession(b *testing.B) {
	for _, size := range []int{100, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c, f := NewChecker(NewRules(&testNames)), new(findings)
			s := c.Open(false, f)
			head := []byte("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n")
			out := []byte("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\ntraceparent: 00\r\n\r\n")
			ours, body := []byte("traceparent: 00\r\n"), make([]byte, size)
			b.SetBytes(int64(len(head) + size))
			b.ReportAllocs()
			at := uint64(0)
			for b.Loop() {
				s.Received(c2s, head)
				s.Head(c2s, at, at+uint64(len(head))-2)
				s.Insert(c2s, ours)
				s.Sent(c2s, out)
				at += uint64(len(head))
				s.Received(s2c, body)
				s.Sent(s2c, body)
			}
		})
	}
}
