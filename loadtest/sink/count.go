package sink

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// ErrPayload is returned for a payload that is not in the format it came as.
var ErrPayload = errors.New("payload is malformed")

// Field numbers of OTLP's ExportTraceServiceRequest and of Zipkin's ListOfSpans.
const (
	fieldResourceSpans = 1 // ExportTraceServiceRequest.resource_spans
	fieldScopeSpans    = 2 // ResourceSpans.scope_spans
	fieldSpans         = 2 // ScopeSpans.spans
	fieldZipkinSpans   = 1 // ListOfSpans.spans
)

// CountOTLP counts the spans of an ExportTraceServiceRequest in protobuf.
func CountOTLP(b []byte) (int, error) {
	return countFields(b, fieldResourceSpans, fieldScopeSpans, fieldSpans)
}

// CountZipkinProto counts the spans of a zipkin.proto3.ListOfSpans.
func CountZipkinProto(b []byte) (int, error) { return countFields(b, fieldZipkinSpans) }

// countFields counts the length-delimited fields at the end of a path of field numbers through nested messages.
func countFields(b []byte, field uint64, path ...uint64) (total int, err error) {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 {
			return total, ErrPayload
		}
		b = b[n:]
		value, rest, err := cutField(b, key&7)
		if err != nil {
			return total, err
		}
		b = rest
		if key>>3 != field || key&7 != 2 {
			continue
		}
		if len(path) == 0 {
			total++
			continue
		}
		n, err = countFields(value, path[0], path[1:]...)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// cutField takes the value of a protobuf field off b; value is set for length-delimited ones (wire type 2) only.
func cutField(b []byte, wireType uint64) (value, rest []byte, err error) {
	size := 0
	switch wireType {
	case 0: // varint
		if _, size = binary.Uvarint(b); size <= 0 {
			return nil, nil, ErrPayload
		}
	case 1: // 64 bits
		size = 8
	case 5: // 32 bits
		size = 4
	case 2: // length-delimited
		length, n := binary.Uvarint(b)
		if n <= 0 || length > uint64(len(b)-n) {
			return nil, nil, ErrPayload
		}
		return b[n : n+int(length)], b[n+int(length):], nil
	default: // groups: deprecated, and in none of these messages
		return nil, nil, ErrPayload
	}
	if size > len(b) {
		return nil, nil, ErrPayload
	}
	return nil, b[size:], nil
}

// CountZipkinJSON counts the objects in the array that a Zipkin v2 payload is. It follows brackets and strings only: what is
// inside a span is not judged.
func CountZipkinJSON(b []byte) (total int, err error) {
	b = bytes.TrimSpace(b)
	if len(b) < 2 || b[0] != '[' {
		return 0, ErrPayload
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '[', '{':
			if depth++; depth == 2 && b[i] == '{' {
				total++
			}
		case ']', '}':
			if depth--; depth == 0 {
				if b[i] != ']' || i != len(b)-1 {
					return total, ErrPayload
				}
				return total, nil
			}
		case '"':
			end := stringEnd(b[i+1:])
			if end < 0 {
				return total, ErrPayload
			}
			i += end + 1
		}
	}
	return total, ErrPayload
}

// stringEnd returns the place of the quote that ends a JSON string whose content b begins with; -1 when there is none.
func stringEnd(b []byte) int {
	for at := 0; ; at++ {
		quote := bytes.IndexByte(b[at:], '"')
		if quote < 0 {
			return -1
		}
		at += quote
		slashes := 0
		for slashes < at && b[at-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return at
		}
	}
}

// Types of Thrift's binary protocol.
const (
	thriftStop   = 0
	thriftBool   = 2
	thriftByte   = 3
	thriftDouble = 4
	thriftI16    = 6
	thriftI32    = 8
	thriftI64    = 10
	thriftString = 11
	thriftStruct = 12
	thriftMap    = 13
	thriftSet    = 14
	thriftList   = 15
)

// fieldBatchSpans is Batch.spans in Jaeger's jaeger.thrift: a list of structs.
const fieldBatchSpans = 2

// maxThriftDepth bounds nesting; a batch has five levels.
const maxThriftDepth = 16

// CountJaegerThrift counts the spans of a jaeger.thrift Batch in Thrift's binary protocol, as Jaeger's collector takes it over HTTP.
// The whole batch is walked, so that one cut short is not counted as if it were whole.
func CountJaegerThrift(b []byte) (total int, err error) {
	for {
		if len(b) < 1 {
			return 0, ErrPayload
		}
		kind := b[0]
		if kind == thriftStop {
			if len(b) != 1 {
				return 0, ErrPayload
			}
			return total, nil
		}
		if len(b) < 3 {
			return 0, ErrPayload
		}
		field := binary.BigEndian.Uint16(b[1:])
		b = b[3:]
		if field == fieldBatchSpans {
			if kind != thriftList || len(b) < 5 || b[0] != thriftStruct {
				return 0, ErrPayload
			}
			total += int(binary.BigEndian.Uint32(b[1:]))
		}
		if b, err = skipThrift(b, kind, 0); err != nil {
			return 0, err
		}
	}
}

// skipThrift takes one value of the type off b.
func skipThrift(b []byte, kind byte, depth int) (rest []byte, err error) {
	if depth > maxThriftDepth {
		return nil, ErrPayload
	}
	size := 0
	switch kind {
	case thriftBool, thriftByte:
		size = 1
	case thriftI16:
		size = 2
	case thriftI32:
		size = 4
	case thriftDouble, thriftI64:
		size = 8
	case thriftString:
		if len(b) < 4 {
			return nil, ErrPayload
		}
		size = 4 + int(binary.BigEndian.Uint32(b))
	case thriftStruct:
		return skipThriftStruct(b, depth+1)
	case thriftList, thriftSet:
		if len(b) < 5 {
			return nil, ErrPayload
		}
		return skipThriftValues(b[5:], binary.BigEndian.Uint32(b[1:]), depth+1, b[0])
	case thriftMap:
		if len(b) < 6 {
			return nil, ErrPayload
		}
		return skipThriftValues(b[6:], binary.BigEndian.Uint32(b[2:]), depth+1, b[0], b[1])
	default:
		return nil, ErrPayload
	}
	if size > len(b) {
		return nil, ErrPayload
	}
	return b[size:], nil
}

// skipThriftStruct takes fields off b up to and including the stop byte.
func skipThriftStruct(b []byte, depth int) (rest []byte, err error) {
	for {
		if len(b) < 1 {
			return nil, ErrPayload
		}
		kind := b[0]
		if kind == thriftStop {
			return b[1:], nil
		}
		if len(b) < 3 {
			return nil, ErrPayload
		}
		if b, err = skipThrift(b[3:], kind, depth); err != nil {
			return nil, err
		}
	}
}

// skipThriftValues takes count times values of the given types off b. Every value takes a byte at least, so that a count beyond
// what b can hold ends with an error soon.
func skipThriftValues(b []byte, count uint32, depth int, kinds ...byte) (rest []byte, err error) {
	for ; count > 0; count-- {
		for _, kind := range kinds {
			if b, err = skipThrift(b, kind, depth); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}
