package exporters

import (
	"net/netip"
	"unicode/utf8"
	"unsafe"

	"github.com/spanwire/spanwire/core/span"
)

// attrKind is the type of an attribute's value.
type attrKind uint8

const (
	attrString attrKind = iota
	attrInt
	attrBool // num is 0 or 1
)

// attr is a key and a typed value.
type attr struct {
	key  string
	str  string
	num  int64
	kind attrKind
}

// maxAttrs bounds the attributes of a span: what the longest schema makes (otel, a client span: 23) and the record's own tags.
const maxAttrs = 28 + span.MaxTags

// View is a record as exporters see it: texts made valid UTF-8, and the attributes that the tag schema makes of it. It is made once a
// record and read by every encoder. Its strings point into the record or into the view itself and are valid until the next set.
type View struct {
	r          *span.Record
	name       string
	traceState string
	errorType  string // what failed; "" = nothing did
	failed     bool   // the span's status is "error"
	errorTag   bool   // the attributes hold one named "error"
	n          int
	attrs      [maxAttrs]attr
	scratch    []byte // texts made here
}

// schema makes attributes of a record. It is a function per --tag-schema.
type schema func(v *View, r *span.Record)

// schemaOf returns the schema of that name, nil when there is none.
func schemaOf(name string) schema {
	switch name {
	case "otel":
		return otelSchema
	case "zipkin":
		return zipkinSchema
	case "netra":
		return netraSchema
	}
	return nil
}

// set makes v the view of r. Drain goroutine only.
func (v *View) set(r *span.Record, s schema) {
	v.r, v.n, v.scratch = r, 0, v.scratch[:0]
	v.failed, v.errorTag, v.errorType = false, false, ""
	v.name = v.text(r.Text(span.Name))
	v.traceState = v.text(r.Text(span.TraceState))
	v.judge(r)
	s(v, r)
	switch r.Join {
	case span.JoinAmbiguous, span.JoinLate:
		v.str("spanwire.join", r.Join.String())
	}
	if r.Failure == span.FailureOpaque {
		v.bool("spanwire.untracked", true)
	}
	for i := range r.NumTags() {
		key, value := r.Tag(i)
		v.str(v.text(key), v.text(value))
	}
}

// judge decides whether the span failed, whatever the schema: by its kind of failure, or by a status of 500 and above. FailureOpaque is
// no error: the end was not seen, which says nothing about it.
func (v *View) judge(r *span.Record) {
	switch {
	case r.Failure != span.FailureNone && r.Failure != span.FailureOpaque:
		v.failed, v.errorType = true, r.Failure.String()
	case r.Status >= 500 && isHTTP(r):
		v.failed, v.errorType = true, v.number(int64(r.Status))
	}
}

// isHTTP reports whether r is an HTTP exchange. A parser of HTTP calls it http or, by its own name, http1.
func isHTTP(r *span.Record) bool {
	p := r.Text(span.Protocol)
	return len(p) >= 4 && string(p[:4]) == "http"
}

// str adds a text that is valid UTF-8.
func (v *View) str(key, value string) {
	if v.n < maxAttrs {
		a := &v.attrs[v.n]
		a.key, a.str, a.kind = key, value, attrString
		v.n++
	}
}

// strIf adds a text unless it is empty.
func (v *View) strIf(key, value string) {
	if value != "" {
		v.str(key, value)
	}
}

// int adds a number.
func (v *View) int(key string, value int64) {
	if v.n < maxAttrs {
		a := &v.attrs[v.n]
		a.key, a.num, a.kind = key, value, attrInt
		v.n++
	}
}

// bool adds a truth value.
func (v *View) bool(key string, value bool) {
	if v.n < maxAttrs {
		a := &v.attrs[v.n]
		a.key, a.num, a.kind = key, 0, attrBool
		if value {
			a.num = 1
		}
		v.n++
	}
}

// list returns the attributes.
func (v *View) list() []attr { return v.attrs[:v.n] }

// text returns b as valid UTF-8: b itself when it is, else a copy in the scratch with each bad byte replaced by U+FFFD. A single bad byte
// makes a protobuf collector refuse the whole batch.
func (v *View) text(b []byte) string {
	if utf8.Valid(b) {
		return alias(b)
	}
	start := len(v.scratch)
	v.scratch = appendValid(v.scratch, b)
	return alias(v.scratch[start:])
}

// number returns n in decimal, in the scratch.
func (v *View) number(n int64) string {
	start := len(v.scratch)
	v.scratch = appendInt(v.scratch, n)
	return alias(v.scratch[start:])
}

// address returns the address of e without its port, "" when unknown, in the scratch.
func (v *View) address(e span.Endpoint) string {
	if e.V == 0 {
		return ""
	}
	start := len(v.scratch)
	v.scratch = appendAddr(v.scratch, e)
	return alias(v.scratch[start:])
}

// appendAddr appends the address of e, which is known.
func appendAddr(dst []byte, e span.Endpoint) []byte {
	if e.V == 4 {
		return netip.AddrFrom4([4]byte(e.Addr[:4])).AppendTo(dst)
	}
	return netip.AddrFrom16(e.Addr).AppendTo(dst)
}

// remote returns the endpoint on the other side of the network: who called a server, whom a client called.
func remote(r *span.Record) span.Endpoint {
	if r.Kind == span.Client {
		return r.Server
	}
	return r.Client
}

// local returns the endpoint of the application beside this sidecar.
func local(r *span.Record) span.Endpoint {
	if r.Kind == span.Client {
		return r.Client
	}
	return r.Server
}

// alias returns b as a string without a copy.
func alias(b []byte) string {
	// Safety: the strings of a View are read before the record is released or the scratch reused (View.set), and neither is written to
	// in between: the scratch is only appended to, and when it grows the old array stays as it is.
	return unsafe.String(unsafe.SliceData(b), len(b))
}
