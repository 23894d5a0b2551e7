package sink

import (
	"net"
	"sync"
)

// tracked is a listener that can reset what it has accepted.
type tracked struct {
	net.Listener
	mu    sync.Mutex
	conns map[net.Conn]struct{} // Invariant: every accepted connection that is not closed; nil after reset
}

// trackedConn takes itself off its listener's list when closed.
type trackedConn struct {
	net.Conn
	owner *tracked
}

// Accept waits for a connection and notes it.
func (t *tracked) Accept() (net.Conn, error) {
	conn, err := t.Listener.Accept()
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	t.conns[conn] = struct{}{}
	return &trackedConn{Conn: conn, owner: t}, nil
}

// Close closes the connection.
func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c.Conn)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// reset stops listening and resets what was accepted.
func (t *tracked) reset() {
	_ = t.Listener.Close()
	t.mu.Lock()
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	for conn := range conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}
