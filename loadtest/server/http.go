// Package server has the servers that load tests run against: an HTTP server whose latency, answers and faults are settings,
// and which checks what it receives; and a TCP server that sends back what comes.
package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/spanwire/spanwire/loadtest"
)

// Paths that mean something; every other is answered as the settings say.
const (
	// PathStats answers with Stats as JSON, at once and never with a fault.
	PathStats = "/-/stats"
	// PathEcho answers with the body of the request.
	PathEcho = "/echo"
	// PathEvents answers with server-sent events.
	PathEvents = "/events"
)

// DefaultEvents is the number of events on PathEvents when nothing is said.
const DefaultEvents = 10

// Options of an HTTP server. The zero value answers 200 at once with an empty body.
type Options struct {
	// Latency is how long an answer waits.
	Latency Distribution
	// Pause, when positive, holds all answers back for so long at the end of every PauseEvery, counted from the start.
	Pause, PauseEvery time.Duration
	// BodySize is the length of the answers' bodies.
	BodySize Size
	// Chunked sends bodies in chunks of ChunkSize bytes (0 = 4096), ChunkDelay apart.
	Chunked    bool
	ChunkSize  int
	ChunkDelay time.Duration
	// ErrorRate is the share of requests answered with ErrorStatus (0 = 500), ResetRate that of connections reset in place of
	// an answer, every second of them in the middle of one. 0 to 1.
	ErrorRate   float64
	ErrorStatus int
	ResetRate   float64
	// Events is the number of events on PathEvents (0 = DefaultEvents), EventInterval the time before each.
	Events        int
	EventInterval time.Duration
	// Seed determines the sequence of delays, sizes and faults, in the order in which requests come.
	Seed uint64
}

// Validate tells the first option that is out of bounds, by the name of its flag in spanload serve.
func (o *Options) Validate() error {
	checks := []struct {
		ok                  bool
		flag, value, allows string
	}{
		{o.Pause >= 0 && o.Pause <= o.PauseEvery, "--pause", o.Pause.String(), "0s up to --pause-every"},
		{o.ChunkSize >= 0 && o.ChunkSize <= MaxSize, "--chunk-size", strconv.Itoa(o.ChunkSize), "1 or more bytes"},
		{o.ChunkDelay >= 0, "--chunk-delay", o.ChunkDelay.String(), "0s or more"},
		{o.ErrorRate >= 0 && o.ErrorRate <= 1, "--error-rate", fmt.Sprint(o.ErrorRate), "0 to 1"},
		{o.ResetRate >= 0 && o.ResetRate <= 1, "--reset-rate", fmt.Sprint(o.ResetRate), "0 to 1"},
		{o.ErrorStatus == 0 || o.ErrorStatus >= 200 && o.ErrorStatus <= 599, "--error-status", strconv.Itoa(o.ErrorStatus), "200 to 599"},
		{o.Events >= 0 && o.Events <= 1_000_000, "--events", strconv.Itoa(o.Events), "1 to 1000000"},
		{o.EventInterval >= 0, "--event-interval", o.EventInterval.String(), "0s or more"},
	}
	for _, c := range checks {
		if !c.ok {
			return fmt.Errorf("%w: %s %s (allowed: %s)", ErrSpec, c.flag, c.value, c.allows)
		}
	}
	return nil
}

// Stats counts what a server has seen.
type Stats struct {
	Requests   int64 `json:"requests"`   // PathStats left out
	BodyBytes  int64 `json:"body_bytes"` // received
	Verified   int64 `json:"verified"`   // request bodies whose hash was told and right
	Mismatched int64 `json:"mismatched"` // … and wrong: answered 422
	Errors     int64 `json:"errors"`     // answered with ErrorStatus on purpose
	Resets     int64 `json:"resets"`     // connections reset on purpose
}

// HTTP is a running HTTP server.
type HTTP struct {
	options  Options
	server   fasthttp.Server
	listener net.Listener
	started  time.Time
	served   chan error
	content  []byte // bodies are pieces of this
	fixed    []byte // value of the hash header when all bodies are alike

	sequence, requests, bodyBytes, verified, mismatched, errors, resets atomic.Int64
}

// StartHTTP listens on address ("127.0.0.1:0" picks a port) and serves until Close.
func StartHTTP(address string, options Options) (*HTTP, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if options.ChunkSize == 0 {
		options.ChunkSize = 4096
	}
	if options.ErrorStatus == 0 {
		options.ErrorStatus = fasthttp.StatusInternalServerError
	}
	if options.Events == 0 {
		options.Events = DefaultEvents
	}
	s := &HTTP{
		options: options, listener: listener, started: time.Now(), served: make(chan error, 1),
		content: loadtest.RandomBytes(options.Seed, options.BodySize.Max),
	}
	if options.BodySize.Min == options.BodySize.Max {
		s.fixed = loadtest.AppendBodyHash(nil, loadtest.UpdateBodyHash(0, s.content))
	}
	s.server = fasthttp.Server{
		Handler:            s.handle,
		Name:               "spanload",
		ReadBufferSize:     16 << 10, // room for a head with a proxy's headers
		MaxRequestBodySize: loadtest.MaxBodySize,
		Logger:             silent{}, // broken clients are part of the tests, not news
	}
	go s.serve()
	return s, nil
}

// serve is the goroutine that accepts.
func (s *HTTP) serve() { s.served <- s.server.Serve(s.listener) }

// Address is the host:port it listens on.
func (s *HTTP) Address() string { return s.listener.Addr().String() }

// URL is its address as a URL without path.
func (s *HTTP) URL() string { return "http://" + s.Address() }

// Close stops listening, closes idle connections and waits up to a second for answers under way.
func (s *HTTP) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.server.ShutdownWithContext(ctx)
	_ = s.listener.Close() // the server forgets it when it is shut down before it began to serve
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // a client that never reads: not the server's failure
	}
	return errors.Join(err, <-s.served)
}

// Stats returns the counts so far.
func (s *HTTP) Stats() Stats {
	return Stats{
		Requests: s.requests.Load(), BodyBytes: s.bodyBytes.Load(), Verified: s.verified.Load(), Mismatched: s.mismatched.Load(),
		Errors: s.errors.Load(), Resets: s.resets.Load(),
	}
}

// handle answers one request.
func (s *HTTP) handle(ctx *fasthttp.RequestCtx) {
	path := string(ctx.Path())
	if path == PathStats {
		encoded, err := json.Marshal(s.Stats())
		if err != nil {
			panic("BUG: stats do not encode: " + err.Error())
		}
		ctx.SetContentType("application/json")
		ctx.SetBody(encoded)
		return
	}
	s.requests.Add(1)
	if !s.verify(ctx) {
		ctx.Error("body differs from its "+loadtest.HeaderBodyHash, fasthttp.StatusUnprocessableEntity)
		return
	}
	rng := s.rng()
	s.wait(rng)
	switch fault := rng.Float64(); {
	case fault < s.options.ResetRate:
		s.reset(ctx, rng)
	case fault < s.options.ResetRate+s.options.ErrorRate:
		s.errors.Add(1)
		ctx.Error("an error, as asked for\n", s.options.ErrorStatus)
	case path == PathEvents:
		s.events(ctx)
	case path == PathEcho:
		s.answer(ctx, ctx.PostBody(), nil)
	default:
		s.answer(ctx, s.content[:s.options.BodySize.sample(rng)], s.fixed)
	}
}

// rng returns the source of randomness of the next request: each has its own, so that one that draws more does not shift the
// draws of the others.
func (s *HTTP) rng() *rand.Rand {
	return rand.New(rand.NewPCG(s.options.Seed, uint64(s.sequence.Add(1))))
}

// verify counts the body of the request and compares it with what its sender says of it.
func (s *HTTP) verify(ctx *fasthttp.RequestCtx) bool {
	body := ctx.PostBody()
	s.bodyBytes.Add(int64(len(body)))
	want, told := loadtest.ParseBodyHash(ctx.Request.Header.Peek(loadtest.HeaderBodyHash))
	if !told {
		return true
	}
	if loadtest.UpdateBodyHash(0, body) != want {
		s.mismatched.Add(1)
		return false
	}
	s.verified.Add(1)
	return true
}

// wait holds the answer back.
func (s *HTTP) wait(rng *rand.Rand) {
	if d := s.options.Latency.sample(rng); d > 0 {
		time.Sleep(d)
	}
	if s.options.Pause <= 0 {
		return
	}
	phase := time.Since(s.started) % s.options.PauseEvery
	if phase >= s.options.PauseEvery-s.options.Pause {
		time.Sleep(s.options.PauseEvery - phase)
	}
}

// answer sends body and says its length and hash; hash is the value of the header when known.
func (s *HTTP) answer(ctx *fasthttp.RequestCtx, body, hash []byte) {
	if hash == nil {
		hash = loadtest.AppendBodyHash(nil, loadtest.UpdateBodyHash(0, body))
	}
	ctx.SetContentType("application/octet-stream")
	ctx.Response.Header.SetBytesV(loadtest.HeaderBodyHash, hash)
	if !s.options.Chunked {
		ctx.SetBody(body)
		return
	}
	ctx.Response.Header.Set(loadtest.HeaderBodyLength, strconv.Itoa(len(body)))
	body = append([]byte(nil), body...) // the request's buffer is not ours once the handler returns
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) { s.writeChunks(w, body) })
}

// writeChunks writes body in pieces, each of them one chunk.
func (s *HTTP) writeChunks(w *bufio.Writer, body []byte) {
	for first := true; len(body) > 0; first = false {
		if !first && s.options.ChunkDelay > 0 {
			time.Sleep(s.options.ChunkDelay)
		}
		n := min(s.options.ChunkSize, len(body))
		if _, err := w.Write(body[:n]); err != nil || w.Flush() != nil {
			return // the client is gone
		}
		body = body[n:]
	}
}

// events sends server-sent events, each with its time of sending. How long they are together is said first, so that a client sees when one is lost.
func (s *HTTP) events(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/event-stream")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	length := s.options.Events * len(loadtest.AppendEvent(nil, time.Now())) // until 2286 all are as long
	ctx.Response.Header.Set(loadtest.HeaderBodyLength, strconv.Itoa(length))
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		var line []byte
		for range s.options.Events {
			if s.options.EventInterval > 0 {
				time.Sleep(s.options.EventInterval)
			}
			line = loadtest.AppendEvent(line[:0], time.Now())
			if _, err := w.Write(line); err != nil || w.Flush() != nil {
				return
			}
		}
	})
}

// reset resets the connection, before or within the answer.
func (s *HTTP) reset(ctx *fasthttp.RequestCtx, rng *rand.Rand) {
	s.resets.Add(1)
	conn, ok := ctx.Conn().(*net.TCPConn)
	if !ok {
		panic(fmt.Sprintf("BUG: connection is a %T", ctx.Conn()))
	}
	if rng.Uint64()&1 == 1 {
		_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nthis is not all")) // gone anyway
	}
	ctx.SetConnectionClose()
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
