package exporters

import "time"

// The drain's pace. Short enough under load for a ring of a thousand slots at 100 000 spans a second, and for the records to be still
// in the cache they were written to; long enough at rest to cost nothing (two wake-ups a second). In between the rings wake it when
// a quarter is full.
const (
	tickMin  = 5 * time.Millisecond
	tickBusy = 50 * time.Millisecond  // the longest while spans come
	tickMax  = 500 * time.Millisecond // the longest
	// A drain that found fewer than quietSpans came too early, one that found more than busySpans too late.
	quietSpans = 64
	busySpans  = 512
	// passSpans bounds what is taken from one ring before the next one's turn.
	passSpans = 256
	// trimAfter is how long nothing must have come before spare buffers are given up.
	trimAfter = 5 * time.Second
)

// drain is the goroutine that empties the rings.
func (p *Pipeline) drain() {
	defer close(p.drained)
	tick := tickMax
	timer := time.NewTimer(tick)
	defer timer.Stop()
	last, trimmed := time.Now(), true
	before := last // when the rings were last empty: what is in them came since
	for {
		stopping := false
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.stop:
			stopping = true
		}
		now := time.Now()
		n := p.empty(before)
		before = now
		if n > 0 {
			last, trimmed = now, false
		} else if !trimmed && now.Sub(last) > trimAfter {
			p.pool.trim()
			trimmed = true
		}
		due := p.flush(now, stopping)
		if stopping {
			return
		}
		tick = pace(tick, n)
		wait := tick
		if !due.IsZero() {
			wait = min(wait, max(due.Sub(now), tickMin))
		}
		timer.Reset(wait)
	}
}

// pace returns the tick that follows one that found n spans.
func pace(tick time.Duration, n int) time.Duration {
	switch {
	case n == 0:
		return min(tick*2, tickMax)
	case n < quietSpans:
		return min(tick*2, tickBusy)
	case n > busySpans:
		return max(min(tick, tickBusy)/2, tickMin)
	}
	return min(tick, tickBusy)
}

// empty takes what is in the rings, in turns, and hands it to every lane; it came after since. It returns how many spans there were. A
// producer that outruns it cannot hold it here for ever: it takes about as much as the rings hold.
func (p *Pipeline) empty(since time.Time) (n int) {
	for more := true; more; {
		more = false
		for _, r := range p.rings {
			if n > r.Cap()*len(p.rings) {
				return n
			}
			taken := 0
			for ; taken < passSpans; taken++ {
				rec := r.Peek()
				if rec == nil {
					break
				}
				p.view.set(rec, p.schema)
				for _, l := range p.lanes {
					l.add(&p.view, since)
				}
				r.Release()
			}
			n += taken
			more = more || taken == passSpans
		}
	}
	return n
}

// flush seals batches that are due, or all of them, and returns when the next one is; the zero time when none is.
func (p *Pipeline) flush(now time.Time, all bool) (next time.Time) {
	for _, l := range p.lanes {
		if due := l.flush(now, all); !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	return next
}
