package exporters

import (
	"encoding/binary"

	"github.com/spanwire/spanwire/core/span"
)

// jaegerEncoder makes the Batch struct of jaeger.thrift: plain, in the binary protocol, for the collector's HTTP endpoint; or as the
// argument of the one-way call emitBatch, in the compact protocol, for the agent's UDP port.
type jaegerEncoder struct {
	thriftProtocol
	head     []byte // what stands before the header of the list of spans
	headroom int    // space that Begin leaves for head and the list header, whose count Finish knows
}

// Values of jaeger.thrift's TagType, and bits of Span.flags.
const (
	jaegerTagString = 0
	jaegerTagBool   = 2
	jaegerTagLong   = 3

	jaegerFlagSampled = 1
	jaegerFlagDebug   = 2
)

// maxListHeaderBytes is the size of the longest list header: type and varint, or type and 32-bit count.
const maxListHeaderBytes = 1 + binary.MaxVarintLen32

// newJaegerEncoder returns the encoder for cfg. compact: for the agent, else for the collector.
func newJaegerEncoder(cfg *Config, compact bool) *jaegerEncoder {
	e := &jaegerEncoder{thriftProtocol: thriftProtocol{compact: compact}}
	if compact {
		// Compact message header: protocol id, version 1 with type 4 (one-way), sequence number, name; then the arguments.
		e.head = append(e.head, 0x82, 4<<5|1, 0)
		e.head = e.text(e.head, "emitBatch")
		e.head = e.field(e.head, thriftStruct, 0, 1)
	}
	e.head = e.field(e.head, thriftStruct, 0, 1) // Batch.process
	e.head = e.field(e.head, thriftString, 0, 1) // Process.serviceName
	all := resourceAttributes(cfg)
	e.head = e.text(e.head, all[0].Value)
	e.head = e.field(e.head, thriftList, 1, 2) // Process.tags
	e.head = e.list(e.head, len(all)-1)
	for _, kv := range all[1:] {
		e.head = e.appendTag(e.head, &attr{key: kv.Key, str: kv.Value})
	}
	e.head = e.stop(e.head)
	e.head = e.field(e.head, thriftList, 1, 2) // Batch.spans
	e.headroom = len(e.head) + maxListHeaderBytes
	return e
}

// Begin implements Encoder.
func (e *jaegerEncoder) Begin(dst []byte) []byte {
	for range e.headroom {
		dst = append(dst, 0)
	}
	return dst
}

// Finish implements Encoder.
func (e *jaegerEncoder) Finish(dst []byte, spans int) []byte {
	dst = e.stop(dst) // Batch
	if e.compact {
		dst = e.stop(dst) // the arguments
	}
	var space [maxListHeaderBytes]byte
	list := e.list(space[:0], spans)
	start := e.headroom - len(list) - len(e.head)
	copy(dst[start:], e.head)
	copy(dst[start+len(e.head):], list)
	return dst[start:]
}

// Append implements Encoder.
func (e *jaegerEncoder) Append(dst []byte, v *View) []byte {
	r := v.r
	dst = e.field(dst, thriftI64, 0, 1)
	dst = e.i64(dst, int64(binary.BigEndian.Uint64(r.TraceID[8:])))
	dst = e.field(dst, thriftI64, 1, 2)
	dst = e.i64(dst, int64(binary.BigEndian.Uint64(r.TraceID[:8])))
	dst = e.field(dst, thriftI64, 2, 3)
	dst = e.i64(dst, int64(r.SpanID.Uint64()))
	dst = e.field(dst, thriftI64, 3, 4)
	dst = e.i64(dst, int64(r.ParentID.Uint64()))
	dst = e.field(dst, thriftString, 4, 5)
	dst = e.text(dst, v.name)
	dst = e.field(dst, thriftI32, 5, 7)
	dst = e.i32(dst, jaegerFlags(r))
	dst = e.field(dst, thriftI64, 7, 8)
	dst = e.i64(dst, r.Start/1000)
	dst = e.field(dst, thriftI64, 8, 9)
	dst = e.i64(dst, max(r.Duration/1000, 1))
	dst = e.field(dst, thriftList, 9, 10)
	dst = e.appendTags(dst, v)
	return e.stop(dst)
}

// jaegerFlags returns Span.flags.
func jaegerFlags(r *span.Record) int32 {
	flags := int32(0)
	if r.Flags&span.Sampled != 0 {
		flags |= jaegerFlagSampled
	}
	if r.Flags&span.Debug != 0 {
		flags |= jaegerFlagDebug
	}
	return flags
}

// appendTags appends the list of tags: the attributes, and what Jaeger's model has as tags: kind, error, tracestate.
func (e *jaegerEncoder) appendTags(dst []byte, v *View) []byte {
	tagError, tagState := v.failed && !v.errorTag, v.traceState != ""
	n := 1 + v.n
	if tagError {
		n++
	}
	if tagState {
		n++
	}
	dst = e.list(dst, n)
	dst = e.appendTag(dst, &attr{key: "span.kind", str: v.r.Kind.String()})
	for i := range v.list() {
		dst = e.appendTag(dst, &v.attrs[i])
	}
	if tagError {
		dst = e.appendTag(dst, &attr{key: "error", kind: attrBool, num: 1})
	}
	if tagState {
		dst = e.appendTag(dst, &attr{key: "w3c.tracestate", str: v.traceState})
	}
	return dst
}

// appendTag appends a Tag struct.
func (e *jaegerEncoder) appendTag(dst []byte, a *attr) []byte {
	dst = e.field(dst, thriftString, 0, 1)
	dst = e.text(dst, a.key)
	dst = e.field(dst, thriftI32, 1, 2)
	switch a.kind {
	case attrString:
		dst = e.i32(dst, jaegerTagString)
		dst = e.field(dst, thriftString, 2, 3)
		dst = e.text(dst, a.str)
	case attrInt:
		dst = e.i32(dst, jaegerTagLong)
		dst = e.field(dst, thriftI64, 2, 6)
		dst = e.i64(dst, a.num)
	case attrBool:
		dst = e.i32(dst, jaegerTagBool)
		dst = e.boolean(dst, 2, 5, a.num != 0)
	}
	return e.stop(dst)
}
