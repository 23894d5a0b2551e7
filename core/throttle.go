package core

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// throttleEvery is how often one kind of event may be logged: often enough to be seen, rare enough never to matter.
const throttleEvery = 10 * time.Second

// Throttle logs one kind of event at most every ten seconds and says how many it left out. The zero value is ready; any goroutine may
// use it.
type Throttle struct {
	next    atomic.Int64 // ns since began
	skipped atomic.Uint64
}

// began is where the time of all throttles begins: the clock of the wall may be set back.
var began = time.Now()

// Log logs msg, or counts it as left out.
func (t *Throttle) Log(l *slog.Logger, level slog.Level, msg string, args ...any) {
	now := int64(time.Since(began))
	next := t.next.Load()
	if now < next || !t.next.CompareAndSwap(next, now+int64(throttleEvery)) {
		t.skipped.Add(1)
		return
	}
	if n := t.skipped.Swap(0); n > 0 {
		args = append(args, "left_out", n)
	}
	l.Log(context.Background(), level, msg, args...)
}
