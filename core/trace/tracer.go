// Package trace turns requests into spans: it reads and writes trace context, decides the parent and the sample, names the
// operation, and joins outbound requests to inbound ones.
//
// Shared holds what the loops share; a Tracer belongs to one loop and is used by its goroutine only.
package trace

import (
	"hash/maphash"

	"github.com/spanwire/spanwire/core/route"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// Active is a request in flight and the span it will become. The engine keeps a pool of them per loop; an Active belongs to one
// session from Begin to End.
type Active struct {
	// Rec is the span. The engine sets sizes, status and failure; the rest is the tracer's.
	Rec span.Record
	// Mono is the monotonic time of the start in ns.
	Mono int64
	// Ignored: the request is on the list of those without a span; Rec is unsampled, and has texts only with Config.DescribeAll.
	Ignored bool
	// Drop is set by End: whether the application seems to have dropped the id of this inbound request.
	Drop Drop
	// Operation and Peer are numbers of Shared.OperationNames and PeerNames; 0 = not counted.
	Operation, Peer uint32
	watch           watch
	// join is what End gives back to the join table.
	join joinRef
	// route is what End gives back to the table of routes.
	route route.Ref
}

// Request is what Begin is told. It is reused; nothing of it is kept.
type Request struct {
	Data     []byte        // the data that Head's ranges refer to
	Head     *parsers.Head // the request's head
	Protocol string        // the parser's name
	Kind     span.Kind     // Server: inbound; Client: outbound
	Client   span.Endpoint // peer of the accepted socket
	Server   span.Endpoint // where the request goes
	Wall     int64         // ns since the Unix epoch
	Mono     int64         // ns on the monotonic clock
	// Unedited is the reason why the head can no longer be edited; ReasonNone: it can.
	Unedited parsers.Reason
}

// Edit is what to change in a head: whole lines out, whole lines in. It is reused by the caller, which calls Reset.
type Edit struct {
	Delete []parsers.Range // whole header lines (Field.Line), ascending
	Insert []byte          // whole header lines, each with its CRLF, to stand before the final CRLF
	// Reason is set by Begin when it decided not to edit (ReasonNoInject, ReasonSigned), else Request.Unedited.
	Reason parsers.Reason
	// Route is the route value of an outbound request, nil when it has none or routing is off.
	Route *route.Value
}

// Reset empties e, keeping its space.
func (e *Edit) Reset() {
	e.Delete = e.Delete[:0]
	e.Insert = e.Insert[:0]
	e.Reason = parsers.ReasonNone
	e.Route = nil
}

// Stats counts what a Tracer did. The numbers only grow; the loop's goroutine owns them and copies them out.
type Stats struct {
	// Joins counts the spans (ignored requests left out) by how they found their parent.
	Joins [span.NumJoins]uint64
	// Read counts the contexts that decided, Invalid those that were looked at and skipped, by format.
	Read, Invalid [NumFormats]uint64
	// StatesDropped counts the requests whose tracestate was deleted because the trace restarted.
	StatesDropped uint64
	// IDsMade counts the request ids made here, IDsTooLong those that are too long to join by.
	IDsMade, IDsTooLong uint64
	// OtherOperations counts the spans named {other} since the names were used up.
	OtherOperations uint64
	// TagsLost counts the tags that a span had no room for.
	TagsLost uint64
	// Ignored counts the requests on the lists of those without a span.
	Ignored uint64
	// Routes counts route values.
	Routes RouteStats
}

// Tracer traces the requests of one loop. Loop goroutine only.
type Tracer struct {
	// Stats is what was done so far.
	Stats Stats

	s     *Shared
	ids   idSource
	seen  seen
	names nameCache
	hosts []peerSlot   // made with the first peer
	seed  maphash.Seed // of both caches

	nameID uint32 // number of the operation's name that was asked for last

	routes *route.Cache // nil: routing is off

	uuid    [uuidBytes]byte // the request id made for the request at hand
	scratch []byte          // for texts that are put together
}

// NewTracer makes a Tracer for one loop. It may be called by any goroutine; it ends the process when the system gives no
// random bytes, as crypto/rand does.
func (s *Shared) NewTracer() *Tracer {
	t := &Tracer{s: s, ids: newIDSource(), seed: maphash.MakeSeed(), scratch: make([]byte, 0, 512)}
	if s.routes != nil {
		t.routes = s.routes.NewCache()
	}
	return t
}

// uneditedTag says on a span why its request went on without our header lines, in the words of spanwire_unedited_total: what it causes may begin
// a trace of its own.
const uneditedTag = "spanwire.unedited"

// Begin starts the span of a request: it fills a.Rec (all but sizes, status, failure and times that are not known yet) and, when
// the head can be edited, appends to e what to change. An inbound request's context stands in the join table when Begin
// returns, so that the head may go to the application. End must follow exactly once.
func (t *Tracer) Begin(a *Active, r *Request, e *Edit) {
	a.reset(r.Mono)
	e.Reason = r.Unedited
	t.scan(r)
	if e.Reason == parsers.ReasonNone {
		e.Reason = t.refuse(r)
	}
	id, made := t.requestID(r, e.Reason == parsers.ReasonNone)
	publish, key := r.Kind == span.Server && joinable(id), joinKey{}
	if publish {
		key = t.s.joins.key(id)
		t.s.joins.warm(key)
	}
	var write *route.Value
	if t.routes != nil {
		a.route = route.Ref{}
		write = t.route(a, r, id, e)
	}
	l := t.parent(r)
	a.Ignored = t.ignored(r)
	own := t.decide(&l, a.Ignored, r)
	t.record(a, r, &l, &own)
	if a.Rec.IsSampled() || t.s.describeAll {
		if e.Reason != parsers.ReasonNone {
			a.Rec.AddTag(uneditedTag, []byte(e.Reason.String())) // first, so that there is room
		}
		t.describe(&a.Rec, r, id)
		if l.continues && t.seen.has(headTraceState) {
			t.setTraceState(&a.Rec, r)
		}
	} else if t.s.countOperations {
		t.nameOf(r)
	}
	if t.s.countOperations {
		t.count(a, r, &l)
	}
	if e.Reason == parsers.ReasonNone {
		t.edit(e, r, &l, &own, made)
		if write != nil {
			e.Insert = append(e.Insert, t.s.routeLine...)
			e.Insert = append(e.Insert, write.Text...)
			e.Insert = append(e.Insert, '\r', '\n')
		}
	}
	if publish {
		a.join = t.s.joins.publish(key, &own, r.Mono)
	}
}

// reset makes a ready for a request that begins at mono.
func (a *Active) reset(mono int64) {
	a.Rec.Reset()
	a.Mono, a.Ignored, a.Drop, a.Operation, a.Peer = mono, false, DropNone, noID, noID
	a.join, a.watch = joinRef{}, watch{}
}

// Warm says that End will follow soon, so that it finds in the cache what it needs. To be called before the response is parsed.
func (t *Tracer) Warm(a *Active) {
	if a.join.seq != 0 {
		t.s.joins.warmRef(&a.join)
	}
}

// Connect starts the span of a connection that was refused before any request was sent on it: r.Head is nil. End must follow
// exactly once.
func (t *Tracer) Connect(a *Active, r *Request) {
	a.reset(r.Mono)
	t.seen.clear()
	l := link{how: span.JoinRoot}
	own := t.decide(&l, false, r)
	t.record(a, r, &l, &own)
	if a.Rec.IsSampled() {
		a.Rec.SetTextString(span.Name, "connect")
	}
}

// End finishes the span at the monotonic time mono (ns) and gives its place in the join table back: late calls find it there
// until it expires.
func (t *Tracer) End(a *Active, mono int64) {
	a.Rec.Duration = max(mono-a.Mono, 0)
	joined := true
	if a.join.seq != 0 {
		joined = t.s.joins.release(a.join, mono)
		a.join = joinRef{}
	}
	if a.watch.on {
		t.judge(a, joined)
	}
	if t.routes != nil {
		t.s.routes.Table.Release(a.route, mono)
		a.route = route.Ref{}
	}
}

// decide makes the context of the request's own span: below its parent or a new trace, sampled or not.
//
// An ignored request has no span: it hands on its parent's context as it is, so that what it calls becomes its parent's child
// and not the child of a span that nobody will see; without a parent nothing below it is sampled.
func (t *Tracer) decide(l *link, ignored bool, r *Request) spanContext {
	own := spanContext{trace: l.parent.trace, random: l.parent.random}
	if !l.continues {
		own.trace, own.random = t.ids.trace(), true
	}
	own.decision = l.parent.decision
	if t.seen.has(headDebugID) {
		own.decision = debug
	}
	if ignored && !l.continues {
		own.decision = drop
	}
	// A forced sample is the caller's wish, so it outlives a sampler that ignores the parent.
	if own.decision == open || (t.s.ignoreParent && own.decision != debug && !ignored) {
		own.decision = drop
		if t.samplerFor(r).Sample(own.trace, r.Mono) {
			own.decision = sample
		}
	}
	if ignored && l.continues {
		own.span = l.parent.span
	} else {
		own.span = t.ids.span()
	}
	return own
}

// record fills the fixed part of the record and counts.
func (t *Tracer) record(a *Active, r *Request, l *link, own *spanContext) {
	rec := &a.Rec
	rec.TraceID, rec.SpanID, rec.Start = own.trace, own.span, r.Wall
	rec.Client, rec.Server, rec.Kind, rec.Join = r.Client, r.Server, r.Kind, l.how
	if r.Head != nil {
		rec.Minor = r.Head.Minor
	}
	if l.continues {
		rec.ParentID = l.parent.span
	}
	if l.how == span.JoinHeader {
		rec.Flags |= span.RemoteParent
	}
	if own.random {
		rec.Flags |= span.Random
	}
	if a.Ignored {
		t.Stats.Ignored++
		return
	}
	t.Stats.Joins[l.how]++
	switch own.decision {
	case debug:
		rec.Flags |= span.Sampled | span.Debug
	case sample:
		rec.Flags |= span.Sampled
	}
}
