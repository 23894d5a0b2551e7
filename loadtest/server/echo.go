package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"
)

// echoBufferBytes is what one turn reads: enough for bulk messages to take few calls.
const echoBufferBytes = 256 << 10

// Echo is a running TCP server that sends back what it receives. It stands on gnet's engine, so that a load test measures the
// proxy rather than the server; loops is 1 unless asked otherwise.
type Echo struct {
	gnet.BuiltinEventEngine
	engine gnet.Engine
	host   string
	port   int
	booted chan error
	served chan error
	bytes  atomic.Int64
}

// StartEcho listens on address (host:port; port 0 picks one) with so many event loops, and serves until Close.
func StartEcho(address string, loops int) (*Echo, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	e := &Echo{host: host, booted: make(chan error, 1), served: make(chan error, 1)}
	go e.serve(address, loops)
	select {
	case err = <-e.booted:
	case err = <-e.served:
		err = fmt.Errorf("listen: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// serve is the goroutine of the engine.
func (e *Echo) serve(address string, loops int) {
	e.served <- gnet.Run(e, "tcp://"+address, gnet.WithNumEventLoop(max(loops, 1)), gnet.WithReadBufferCap(echoBufferBytes),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay), gnet.WithLogger(silent{}))
}

// OnBoot is called by the engine once it listens.
func (e *Echo) OnBoot(engine gnet.Engine) gnet.Action {
	e.engine = engine
	fd, err := engine.Dup()
	if err != nil {
		e.booted <- fmt.Errorf("listen: %w", err)
		return gnet.Shutdown
	}
	defer func() { _ = unix.Close(fd) }()
	name, err := unix.Getsockname(fd)
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		e.port = a.Port
	case *unix.SockaddrInet6:
		e.port = a.Port
	}
	e.booted <- err
	return gnet.None
}

// OnTraffic is called by the engine when bytes came: they go back.
func (e *Echo) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	e.bytes.Add(int64(len(b)))
	if _, err = c.Write(b); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// Address is the host:port it listens on.
func (e *Echo) Address() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// Bytes is how many came so far.
func (e *Echo) Bytes() int64 { return e.bytes.Load() }

// Close stops the engine and closes its connections.
func (e *Echo) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(e.engine.Stop(ctx), <-e.served)
}
