package core

import (
	"context"
	"log/slog"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/parsers"
)

// What a session tells the checker that watches it (package verify), where that is switched on. What was read and what was written it is
// told next to the system calls.

// beginCheck has a new session checked.
func (s *session) beginCheck() {
	if s.w.checker != nil {
		s.check = s.w.checker.Open(s.kind == span.Client, s)
	}
}

// endCheck ends that: what has been received and not been sent is lost with the session.
func (s *session) endCheck() {
	if s.check != nil {
		s.check.Close()
		s.check = nil
	}
}

// announce tells of the edits that the head h in data is about to get.
func (s *session) announce(d parsers.Direction, data []byte, h *parsers.Head, e *trace.Edit) {
	if s.check == nil || len(e.Delete) == 0 && len(e.Insert) == 0 {
		return
	}
	base := s.received[d] - uint64(len(data)) // data ends where the stream does
	s.check.Head(int(d), base+uint64(h.Range.Lo), base+uint64(h.Insert))
	for _, line := range e.Delete {
		s.check.Delete(int(d), base+uint64(line.Lo), base+uint64(line.Hi))
	}
	s.check.Insert(int(d), e.Insert)
}

// unsent tells that the next n bytes to be sent in direction d never will be.
func (s *session) unsent(d parsers.Direction, n int) {
	if s.check != nil {
		s.check.Skip(int(d), n)
	}
}

// giveUpPending lets go what is pending for a server that is gone.
func (s *session) giveUpPending(f *flow) {
	s.unsent(parsers.ClientToServer, len(f.pending))
	s.freePending(f)
}

// Altered implements verify.Reporter: it writes where bytes were altered, never which.
func (s *session) Altered(f verify.Finding) {
	s.w.e.cfg.Log.Log(context.Background(), slog.LevelError, "bytes were altered", "side", s.kind.String(), "direction", parsers.Direction(f.Direction).String(),
		"fault", f.Fault.String(), "offset", f.Offset, "sent_offset", f.SentOffset, "bytes", f.Bytes,
		"client", s.peer.AddrPort().String(), "server", s.dest.AddrPort().String())
}

// AlteredBesides implements verify.Reporter: one line closes what Altered told of.
func (s *session) AlteredBesides(r verify.Rest) {
	s.w.e.cfg.Log.Log(context.Background(), slog.LevelError, "more bytes were altered", "side", s.kind.String(), "direction", parsers.Direction(r.Direction).String(),
		"places", r.Findings, "bytes", r.Bytes, "from_offset", r.From, "to_offset", r.To,
		"client", s.peer.AddrPort().String(), "server", s.dest.AddrPort().String())
}
