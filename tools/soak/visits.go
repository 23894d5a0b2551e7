package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// links are a worker's connections by HTTP clients; each is made when first used.
type links struct {
	transport *http.Transport
	uses      int
}

func (l *links) close() {
	if l.transport != nil {
		l.transport.CloseIdleConnections()
		l.transport = nil
	}
}

// dialer connects to the sidecar.
var dialer = net.Dialer{Timeout: visitLimit}

// through returns the worker's client for one protocol, with new connections after each so many uses.
func (c *client) through(uses int, set func(*http.Protocols)) *http.Client {
	l := &c.links
	if l.uses >= uses {
		l.close()
	}
	if l.transport == nil {
		l.uses = 0
		l.transport = &http.Transport{
			Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: c.targets.roots, MinVersion: tls.VersionTLS12},
			DialContext: dialer.DialContext, DisableCompression: true,
		}
		set(l.transport.Protocols)
	}
	l.uses++
	return &http.Client{Transport: l.transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }
func http2(p *http.Protocols) { p.SetHTTP2(true) }
func h2c(p *http.Protocols)   { p.SetUnencryptedHTTP2(true) }

// once returns a client whose connection ends with its request. What it sends is never sent again by itself: net/http does that on used
// connections only.
func once() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialer.DialContext, DisableCompression: true}}
}

// exchange sends a request and reads the answer to its end. status is 0 if none came.
func exchange(ctx context.Context, h *http.Client, method, url string, body []byte, header ...string) (status int, answer []byte, err error) {
	var content io.Reader = http.NoBody
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return 0, nil, err
	}
	r.GetBody = nil // never twice
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := h.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// id makes the id of an item.
func (c *client) id() string { return strconv.Itoa(c.random.IntN(1_000_000)) }

// compare counts a visit of so many requests whose answer must be want.
func (c *client) compare(status int, got, want []byte, err error) {
	switch {
	case err != nil:
		c.tally.failed(c.kind, err)
	case status != http.StatusOK:
		c.tally.failed(c.kind, fmt.Errorf("status %d: %.200q", status, got))
	case !bytes.Equal(got, want):
		c.tally.differs(c.kind, len(got), len(want))
	}
	c.tally.done(c.kind, 1, len(got))
}

// get gets an item and compares it.
func (c *client) get(ctx context.Context, h *http.Client, url string, visible bool) {
	id := c.id()
	status, got, err := exchange(ctx, h, http.MethodGet, url+"/items/"+id, nil)
	if visible {
		c.tally.visibleRequest(c.side, status)
	}
	c.compare(status, got, itemOf(id), err)
}

func (c *client) plain() string { return "http://" + c.targets.plain[c.side] }

func keepAlive(ctx context.Context, c *client) {
	c.get(ctx, c.through(200, http1), c.plain(), true)
}

// call has the application call the upstream: a request on each side.
func call(ctx context.Context, c *client) {
	id := c.id()
	var header []string
	if c.visits%2 == 0 { // else the sidecar makes an id
		header = []string{"X-Request-Id", fmt.Sprintf("soak-%x-%s", c.random.Uint64(), id)}
	}
	status, got, err := exchange(ctx, c.through(200, http1), http.MethodGet, "http://"+c.targets.plain[inbound]+"/calls/"+id, nil, header...)
	c.tally.visibleRequest(inbound, status)
	c.compare(status, got, itemOf(id), err)
}

func churn(ctx context.Context, c *client) { c.get(ctx, once(), c.plain(), true) }

func overTLS(ctx context.Context, c *client) {
	c.get(ctx, c.through(10, http1), "https://"+c.targets.secure[c.side], false)
}

func overHTTP2(ctx context.Context, c *client) {
	c.together(ctx, c.through(50, http2), "https://"+c.targets.secure[c.side])
}

func overH2C(ctx context.Context, c *client) { c.together(ctx, c.through(50, h2c), c.plain()) }

// together makes three requests at once on one connection of HTTP/2.
func (c *client) together(ctx context.Context, h *http.Client, url string) {
	ids := [3]string{c.id(), c.id(), c.id()}
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			status, got, err := exchange(ctx, h, http.MethodGet, url+"/items/"+id, nil)
			c.compare(status, got, itemOf(id), err)
		})
	}
	all.Wait()
}

// stream holds a dialogue of ten messages in one request of HTTP/2, as gRPC does.
func stream(ctx context.Context, c *client) {
	c.tally.done(c.kind, 1, 0)
	err := func() error {
		reader, writer := io.Pipe()
		defer func() { _ = writer.Close() }()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.plain()+"/soak.Echo/Talk", reader)
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Te", "trailers")
		response, err := c.through(20, h2c).Do(r)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		for range 10 {
			n := c.random.IntN(8000)
			message := append([]byte{0, 0, 0, byte(n >> 8), byte(n)}, patterned(c.random.Uint64(), n)...)
			if _, err := writer.Write(message); err != nil {
				return err
			}
			got, err := readMessage(response.Body)
			if err != nil {
				return err
			}
			if !bytes.Equal(got, message) {
				c.tally.differs(c.kind, len(got), len(message))
			}
			c.tally.done(c.kind, 0, len(got))
			pause(ctx, 20*time.Millisecond)
		}
		_ = writer.Close()
		if _, err := readMessage(response.Body); !errors.Is(err, io.EOF) {
			return fmt.Errorf("after the last message: %w", err)
		}
		if s := response.Trailer.Get("Grpc-Status"); s != "0" {
			return fmt.Errorf("trailer %q", s)
		}
		return nil
	}()
	if err != nil {
		c.tally.failed(c.kind, err)
	}
}

// The bodies of bulk, evenly spread by their logarithm.
const (
	bulkMin = 64 << 10
	bulkMax = 4 << 20
)

// bulk sends a body and gets it back.
func bulk(ctx context.Context, c *client) {
	n := int(bulkMin * math.Pow(bulkMax/bulkMin, c.random.Float64()))
	body := patterned(c.random.Uint64(), n)
	status, got, err := exchange(ctx, c.through(20, http1), http.MethodPost, c.plain()+"/echo", body)
	c.tally.visibleRequest(c.side, status)
	c.compare(status, got, body, err)
}

// errorStatus asks for the answers that are no success.
func errorStatus(ctx context.Context, c *client) {
	codes := [...]int{301, 304, 400, 404, 429, 500, 502, 503, 504}
	want := codes[c.random.IntN(len(codes))]
	status, _, err := exchange(ctx, c.through(100, http1), http.MethodGet, fmt.Sprintf("%s/status/%d", c.plain(), want), nil)
	c.tally.visibleRequest(c.side, status)
	c.tally.done(c.kind, 1, 0)
	if err != nil || status != want {
		c.tally.failed(c.kind, fmt.Errorf("status %d (%w), want %d", status, err, want))
	}
}

func resetByServer(ctx context.Context, c *client) {
	status, _, err := exchange(ctx, once(), http.MethodGet, c.plain()+"/reset", nil)
	c.tally.visibleRequest(c.side, status)
	c.tally.done(c.kind, 1, 0)
	if err == nil || status != 0 {
		c.tally.failed(c.kind, fmt.Errorf("status %d where the server resets", status))
	}
}

func cutByServer(ctx context.Context, c *client) {
	status, got, err := exchange(ctx, once(), http.MethodGet, c.plain()+"/cut", nil)
	c.tally.visibleRequest(c.side, status)
	c.tally.done(c.kind, 1, len(got))
	switch {
	case err == nil || status != http.StatusOK:
		c.tally.failed(c.kind, fmt.Errorf("status %d, %w where the server ends early", status, err))
	case !bytes.Equal(got, patterned(1, cutBytes)):
		c.tally.differs(c.kind, len(got), cutBytes)
	}
}

// abandon closes the connection while the answer still comes.
func abandon(ctx context.Context, c *client) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.tally.done(c.kind, 1, 0)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.plain()+"/endless", http.NoBody)
	if err != nil {
		c.tally.failed(c.kind, err)
		return
	}
	response, err := once().Do(r)
	if err != nil {
		c.tally.visibleRequest(c.side, 0)
		c.tally.failed(c.kind, err)
		return
	}
	defer response.Body.Close()
	c.tally.visibleRequest(c.side, response.StatusCode)
	if _, err := io.ReadFull(response.Body, make([]byte, 1500)); err != nil {
		c.tally.failed(c.kind, err)
	}
}

func refused(ctx context.Context, c *client) {
	status, _, err := exchange(ctx, once(), http.MethodGet, "http://"+c.targets.dead[c.side]+"/items/1", nil)
	c.tally.visibleRequest(c.side, status)
	c.tally.done(c.kind, 1, 0)
	if err == nil || status != 0 {
		c.tally.failed(c.kind, fmt.Errorf("status %d where nobody listens", status))
	}
}

// notHTTP sends what no parser claims; the server says so and closes.
func notHTTP(ctx context.Context, c *client) {
	c.tally.done(c.kind, 1, 0)
	conn, err := c.connect(ctx)
	if err != nil {
		c.tally.failed(c.kind, err)
		return
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "\x16\x00\xff%x\r\n\r\n", c.random.Uint64())
	got, readErr := io.ReadAll(conn)
	if err != nil || readErr != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 400 ")) {
		c.tally.failed(c.kind, fmt.Errorf("%.100q, %w, %w", got, err, readErr))
	}
}

// connect opens a connection that no HTTP client handles, with the deadline of ctx.
func (c *client) connect(ctx context.Context) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, "tcp", c.targets.plain[c.side])
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	return conn, nil
}
