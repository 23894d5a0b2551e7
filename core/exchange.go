package core

import (
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/parsers"
)

// exchange is one request and its response while they are in flight.
type exchange struct {
	trace.Active
	next      *exchange
	requested bool // the request is complete
	responded bool // the response is complete, and the span's time has ended
}

// exchangeQueue holds the exchanges of a session in the order of their requests, which is that of their responses.
type exchangeQueue struct{ head, tail *exchange }

// handle does what the parser saw. data is what the events' ranges refer to; its first sent bytes have gone on already. It reports whether the
// stream has become opaque, and why.
func (s *session) handle(data []byte, sent int, events []parsers.Event) (parsers.Reason, bool) {
	for i := range events {
		ev := &events[i]
		switch ev.Kind {
		case parsers.RequestStart:
			s.beginExchange(data, sent, ev)
		case parsers.RequestEnd:
			s.endRequest(ev)
		case parsers.Interim:
			s.noteInterim(ev)
		case parsers.ResponseStart:
			s.beginResponse(data, sent, ev)
		case parsers.ResponseEnd:
			s.endResponse(ev)
		case parsers.Opaque:
			return ev.Reason, true
		}
	}
	return parsers.ReasonNone, false
}

// beginExchange starts the span of a request and edits its head.
func (s *session) beginExchange(data []byte, sent int, ev *parsers.Event) {
	w := s.w
	x := w.getExchange()
	r := &w.req
	s.describe(r)
	r.Data, r.Head = data, &ev.Head
	r.Protocol = w.e.cfg.Parsers[s.parser].Name
	r.Unedited = ev.Reason
	if r.Unedited == parsers.ReasonNone && int(ev.Head.Range.Lo) < sent {
		r.Unedited = parsers.ReasonSlowHead
	}
	e := &w.edit
	e.Reset()
	w.tracer.Begin(&x.Active, r, e)
	if w.routing && s.kind == span.Client {
		s.chooseRoute(x, data, sent, ev, e.Route)
	}
	x.Rec.RequestBody, x.Rec.ResponseBody = -1, -1 // until their ends were seen
	if e.Reason == parsers.ReasonNone {
		s.announce(parsers.ClientToServer, data, &ev.Head, e)
		w.build.apply(data, int(ev.Head.Insert), e)
	} else {
		w.stats.Unedited[e.Reason]++
	}
	q := &s.exchanges
	if q.tail == nil {
		q.head = x
	} else {
		q.tail.next = x
	}
	q.tail = x
}

// describe fills in what every request of a session has in common.
func (s *session) describe(r *trace.Request) {
	r.Kind, r.Client, r.Server = s.kind, s.peer, s.dest
	r.Mono = s.w.loop.Now()
	r.Wall = s.w.wall(r.Mono)
}

// endRequest notes the size of a complete request: that of the exchange begun last, since requests do not overlap.
func (s *session) endRequest(ev *parsers.Event) {
	x := s.exchanges.tail
	if x == nil || x.requested {
		return
	}
	x.Rec.RequestBytes, x.Rec.RequestBody = ev.Bytes, ev.BodyBytes
	x.requested = true
	if ev.Truncated && !x.responded {
		x.Rec.Failure = s.cause
	}
	s.retire()
}

// noteInterim tags the span with an interim response; it does not end it.
func (s *session) noteInterim(ev *parsers.Event) {
	if x := s.exchanges.head; x != nil {
		st := ev.Head.Status
		x.Rec.AddTag("spanwire.interim_status", []byte{'0' + byte(st/100%10), '0' + byte(st/10%10), '0' + byte(st%10)})
	}
}

// beginResponse notes status and time to first byte, and looks at the head where the settings ask for that.
func (s *session) beginResponse(data []byte, sent int, ev *parsers.Event) {
	x := s.exchanges.head
	if x == nil {
		return
	}
	x.Rec.Status = ev.Head.Status
	x.Rec.FirstByte = s.w.loop.Now() - x.Mono
	if ev.Head.Failed {
		x.Rec.Failure = span.FailureAnswered
	}
	if s.w.answers {
		s.answer(x, data, sent, ev)
	}
}

// answer takes tags from the head of a response and writes the trace's id into it, as far as the settings ask for that. A response is
// never held for it: a head whose beginning has gone on already stays as it is, and is counted.
func (s *session) answer(x *exchange, data []byte, sent int, ev *parsers.Event) {
	w := s.w
	e := &w.edit
	e.Reset()
	if !w.tracer.Respond(&x.Active, data, &ev.Head, e) {
		return
	}
	reason := ev.Reason
	if reason == parsers.ReasonNone && int(ev.Head.Range.Lo) < sent {
		reason = parsers.ReasonSplitHead
	}
	if reason != parsers.ReasonNone {
		w.stats.UneditedBack[reason]++
		return
	}
	s.announce(parsers.ServerToClient, data, &ev.Head, e)
	w.build.apply(data, int(ev.Head.Insert), e)
}

// endResponse ends the span's time. It leaves when the request is complete as well: an early answer may come while the body is
// still being sent.
func (s *session) endResponse(ev *parsers.Event) {
	x := s.exchanges.head
	if x == nil || x.responded {
		return
	}
	x.Rec.ResponseBytes, x.Rec.ResponseBody = ev.Bytes, ev.BodyBytes
	if ev.Truncated {
		x.Rec.Failure = s.cause
	}
	s.finish(x)
	s.retire()
}

// finish ends the span of x.
func (s *session) finish(x *exchange) {
	w := s.w
	x.responded = true
	w.tracer.End(&x.Active, w.loop.Now())
	class := min(x.Rec.Status/100, NumStatusClasses-1)
	w.stats.Requests[s.kind][class]++
	w.stats.Durations[s.kind].observe(x.Rec.Duration)
	w.stats.Failures[x.Rec.Failure]++
}

// retire records and frees the exchange at the head of the queue if it is over.
func (s *session) retire() {
	q := &s.exchanges
	x := q.head
	if x == nil || !x.requested || !x.responded {
		return
	}
	q.head = x.next
	if q.head == nil {
		q.tail = nil
	}
	s.w.leave(x)
	if s.w.drain.began != 0 && q.head == nil {
		s.w.drain.answered(s)
	}
}

// endExchanges ends all that is in flight with a failure, in order.
func (s *session) endExchanges(f span.Failure) {
	for x := s.exchanges.head; x != nil; {
		next := x.next
		if !x.responded {
			if x.Rec.Failure == span.FailureNone {
				x.Rec.Failure = f
			}
			s.finish(x)
		}
		s.w.leave(x)
		x = next
	}
	s.exchanges = exchangeQueue{}
}
