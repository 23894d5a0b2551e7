package core

import (
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

const (
	// holdIdle is how long after its last byte an incomplete request head is held back, holdMax how long in all. Heads that take longer
	// are typed by hand or dripped on purpose.
	holdIdle = 30 * time.Millisecond
	holdMax  = 200 * time.Millisecond
	// joinTail is how many bytes after an edited head are copied behind it rather than gathered: one copy beats two vectors below it.
	joinTail = 16 << 10
)

// observe shows b, which was just read in direction d, to the parser, does what the parser saw, and forwards what may go on.
func (s *session) observe(d parsers.Direction, b []byte) {
	f := &s.flows[d]
	data := b
	if len(f.kept) > 0 {
		f.kept = append(f.kept, b...)
		data = f.kept
	}
	s.w.build.start(int(f.sent))
	if s.stream == nil {
		switch s.sniff(data) {
		case parsers.More:
			s.advance(d, data, len(data))
			return
		case parsers.No:
			s.advance(d, data, 0)
			return
		}
	}
	if x := s.exchanges.head; x != nil && d == parsers.ServerToClient {
		s.w.tracer.Warm(&x.Active)
	}
	out := &s.w.out
	out.Reset()
	keep := s.stream.Feed(d, data, out)
	if reason, opaque := s.handle(data, int(f.sent), out.Events); opaque {
		s.turnOpaqueIn(d, reason)
		keep = 0
	}
	s.advance(d, data, keep)
}

// sniff asks the table who wants data, the client's first bytes.
func (s *session) sniff(data []byte) parsers.Verdict {
	table := s.w.e.cfg.Parsers
	row, v := parsers.Sniff(table, data)
	switch v {
	case parsers.Yes:
		s.parser = uint8(row)
		if table[row].New == nil {
			if about := table[row].About; about != nil && s.w.debug() {
				s.asked = about(data)
			}
			s.setOpaque(table[row].Opaque)
			return parsers.No
		}
		s.stream = table[row].New()
	case parsers.No:
		s.setOpaque(parsers.ReasonUnknown)
	}
	return v
}

// advance forwards data, of which the parser wants the last keep bytes again, with the edits that have been built. Kept bytes of a request
// are held back, unless they belong to a head whose beginning has gone on already.
func (s *session) advance(d parsers.Direction, data []byte, keep int) {
	f := &s.flows[d]
	from, to := int(f.sent), len(data)-keep
	held := d == parsers.ClientToServer && from <= to
	if !held {
		to = len(data)
	}
	s.send(d, data, from, to)
	if s.phase == phaseClosed {
		return
	}
	if f.broken && s.phase != phaseFailing {
		keep = 0
	}
	s.keep(f, data, keep)
	f.sent = int32(keep)
	if held {
		f.sent = 0
	}
	if d == parsers.ClientToServer {
		s.watchHead(held && keep > 0)
	}
}

// send forwards data[from:to] with the edits in worker.build.
func (s *session) send(d parsers.Direction, data []byte, from, to int) {
	b := &s.w.build
	if len(s.w.cuts) > 0 {
		s.sendLegs(data, to)
		return
	}
	if !b.edited() {
		s.forward(d, data[from:to])
		return
	}
	rest := data[b.pos:to]
	if len(rest) <= joinTail {
		b.out = append(b.out, rest...)
		rest = nil
	}
	s.forwardTwo(d, b.out, rest)
	b.done()
}

// keep stores the last n bytes of data to be shown again; data may be f.kept itself.
func (s *session) keep(f *flow, data []byte, n int) {
	if n == 0 {
		if f.kept != nil {
			s.w.putBuffer(f.kept)
			f.kept = nil
		}
		return
	}
	tail := data[len(data)-n:]
	if f.kept == nil {
		f.kept = s.w.getBuffer(n)
	}
	f.kept = f.kept[:cap(f.kept)]
	if len(f.kept) < n {
		f.kept = make([]byte, n)
	}
	f.kept = f.kept[:copy(f.kept, tail)]
}

// watchHead starts or stops the timer that releases a head that is being held back.
func (s *session) watchHead(held bool) {
	w := s.w
	if s.phase == phaseEnding {
		return // nothing is held for a server that is gone; heldSince and the timer are awaitDelivery's
	}
	if !held {
		if s.heldSince != 0 && s.phase == phaseRelaying {
			w.loop.StopTimer(&s.timer)
		}
		s.heldSince = 0
		return
	}
	now := w.loop.Now()
	if s.heldSince == 0 {
		s.heldSince = now
	}
	if s.phase == phaseRelaying {
		left := time.Duration(s.heldSince + int64(holdMax) - now)
		w.loop.SetTimer(&s.timer, min(holdIdle, max(left, 0)), s)
	}
}

// releaseHead lets an incomplete head go: its sender takes too long. It stays in kept for the parser, but can no longer be edited.
func (s *session) releaseHead() {
	f := &s.flows[parsers.ClientToServer]
	from := int(f.sent)
	f.sent = int32(len(f.kept))
	s.heldSince = 0
	s.forward(parsers.ClientToServer, f.kept[from:])
}

// observeEnd tells the parser that direction d has ended, after letting go what was held.
func (s *session) observeEnd(d parsers.Direction, clean bool) {
	f := &s.flows[d]
	if d == parsers.ClientToServer && len(f.kept) > int(f.sent) {
		s.watchHead(false)
		if clean {
			s.releaseHead()
		}
		if s.phase == phaseClosed {
			return
		}
	}
	if s.stream == nil {
		if !s.opaque && clean && d == parsers.ServerToClient {
			s.turnOpaque(parsers.ReasonServerFirst)
		}
		return
	}
	out := &s.w.out
	out.Reset()
	s.stream.Close(d, clean, out)
	s.w.build.start(0)
	if reason, opaque := s.handle(nil, 0, out.Events); opaque {
		s.turnOpaque(reason)
	}
}

// turnOpaque ends parsing for good, in both directions, and lets go what was held back.
func (s *session) turnOpaque(r parsers.Reason) {
	s.setOpaque(r)
	for d := range s.flows {
		s.releaseKept(parsers.Direction(d))
	}
}

// turnOpaqueIn is turnOpaque while direction d is being handled: its own bytes are forwarded by the caller.
func (s *session) turnOpaqueIn(d parsers.Direction, r parsers.Reason) {
	s.setOpaque(r)
	s.releaseKept(1 - d)
}

// releaseKept forwards what is held back in direction d and drops what was kept.
func (s *session) releaseKept(d parsers.Direction) {
	f := &s.flows[d]
	if f.kept == nil {
		return
	}
	kept, sent := f.kept, f.sent
	f.kept, f.sent = nil, 0
	if d == parsers.ClientToServer {
		s.watchHead(false)
		s.forward(d, kept[sent:])
	}
	s.w.putBuffer(kept)
}

// setOpaque notes that and why the session is opaque. Exchanges that are still open end as untracked, but not before the server is reached:
// where that fails, they fail with it.
func (s *session) setOpaque(r parsers.Reason) {
	if s.opaque {
		return
	}
	if s.parked() {
		s.detour.settle(s.exchanges.head)
	}
	s.opaque, s.why, s.stream = true, r, nil
	s.w.stats.Opaque[r]++
	if s.phase == phaseDialing && s.detour == nil || s.phase == phaseFailing {
		return // what becomes of the dial is what there is to tell of them
	}
	s.endExchanges(span.FailureOpaque)
}
