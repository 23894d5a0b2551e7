package loadtest

import (
	"strconv"
	"time"
)

// eventPrefix begins the line of a server-sent event that carries its time of sending: nanoseconds of the Unix epoch, in
// decimal, up to the first byte that is no digit. AppendEvent writes it.
const eventPrefix = "data: "

// eventScanner finds the times of sending in a stream of server-sent events that comes in any pieces.
type eventScanner struct {
	matched int     // bytes of eventPrefix matched on this line; -1 = the line is another one
	stamp   int64   // digits so far, once the prefix is complete
	digits  int     // how many
	stamps  []int64 // events completed since the owner last emptied it
}

// reset makes ready for a new stream.
func (s *eventScanner) reset() { *s = eventScanner{stamps: s.stamps[:0]} }

// feed takes the next bytes of the stream and appends the times found to stamps.
func (s *eventScanner) feed(b []byte) {
	for _, c := range b {
		switch {
		case c == '\n' || s.matched == len(eventPrefix) && (c < '0' || c > '9'):
			if s.digits > 0 && s.digits <= maxStampDigits {
				s.stamps = append(s.stamps, s.stamp)
			}
			s.matched, s.stamp, s.digits = -1, 0, 0
			if c == '\n' {
				s.matched = 0
			}
		case s.matched == len(eventPrefix):
			s.stamp, s.digits = s.stamp*10+int64(c-'0'), s.digits+1
		case s.matched >= 0 && c == eventPrefix[s.matched]:
			s.matched++
		default:
			s.matched = -1
		}
	}
}

// maxStampDigits is what fits an int64.
const maxStampDigits = 18 + 1

// AppendEvent appends one server-sent event that was sent at the given time, as this package's server sends them.
func AppendEvent(dst []byte, sent time.Time) []byte {
	dst = append(dst, eventPrefix...)
	dst = strconv.AppendInt(dst, sent.UnixNano(), 10)
	return append(dst, "\n\n"...)
}
