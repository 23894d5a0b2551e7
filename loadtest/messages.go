package loadtest

import "bytes"

// Messages are what spanload sends over TCP when it makes the bytes itself (--body-size, not --body-file): each connection repeats one message,
// cut from one stream of random bytes at a place of its own.
type Messages struct {
	stream []byte
	size   int
}

// NewMessages returns the messages of a seed and size (at least 1).
func NewMessages(seed uint64, size int) *Messages {
	return &Messages{stream: append(RandomBytes(seed, size), RandomBytes(seed^1, maxShift)...), size: size}
}

// MessageCheck follows one connection. The zero value is at its start.
type MessageCheck struct {
	head []byte // bytes so far, until there are enough to know the message
	from int    // its place in the stream, then
	at   int    // the offset in the message of the next byte
	// Whole is how many messages have come, right to their last byte.
	Whole int64
}

// headBytes is how many bytes tell a message: of the 16 384 places no two have the same ones.
const headBytes = 16

// Check takes the next bytes of the connection that c follows. It returns false when they are not of one of the messages, over and over; c is
// of no more use then.
func (m *Messages) Check(c *MessageCheck, b []byte) bool {
	if need := min(m.size, headBytes); len(c.head) < need {
		n := min(need-len(c.head), len(b))
		c.head = append(c.head, b[:n]...)
		if len(c.head) < need {
			return bytes.Contains(m.stream, c.head)
		}
		if c.from = bytes.Index(m.stream[:maxShift-1+need], c.head); c.from < 0 {
			return false
		}
		b = b[n:]
		c.advance(need, m.size)
	}
	for len(b) > 0 {
		want := m.stream[c.from+c.at : c.from+m.size]
		n := min(len(want), len(b))
		if !bytes.Equal(b[:n], want[:n]) {
			return false
		}
		c.advance(n, m.size)
		b = b[n:]
	}
	return true
}

// advance moves on by n bytes, which end with the message at most.
func (c *MessageCheck) advance(n, size int) {
	if c.at += n; c.at == size {
		c.at = 0
		c.Whole++
	}
}
