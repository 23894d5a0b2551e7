package verify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

// findings collects what a Session reports.
type findings []Finding

func (f *findings) Altered(x Finding) { *f = append(*f, x) }

func (f *findings) AlteredBesides(Rest) {}

// testNames are the names of the settings in these tests.
var testNames = Names{RequestID: "X-Request-Id", TraceResponse: "X-Trace-Id", XSource: "X-Source", Route: "X-Route"}

// script takes decisions from bytes; when they are used up, all are 0.
type script []byte

// below returns a number from 0 to n-1.
func (s *script) below(n int) int {
	if len(*s) == 0 {
		return 0
	}
	v := int((*s)[0])
	*s = (*s)[1:]
	if n > 256 && len(*s) > 0 {
		v = v<<8 | int((*s)[0])
		*s = (*s)[1:]
	}
	return v % n
}

// relay is a model of what stands between the calls: in each direction, what has been read and is to be written.
type relay struct {
	*script
	s        *Session
	c        *Checker
	found    findings
	out      [2][]byte
	received [2]uint64
	gone     bool // the client's bytes were given up, and nobody has connected since
}

func newRelay(decisions []byte) *relay {
	s := script(decisions)
	m := &relay{script: &s, c: NewChecker(NewRules(&testNames))}
	m.s = m.c.Open(m.below(2) == 1, &m.found)
	return m
}

// read has b arrive; what goes out for it is up to the caller.
func (m *relay) read(d int, b []byte) {
	for len(b) > 0 {
		n := 1 + m.below(len(b))
		m.s.Received(d, b[:n])
		m.received[d] += uint64(n)
		b = b[n:]
	}
}

// raw has bytes arrive that go out as they are.
func (m *relay) raw(d int) {
	b := make([]byte, 1+m.below(2000))
	r := rand.New(rand.NewPCG(uint64(len(b)), uint64(m.below(256))))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	m.read(d, b)
	m.out[d] = append(m.out[d], b...)
}

// headLines are lines of a head, and whether they may be deleted from requests.
var headLines = []struct {
	text    string
	removed bool
}{
	{"Host: a\r\n", false}, {"traceparent: 00-1\r\n", true}, {"TraceParent:\r\n", true}, {"X-B3-Sampled: 1\r\n", true}, {"Accept: b3\r\n", false},
	{"tracestate: a=b\r\n", true}, {"x-request-id: \t\r\n", true}, {"X-Request-Id: 1\r\n", false}, {"uber-trace-id: 1:2:3:1\r\n", true},
}

// head has a request head arrive that is edited, with more behind it. wrong changes an edit so that it must not be.
func (m *relay) head(wrong int) {
	const d = clientToServer
	in := []byte("GET / HTTP/1.1\r\n")
	out := bytes.Clone(in)
	var lines [][2]uint64
	at := m.received[d]
	for range m.below(6) {
		l := headLines[m.below(len(headLines))]
		if l.removed || wrong == wrongDelete {
			lines = append(lines, [2]uint64{at + uint64(len(in)), at + uint64(len(in)+len(l.text))})
		} else {
			out = append(out, l.text...)
		}
		in = append(in, l.text...)
	}
	text := []byte("traceparent: 00-2\r\nX-Request-Id: 2\r\n")
	insert := at + uint64(len(in))
	switch wrong {
	case wrongDelete:
		in = append(in, "Cookie: a\r\n"...)
		lines = append(lines, [2]uint64{insert, insert + 11})
		insert += 11
	case wrongName:
		text = []byte("Cookie: a\r\n")
	case wrongLine:
		text = []byte("traceparent: a\r\nb3: b")
	case wrongPlace:
		insert -= 2
	case wrongCut:
		in, lines = append(in, "b3: 0\r\n"...), append(lines, [2]uint64{insert + 1, insert + 7})
		out, insert = append(out, 'b'), insert+7
	case wrongStart:
		at += uint64(len("GET / HTTP/1.1\r\n"))
	}
	in = append(in, "\r\n"...)
	m.read(d, in)
	m.s.Head(d, at, insert)
	for _, l := range lines {
		m.s.Delete(d, l[0], l[1])
	}
	m.s.Insert(d, text)
	if wrong == wrongPlace {
		out = append(append(out[:len(out)-2], text...), "\r\n\r\n"...)
	} else {
		out = append(append(out, text...), "\r\n"...)
	}
	m.out[d] = append(m.out[d], out...)
}

// The edits that must not be.
const (
	wrongNothing = iota
	wrongDelete  // a line of another name is deleted
	wrongName    // one is inserted
	wrongLine    // what is inserted is no whole line
	wrongPlace   // it stands within a line
	wrongCut     // a part of a line is deleted
	wrongStart   // the head begins at its second line
	numWrongs
)

// send has some of what waits accepted.
func (m *relay) send(d int) {
	b := m.out[d]
	if len(b) == 0 {
		return
	}
	if d == clientToServer && m.gone {
		m.s.Connected(d)
		m.gone = false
	}
	n := 1 + m.below(len(b))
	m.s.Sent(d, b[:n])
	m.out[d] = b[n:]
}

// mutate alters what waits, and reports whether it did.
func (m *relay) mutate(d int) bool {
	b := m.out[d]
	if len(b) == 0 {
		return false
	}
	i := m.below(len(b))
	before := bytes.Clone(b)
	switch m.below(5) {
	case 0:
		b[i] ^= 1 << m.below(8)
	case 1:
		b = append(b[:i], b[i+1:]...)
	case 2:
		b = append(b[:i], append([]byte{b[i]}, b[i:]...)...)
	case 3:
		j := m.below(len(b))
		b[i], b[j] = b[j], b[i]
	case 4:
		b = append(b[:i:i], append([]byte("traceparent: 00-3\r\n"), before[i:]...)...)
	}
	m.out[d] = b
	return !bytes.Equal(before, b)
}

// play plays a session of random reads, edits and writes; with mutation, once something is altered. It returns what should have been found.
func play(decisions []byte) (m *relay, altered bool) {
	m = newRelay(decisions)
	mutation, wrong := m.below(4), wrongNothing
	if mutation == 1 {
		wrong = 1 + m.below(numWrongs-1)
	}
	for len(*m.script) > 0 {
		d := m.below(2)
		switch m.below(8) {
		case 0, 1:
			m.raw(d)
		case 2:
			m.head(wrongNothing)
		case 3:
			if wrong != wrongNothing {
				m.head(wrong)
				wrong, altered = wrongNothing, true
			}
		case 4:
			if d == clientToServer && len(m.out[d]) > 0 && !altered {
				n := 1 + m.below(len(m.out[d]))
				m.s.Skip(d, n)
				m.out[d], m.gone = m.out[d][n:], true
			}
		case 5:
			if mutation == 2 && !altered && (d == serverToClient || !m.gone) {
				altered = m.mutate(d)
			}
		default:
			m.send(d)
		}
	}
	for d := range m.out {
		for len(m.out[d]) > 0 {
			m.send(d)
		}
		if d == serverToClient || !m.gone {
			m.s.Ended(d)
		}
	}
	m.s.Close()
	return m, altered
}

// check holds what was found against what should have been.
func (m *relay) check(altered bool) error {
	var bad uint64
	for d, n := range m.c.Counts {
		bad += n.Altered
		if !altered && n.Verified+n.Undelivered != m.received[d] {
			return fmt.Errorf("direction %d: %+v of %d received", d, n, m.received[d])
		}
	}
	if (bad > 0) != altered || (len(m.found) > 0) != altered || len(m.found) > 2*maxFindings {
		return fmt.Errorf("altered: %v; counted %d, reported %+v", altered, bad, m.found)
	}
	return nil
}

// Whatever is read, edited, written and given up, in whatever pieces: an alteration is found, and nothing else is.
func TestAlterationsAreFoundAndNothingElse(t *testing.T) {
	seen := [2]int{}
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 3))
		decisions := make([]byte, r.IntN(120))
		for i := range decisions {
			decisions[i] = byte(r.Uint32())
		}
		m, altered := play(decisions)
		if err := m.check(altered); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if altered {
			seen[1]++
		} else {
			seen[0]++
		}
	}
	if seen[0] < 1000 || seen[1] < 1000 {
		t.Errorf("%v: too tame", seen)
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 0, 2, 3, 1, 5, 7, 0, 6, 9})
	f.Add([]byte{1, 2, 0, 5, 0, 200, 0, 5, 3, 1, 2, 0, 6})
	f.Add([]byte{0, 1, 1, 0, 3, 4, 1, 2, 3, 4, 0, 4, 2, 0, 7})
	f.Fuzz(func(t *testing.T, decisions []byte) {
		m, altered := play(decisions[:min(len(decisions), 300)])
		if err := m.check(altered); err != nil {
			t.Fatal(err)
		}
	})
}
