package relay

import (
	"math/rand/v2"
	"net"
	"time"
)

// direction moves the bytes of one direction as the plan says.
type direction struct {
	p      *pair
	d      int
	dst    *net.TCPConn
	random *rand.Rand
	moved  int  // bytes so far
	thrown bool // what still comes is thrown away
}

// move passes b on. errOver means that the direction has ended, any other error that its destination failed.
func (m *direction) move(b []byte) error {
	if m.thrown {
		return nil
	}
	plan := &m.p.plan
	if m.d == plan.Dir && m.moved <= plan.After && plan.After < m.moved+len(b) {
		switch plan.Fault {
		case Stall, Reset, Cut, BlackHole, Flip:
			return m.strikeIn(b)
		case None, Delay, Split, Drip, Refuse, Faults:
		}
	}
	switch plan.Fault {
	case Delay:
		m.p.strike()
		time.Sleep(time.Duration(m.random.Int64N(int64(plan.Pause))))
	case Split, Drip:
		m.p.strike()
		return m.pieces(b)
	case None, Stall, Reset, Cut, BlackHole, Refuse, Flip, Faults:
	}
	return m.write(b)
}

// write passes b on as it is.
func (m *direction) write(b []byte) error {
	n, err := m.dst.Write(b)
	m.moved += n
	return err
}

// pieces passes b on in small pieces, up to the plan's limit.
func (m *direction) pieces(b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if m.moved < m.p.plan.Limit {
			n = min(n, 1+m.random.IntN(m.p.plan.Piece))
		}
		if err := m.write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
		if m.p.plan.Pause > 0 && m.moved < m.p.plan.Limit {
			time.Sleep(m.p.plan.Pause)
		}
	}
	return nil
}

// strikeIn passes on what of b comes before the fault, and has it strike.
func (m *direction) strikeIn(b []byte) error {
	before := m.p.plan.After - m.moved
	if err := m.write(b[:before]); err != nil {
		return err
	}
	b = b[before:]
	if m.p.plan.Cuts() {
		m.p.learn(m.d)
	}
	m.p.strike()
	switch m.p.plan.Fault {
	case Flip:
		b = append([]byte(nil), b...)
		b[0] ^= 1
	case Cut:
		m.cut()
		return nil
	case Stall, BlackHole:
		m.p.mu.Lock()
		m.p.until = time.Now().Add(m.p.plan.Pause)
		m.p.mu.Unlock()
		m.p.wait()
	case None, Delay, Split, Drip, Reset, Refuse, Faults:
	}
	if m.p.plan.Fault.Cuts() {
		m.p.reset()
		return errOver
	}
	return m.write(b)
}

// cut sends FIN; what still comes is read, so that its sender goes on, and thrown away.
func (m *direction) cut() {
	m.thrown = true
	m.p.learn(m.d)
	m.p.strike()
	m.p.finish(1 - m.d)
}
