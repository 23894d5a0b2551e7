// Package collector is a small span collector for the demo and its tests. It speaks Zipkin v2 (JSON, decoded with zipkin-go's
// model) and OTLP over HTTP (protobuf, decoded with OpenTelemetry's own messages), and keeps what it is sent.
package collector

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/openzipkin/zipkin-go/model"

	"github.com/spanwire/spanwire/demo/spans"
)

// maxBody bounds one batch in bytes, unpacked.
const maxBody = 32 << 20

// Collector receives spans until Close.
type Collector struct {
	server *http.Server
	addr   string

	mu       sync.Mutex
	received []spans.Span
	problems []error
	changed  chan struct{} // closed and replaced whenever received or problems grows
}

// Start listens on a free port of the loopback interface.
func Start() (*Collector, error) { return StartAt("127.0.0.1:0") }

// StartAt listens at addr.
func StartAt(addr string) (*Collector, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("collector: %w", err)
	}
	c := &Collector{addr: l.Addr().String(), changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/spans", c.receive(decodeZipkin, http.StatusAccepted))
	mux.HandleFunc("POST /v1/traces", c.receive(decodeOTLP, http.StatusOK))
	c.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go c.serve(l)
	return c, nil
}

// serve runs the HTTP server; it ends with Close.
func (c *Collector) serve(l net.Listener) {
	if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		c.keep(nil, fmt.Errorf("serve: %w", err))
	}
}

// ZipkinEndpoint returns the URL for spans as Zipkin v2 JSON.
func (c *Collector) ZipkinEndpoint() string { return "http://" + c.addr + "/api/v2/spans" }

// OTLPEndpoint returns the base URL for spans as OTLP.
func (c *Collector) OTLPEndpoint() string { return "http://" + c.addr }

// Close stops listening and cuts connections.
func (c *Collector) Close() error { return c.server.Close() }

// Spans returns a copy of the list of spans received so far, in the order of arrival.
func (c *Collector) Spans() []spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]spans.Span(nil), c.received...)
}

// Problems returns what could not be decoded; the sender was told with a 400.
func (c *Collector) Problems() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.problems...)
}

// Wait returns once n spans or more have come, or with the error of ctx.
func (c *Collector) Wait(ctx context.Context, n int) error {
	for {
		c.mu.Lock()
		have, changed := len(c.received), c.changed
		c.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d spans received: %w", have, n, ctx.Err())
		}
	}
}

// keep adds spans, or a problem, and wakes those in Wait.
func (c *Collector) keep(batch []spans.Span, problem error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.received = append(c.received, batch...)
	if problem != nil {
		c.problems = append(c.problems, problem)
	}
	close(c.changed)
	c.changed = make(chan struct{})
}

// receive returns a handler for batches of one format. Nothing of a batch that does not decode is kept.
func (c *Collector) receive(decode func(body []byte) ([]spans.Span, error), accepted int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		var batch []spans.Span
		if err == nil {
			batch, err = decode(body)
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", r.URL.Path, err)
			c.keep(nil, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.keep(batch, nil)
		w.WriteHeader(accepted)
	}
}

// readBody returns the body, unpacked when it is gzip.
func readBody(r *http.Request) ([]byte, error) {
	var body io.Reader = r.Body
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		body = z
	default:
		return nil, fmt.Errorf("content encoding %q is not known", encoding)
	}
	b, err := io.ReadAll(io.LimitReader(body, maxBody+1))
	if err == nil && len(b) > maxBody {
		err = fmt.Errorf("batch over %d bytes", maxBody)
	}
	return b, err
}

// decodeZipkin decodes a JSON list of Zipkin v2 spans. zipkin-go refuses a span without an id; what else makes a span useless is
// refused here, as Zipkin's own server does for the trace id.
func decodeZipkin(body []byte) ([]spans.Span, error) {
	var list []model.SpanModel
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	out := make([]spans.Span, 0, len(list))
	for _, m := range list {
		if m.TraceID.Empty() {
			return nil, model.ErrValidTraceIDRequired
		}
		out = append(out, spans.FromZipkin(m))
	}
	return out, nil
}
