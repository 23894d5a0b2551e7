package parsers

// http1 observes HTTP/1.0 and HTTP/1.1 (RFC 9112). It is a value without pointers, small because every idle session has one.
//
// What is invalid, ambiguous, or over a limit makes the connection opaque, for then two parsers could see different messages, and
// an edit made by one could become a body or a request to the other. Both directions turn opaque together: without the framing of
// responses a 101 could not be seen, and without the requests the framing of responses cannot be known.
//
//   - http1_head.go: syntax of header lines, and the walk through heads that straddle reads
//   - http1_fields.go: what the framing fields say
//   - http1_request.go, http1_response.go: start lines, framing, policy
//   - http1_body.go: bodies
type http1 struct {
	request, response message

	// heads has a bit for each unanswered request, the oldest lowest: it was HEAD, so its answer has no body.
	heads uint64
	// unanswered is how many requests await the end of their final response.
	unanswered uint8

	// Of the newest request.
	connect  bool // it is CONNECT and not answered
	upgrade  bool // it has Upgrade and is not answered
	awaits   bool // it has Expect, and neither 100 nor a byte of its body was seen
	refused  bool // it got a final status while it awaited 100: what the client sends next is ambiguous
	lastAsk  bool // it said that it is the last
	finished bool // no further request will be answered
	doubted  bool // a request had codings that not every server knows: those behind it may be its body to some, and are not edited

	// Of the response in progress, or of the last one.
	answering  bool // its head was seen and its end was not
	lastAnswer bool // it said that it is the last
	early      bool // it came before the end of its request, and is the last
	over       bool // it was the last, and has ended
}

// maxUnanswered bounds pipelining: one bit each in http1.heads.
const maxUnanswered = 64

// newHTTP1 returns a Stream for one connection.
func newHTTP1() Stream { return new(http1) }

// Feed implements Stream.
func (p *http1) Feed(dir Direction, data []byte, out *Output) (keep int) {
	if dir == ClientToServer {
		return p.requests(data, out)
	}
	return p.responses(data, out)
}

// Close implements Stream. An incomplete head is no message yet: it ends nothing.
func (p *http1) Close(dir Direction, clean bool, out *Output) {
	if dir == ClientToServer {
		if p.request.framing != framingNone {
			p.endRequest(0, true, out)
		}
		return
	}
	if p.answering {
		// RFC 9112 §8: a body that the close delimits is complete only if the close was clean.
		p.endResponse(0, !clean || p.response.framing != framingClose, out)
	}
	p.finished = true
}

// endRequest appends the end of the request in progress, at offset at.
func (p *http1) endRequest(at int, truncated bool, out *Output) {
	e := out.next(RequestEnd, at)
	e.Truncated = truncated
	p.request.end(e)
	p.awaits, p.early = false, false
	if p.lastAsk {
		p.finished = true
	}
}

// endResponse appends the end of the response in progress, at offset at, and forgets its request.
func (p *http1) endResponse(at int, truncated bool, out *Output) {
	e := out.next(ResponseEnd, at)
	e.Truncated = truncated
	p.response.end(e)
	p.answering = false
	p.heads >>= 1
	p.unanswered--
	if p.lastAnswer {
		p.over, p.finished = true, true
	}
}

// opaque appends the last event of the connection.
func (p *http1) opaque(at int, r Reason, out *Output) {
	out.next(Opaque, at).Reason = r
}

// remember notes that one more request is unanswered. It returns false when there are too many.
func (p *http1) remember(head bool) bool {
	if p.unanswered == maxUnanswered {
		return false
	}
	if head {
		p.heads |= 1 << p.unanswered
	}
	p.unanswered++
	return true
}
