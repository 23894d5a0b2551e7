package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core"
)

// pauseFirst and pauseMax are the pauses of accept when something is lacking; each lasts twice as long as the one before.
const (
	pauseFirst = 20 * time.Millisecond
	pauseMax   = time.Second
)

// listener is one bound listener and who gets what at it.
type listener struct {
	net.Listener
	name string
	// all: every client gets everything. Otherwise those that connected to allAt do (invalid: none).
	all   bool
	allAt net.IP

	log       *slog.Logger
	throttle  core.Throttle
	quit      <-chan struct{}
	shortages atomic.Uint64 // pauses; tests look at it
}

// listen binds addr.
func (s *Server) listen(name, addr string) (*listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s listener %s: %w", name, addr, err)
	}
	return &listener{Listener: l, name: name, log: s.cfg.Log, quit: s.quit}, nil
}

// Accept gives each connection the access that its local address has. It is what fasthttp calls, which gives up at an error: what passes is waited
// out here, so that a process that was out of descriptors for a moment does not stay without health checks.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for pause := pauseFirst; shortage(err); pause = min(2*pause, pauseMax) {
		l.shortages.Add(1)
		l.throttle.Log(l.log, slog.LevelWarn, "out of resources, accepting pauses", "listener", l.name, "error", err, "pause", pause)
		select {
		case <-time.After(pause):
		case <-l.quit:
			return nil, net.ErrClosed
		}
		c, err = l.Listener.Accept()
	}
	if err != nil {
		return nil, err
	}
	full := l.all
	if !full && l.allAt != nil {
		local, ok := c.LocalAddr().(*net.TCPAddr)
		full = ok && local.IP.Equal(l.allAt)
	}
	return &client{Conn: c, full: full}, nil
}

// shortage reports whether err is a lack of descriptors or of memory (man 2 accept), which passes.
func shortage(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// client is a connection and what it may ask for.
type client struct {
	net.Conn
	full bool // everything; else health and metrics
}
