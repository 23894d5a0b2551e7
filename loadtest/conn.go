package loadtest

import (
	"bytes"
	"errors"

	"golang.org/x/sys/unix"
)

// connState is what a connection's socket is at.
type connState uint8

const (
	down       connState = iota // no socket: dialled when a request comes
	connecting                  // connect(2) under way
	open                        // established
	closing                     // the last answer is complete; the server's FIN is awaited
	penalised                   // no socket; may dial again at conn.until
)

// flight is a request on its way. Times are nanoseconds of the loop's clock.
type flight struct {
	intended int64 // when it was due; latency counts from here
	sent     int64 // when it was handed to the connection; the timeout counts from here
}

// conn is one slot for a connection; it outlives the sockets it uses. Loop goroutine only.
type conn struct {
	slot       int32
	generation int32 // of the socket; tells its events from those of its predecessors
	fd         int
	state      connState
	queued     bool  // in the loop's free queue. Invariant: then count < len(flights) and state is neither closing nor penalised
	refill     bool  // in the loop's refill list
	idle       bool  // one of Config.IdleConnections: held open, never used
	until      int64 // closing: give up waiting; penalised: dial again
	dialled    int64 // when connect was called

	src  []byte // what is sent, over and over
	pos  int    // next byte of src to send
	owed int64  // bytes of requests handed over and not yet sent

	flights []flight // ring of the requests without a complete answer, in order; its length is the pipeline depth
	first   int
	count   int

	resp   response
	echoed int // TCP: bytes of the oldest message that have come back
}

// push adds a request. There must be room.
func (c *conn) push(f flight) {
	i := c.first + c.count
	if i >= len(c.flights) {
		i -= len(c.flights)
	}
	c.flights[i] = f
	c.count++
}

// pop takes the oldest request. There must be one.
func (c *conn) pop() flight {
	f := c.flights[c.first]
	if c.first++; c.first == len(c.flights) {
		c.first = 0
	}
	c.count--
	return f
}

// rewind makes the slot ready for a new socket.
func (c *conn) rewind() {
	c.pos, c.owed, c.echoed = 0, 0, 0
	c.resp.reset()
	if c.resp.events != nil {
		c.resp.events.reset()
	}
}

// dial opens a socket and starts to connect; on loopback the connection may stand when it returns. The requests handed to the
// slot are sent once it does. On failure the slot is penalised and its requests have failed.
func (l *loop) dial(c *conn) {
	c.rewind()
	c.owed = int64(c.count) * int64(l.traffic.unit)
	c.dialled = l.now
	fd, err := unix.Socket(l.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.fd = -1
		l.fail(c, ErrConnect, err)
		return
	}
	c.fd = fd
	c.generation++
	c.state = connecting
	// Best effort: without it answers come all the same, only later when a request takes several segments.
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	err = unix.Connect(fd, l.address)
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		inProgress := err != nil
		if err = l.poller.add(fd, c.slot, c.generation); err == nil {
			if !inProgress {
				l.established(c)
			}
			return
		}
	}
	l.fail(c, ErrConnect, err)
}

// established notes that the connection stands and sends what waits for it.
func (l *loop) established(c *conn) {
	c.state = open
	l.rec.connects++
	_ = l.rec.connect.RecordValue(l.clock() - c.dialled)
	l.dialling = max(0, l.dialling-1)
	l.flush(c)
}

// flush sends what the connection owes, as far as the socket takes it. The rest follows on the next writable edge.
func (l *loop) flush(c *conn) {
	if c.state != open {
		return
	}
	for c.owed > 0 {
		end := len(c.src)
		if rest := int64(end - c.pos); rest > c.owed {
			end = c.pos + int(c.owed)
		}
		n, errno := send(c.fd, c.src[c.pos:end])
		if errno != 0 {
			if errno == unix.EINTR {
				continue
			}
			if errno != unix.EAGAIN {
				l.broken(c, errno)
			}
			return
		}
		l.rec.bytesSent += int64(n)
		c.owed -= int64(n)
		if c.pos += n; c.pos == len(c.src) {
			c.pos = 0
		}
	}
}

// broken handles an error of send. What the server had sent before it closed is read first: an answer that explains itself
// (413, say) is worth more than the broken pipe behind it.
func (l *loop) broken(c *conn, errno unix.Errno) {
	generation := c.generation
	if l.receive(c, true); c.state == open && c.generation == generation {
		l.fail(c, kindOf(errno), errno)
	}
}

// event handles readiness of a slot's socket. Events are hints; only what a system call returns is believed.
func (l *loop) event(c *conn, events uint32) {
	if c.state == connecting {
		if events&(unix.EPOLLOUT|unix.EPOLLERR|unix.EPOLLHUP) == 0 {
			return
		}
		code, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err != nil {
			l.fail(c, ErrConnect, err)
			return
		}
		l.established(c)
	} else if c.owed > 0 && events&unix.EPOLLOUT != 0 {
		l.flush(c)
	}
	const incoming = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&incoming != 0 && (c.state == open || c.state == closing) {
		l.receive(c, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// receive reads what is there and handles it. After a read shorter than the buffer there is no more, unless toEnd says that
// the end of the stream may share this edge.
func (l *loop) receive(c *conn, toEnd bool) {
	generation := c.generation
	for {
		n, errno := recv(c.fd, l.scratch)
		l.now = l.clock()
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN:
			return
		case errno != 0:
			l.lost(c, kindOf(errno), errno)
			return
		case n == 0:
			l.endOfStream(c)
			return
		}
		l.rec.bytesReceived += int64(n)
		l.consume(c, l.scratch[:n])
		if c.generation != generation || (c.state != open && c.state != closing) {
			return
		}
		if n < len(l.scratch) && !toEnd {
			return
		}
	}
}

// lost handles an error on a connection: that of its requests, or, without any, nobody's.
func (l *loop) lost(c *conn, kind Kind, err error) {
	if c.count > 0 {
		l.fail(c, kind, err)
		return
	}
	l.disconnect(c)
	l.available(c)
}

// endOfStream handles the server's FIN: the end of a body without length, the end of a connection nobody needs, or an error.
func (l *loop) endOfStream(c *conn) {
	if c.count > 0 && c.state == open && !l.cfg.TCP && c.resp.endOfStream() {
		l.complete(c)
	}
	l.lost(c, ErrClosed, errClosed)
}

// consume takes received bytes apart into answers and lets a closed loop send on.
func (l *loop) consume(c *conn, b []byte) {
	for len(b) > 0 && c.state == open {
		if c.count == 0 {
			l.rec.unsolicited(errUnsolicited)
			l.disconnect(c)
			l.available(c)
			return
		}
		var n int
		var done bool
		if l.cfg.TCP {
			n, done = c.consumeEcho(b)
			if n < 0 {
				l.fail(c, ErrEcho, errEcho)
				return
			}
		} else {
			var err error
			n, done, err = c.resp.feed(b, l.noBody)
			if err != nil {
				l.fail(c, ErrMalformed, err)
				return
			}
			if c.resp.events != nil {
				l.rec.recordEvents(c.resp.events)
			}
		}
		b = b[n:]
		if done {
			l.complete(c)
		}
	}
	if len(b) > 0 && c.state == closing { // a body longer than was said
		l.rec.unsolicited(errUnsolicited)
		l.disconnect(c)
		l.available(c)
	}
	if l.cfg.Closed && c.state == open {
		l.fill(c)
	}
}

// consumeEcho compares bytes that came back with what was sent; n is -1 when they differ. done: a message is complete.
func (c *conn) consumeEcho(b []byte) (n int, done bool) {
	n = min(len(b), len(c.src)-c.echoed)
	if !bytes.Equal(b[:n], c.src[c.echoed:c.echoed+n]) {
		return -1, false
	}
	if c.echoed += n; c.echoed == len(c.src) {
		c.echoed = 0
		return n, true
	}
	return n, false
}

// complete takes the oldest request off the connection, whose answer is in: checks and records it.
func (l *loop) complete(c *conn) {
	f := c.pop()
	if l.cfg.TCP {
		l.rec.answer(f, OK, nil, l.now)
		l.available(c)
		return
	}
	kind, err := l.check(&c.resp)
	l.rec.status(c.resp.status)
	l.rec.answer(f, kind, err, l.now)
	l.rec.bodyBytes += c.resp.bodyBytes
	last := c.resp.close || l.cfg.NoKeepalive
	c.resp.reset()
	if !last {
		l.available(c)
		return
	}
	for c.count > 0 {
		l.rec.answer(c.pop(), ErrClosed, errSuperseded, l.now)
	}
	c.owed = 0
	// The server closes first, so that the ports in TIME_WAIT are its own and this side does not run out of them.
	c.state, c.until = closing, l.now+int64(closingGrace)
}

// check compares a complete answer with what was expected and with what the server said of it.
func (l *loop) check(r *response) (Kind, error) {
	if !l.expected[r.status] {
		return ErrStatus, errStatus
	}
	if r.wantBytes >= 0 && r.wantBytes != r.bodyBytes {
		return ErrLength, errLength
	}
	if r.hasHash && r.wantHash != r.hash {
		return ErrHash, errHash
	}
	return OK, nil
}

// fail ends the connection and all its requests with an error. After a failed connect the slot rests a moment, or a dead
// server would be dialled in a tight circle.
func (l *loop) fail(c *conn, kind Kind, err error) {
	wasConnecting := c.state != open && c.state != closing
	if wasConnecting {
		l.rec.connectFailures++
		l.dialError = err
		l.dialling = max(0, l.dialling-1)
	}
	for c.count > 0 {
		f := c.pop()
		if kind == ErrTimeout && l.now-f.sent < int64(l.cfg.Timeout) {
			l.rec.answer(f, ErrClosed, errTimeout, l.now) // not late itself: its connection was closed for one that was
			continue
		}
		l.rec.answer(f, kind, err, l.now)
	}
	l.disconnect(c)
	if kind == ErrConnect || wasConnecting {
		c.state, c.until = penalised, l.now+int64(dialPause)
		return
	}
	l.available(c)
}

// disconnect closes the socket, if there is one.
func (l *loop) disconnect(c *conn) {
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
		c.fd = -1
	}
	c.state = down
	c.owed = 0
}
