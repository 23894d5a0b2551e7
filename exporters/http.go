package exporters

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// resolveEvery bounds the age of a connection, so that a name is resolved again at least that often.
	resolveEvery = 30 * time.Second
	// idleFor is how long a connection is kept without a request: several flush intervals, and less than collectors keep theirs (Zipkin
	// 10 s), so that it is we who close.
	idleFor = 5 * time.Second
	// maxAnswerBytes bounds an answer; those of collectors are empty or a short message.
	maxAnswerBytes = 64 << 10
	// maxMessageBytes is how much of a collector's message goes into the log.
	maxMessageBytes = 200
	// maxRetryAfter bounds how long a collector may silence us.
	maxRetryAfter = 5 * time.Minute
	// staleRetries is how often a request is repeated at once because the collector had closed the idle connection that it went out on.
	staleRetries = maxInFlight
	// gzipLevel is the fastest: spans are repetitive, higher levels gain little.
	gzipLevel = fasthttp.CompressBestSpeed
)

// accepted reads the body of an answer with a 2xx status: how many spans were rejected, and why.
type accepted func(body []byte) (rejected int, message string)

// httpSender posts batches to a URL.
type httpSender struct {
	client  fasthttp.HostClient
	uri     string
	headers []KV
	gzip    bool
	timeout time.Duration
	accept  accepted
	dials   atomic.Uint64
	tls     *tls.Config                 // nil: plain
	alert   atomic.Pointer[net.OpError] // what a connection ended with

	ctx    context.Context // ends with Abort
	cancel context.CancelFunc
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
}

// newHTTPSender returns a sender to u, of which name is the setting; contentType and the extra headers go with every request.
func newHTTPSender(cfg *Config, name string, u *url.URL, contentType string, accept accepted, extra ...KV) (*httpSender, error) {
	s := &httpSender{gzip: cfg.Gzip, timeout: cfg.Timeout, accept: accept, conns: map[net.Conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.headers = append(append(s.headers, KV{"Content-Type", contentType}), extra...)
	if user := u.User; user != nil {
		password, _ := user.Password()
		s.headers = append(s.headers, basicAuth(user.Username(), password))
	}
	own, err := headers(cfg)
	if err != nil {
		return nil, err
	}
	s.headers = append(s.headers, own...)
	bare := *u
	bare.User = nil
	s.uri = bare.String()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	s.client = fasthttp.HostClient{
		Addr: net.JoinHostPort(u.Hostname(), port), Name: userAgent(cfg), DialTimeout: s.dial, IsTLS: u.Scheme == "https",
		MaxConns: maxInFlight, MaxConnDuration: resolveEvery, MaxIdleConnDuration: idleFor, MaxIdemponentCallAttempts: 1,
		ReadTimeout: cfg.Timeout, WriteTimeout: cfg.Timeout, MaxResponseBodySize: maxAnswerBytes,
		ConnPoolStrategy: fasthttp.LIFO, DisablePathNormalizing: true,
	}
	if s.client.IsTLS {
		if s.tls, err = tlsConfig(cfg, u.Hostname()); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

// userAgent returns the User-Agent of the requests.
func userAgent(cfg *Config) string {
	if cfg.Version == "" {
		return scopeName
	}
	return scopeName + "/" + cfg.Version
}

// basicAuth returns the Authorization header of RFC 7617.
func basicAuth(user, password string) KV {
	return KV{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
}

// headers returns the user's headers.
func headers(cfg *Config) ([]KV, error) {
	for _, h := range cfg.Headers {
		// The value may be a secret: the message leaves it out.
		if !isToken(h.Key) || strings.ContainsAny(h.Value, "\r\n\x00") {
			return nil, fmt.Errorf("--export-header %q: not a header; allowed: a token as name, a value on one line", h.Key)
		}
	}
	return slices.Clone(cfg.Headers), nil
}

// isToken reports whether s is a token (RFC 9110 §5.6.2).
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// dial connects to addr over IPv4 or IPv6, whichever answers; the name is resolved anew each time.
func (s *httpSender) dial(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	s.dials.Add(1)
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &trackedConn{Conn: conn, owner: s}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if s.ctx.Err() != nil { // Abort may have missed it
		_ = c.Close()
		return nil, errAborted
	}
	if s.tls == nil {
		return c, nil
	}
	secure := tls.Client(c, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return alertConn{Conn: secure, alert: &s.alert}, nil
}

// trackedConn is a connection that Abort can close.
type trackedConn struct {
	net.Conn
	owner *httpSender
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// Abort implements Sender.
func (s *httpSender) Abort() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.(*trackedConn).Conn.Close()
	}
}

// Send implements Sender.
func (s *httpSender) Send(payload []byte, _ int) Result {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(s.uri)
	req.Header.SetMethod(fasthttp.MethodPost)
	for _, h := range s.headers {
		req.Header.Set(h.Key, h.Value)
	}
	if s.gzip {
		req.Header.Set("Content-Encoding", "gzip")
		req.SetBodyRaw(fasthttp.AppendGzipBytesLevel(nil, payload, gzipLevel))
	} else {
		req.SetBodyRaw(payload)
	}
	err := s.exchange(req, resp)
	switch {
	case err == nil:
		return s.judge(resp)
	case s.ctx.Err() != nil:
		return Result{Outcome: Retry, Failure: FailConnect, Err: errAborted}
	}
	failure := classify(err)
	if failure.isTLS() {
		return Result{Outcome: RetryFew, Failure: failure, Err: err, Reason: ReasonTLS}
	}
	return Result{Outcome: Retry, Failure: failure, Err: err}
}

// exchange sends req and reads the answer. A request that went out on an idle connection which the collector was just closing is
// repeated at once: that is no failure of the collector.
func (s *httpSender) exchange(req *fasthttp.Request, resp *fasthttp.Response) error {
	deadline := time.Now().Add(s.timeout)
	for attempt := 0; ; attempt++ {
		dials := s.dials.Load()
		err := s.client.DoDeadline(req, resp, deadline)
		alert := s.alert.Swap(nil)
		switch {
		case err != nil && alert != nil:
			return alert
		case errors.Is(err, fasthttp.ErrBodyTooLarge):
			return nil // the status is known, and the body says nothing that must be known
		case err == nil || attempt >= staleRetries || s.dials.Load() != dials || !isClosed(err):
			return err
		}
	}
}

// isClosed reports whether err means that the other side had closed the connection before it answered.
func isClosed(err error) bool {
	return errors.Is(err, fasthttp.ErrConnectionClosed) || errors.Is(err, io.EOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// judge turns an answer into a result (OTLP specification, Failures; Zipkin and Jaeger are treated alike).
func (s *httpSender) judge(resp *fasthttp.Response) Result {
	status := resp.StatusCode()
	switch {
	case status >= 200 && status < 300:
		rejected, message := 0, ""
		if s.accept != nil {
			rejected, message = s.accept(resp.Body())
		}
		if rejected == 0 && message == "" {
			return Result{Outcome: Delivered}
		}
		return Result{Outcome: Delivered, Rejected: rejected, Failure: FailPartial, Err: errors.New("partial success: " + message)}
	case status == 429, status == 502, status == 503, status == 504:
		return Result{Outcome: Retry, Failure: FailBusy, Err: fmt.Errorf("status %d", status), RetryAfter: retryAfter(resp, time.Now())}
	}
	err := fmt.Errorf("status %d: %s", status, printable(resp.Body()))
	return Result{Outcome: Refused, Failure: FailStatus, Err: err, Reason: ReasonRejected}
}

// retryAfter returns what the header Retry-After asks for (RFC 9110 §10.2.3), 0 when there is none that can be read.
func retryAfter(resp *fasthttp.Response, now time.Time) time.Duration {
	value := string(resp.Header.Peek("Retry-After"))
	if value != "" && strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 32)
		if err != nil || seconds > uint64(maxRetryAfter/time.Second) { // too large for a number, too
			return maxRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	for _, layout := range httpDates {
		if at, err := time.Parse(layout, value); err == nil {
			return max(0, min(at.Sub(now), maxRetryAfter))
		}
	}
	return 0
}

// httpDates are the forms of a date that a recipient has to read (RFC 9110 §5.6.7).
var httpDates = [...]string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC}

// printable returns the start of a collector's message, fit for a line of the log.
func printable(body []byte) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xFFFD {
			return ' '
		}
		return r
	}, string(body[:min(len(body), maxMessageBytes)]))
	return strings.TrimSpace(text)
}
