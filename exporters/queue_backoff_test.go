package exporters

import (
	"testing"
	"time"
)

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
