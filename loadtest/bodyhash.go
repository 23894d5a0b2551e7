package loadtest

import (
	"hash/crc32"
	"strconv"
)

// Names of the headers by which either side tells the other what body it sends. The receiver checks what it is told and
// nothing else, so that any server can be tested.
const (
	// HeaderBodyHash carries the CRC-32C of the body after transfer decoding, as FormatBodyHash writes it.
	HeaderBodyHash = "X-Body-Hash"
	// HeaderBodyLength carries the length of the body in bytes, for bodies whose framing does not say it (chunked).
	HeaderBodyLength = "X-Body-Length"
)

// bodyHashPrefix names the algorithm, so that a header of another program is not mistaken for ours.
const bodyHashPrefix = "crc32c="

// castagnoli is the table of CRC-32C, which has an instruction of its own on amd64 and arm64: some 10 GB/s, so that the check
// may be left on in every run.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// UpdateBodyHash adds b to the running hash sum; the hash of an empty body is 0.
func UpdateBodyHash(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// AppendBodyHash appends the value of HeaderBodyHash for sum, "crc32c=" and eight lower-case hex digits.
func AppendBodyHash(dst []byte, sum uint32) []byte {
	dst = append(dst, bodyHashPrefix...)
	const digits = "0123456789abcdef"
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[sum>>shift&15])
	}
	return dst
}

// ParseBodyHash reads a value of HeaderBodyHash. ok is false for another algorithm or anything malformed: nothing to check.
func ParseBodyHash(value []byte) (sum uint32, ok bool) {
	const length = len(bodyHashPrefix) + 8
	if len(value) != length || string(value[:len(bodyHashPrefix)]) != bodyHashPrefix {
		return 0, false
	}
	v, err := strconv.ParseUint(string(value[len(bodyHashPrefix):]), 16, 32)
	return uint32(v), err == nil
}
