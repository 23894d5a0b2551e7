package smuggling

import (
	"bytes"
	"fmt"
	"regexp"
)

// ours is a line that the sidecar may put in with the settings it has by default: the names of trace contexts and the request id, with a value of visible
// ASCII bytes.
var ours = regexp.MustCompile(`^(?:traceparent|tracestate|b3|x-b3-[a-z]+|uber-trace-id|X-Request-Id): [!-~]+\r\n`)

// maxOurs bounds such a line.
const maxOurs = 512

// Arrival is what a server has received of a vector.
type Arrival struct {
	Sent   int    // how many of the client's bytes have arrived, or have left with their line
	Edited []bool // for each place of Vector.Inserts that was reached: our lines are there
}

// Arrived compares got, what the server has received so far, with what the client has sent: it must be the same bytes, with our lines at the marked
// places, and nowhere else. A head may be without our lines, with all its own: the caller says whether that is right. An error says where they differ.
func (v *Vector) Arrived(got []byte) (a Arrival, err error) {
	i, j, gone := 0, 0, 0
	left := false // a line of this head has left
	for {
		switch {
		case len(a.Edited) < len(v.Inserts) && i == v.Inserts[len(a.Edited)]:
			n, complete := lines(got[j:])
			if !complete {
				return Arrival{i, a.Edited}, nil
			}
			if left && n == 0 {
				return a, fmt.Errorf("at byte %d: a line left, and none came for it", i)
			}
			left = false
			j += n
			a.Edited = append(a.Edited, n > 0)
		case gone < len(v.Gone) && i == v.Gone[gone].Lo:
			line := v.Client[v.Gone[gone].Lo:v.Gone[gone].Hi]
			rest := got[j:]
			if len(rest) < len(line) && bytes.HasPrefix(line, rest) {
				return Arrival{i, a.Edited}, nil
			}
			i = v.Gone[gone].Hi
			if gone++; bytes.HasPrefix(rest, line) {
				j += len(line)
			} else {
				left = true
			}
		case j == len(got):
			return Arrival{i, a.Edited}, nil
		case i == len(v.Client):
			return a, fmt.Errorf("behind the last byte came %q", clip(got[j:]))
		case v.Client[i] != got[j]:
			return a, fmt.Errorf("at byte %d came %q in place of %q", i, clip(got[j:]), clip(v.Client[i:]))
		default:
			i++
			j++
		}
	}
}

// lines returns how many bytes of our lines b begins with, and whether b goes on behind them, so that there can be no more.
func lines(b []byte) (n int, complete bool) {
	for {
		rest := b[n:]
		m := ours.Find(rest)
		if m == nil {
			end := bytes.IndexByte(rest, '\n') >= 0 || len(rest) > maxOurs
			return n, end
		}
		n += len(m)
	}
}

// clip bounds what is shown.
func clip(b []byte) []byte { return b[:min(len(b), 60)] }
