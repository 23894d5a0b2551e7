package loadtest

import "time"

// dispatch hands the requests that are due to connections that are free (open loop). What is due and finds none waits, and the
// wait is part of its latency.
func (l *loop) dispatch() {
	if l.schedule == nil || l.stopped {
		return
	}
	for {
		intended := l.start + l.schedule.next()
		switch {
		case intended >= l.end || l.exhausted():
			l.stopped = true
			return
		case intended > l.now:
			l.caughtUp = l.now
			return
		case l.free.len() == 0:
			if l.now >= l.end+int64(l.backlogGrace()) {
				l.stopped = true
			}
			return
		}
		c := &l.conns[l.free.pop()]
		c.queued = false
		if c.state == closing || c.state == penalised {
			continue // it fell into that while queued, and comes back when it is over
		}
		l.schedule.take()
		// How late this program itself is: since then both the request was due and a connection was free.
		l.now = l.clock()
		l.rec.lag(l.now-max(intended, l.freedAt), intended)
		l.assign(c, intended)
		l.available(c)
	}
}

// backlogGrace is how long after the window requests that were due in it may still be sent: enough to tell a server that paused
// at the end from one that cannot keep up.
func (l *loop) backlogGrace() time.Duration {
	return min(l.cfg.Timeout, max(time.Second, l.cfg.Duration/10))
}

// exhausted tells whether Config.Requests have been sent.
func (l *loop) exhausted() bool { return l.cfg.Requests > 0 && l.assigned >= l.cfg.Requests }

// assign hands one request to a connection with room, and sends it, dialling first if need be.
func (l *loop) assign(c *conn, intended int64) {
	l.assigned++
	c.push(flight{intended: intended, sent: l.now})
	l.rec.sent(intended, l.now)
	if c.state == down {
		l.dial(c)
		return
	}
	c.owed += int64(l.traffic.unit)
	l.flush(c)
}

// available tells that a slot may have room for a request. An open loop queues it; a closed loop, where connections that stand
// are filled as their answers come, notes those that need a new one.
func (l *loop) available(c *conn) {
	if c.idle || c.state == closing || c.state == penalised || l.stopped {
		return
	}
	if l.cfg.Closed {
		if c.state == down && !c.refill {
			c.refill = true
			l.refill = append(l.refill, c.slot)
		}
		return
	}
	if c.queued || c.count == len(c.flights) {
		return
	}
	if l.free.len() == 0 {
		l.freedAt = l.now
	}
	c.queued = true
	l.free.push(c.slot)
}

// refillClosed lets the slots of a closed loop that lost their connection go on. Not done where the loss was noticed: a server
// that resets every connection would make that an endless recursion.
func (l *loop) refillClosed() {
	if !l.cfg.Closed {
		return
	}
	if !l.stopped && (l.now >= l.end || l.exhausted()) {
		l.stopped = true
	}
	// Slots that fail at once are penalised, not appended: the list does not grow meanwhile beyond one round.
	pending := len(l.refill)
	for _, slot := range l.refill[:pending] {
		c := &l.conns[slot]
		c.refill = false
		if !l.stopped && c.state == down {
			l.fill(c)
		}
	}
	l.refill = append(l.refill[:0], l.refill[pending:]...)
}

// fill gives a connection of a closed loop all the requests it may have in flight, and sends them in one go.
func (l *loop) fill(c *conn) {
	if l.now >= l.end {
		l.stopped = true
	}
	for !l.stopped && c.count < len(c.flights) && !l.exhausted() {
		l.assigned++
		c.push(flight{intended: l.now, sent: l.now})
		c.owed += int64(l.traffic.unit)
		l.rec.sent(l.now, l.now)
	}
	if c.count == 0 {
		return
	}
	if c.state == down {
		l.dial(c)
		return
	}
	l.flush(c)
}

// interrupt stops the run early: the window ends now, nothing more is sent, and what is on its way has a moment to return.
func (l *loop) interrupt() {
	l.stopped = true
	l.end = min(l.end, max(l.now, l.warm))
	l.rec.window(l.warm, l.end)
	l.cfg.Timeout = min(l.cfg.Timeout, time.Second)
}

// finished tells whether all has been sent and answered. Every request in flight ends in time: the sweep sees to it.
func (l *loop) finished() bool {
	if !l.stopped {
		return false
	}
	return l.rec.sentTotal == l.rec.doneTotal
}
