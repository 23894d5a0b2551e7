package trace

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"github.com/spanwire/spanwire/core/span"
)

// uuidBytes is the length of a UUID in text (RFC 9562 §4).
const uuidBytes = 36

// hexDigits in lower case, as every format writes them.
const hexDigits = "0123456789abcdef"

// idSource makes ids for one loop: a ChaCha8 stream seeded by the system, so that ids of different loops and processes are
// independent, and an id says nothing about the next one.
type idSource struct{ r *rand.ChaCha8 }

func newIDSource() idSource {
	var seed [32]byte
	crand.Read(seed[:]) // never returns an error: it ends the process instead
	return idSource{r: rand.NewChaCha8(seed)}
}

// trace makes a random 128-bit trace id. All of it is random, as W3C's random flag promises of its right half
// (Trace Context Level 2, §3.2.2.5.2), and the right half is never zero.
func (s *idSource) trace() (id span.TraceID) {
	binary.BigEndian.PutUint64(id[:8], s.r.Uint64())
	binary.BigEndian.PutUint64(id[8:], s.nonZero())
	return id
}

// span makes a span id.
func (s *idSource) span() (id span.ID) {
	binary.BigEndian.PutUint64(id[:], s.nonZero())
	return id
}

func (s *idSource) nonZero() uint64 {
	for {
		if n := s.r.Uint64(); n != 0 {
			return n
		}
	}
}

// uuid writes a UUID of version 4 (RFC 9562 §5.4) to dst.
func (s *idSource) uuid(dst *[uuidBytes]byte) {
	hi, lo := s.r.Uint64(), s.r.Uint64()
	hi = hi&^0xF000 | 0x4000      // version 4
	lo = lo&^(3<<62) | 2<<62      // variant 10
	putHex64(dst[0:], hi>>32<<32) // the right half is written over below
	putHex64(dst[20:], lo)        // ends at 36; its first four digits belong four places further left
	copy(dst[19:23], dst[20:24])  // clock_seq
	putHex16(dst[9:], uint16(hi>>16))
	putHex16(dst[14:], uint16(hi))
	dst[8], dst[13], dst[18], dst[23] = '-', '-', '-', '-'
}

// putHex64 writes the sixteen digits of n.
func putHex64(dst []byte, n uint64) {
	_ = dst[15]
	for i := 15; i >= 0; i-- {
		dst[i] = hexDigits[n&15]
		n >>= 4
	}
}

// putHex16 writes the four digits of n.
func putHex16(dst []byte, n uint16) {
	_ = dst[3]
	dst[0], dst[1], dst[2], dst[3] = hexDigits[n>>12], hexDigits[n>>8&15], hexDigits[n>>4&15], hexDigits[n&15]
}

// putTrace writes the 32 digits of id.
func putTrace(dst []byte, id *span.TraceID) {
	putHex64(dst, binary.BigEndian.Uint64(id[:8]))
	putHex64(dst[16:], binary.BigEndian.Uint64(id[8:]))
}

// putSpan writes the 16 digits of id.
func putSpan(dst []byte, id span.ID) { putHex64(dst, id.Uint64()) }

// parseHex returns the number that 1 to 16 hexadecimal digits stand for. lowerOnly refuses A to F.
func parseHex(v []byte, lowerOnly bool) (n uint64, ok bool) {
	if len(v) == 0 || len(v) > 16 {
		return 0, false
	}
	for _, c := range v {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		case 'A' <= c && c <= 'F' && !lowerOnly:
			n = n<<4 | uint64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// parseTrace reads 1 to 32 digits as a trace id, padded on the left; false for anything else and for zero.
func parseTrace(v []byte, lowerOnly bool) (id span.TraceID, ok bool) {
	cut := max(len(v)-16, 0)
	var hi uint64
	if cut > 0 {
		if hi, ok = parseHex(v[:cut], lowerOnly); !ok {
			return id, false
		}
	}
	lo, ok := parseHex(v[cut:], lowerOnly)
	if !ok || hi|lo == 0 {
		return id, false
	}
	binary.BigEndian.PutUint64(id[:8], hi)
	binary.BigEndian.PutUint64(id[8:], lo)
	return id, true
}

// parseSpan reads 1 to 16 digits as a span id; false for anything else and for zero.
func parseSpan(v []byte, lowerOnly bool) (id span.ID, ok bool) {
	n, ok := parseHex(v, lowerOnly)
	if !ok || n == 0 {
		return id, false
	}
	binary.BigEndian.PutUint64(id[:], n)
	return id, true
}
