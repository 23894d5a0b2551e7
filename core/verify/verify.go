// Package verify watches a relay from the outside: it is shown what the read calls returned and what the write calls accepted, and
// says whether the one is the other. The only differences that it lets pass are whole header lines of allowed names, at places
// that it has looked at itself.
//
// It trusts nothing of the engine's path: it keeps a copy of what has been received and not been sent, reads the announced edits against
// that copy (offsets, line ends, names), and compares every byte that goes out with the copy and those edits. Beside the comparison it
// keeps a CRC-32C of all that came in and one of all that went out, inserted lines taken out and deleted ones put back: they must agree
// whenever nothing is left over, so that a mistake in the comparison does not go unnoticed either.
//
// A Checker and its Sessions belong to one loop: loop goroutine only. Nothing here allocates for a request once its buffers have
// grown, and nothing of the payload leaves it: findings bear offsets and lengths alone.
package verify

import "hash/crc32"

// The directions of a session, as indexes; the same as those of package parsers.
const (
	clientToServer = 0
	serverToClient = 1
)

// Fault says what is wrong.
type Fault uint8

// The faults.
const (
	// Differs: a byte was sent that is not the one received at its place.
	Differs Fault = iota
	// Surplus: more was sent than had been received.
	Surplus
	// Lost: the destination was sent the end of the stream, or more of the stream, behind bytes that it never got.
	Lost
	// Inserted: between the received bytes stands something else than was announced.
	Inserted
	// Edit: an announced edit is not allowed: it is no whole header line, has no allowed name, or stands elsewhere than before the
	// empty line of a head (inserted) or at a line of it (deleted).
	Edit
	// Sum: no single byte was found to differ, but the sums of both sides do.
	Sum
)

// String names the fault for a log.
func (f Fault) String() string {
	return [...]string{"differs", "surplus", "lost", "inserted", "edit", "sum"}[f]
}

// Finding is one run of altered bytes.
type Finding struct {
	// Direction is the index of the source: 0 client to server, 1 server to client.
	Direction int
	Fault     Fault
	// Offset is where in what was received, from the begin of the session; SentOffset where in what was sent.
	Offset, SentOffset uint64
	// Bytes is how many.
	Bytes uint64
}

// Rest is what was altered in one direction of a session beside its findings, of which only the first are reported.
type Rest struct {
	Direction int
	// Findings is how many there were, Bytes of how many bytes.
	Findings, Bytes uint64
	// From is where in what was received the first of them stands, To the offset behind the last.
	From, To uint64
}

// Counts are the accounts of one direction. Of the bytes received each is verified, altered or undelivered in the end; those that stand for
// nothing received (Surplus, Inserted, Edit) count as altered on top.
type Counts struct {
	Verified    uint64 // sent as they were received, or deleted as part of an allowed line
	Altered     uint64 // not so
	Undelivered uint64 // given up, the destination being gone
}

// Add adds o to c.
func (c *Counts) Add(o *Counts) {
	c.Verified += o.Verified
	c.Altered += o.Altered
	c.Undelivered += o.Undelivered
}

const (
	// maxFindings is how many findings a direction of a session reports: one fault early in a stream can shift all that follows.
	maxFindings = 4
	// freeWindows and freeWindowMax bound the buffers a Checker keeps for reuse: the engine's largest read and what it keeps of a head.
	freeWindows   = 4
	freeWindowMax = 1<<20 + 128<<10
	// freeSessions is how many Sessions a Checker keeps for reuse.
	freeSessions = 128
)

// castagnoli is the polynomial that processors compute by themselves, at memory speed.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checker is what one loop has for all its sessions: the rules, the accounts and the buffers.
type Checker struct {
	// Counts are by direction.
	Counts [2]Counts

	rules   *Rules
	windows []*window
	closed  []*Session
}

// NewChecker makes a Checker that lets pass what rules allow.
func NewChecker(rules *Rules) *Checker { return &Checker{rules: rules} }

// Session checks one session, both directions. Offsets in its methods are of what was received in that direction, from 0.
type Session struct {
	c        *Checker
	outbound bool
	report   Reporter
	streams  [2]stream
	rest     *[2]Rest // nil: nothing was found that was not reported
}

// Reporter is told of findings, up to maxFindings in each direction of a session, and of the rest of them when the session ends. It must not
// call back.
type Reporter interface {
	Altered(f Finding)
	AlteredBesides(r Rest)
}

// Open begins to check a session.
func (c *Checker) Open(outbound bool, report Reporter) *Session {
	var s *Session
	if n := len(c.closed); n > 0 {
		s = c.closed[n-1]
		c.closed = c.closed[:n-1]
	} else {
		s = new(Session)
	}
	*s = Session{c: c, outbound: outbound, report: report}
	return s
}

// Received takes what a read of direction d's source returned, before anybody else sees it.
func (s *Session) Received(d int, b []byte) { s.streams[d].received(s.c, b) }

// Sent takes what a write to direction d's destination accepted.
func (s *Session) Sent(d int, b []byte) {
	t := &s.streams[d]
	if t.hole && len(b) > 0 {
		t.hole = false
		s.found(d, Lost, t.pos, 0)
	}
	for len(b) > 0 {
		b = b[s.step(d, b):]
	}
	s.settle(d)
}

// Skip says that the next n bytes to be sent in direction d, lines of ours included, never will be: the destination is gone. More may follow only to
// another destination (Connected).
func (s *Session) Skip(d, n int) {
	if n <= 0 {
		return
	}
	s.streams[d].hole = true
	for n > 0 {
		m := s.pass(d, n)
		if m == 0 {
			break
		}
		n -= m
	}
	s.settle(d)
}

// Connected says that direction d has a new destination from here on.
func (s *Session) Connected(d int) { s.streams[d].hole = false }

// Discard gives up all that was received in direction d and not sent, the destination being gone.
func (s *Session) Discard(d int) {
	t := &s.streams[d]
	t.hole = true
	s.giveUp(d)
}

// Ended says that direction d's destination was told the end of the stream: nothing may be left of it.
func (s *Session) Ended(d int) {
	t := &s.streams[d]
	if n := uint64(t.left()); n > 0 {
		s.c.Counts[d].Altered += n
		s.found(d, Lost, t.pos, n)
		s.reaches(d, t.pos+n)
	} else if t.w != nil && t.w.edit() != nil {
		s.found(d, Lost, t.pos, 0)
	}
	s.drop(d)
}

// Close ends the check; s must not be used after it. What has been received and not been sent counts as undelivered.
func (s *Session) Close() {
	for d := range s.streams {
		s.giveUp(d)
	}
	if s.rest != nil {
		for _, r := range s.rest {
			if r.Findings > 0 {
				s.report.AlteredBesides(r)
			}
		}
	}
	s.report = nil
	if c := s.c; len(c.closed) < freeSessions {
		c.closed = append(c.closed, s)
	}
}

// giveUp counts what is left of direction d as undelivered.
func (s *Session) giveUp(d int) {
	s.c.Counts[d].Undelivered += uint64(s.streams[d].left())
	s.drop(d)
}

// drop forgets what is left of direction d, after a last look at the sums.
func (s *Session) drop(d int) {
	t := &s.streams[d]
	if t.w == nil {
		return
	}
	t.sumOut = crc32.Update(t.sumOut, castagnoli, t.w.bytes[t.w.off:])
	t.advance(t.left())
	t.into = 0
	s.release(d)
}

// release lets the window of direction d go, in which nothing is left: then both sums must be the same.
func (s *Session) release(d int) {
	t := &s.streams[d]
	s.c.putWindow(t.w)
	t.w = nil
	if t.sumIn != t.sumOut && !t.altered {
		s.found(d, Sum, t.pos, 0)
	}
}

// found reports a finding of n altered bytes; the caller has counted them, unless n is 0: then it counts one.
func (s *Session) found(d int, f Fault, offset, n uint64) {
	t := &s.streams[d]
	if n == 0 {
		n = 1
		s.c.Counts[d].Altered++
	}
	t.altered = true
	if t.findings == maxFindings {
		s.besides(d, offset, n)
		return
	}
	t.findings++
	s.report.Altered(Finding{Direction: d, Fault: f, Offset: offset, SentOffset: t.out, Bytes: n})
}

// besides counts a finding of n bytes that is not reported.
func (s *Session) besides(d int, offset, n uint64) {
	if s.rest == nil {
		s.rest = new([2]Rest)
	}
	r := &s.rest[d]
	if r.Findings == 0 {
		r.Direction, r.From = d, offset
	}
	r.Findings++
	r.Bytes += n
	r.From = min(r.From, offset)
	r.To = max(r.To, offset)
}

// reaches says that the bytes of the last finding end before offset end of what was received. A finding that it is not said of stands at its
// offset and has none of those bytes.
func (s *Session) reaches(d int, end uint64) {
	if s.rest != nil && s.rest[d].Findings > 0 {
		s.rest[d].To = max(s.rest[d].To, end)
	}
}
