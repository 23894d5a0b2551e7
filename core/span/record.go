// Package span defines the record of one finished unit of work: a value of bounded size that holds no pointer, so
// that it can be copied into a ring, kept in a pool, and read by another goroutine without the buffers it came from.
//
// A Record is filled by one goroutine at a time. It is copied with CopyTo, which moves only the text in use.
package span

import (
	"encoding/binary"
	"net/netip"
)

// Kind tells which side of a call a span describes.
type Kind uint8

// The kinds of span; their order is that of the table of names in String.
const (
	// Server is an inbound request: the local application answers it.
	Server Kind = iota
	// Client is an outbound request: the local application sent it.
	Client
)

// String returns "server" or "client".
func (k Kind) String() string {
	if k == Client {
		return "client"
	}
	return "server"
}

// Flags of a record.
type Flags uint8

// The bits of Flags.
const (
	// Sampled: the span is to be exported. A record without it never enters a ring.
	Sampled Flags = 1 << iota
	// Debug: the caller forced the sample (B3 debug, Jaeger flag 2).
	Debug
	// RemoteParent: ParentID came from another process (a header), not from this sidecar's join table.
	RemoteParent
	// Random: bit 1 of the W3C trace flags (random trace id), kept as it came or set on ids made here.
	Random
)

// Join tells how a span found its parent.
type Join uint8

// The ways to find a parent.
const (
	// JoinRoot: no parent; the span starts a trace.
	JoinRoot Join = iota
	// JoinHeader: a context header on the request itself.
	JoinHeader
	// JoinID: the join table, by request id, one inbound request in flight with it.
	JoinID
	// JoinAmbiguous: the join table, the id in flight more than once; the newest was taken.
	JoinAmbiguous
	// JoinLate: the join table, after the inbound request had its response.
	JoinLate
	// NumJoins is the number of values of Join.
	NumJoins
)

// String returns the value of the label `how` of spanwire_joins_total.
func (j Join) String() string {
	switch j {
	case JoinRoot:
		return "root"
	case JoinHeader:
		return "header"
	case JoinID:
		return "id"
	case JoinAmbiguous:
		return "ambiguous"
	case JoinLate:
		return "late"
	}
	return "unknown"
}

// Failure is the kind of error that ended a span; it becomes OTel's error.type.
type Failure uint8

// The kinds of failure.
const (
	// FailureNone: the exchange completed (its status may still be an error).
	FailureNone Failure = iota
	// FailureRefused: the upstream refused the connection, or was unreachable.
	FailureRefused
	// FailureDialTimeout: the upstream did not answer the connect within the dial timeout.
	FailureDialTimeout
	// FailureUnresolved: the upstream's name did not resolve.
	FailureUnresolved
	// FailureServerReset: the server reset the connection before its response was complete.
	FailureServerReset
	// FailureServerClosed: the server closed before its response was complete.
	FailureServerClosed
	// FailureClientReset: the client reset the connection before its request was answered.
	FailureClientReset
	// FailureClientClosed: the client left before its request was answered.
	FailureClientClosed
	// FailureOpaque: the stream became opaque while the request was in flight; its end was not seen.
	FailureOpaque
	// FailureShutdown: the sidecar ended while the request was in flight.
	FailureShutdown
	// FailureAnswered: the answer itself says that the call failed, in a protocol without status codes.
	FailureAnswered
	// NumFailures is the number of values of Failure.
	NumFailures
)

// String returns the error.type of the failure, "" for none.
func (f Failure) String() string {
	switch f {
	case FailureRefused:
		return "connection_refused"
	case FailureDialTimeout:
		return "dial_timeout"
	case FailureUnresolved:
		return "name_not_resolved"
	case FailureServerReset:
		return "server_reset"
	case FailureServerClosed:
		return "server_closed"
	case FailureClientReset:
		return "client_reset"
	case FailureClientClosed:
		return "client_closed"
	case FailureOpaque:
		return "untracked"
	case FailureShutdown:
		return "shutdown"
	case FailureAnswered:
		return "failed"
	}
	return ""
}

// Field names one text of a record.
type Field uint8

// The texts of a record, in the order of maxTextBytes.
const (
	// Name is the operation name.
	Name Field = iota
	// Protocol is the application protocol, lower case ("http"); empty = none was recognised.
	Protocol
	// Method is the request method.
	Method
	// Path is the path of the target, without the query.
	Path
	// Query is what follows '?' (secrets already redacted), without it.
	Query
	// Host is the authority of the request: Host header, or target authority; user-info removed.
	Host
	// UserAgent is the User-Agent header.
	UserAgent
	// RequestID is the request id.
	RequestID
	// TraceState is the W3C tracestate that came in, whole list members only.
	TraceState
	// NumFields is the number of texts.
	NumFields
)

// maxTextBytes bounds each text: what a viewer can show, and together no more than a record can hold in ordinary use. When the
// record's space is used up a text is cut shorter still.
var maxTextBytes = [NumFields]uint16{Name: 128, Protocol: 16, Method: 32, Path: 256, Query: 256, Host: 128, UserAgent: 160, RequestID: 128, TraceState: 256}

// MaxBytes returns the length in bytes to which SetText cuts f.
func MaxBytes(f Field) int { return int(maxTextBytes[f]) }

// textBytes is the space for all texts of a record; it makes a Record 1 KiB, so that a slot of a ring never straddles a page.
const textBytes = 752

// MaxTags bounds the extra tags of a record.
const MaxTags = 12

type text struct{ off, n uint16 }

// Endpoint is an address and port without a pointer. The zero value is "unknown".
type Endpoint struct {
	Addr [16]byte // IPv4 in the first four bytes
	Port uint16
	V    uint8 // 0 unknown, 4 or 6
}

// EndpointFrom converts ap; an IPv4-mapped address becomes IPv4, an invalid one the zero Endpoint.
func EndpointFrom(ap netip.AddrPort) Endpoint {
	a := ap.Addr().Unmap()
	e := Endpoint{Port: ap.Port()}
	switch {
	case a.Is4():
		b := a.As4()
		copy(e.Addr[:], b[:])
		e.V = 4
	case a.Is6():
		e.Addr = a.As16()
		e.V = 6
	default:
		return Endpoint{}
	}
	return e
}

// AddrPort is the inverse of EndpointFrom; zones are lost.
func (e Endpoint) AddrPort() netip.AddrPort {
	switch e.V {
	case 4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(e.Addr[:4])), e.Port)
	case 6:
		return netip.AddrPortFrom(netip.AddrFrom16(e.Addr), e.Port)
	}
	return netip.AddrPort{}
}

// TraceID is a 128-bit trace id; zero is invalid. 64-bit ids stand in the last eight bytes.
type TraceID [16]byte

// IsZero reports whether the id is the invalid one.
func (t TraceID) IsZero() bool { return t == TraceID{} }

// ID is a 64-bit span id; zero is invalid, or "no parent".
type ID [8]byte

// IsZero reports whether the id is the invalid one.
func (s ID) IsZero() bool { return s == ID{} }

// Uint64 returns the id as a big-endian number.
func (s ID) Uint64() uint64 { return binary.BigEndian.Uint64(s[:]) }

// Record is one span. Only its texts vary in length; a copy costs what is in use.
type Record struct {
	TraceID  TraceID
	SpanID   ID
	ParentID ID

	Start         int64 // wall clock, ns since the Unix epoch
	Duration      int64 // ns, from a monotonic clock
	FirstByte     int64 // ns from Start to the first byte of the response; 0 = none came
	RequestBytes  int64 // the request as it came on the wire: head and body
	ResponseBytes int64 // the response on the wire, interim responses left out
	RequestBody   int64 // body bytes of the request as counted on the wire (chunk framing included); −1: not seen to its end
	ResponseBody  int64 // body bytes of the response; −1 likewise

	Client Endpoint // who sent the request: the accepted socket's peer
	Server Endpoint // where it was going: original destination or upstream

	Status  uint16 // protocol status (HTTP status code); 0 = none
	Kind    Kind
	Flags   Flags
	Join    Join
	Failure Failure
	Minor   uint8 // minor version of the protocol (HTTP/1.x)
	nTags   uint8

	used  uint16 // bytes of buf in use
	texts [NumFields]text
	tags  [MaxTags]tag
	buf   [textBytes]byte
}

// tag is one extra tag: key and value in the record's text space.
type tag struct{ key, value text }

// Reset makes r ready for another span. Text bytes stay behind, unreachable since `used` is zero.
func (r *Record) Reset() {
	r.TraceID, r.SpanID, r.ParentID = TraceID{}, ID{}, ID{}
	r.Start, r.Duration, r.FirstByte = 0, 0, 0
	r.RequestBytes, r.ResponseBytes, r.RequestBody, r.ResponseBody = 0, 0, 0, 0
	r.Client, r.Server = Endpoint{}, Endpoint{}
	r.Status, r.Kind, r.Flags, r.Join, r.Failure, r.Minor, r.nTags, r.used = 0, 0, 0, 0, 0, 0, 0, 0
	r.texts = [NumFields]text{}
}

// IsSampled reports whether the span is to be exported.
func (r *Record) IsSampled() bool { return r.Flags&Sampled != 0 }

// SetText stores v as f, cut to MaxBytes(f) (or the space left) on a UTF-8 boundary. v is copied. Setting a field twice uses
// space twice.
func (r *Record) SetText(f Field, v []byte) { r.texts[f] = r.store(v, int(maxTextBytes[f])) }

// SetTextString is SetText for a string.
func (r *Record) SetTextString(f Field, v string) {
	r.texts[f] = r.storeString(v, int(maxTextBytes[f]))
}

// Text returns the text f; nil or empty when there is none. It is valid until r is reset or copied over.
func (r *Record) Text(f Field) []byte { return r.bytes(r.texts[f]) }

// maxTagBytes bounds key and value of an extra tag.
const maxTagBytes = 128

// AddTag adds a tag; it reports false when the record has no room for it (beyond MaxTags, or less space than the key takes).
func (r *Record) AddTag(key string, value []byte) bool {
	if int(r.nTags) == MaxTags || len(key) > maxTagBytes || textBytes-int(r.used) < len(key) {
		return false
	}
	k := r.storeString(key, maxTagBytes)
	r.tags[r.nTags] = tag{key: k, value: r.store(value, maxTagBytes)}
	r.nTags++
	return true
}

// NumTags returns how many extra tags there are.
func (r *Record) NumTags() int { return int(r.nTags) }

// Tag returns the i-th extra tag, 0 ≤ i < NumTags; the slices are valid as long as Text's.
func (r *Record) Tag(i int) (key, value []byte) {
	t := r.tags[i]
	return r.bytes(t.key), r.bytes(t.value)
}

// CopyTo copies r over dst, moving only the text in use.
func (r *Record) CopyTo(dst *Record) {
	dst.TraceID, dst.SpanID, dst.ParentID = r.TraceID, r.SpanID, r.ParentID
	dst.Start, dst.Duration, dst.FirstByte = r.Start, r.Duration, r.FirstByte
	dst.RequestBytes, dst.ResponseBytes, dst.RequestBody, dst.ResponseBody = r.RequestBytes, r.ResponseBytes, r.RequestBody, r.ResponseBody
	dst.Client, dst.Server = r.Client, r.Server
	dst.Status, dst.Kind, dst.Flags, dst.Join, dst.Failure, dst.Minor = r.Status, r.Kind, r.Flags, r.Join, r.Failure, r.Minor
	dst.nTags, dst.used, dst.texts = r.nTags, r.used, r.texts
	copy(dst.tags[:], r.tags[:r.nTags])
	copy(dst.buf[:], r.buf[:r.used])
}

func (r *Record) bytes(t text) []byte { return r.buf[t.off : t.off+t.n] }

func (r *Record) store(v []byte, limit int) text {
	n := cutUTF8(v, min(limit, textBytes-int(r.used)))
	t := text{off: r.used, n: uint16(n)}
	copy(r.buf[r.used:], v[:n])
	r.used += uint16(n)
	return t
}

func (r *Record) storeString(v string, limit int) text {
	n := cutUTF8(v, min(limit, textBytes-int(r.used)))
	t := text{off: r.used, n: uint16(n)}
	copy(r.buf[r.used:], v[:n])
	r.used += uint16(n)
	return t
}

// cutUTF8 returns the largest n ≤ limit, n ≤ len(v), such that v[:n] does not end within a UTF-8 sequence. Bytes that are not
// UTF-8 are cut anywhere.
func cutUTF8[T []byte | string](v T, limit int) int {
	if len(v) <= limit {
		return len(v)
	}
	n := limit
	// A sequence is at most four bytes, so its first byte is at most three continuation bytes away (RFC 3629 §3).
	for i := 0; i < 3 && n > 0 && v[n]&0xC0 == 0x80; i++ {
		n--
	}
	if n > 0 && v[n]&0xC0 == 0x80 {
		return limit
	}
	return n
}
