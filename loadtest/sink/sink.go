// Package sink has a trace collector that keeps nothing: it answers as Jaeger and Zipkin do, counts the spans it was sent by
// walking their wire format, and can be made slow, dead or unwilling. It takes OTLP in protobuf, Zipkin v2 in JSON and protobuf,
// and Jaeger's Thrift over HTTP.
package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// ErrMode is wrapped by the error for an unknown mode.
var ErrMode = errors.New("unknown mode")

// Mode is how a sink behaves.
type Mode string

// The modes.
const (
	// Healthy answers at once.
	Healthy Mode = "healthy"
	// Slow counts at once and answers after Options.Delay.
	Slow Mode = "slow"
	// Dead does not listen: connections are refused, those that stood are reset.
	Dead Mode = "dead"
	// Throttling answers 429 with Retry-After: 1 and counts nothing as received.
	Throttling Mode = "429"
	// Failing answers 500 and counts nothing as received.
	Failing Mode = "500"
)

// modes in the order of help texts.
var modes = [...]Mode{Healthy, Slow, Dead, Throttling, Failing}

// ModeNames lists the modes for help texts.
func ModeNames() string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = string(m)
	}
	return strings.Join(names, ", ")
}

// ParseMode reads the name of a mode.
func ParseMode(s string) (Mode, error) {
	for _, m := range modes {
		if string(m) == s {
			return m, nil
		}
	}
	return "", fmt.Errorf("%w %q (allowed: %s)", ErrMode, s, ModeNames())
}

// Counts is what a sink was sent. Spans counts those of answers that said success; Refused those of the others.
type Counts struct {
	Spans    int64 `json:"spans"` // OTLP + Zipkin + Jaeger
	OTLP     int64 `json:"otlp"`
	Zipkin   int64 `json:"zipkin"`
	Jaeger   int64 `json:"jaeger"`
	Requests int64 `json:"requests"` // answered with success
	Bytes    int64 `json:"bytes"`    // of bodies as they came, compressed or not
	// Refused counts spans turned away by a mode, Malformed requests that could not be read (answered 400).
	Refused   int64 `json:"refused"`
	Malformed int64 `json:"malformed"`
	Mode      Mode  `json:"mode"`
}

// Options of a sink.
type Options struct {
	// Listen is the address for spans, host:port; port 0 picks one, which is kept over Dead.
	Listen string
	// Control, when not empty, is an address of its own for /count, /reset and /mode;
	// without it they are on Listen, and Dead cannot be ended from outside the process.
	Control string
	// Mode at the start; empty = Healthy.
	Mode Mode
	// Delay of Slow; 0 = one second.
	Delay time.Duration
}

// Sink is a running sink.
type Sink struct {
	address string
	control net.Listener
	server  fasthttp.Server // of the control listener
	mode    atomic.Pointer[Mode]
	delay   atomic.Int64

	otlp, zipkin, jaeger, requests, bytes, refused, malformed atomic.Int64

	mu       sync.Mutex // guards what follows: changes of mode
	spans    *fasthttp.Server
	listener *tracked
	served   sync.WaitGroup
}

// Start listens and serves until Close.
func Start(options Options) (*Sink, error) {
	if options.Mode == "" {
		options.Mode = Healthy
	}
	if options.Delay == 0 {
		options.Delay = time.Second
	}
	s := &Sink{address: options.Listen}
	s.delay.Store(int64(options.Delay))
	s.mode.Store(&options.Mode)
	// Listen even when dead, for a moment: the port must be known and free.
	if err := s.open(); err != nil {
		return nil, err
	}
	if options.Control != "" {
		listener, err := net.Listen("tcp", options.Control)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen for control: %w", err), s.Close())
		}
		s.control = listener
		s.server = fasthttp.Server{Handler: s.handleControl, Name: "spanload", Logger: silent{}}
		s.served.Go(func() { _ = s.server.Serve(listener) }) // ends when Close closes the listener
	}
	if err := s.SetMode(options.Mode); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// silent drops fasthttp's messages about clients that went away.
type silent struct{}

// Printf does nothing.
func (silent) Printf(string, ...any) {}

// Address is the host:port for spans.
func (s *Sink) Address() string { return s.address }

// URL is Address as a URL without path.
func (s *Sink) URL() string { return "http://" + s.address }

// ControlAddress is the host:port of the control listener; empty without one.
func (s *Sink) ControlAddress() string {
	if s.control == nil {
		return ""
	}
	return s.control.Addr().String()
}

// SetMode changes the behaviour from the next request on.
func (s *Sink) SetMode(m Mode) error {
	if _, err := ParseMode(string(m)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode.Store(&m)
	if m == Dead {
		s.shut()
		return nil
	}
	if s.spans == nil {
		return s.open()
	}
	return nil
}

// SetDelay changes the delay of Slow.
func (s *Sink) SetDelay(d time.Duration) { s.delay.Store(int64(d)) }

// Reset sets all counts to zero.
func (s *Sink) Reset() {
	for _, n := range []*atomic.Int64{&s.otlp, &s.zipkin, &s.jaeger, &s.requests, &s.bytes, &s.refused, &s.malformed} {
		n.Store(0)
	}
}

// Counts returns the counts so far.
func (s *Sink) Counts() Counts {
	c := Counts{
		OTLP: s.otlp.Load(), Zipkin: s.zipkin.Load(), Jaeger: s.jaeger.Load(), Requests: s.requests.Load(), Bytes: s.bytes.Load(),
		Refused: s.refused.Load(), Malformed: s.malformed.Load(), Mode: *s.mode.Load(),
	}
	c.Spans = c.OTLP + c.Zipkin + c.Jaeger
	return c
}

// Close stops serving and resets the connections that stand.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.shut()
	s.mu.Unlock()
	var err error
	if s.control != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err = s.server.ShutdownWithContext(ctx)
		_ = s.control.Close() // the server forgets it when it is shut down before it began to serve
	}
	s.served.Wait()
	return err
}

// open starts to listen for spans. With the mutex held, or before anybody else knows the sink.
func (s *Sink) open() error {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	if address := listener.Addr().String(); address != s.address { // the first time: others may read it later on
		s.address = address
	}
	s.listener = &tracked{Listener: listener, conns: map[net.Conn]struct{}{}}
	s.spans = &fasthttp.Server{
		Handler: s.handle, Name: "spanload", Logger: silent{}, MaxRequestBodySize: maxBodyBytes, ReadBufferSize: 16 << 10,
	}
	server, own := s.spans, s.listener
	s.served.Go(func() { _ = server.Serve(own) }) // ends when shut closes the listener
	return nil
}

// shut stops listening and resets all connections. With the mutex held.
func (s *Sink) shut() {
	if s.spans == nil {
		return
	}
	s.listener.reset()
	s.spans, s.listener = nil, nil
}
