package loadtest

import (
	"fmt"
	"testing"
	"time"
)

func TestEventScanner_SameAtEverySplit(t *testing.T) {
	stream := AppendEvent(nil, time.Unix(0, 1700000000123456789))
	stream = append(stream, ": a comment\nid: data: 5\ndata: not a time\ndata: 12 and more\r\ndata:13\n data: 14\ndata: \n"...)
	stream = append(stream, "data: 99999999999999999999999\n"...) // more than an int64
	stream = AppendEvent(stream, time.Unix(0, 15))
	const want = "[1700000000123456789 12 15]"
	for cut := range len(stream) {
		var s eventScanner
		s.reset()
		s.feed(stream[:cut])
		s.feed(stream[cut:])
		if got := fmt.Sprint(s.stamps); got != want {
			t.Fatalf("cut at %d: %s, want %s", cut, got, want)
		}
	}
}
