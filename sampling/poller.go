// Package sampling asks a Jaeger sampling endpoint what to sample, off the loops, and tells the remote sampler of package
// core/trace.
//
// While the endpoint is away the last answer holds; before the first one, the sampler that the settings name.
package sampling

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/spanwire/spanwire/core/trace"
)

const (
	// firstRetry is the pause after a failure before the first answer, doubled up to the interval: a collector that starts together with the
	// pod is up soon.
	firstRetry = time.Second
	// jitter is the share by which an interval is shorter or longer at random, so that a fleet that was started at once does not ask at once.
	jitter = 0.1
	// askTimeout bounds one question.
	askTimeout = 5 * time.Second
	// maxAnswerBytes bounds an answer: ten thousand operations take about this much.
	maxAnswerBytes = 1 << 20
	// logEvery is how often a failure is logged at most.
	logEvery = 10 * time.Minute
)

// Config is what a Poller is made from.
type Config struct {
	// Remote is told each new answer. Invariant: not nil.
	Remote *trace.Remote
	// Service is the name that is asked for.
	Service string
	// Interval is how often the endpoint is asked; 0 = trace.DefaultPollInterval.
	Interval time.Duration
	// Version stands in the User-Agent.
	Version string
	// Log hears of changes and failures. Invariant: not nil.
	Log *slog.Logger
}

// Poller asks one endpoint until Stop.
type Poller struct {
	cfg    Config
	uri    string
	client fasthttp.HostClient
	ctx    context.Context // ends with Stop
	cancel context.CancelFunc
	done   chan struct{}

	last    []byte    // the answer that holds
	logNext time.Time // no failure is logged before
	failing bool      // the last question failed, and that was logged
}

// New makes a Poller. Nothing is asked until Start.
func New(cfg Config) *Poller {
	if cfg.Interval == 0 {
		cfg.Interval = trace.DefaultPollInterval
	}
	p := &Poller{cfg: cfg, done: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	u, err := url.Parse(cfg.Remote.URL())
	if err != nil {
		panic("BUG: the sampler's address was checked: " + err.Error())
	}
	q := u.Query()
	q.Set("service", cfg.Service)
	u.RawQuery = q.Encode()
	p.uri = u.String()
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p.client = fasthttp.HostClient{
		Addr: net.JoinHostPort(u.Hostname(), port), Name: "spanwire/" + cfg.Version, DialTimeout: p.dial, IsTLS: u.Scheme == "https",
		TLSConfig: &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}, MaxConns: 1, ReadTimeout: askTimeout,
		WriteTimeout: askTimeout, MaxResponseBodySize: maxAnswerBytes, MaxIdemponentCallAttempts: 1,
	}
	return p
}

// dial connects over IPv4 or IPv6, whichever answers; the name is resolved anew each time.
func (p *Poller) dial(addr string, timeout time.Duration) (net.Conn, error) {
	if timeout <= 0 || timeout > askTimeout {
		timeout = askTimeout
	}
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &stoppable{Conn: conn, release: context.AfterFunc(p.ctx, func() { _ = conn.Close() })}, nil
}

// stoppable is a connection that the end of its Poller closes.
type stoppable struct {
	net.Conn
	release func() bool
}

// Close implements net.Conn.
func (c *stoppable) Close() error {
	c.release()
	return c.Conn.Close()
}

// Start begins to ask. To be called once.
func (p *Poller) Start() { go p.poll() }

// Stop ends the asking, a question that is on its way included, and waits until that is done.
func (p *Poller) Stop() {
	p.cancel()
	<-p.done
}

// poll is the Poller's goroutine.
func (p *Poller) poll() {
	defer close(p.done)
	retry := firstRetry
	for {
		pause := p.cfg.Interval
		if err := p.askOnce(); err == nil {
			p.answered()
		} else if p.ctx.Err() == nil {
			p.failed(err)
			if p.last == nil && retry < pause {
				pause = retry
				retry *= 2
			}
		}
		wait := time.NewTimer(shake(pause))
		select {
		case <-p.ctx.Done():
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

// shake changes d by up to a tenth.
func shake(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}

// askOnce asks the endpoint. An answer like the last changes nothing, so that token buckets stay as they are.
func (p *Poller) askOnce() error {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(p.uri)
	req.Header.Set("Accept", "application/json")
	// Between two questions any server closes the connection.
	req.SetConnectionClose()
	req.Header.Set("b3", "0") // who asks what to trace is not to be traced
	if err := p.client.DoTimeout(req, resp, askTimeout); err != nil {
		return err
	}
	if code := resp.StatusCode(); code != fasthttp.StatusOK {
		return fmt.Errorf("status %d", code)
	}
	body := resp.Body()
	if p.last != nil && bytes.Equal(body, p.last) {
		return nil
	}
	st, err := parse(body)
	if err != nil {
		return err
	}
	p.cfg.Remote.Use(st)
	p.last = bytes.Clone(body)
	p.cfg.Log.Info("sampling strategy", "endpoint", p.cfg.Remote.URL(), "default", st.Default.String(),
		"operations", len(st.Ratios), "lower_bound", st.LowerBound)
	return nil
}

// answered counts an answer, and says that the endpoint is back if it was said to be away.
func (p *Poller) answered() {
	p.cfg.Remote.Polls.Add(1)
	if p.failing {
		p.failing = false
		p.cfg.Log.Info("sampling endpoint answers again", "endpoint", p.cfg.Remote.URL())
	}
}

// failed counts a failure and logs it once in a while.
func (p *Poller) failed(err error) {
	p.cfg.Remote.Failures.Add(1)
	now := time.Now()
	if now.Before(p.logNext) {
		return
	}
	p.logNext, p.failing = now.Add(logEvery), true
	holds := "the last answer holds"
	if p.last == nil {
		holds = "none was there yet, so the initial sampler decides"
	}
	p.cfg.Log.Warn("sampling endpoint failed", "endpoint", p.cfg.Remote.URL(), "error", err, "meanwhile", holds)
}
