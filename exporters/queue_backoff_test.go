package exporters

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

// Each pause may last twice as long as the one before, up to the largest, and at least half of that; where in between is chance, or all
// sidecars whose collector came back would ask it at the same moments.
func TestPausesGrowAndDiffer(t *testing.T) {
	const first, largest = 200 * time.Millisecond, 10 * time.Second
	for failures, most := range []time.Duration{
		first, 2 * first, 4 * first, 8 * first, 16 * first, 32 * first, largest, largest, 19: largest, 20: largest, 70: largest,
	} {
		if most == 0 {
			continue
		}
		synctest.Test(t, func(t *testing.T) { // whose clock stands still
			seen := make(map[time.Duration]bool)
			for range 20 {
				q := newQueue(&Config{backoffMin: first, backoffMax: largest}, nil)
				q.failures = failures
				q.backOff(0)
				q.pause.Stop()
				d := time.Until(q.until)
				if d < most/2 || d > most {
					t.Errorf("after %d failures a pause of %v, want %v to %v", failures, d, most/2, most)
				}
				if q.failures != failures+1 {
					t.Errorf("%d failures are now %d", failures, q.failures)
				}
				seen[d] = true
			}
			if len(seen) < 10 {
				t.Errorf("after %d failures 20 pauses are of %d lengths", failures, len(seen))
			}
		})
	}
}

// What a collector asks for, in either form of RFC 9110 §10.2.3, within reason.
func TestRetryAfter(t *testing.T) {
	now := time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Duration
	}{
		{"", 0},
		{"7", 7 * time.Second},
		{"86400", 5 * time.Minute},
		{"Sun, 06 Nov 1994 08:49:50 GMT", 13 * time.Second},
		{"Sun, 06 Nov 1994 08:49:30 GMT", 0}, // past
		{"Mon, 07 Nov 1994 08:49:37 GMT", 5 * time.Minute},
		{"-1", 0}, {"soon", 0}, {"1.5", 0},
	} {
		var resp fasthttp.Response
		if c.value != "" {
			resp.Header.Set("Retry-After", c.value)
		}
		if got := retryAfter(&resp, now); got != c.want {
			t.Errorf("%q: %v, want %v", c.value, got, c.want)
		}
	}
}

// One of several batches in flight may be told to wait for long, another just fail: the longer pause holds.
func TestTheLongestPauseHolds(t *testing.T) {
	q := newQueue(&Config{backoffMin: time.Millisecond, backoffMax: 10 * time.Millisecond}, nil)
	before := time.Now()
	q.backOff(time.Minute)
	q.backOff(0)
	if d := q.until.Sub(before); d < time.Minute {
		t.Errorf("asked for a minute, paused for %v", d)
	}
	q.backOff(2 * time.Minute)
	if d := q.until.Sub(before); d < 2*time.Minute {
		t.Errorf("asked for two minutes, paused for %v", d)
	}
	q.pause.Stop()
}
