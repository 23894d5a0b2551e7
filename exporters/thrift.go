package exporters

import "encoding/binary"

// thriftType is a type as the compact protocol numbers it; the binary protocol's numbers are in thriftBinary.
type thriftType uint8

// Types that jaeger.thrift uses. A boolean field of the compact protocol has its value in its type.
const (
	thriftTrue   thriftType = 1
	thriftFalse  thriftType = 2
	thriftI32    thriftType = 5
	thriftI64    thriftType = 6
	thriftString thriftType = 8
	thriftList   thriftType = 9
	thriftStruct thriftType = 12
)

// thriftBinary maps to the numbers of the binary protocol.
func thriftBinary(t thriftType) byte {
	switch t {
	case thriftTrue, thriftFalse:
		return 2
	case thriftI32:
		return 8
	case thriftI64:
		return 10
	case thriftString:
		return 11
	case thriftList:
		return 15
	}
	return 12 // thriftStruct
}

// thriftProtocol appends values in one of Thrift's two encodings. Its methods are appends.
// https://github.com/apache/thrift/blob/master/doc/specs/thrift-binary-protocol.md and thrift-compact-protocol.md
type thriftProtocol struct{ compact bool }

// field appends a field header. last is the id of the field before it in the same struct, 0 for the first.
func (p thriftProtocol) field(dst []byte, t thriftType, last, id uint8) []byte {
	if p.compact { // short form: ids grow by less than 16 here
		return append(dst, (id-last)<<4|byte(t))
	}
	return append(dst, thriftBinary(t), 0, id)
}

// stop ends a struct.
func (p thriftProtocol) stop(dst []byte) []byte { return append(dst, 0) }

// i32 appends a number.
func (p thriftProtocol) i32(dst []byte, v int32) []byte {
	if p.compact {
		return appendVarint(dst, uint64(uint32(v<<1)^uint32(v>>31)))
	}
	return binary.BigEndian.AppendUint32(dst, uint32(v))
}

// i64 appends a number.
func (p thriftProtocol) i64(dst []byte, v int64) []byte {
	if p.compact {
		return appendVarint(dst, uint64(v<<1)^uint64(v>>63))
	}
	return binary.BigEndian.AppendUint64(dst, uint64(v))
}

// text appends a string.
func (p thriftProtocol) text(dst []byte, s string) []byte {
	if p.compact {
		dst = appendVarint(dst, uint64(len(s)))
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(s)))
	}
	return append(dst, s...)
}

// list appends the header of a list of n structs.
func (p thriftProtocol) list(dst []byte, n int) []byte {
	switch {
	case !p.compact:
		return binary.BigEndian.AppendUint32(append(dst, thriftBinary(thriftStruct)), uint32(n))
	case n < 15:
		return append(dst, byte(n)<<4|byte(thriftStruct))
	}
	return appendVarint(append(dst, 0xF0|byte(thriftStruct)), uint64(n))
}

// boolean appends a boolean field, header included.
func (p thriftProtocol) boolean(dst []byte, last, id uint8, v bool) []byte {
	t := thriftFalse
	if v {
		t = thriftTrue
	}
	dst = p.field(dst, t, last, id)
	switch {
	case p.compact:
		return dst
	case v:
		return append(dst, 1)
	}
	return append(dst, 0)
}
