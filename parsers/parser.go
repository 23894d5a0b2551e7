// Package parsers observes application protocols as their bytes flow by. A parser never consumes and never changes its input, has
// no socket, no clock and no goroutine: it is shown each direction of a connection and says what it saw as events with
// offsets. What to do about them (hold, edit, forward, record) is the engine's business (package core).
//
// A new protocol is one file with a Parser and one line in Table.
package parsers

// Direction is a direction of a connection.
type Direction uint8

// The two directions.
const (
	ClientToServer Direction = iota
	ServerToClient
)

// String returns "client_to_server" or "server_to_client".
func (d Direction) String() string {
	if d == ServerToClient {
		return "server_to_client"
	}
	return "client_to_server"
}

// Verdict is the answer of a sniffer.
type Verdict uint8

// The three answers. Incomplete is not invalid.
const (
	More Verdict = iota // cannot say yet
	Yes                 // mine
	No                  // not mine, whatever follows
)

// Parser is one row of the table of protocols.
type Parser struct {
	// Name is the protocol's name, lower case: a metric label, and the span's protocol.
	Name string
	// Sniff looks at the first bytes that the client sent (never empty, all of them so far) and keeps no reference to them.
	Sniff func(first []byte) Verdict
	// New returns a parser for one connection; nil: the protocol is recognised only and relayed untouched.
	New func() Stream
	// Opaque is the reason that is counted when New is nil.
	Opaque Reason
	// About returns what first, as of Sniff when it said Yes, tells of where the client wants to go, for the record of the session: a host
	// name, or "". nil: nothing.
	About func(first []byte) string
}

// Stream observes one connection. Its methods are called by one goroutine. A Stream keeps offsets and small values only,
// never a slice of data.
type Stream interface {
	// Feed shows the next bytes of a direction and appends what they mean to out. data begins with the `keep` bytes that the
	// previous Feed in this direction asked to see again (none at the start), followed by at least one new byte. It returns how many
	// bytes at the end of data must be shown again: 0 ≤ keep ≤ len(data). A parser keeps only an incomplete head, of bounded
	// length; never body bytes. The engine withholds kept bytes of a request from the server until the head is complete or a timer
	// ends; kept bytes of a response are forwarded at once and only shown again.
	//
	// After an Opaque event Feed is not called again and keep is ignored.
	Feed(dir Direction, data []byte, out *Output) (keep int)

	// Close says that the direction has ended. clean: by an end of stream (FIN); otherwise by a reset or by the engine's own
	// decision. It appends the ends of the messages that this ends, Truncated where they were not complete.
	Close(dir Direction, clean bool, out *Output)
}

// Range is a half-open range of offsets into the data of the Feed call whose event bears it. Lo == Hi: empty or absent.
type Range struct{ Lo, Hi uint32 }

// In returns the bytes of the range in data.
func (r Range) In(data []byte) []byte { return data[r.Lo:r.Hi] }

// Len returns the length in bytes.
func (r Range) Len() int { return int(r.Hi - r.Lo) }

// Field is one header line. Line covers it whole, from the first byte of the name to behind its CRLF; Name is without the
// colon; Value is without the white space around it.
type Field struct{ Line, Name, Value Range }

// Kind is the kind of an event.
type Kind uint8

// The kinds of event, in the order in which they occur for one exchange. Requests are answered in order: the n-th ResponseEnd belongs to the n-th
// RequestStart. There is one ResponseEnd for each RequestStart unless the stream becomes opaque or is closed first; RequestEnd
// may come before, between or after the two response events.
const (
	// RequestStart: a request's head is complete. Head describes it, At is its first byte.
	RequestStart Kind = iota + 1
	// RequestEnd: the request is complete; At is behind its last byte. Bytes, BodyBytes, Truncated are set.
	RequestEnd
	// Interim: an interim response (HTTP 1xx, not 101). Head.Status is set.
	Interim
	// ResponseStart: the head of the final response (for HTTP, 101 included) is complete.
	ResponseStart
	// ResponseEnd: the response is complete. Bytes, BodyBytes, Truncated are set.
	ResponseEnd
	// Opaque: from here on both directions are opaque, for good; Reason says why. Exchanges that have not ended by then end
	// as untracked. The last event of a connection.
	Opaque
)

// Event is what a parser saw.
type Event struct {
	Kind      Kind
	Truncated bool   // an end that came before the message was complete
	Reason    Reason // Opaque: why. RequestStart, ResponseStart: why the head must not be edited; ReasonNone = it may be
	At        uint32 // where in data
	Bytes     int64  // ends: the whole message as it came on the wire
	BodyBytes int64  // ends: its body on the wire, chunk framing and trailers included
	Head      Head   // starts
}

// Head describes a head. Ranges are absent where a protocol does not know them.
type Head struct {
	Range     Range  // the head, whole
	Insert    uint32 // where header lines may be inserted, when Event.Reason is ReasonNone
	Method    Range
	Target    Range // as on the request line
	Path      Range // within Target, without the query
	Query     Range // within Target, without '?'
	Authority Range // target authority, else Host header; may bear user-info
	Operation Range // the operation's name, for protocols that are not "method and path"
	Status    uint16
	Minor     uint8   // HTTP/1.Minor
	Failed    bool    // protocols without a status: the answer says that the call failed
	Fields    []Field // all header lines, in order; valid until Output.Reset
}

// Output collects what Feed and Close append. It belongs to the caller and is reused.
type Output struct {
	Events []Event
	// Fields is the space behind Head.Fields: parsers append here and take a sub-slice. Growing leaves earlier sub-slices valid.
	Fields []Field
}

// Reset empties o, keeping its space.
func (o *Output) Reset() {
	o.Events = o.Events[:0]
	o.Fields = o.Fields[:0]
}

// next appends an event of the given kind at the given offset and returns it, to be filled in before the next call.
func (o *Output) next(k Kind, at int) *Event {
	n := len(o.Events)
	if n == cap(o.Events) {
		o.Events = append(o.Events, Event{})
	}
	// In place: an event is large enough that building it elsewhere and copying it shows.
	o.Events = o.Events[:n+1]
	e := &o.Events[n]
	*e = Event{}
	e.Kind, e.At = k, uint32(at)
	return e
}
