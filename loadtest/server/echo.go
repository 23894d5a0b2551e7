package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/loadtest"
)

// echoBufferBytes is what one turn reads: enough for bulk messages to take few calls.
const echoBufferBytes = 256 << 10

// EchoOptions of an echo server. The zero value sends back at once what comes, whatever it is.
type EchoOptions struct {
	// Loops is the number of event loops; 0 = 1.
	Loops int
	// Latency is how long each piece that comes waits until it goes back; a connection's pieces keep their order. Pause and PauseEvery are
	// those of Options.
	Latency           Distribution
	Pause, PauseEvery time.Duration
	// ResetRate is the share of pieces, 0 to 1, upon which the connection is reset, every second time in the middle of the piece.
	ResetRate float64
	// Seed determines delays and resets, in the order in which pieces come.
	Seed uint64
	// Message, when not 0, is the size of the messages that spanload sends, MessageSeed its seed: each connection must repeat one of these
	// messages, or is reset.
	Message     int
	MessageSeed uint64
}

// Validate tells the first option that is out of bounds, by the name of its flag in spanload serve.
func (o *EchoOptions) Validate() error {
	if o.Message < 0 || o.Message > MaxSize {
		return fmt.Errorf("%w: --message-size %d (allowed: 0, for anything, to %d)", ErrSpec, o.Message, MaxSize)
	}
	return (&Options{Pause: o.Pause, PauseEvery: o.PauseEvery, ResetRate: o.ResetRate}).Validate()
}

// EchoStats counts what an echo server has seen.
type EchoStats struct {
	Bytes      int64 // received
	Verified   int64 // messages that were right, when there is something to compare with
	Mismatched int64 // connections that sent something else: reset
	Resets     int64 // connections reset on purpose
}

// Echo is a running TCP server that sends back what it receives. It stands on gnet's engine, so that a load test measures the
// proxy rather than the server; it has one loop unless asked otherwise.
type Echo struct {
	gnet.BuiltinEventEngine
	options  EchoOptions
	messages *loadtest.Messages // nil = anything is right
	engine   gnet.Engine
	host     string
	port     int
	started  time.Time
	booted   chan error
	served   chan error
	closing  chan struct{} // closed by Close: nothing is held back any longer

	mu     sync.Mutex     // guards closed, and held from growing once it is set
	closed bool           // by Close
	held   sync.WaitGroup // goroutines that hold bytes back

	sequence, bytes, verified, mismatched, resets atomic.Int64
}

// StartEcho listens on address (host:port; port 0 picks one) and serves until Close.
func StartEcho(address string, options EchoOptions) (*Echo, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	e := &Echo{options: options, host: host, started: time.Now(), booted: make(chan error, 1), served: make(chan error, 1),
		closing: make(chan struct{})}
	if options.Message > 0 {
		e.messages = loadtest.NewMessages(options.MessageSeed, options.Message)
	}
	go e.serve(address, options.Loops)
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

// OnOpen is called by the engine for every connection.
func (e *Echo) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(&echoed{})
	return nil, gnet.None
}

// OnTraffic is called by the engine when bytes came: they go back.
func (e *Echo) OnTraffic(c gnet.Conn) gnet.Action {
	b, err := c.Next(-1)
	if err != nil {
		return gnet.Close
	}
	e.bytes.Add(int64(len(b)))
	state, ok := c.Context().(*echoed)
	if !ok {
		panic(fmt.Sprintf("BUG: a connection with a %T", c.Context()))
	}
	if !e.verify(state, b) {
		e.mismatched.Add(1)
		_ = c.SetLinger(0)
		return gnet.Close
	}
	if piece, faulty := e.fault(b); faulty {
		e.hold(c, state, piece)
		return gnet.None
	}
	if _, err = c.Write(b); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// verify compares what came with the messages that may come.
func (e *Echo) verify(state *echoed, b []byte) bool {
	if e.messages == nil {
		return true
	}
	before := state.check.Whole
	ok := e.messages.Check(&state.check, b)
	e.verified.Add(state.check.Whole - before)
	return ok
}

// Address is the host:port it listens on.
func (e *Echo) Address() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// Bytes is how many came so far.
func (e *Echo) Bytes() int64 { return e.bytes.Load() }

// Stats returns the counts so far.
func (e *Echo) Stats() EchoStats {
	return EchoStats{Bytes: e.bytes.Load(), Verified: e.verified.Load(), Mismatched: e.mismatched.Load(), Resets: e.resets.Load()}
}

// Close stops the engine and closes its connections; what is held back is dropped.
func (e *Echo) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.closing)
	e.held.Wait() // before the engine ends: they write through it
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(e.engine.Stop(ctx), <-e.served)
}
