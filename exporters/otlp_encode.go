package exporters

import (
	"encoding/binary"
	"slices"

	"github.com/spanwire/spanwire/core/span"
)

// Tags of the fields that are written, number<<3 | wire type, from opentelemetry/proto/{collector/trace,trace,resource,common}/v1. Each
// is one byte but that of the flags.
const (
	otlpResourceSpans = 1<<3 | 2 // ExportTraceServiceRequest.resource_spans

	otlpResource   = 1<<3 | 2 // ResourceSpans.resource
	otlpScopeSpans = 2<<3 | 2 // ResourceSpans.scope_spans

	otlpResourceAttr = 1<<3 | 2 // Resource.attributes

	otlpScope        = 1<<3 | 2 // ScopeSpans.scope
	otlpSpan         = 2<<3 | 2 // ScopeSpans.spans
	otlpScopeName    = 1<<3 | 2 // InstrumentationScope.name
	otlpScopeVersion = 2<<3 | 2 // InstrumentationScope.version

	otlpTraceID    = 1<<3 | 2
	otlpSpanID     = 2<<3 | 2
	otlpTraceState = 3<<3 | 2
	otlpParentID   = 4<<3 | 2
	otlpName       = 5<<3 | 2
	otlpKind       = 6<<3 | 0
	otlpStart      = 7<<3 | 1
	otlpEnd        = 8<<3 | 1
	otlpAttr       = 9<<3 | 2
	otlpStatus     = 15<<3 | 2
	otlpFlags      = 16<<3 | 5

	otlpStatusCode = 3<<3 | 0 // Status.code

	otlpKey         = 1<<3 | 2 // KeyValue.key
	otlpValue       = 2<<3 | 2 // KeyValue.value
	otlpValueString = 1<<3 | 2 // AnyValue.string_value
	otlpValueBool   = 2<<3 | 0 // AnyValue.bool_value
	otlpValueInt    = 3<<3 | 0 // AnyValue.int_value
)

// Values of enumerations and flags.
const (
	otlpKindServer      = 2
	otlpKindClient      = 3
	otlpStatusError     = 2
	otlpFlagSampled     = 1
	otlpFlagRandom      = 2
	otlpFlagHasRemote   = 0x100 // SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
	otlpFlagRemote      = 0x200 // SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
	otlpSpanLengthBytes = 2     // a span is 128 bytes to 16 KiB in practice; others are moved
)

// scopeName is the instrumentation scope of every span.
const scopeName = "spanwire"

// otlpEncoder makes ExportTraceServiceRequest messages of protobuf: one resource, one scope, spans.
type otlpEncoder struct {
	resource []byte // field ResourceSpans.resource, whole
	scope    []byte // field ScopeSpans.scope, whole
	headroom int    // space that Begin leaves for what stands before the spans, whose lengths Finish knows
}

// newOTLPEncoder returns the encoder for cfg.
func newOTLPEncoder(cfg *Config) *otlpEncoder {
	e := &otlpEncoder{}
	var body []byte
	for _, kv := range resourceAttributes(cfg) {
		body = appendOTLPAttr(body, otlpResourceAttr, &attr{key: kv.Key, str: kv.Value})
	}
	e.resource = appendOTLPBytes(nil, otlpResource, body)
	body = appendOTLPText(nil, otlpScopeName, scopeName)
	if cfg.Version != "" {
		body = appendOTLPText(body, otlpScopeVersion, validText(cfg.Version))
	}
	e.scope = appendOTLPBytes(nil, otlpScope, body)
	const lengths = 2 * (1 + binary.MaxVarintLen64)
	e.headroom = lengths + len(e.resource) + len(e.scope)
	return e
}

// resourceAttributes returns the attributes of the resource: service name, the user's, and an instance id unless the user gave one.
func resourceAttributes(cfg *Config) []KV {
	all := []KV{{"service.name", validText(cfg.ServiceName)}}
	instance := cfg.instanceID
	for _, kv := range cfg.Resource {
		switch kv.Key {
		case "service.name":
			continue
		case "service.instance.id":
			instance = ""
		}
		all = append(all, KV{validText(kv.Key), validText(kv.Value)})
	}
	if instance != "" {
		all = append(all, KV{"service.instance.id", instance})
	}
	return all
}

// Begin implements Encoder.
func (e *otlpEncoder) Begin(dst []byte) []byte {
	for range e.headroom {
		dst = append(dst, 0)
	}
	return dst
}

// Finish implements Encoder: it writes what stands before the spans into the headroom, flush with them.
func (e *otlpEncoder) Finish(dst []byte, _ int) []byte {
	scopeSpans := len(e.scope) + len(dst) - e.headroom
	resourceSpans := len(e.resource) + 1 + varintLen(uint64(scopeSpans)) + scopeSpans
	head := 1 + varintLen(uint64(resourceSpans)) + resourceSpans - (len(dst) - e.headroom)
	payload := dst[e.headroom-head:]
	h := append(payload[:0], otlpResourceSpans)
	h = appendVarint(h, uint64(resourceSpans))
	h = append(h, e.resource...)
	h = append(h, otlpScopeSpans)
	h = appendVarint(h, uint64(scopeSpans))
	copy(h[len(h):cap(h)], e.scope)
	return payload
}

// Append implements Encoder.
func (e *otlpEncoder) Append(dst []byte, v *View) []byte {
	dst = append(dst, otlpSpan, 0, 0)
	start := len(dst)
	dst = appendOTLPSpan(dst, v)
	n := len(dst) - start
	if n >= 1<<7 && n < 1<<14 {
		dst[start-2], dst[start-1] = byte(n)|0x80, byte(n>>7)
		return dst
	}
	return moveOTLPSpan(dst, start, n)
}

// moveOTLPSpan puts the length of the span of n bytes at start before it, when that does not take the two bytes left for it.
func moveOTLPSpan(dst []byte, start, n int) []byte {
	width := varintLen(uint64(n))
	for len(dst) < start+n+width-otlpSpanLengthBytes {
		dst = append(dst, 0)
	}
	copy(dst[start+width-otlpSpanLengthBytes:], dst[start:start+n])
	binary.PutUvarint(dst[start-otlpSpanLengthBytes:], uint64(n))
	return dst[:start+n+width-otlpSpanLengthBytes]
}

// appendOTLPSpan appends the body of a Span message.
func appendOTLPSpan(dst []byte, v *View) []byte {
	r := v.r
	dst = append(dst, otlpTraceID, 16)
	dst = append(dst, r.TraceID[:]...)
	dst = append(dst, otlpSpanID, 8)
	dst = append(dst, r.SpanID[:]...)
	if v.traceState != "" {
		dst = appendOTLPText(dst, otlpTraceState, v.traceState)
	}
	if !r.ParentID.IsZero() {
		dst = append(dst, otlpParentID, 8)
		dst = append(dst, r.ParentID[:]...)
	}
	dst = appendOTLPText(dst, otlpName, v.name)
	kind := byte(otlpKindServer)
	if r.Kind == span.Client {
		kind = otlpKindClient
	}
	dst = append(dst, otlpKind, kind, otlpStart)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Start))
	dst = append(dst, otlpEnd)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.Start+r.Duration))
	for i := range v.list() {
		dst = appendOTLPAttr(dst, otlpAttr, &v.attrs[i])
	}
	if v.failed {
		dst = append(dst, otlpStatus, 2, otlpStatusCode, otlpStatusError)
	}
	dst = append(dst, otlpFlags&0x7f|0x80, otlpFlags>>7)
	return binary.LittleEndian.AppendUint32(dst, otlpSpanFlags(r))
}

// otlpSpanFlags returns Span.flags: the W3C trace flags, and whether the parent was remote. That it is known is always said, as
// OpenTelemetry's own SDKs do.
func otlpSpanFlags(r *span.Record) uint32 {
	flags := uint32(otlpFlagHasRemote)
	if r.Flags&span.Sampled != 0 {
		flags |= otlpFlagSampled
	}
	if r.Flags&span.Random != 0 {
		flags |= otlpFlagRandom
	}
	if r.Flags&span.RemoteParent != 0 {
		flags |= otlpFlagRemote
	}
	return flags
}

// shortAttr is the longest key and string value together of which every length in a KeyValue is one byte.
const shortAttr = 0x7f - 6

// appendOTLPAttr appends a as a KeyValue under the field tag.
func appendOTLPAttr(dst []byte, tag byte, a *attr) []byte {
	if n := len(a.key) + len(a.str); a.kind == attrString && n <= shortAttr {
		// Nearly all attributes: space once, then stores.
		at := len(dst)
		dst = slices.Grow(dst, n+8)[:at+n+8]
		d := dst[at:]
		k := copy(d[4:], a.key) + 4
		d[0], d[1], d[2], d[3] = tag, byte(n+6), otlpKey, byte(len(a.key))
		d[k], d[k+1], d[k+2], d[k+3] = otlpValue, byte(len(a.str)+2), otlpValueString, byte(len(a.str))
		copy(d[k+4:], a.str)
		return dst
	}
	value := 2 // length of the AnyValue
	switch a.kind {
	case attrString:
		value = 1 + varintLen(uint64(len(a.str))) + len(a.str)
	case attrInt:
		value = 1 + varintLen(uint64(a.num))
	}
	pair := 1 + varintLen(uint64(len(a.key))) + len(a.key) + 1 + varintLen(uint64(value)) + value
	dst = append(dst, tag)
	dst = appendVarint(dst, uint64(pair))
	dst = appendOTLPText(dst, otlpKey, a.key)
	dst = append(dst, otlpValue)
	dst = appendVarint(dst, uint64(value))
	switch a.kind {
	case attrString:
		return appendOTLPText(dst, otlpValueString, a.str)
	case attrInt:
		return appendVarint(append(dst, otlpValueInt), uint64(a.num))
	}
	return append(dst, otlpValueBool, byte(a.num))
}

// appendOTLPText appends s under the field tag.
func appendOTLPText(dst []byte, tag byte, s string) []byte {
	dst = append(dst, tag)
	dst = appendVarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// appendOTLPBytes is appendOTLPText for an embedded message.
func appendOTLPBytes(dst []byte, tag byte, b []byte) []byte {
	dst = append(dst, tag)
	dst = appendVarint(dst, uint64(len(b)))
	return append(dst, b...)
}
