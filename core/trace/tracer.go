// Package trace turns requests into spans: it reads and writes trace context, decides the parent and the sample, names the
// operation, and joins outbound requests to inbound ones.
//
// Shared holds what the loops share; a Tracer belongs to one loop and is used by its goroutine only.
package trace

import (
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
}

// Reset empties e, keeping its space.
func (e *Edit) Reset() {
	e.Delete = e.Delete[:0]
	e.Insert = e.Insert[:0]
	e.Reason = parsers.ReasonNone
}
