package trace

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"

	"github.com/spanwire/spanwire/core/span"
)

// uuidBytes is the length of a UUID in text (RFC 9562 §4).
const uuidBytes = 36

// noDigit is what hexValues holds for bytes that are no hexadecimal digit.
const noDigit = 0xf0

// hexValues holds the value of each digit: of either case, and of lower case alone.
var hexValues = func() (t struct{ any, lower [256]byte }) {
	for c := range 256 {
		t.any[c], t.lower[c] = noDigit, noDigit
	}
	for v, c := range []byte("0123456789abcdef") {
		t.any[c], t.lower[c] = byte(v), byte(v)
		if v > 9 {
			t.any[c-'a'+'A'] = byte(v)
		}
	}
	return t
}()

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
	var digits [32]byte
	putHex64(digits[:16], hi&^0xF000|0x4000) // version 4
	putHex64(digits[16:], lo&^(3<<62)|2<<62) // variant 10
	copy(dst[0:8], digits[0:8])
	copy(dst[9:13], digits[8:12])
	copy(dst[14:18], digits[12:16])
	copy(dst[19:23], digits[16:20])
	copy(dst[24:36], digits[20:32])
	dst[8], dst[13], dst[18], dst[23] = '-', '-', '-', '-'
}

// putHex64 writes the sixteen digits of n.
func putHex64(dst []byte, n uint64) {
	binary.BigEndian.PutUint64(dst, hex8(uint32(n>>32)))
	binary.BigEndian.PutUint64(dst[8:], hex8(uint32(n)))
}

// hex8 returns the eight digits of n as the bytes of a word, all worked out at once: the four-bit groups are spread over the
// bytes, and those above nine are lifted to the letters.
func hex8(n uint32) uint64 {
	const ones = 0x0101010101010101
	x := uint64(n)
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	letters := (x + 6*ones) >> 4 & ones
	return x + '0'*ones + letters*('a'-'0'-10)
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
	table := &hexValues.any
	if lowerOnly {
		table = &hexValues.lower
	}
	var bad byte
	for _, c := range v {
		d := table[c]
		bad |= d
		n = n<<4 | uint64(d&15)
	}
	if bad >= noDigit {
		return 0, false
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
