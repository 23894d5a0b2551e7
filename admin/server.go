// Package admin is what an operator talks to: health and readiness, metrics, the effective settings, profiles, the log level, and
// the end of the process. It has two listeners: the admin one answers everything, the metrics one only reads health and metrics.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/exporters"
)

// Config is what a Server is made from. Its functions are called by any number of goroutines at once.
type Config struct {
	// Admin and Metrics are the addresses of the listeners; "" = none. Where both cannot be bound, because they have one port, they
	// share it: then a connection to Admin's address gets everything, one to another address what Metrics answers.
	Admin, Metrics string
	// AnyPath: the metrics listener answers unknown paths with metrics, as Netramesh's does.
	AnyPath bool

	// Build is what spanwire_build_info says.
	Build Build
	// Ready returns nil when connections are accepted, else why not.
	Ready func() error
	// Relay returns the counters of the relay.
	Relay func() core.Stats
	// Verify: what Relay says of verified bytes is shown, since they are verified.
	Verify bool
	// Operations returns the counters by operation; nil = nothing is counted by operation.
	Operations func() []core.OperationStats
	// AccessLog and Statsd return the accounts of the access log and of statsd; nil = there is none.
	AccessLog func() AccessLogStats
	Statsd    func() StatsdStats
	// Exports returns the accounts of the exporters.
	Exports func() exporters.Stats
	// SamplerPolls returns how often the sampling endpoint was asked and gave an answer that could be used, or did not; nil = nobody is
	// asked.
	SamplerPolls func() (ok, failed uint64)
	// Settings returns the effective settings as JSON, secrets masked.
	Settings func() []byte
	// Probes are the addresses that /probe/tcp/PORT dials, by port.
	Probes map[uint16]string
	// SetLevel sets the level of the log and returns its name; with "" it only returns it.
	SetLevel func(string) (string, error)
	// Drain makes the process not ready; Quit makes it drain and end. Neither waits.
	Drain, Quit func()
	// Log hears of a listener that fails; nil = discard.
	Log *slog.Logger

	// headTimeout replaces the constant of its name; 0 = that. Tests shorten it.
	headTimeout time.Duration
	// sendTimeout likewise.
	sendTimeout time.Duration
}

// AccessLogStats is what became of the lines of the access log.
type AccessLogStats struct {
	Lines   uint64          // written
	Dropped []ReasonCounter // lost
}

// StatsdStats is what became of the datagrams to statsd.
type StatsdStats struct {
	Datagrams uint64          // handed to the kernel
	Errors    []ReasonCounter // not sent, or known to have reached nobody
}

// ReasonCounter is a counter with a reason.
type ReasonCounter struct {
	Reason string
	N      uint64
}

// Build says which program this is.
type Build struct{ Version, Commit, Go, Platform string }

// Limits that keep slow or many clients cheap. A scraper, two probes and a person are all that a sidecar's admin port sees.
const (
	// maxClients bounds connections, and so goroutines and buffers: 64 × about 10 KiB. Beyond it clients get 503 at once.
	maxClients = 64
	// headTimeout is how long a request, its body included, may take to arrive; idleTimeout how long the next one may.
	headTimeout = 5 * time.Second
	idleTimeout = 30 * time.Second
	// sendTimeout is how long a client may take for the response.
	sendTimeout = 10 * time.Second
	// bufferBytes holds the head of any request that a scraper or a probe sends.
	bufferBytes = 4096
	// maxBodyBytes: the only body is the name of a log level.
	maxBodyBytes = 1024
)

// Server is the admin and the metrics listener. The zero value is not usable; New makes one.
type Server struct {
	cfg       Config
	started   time.Time
	http      fasthttp.Server
	listeners []*listener
	quit      chan struct{} // closed by Close: profiles end
	served    chan error
}

// New binds the listeners; nothing is answered before Start.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.headTimeout == 0 {
		cfg.headTimeout = headTimeout
	}
	if cfg.sendTimeout == 0 {
		cfg.sendTimeout = sendTimeout
	}
	s := &Server{cfg: cfg, started: time.Now(), quit: make(chan struct{})}
	s.http = fasthttp.Server{
		Handler:               s.handle,
		Concurrency:           maxClients,
		ReadBufferSize:        bufferBytes,
		WriteBufferSize:       bufferBytes,
		ReadTimeout:           cfg.headTimeout,
		WriteTimeout:          cfg.sendTimeout,
		IdleTimeout:           idleTimeout,
		MaxIdleWorkerDuration: idleTimeout,
		MaxRequestBodySize:    maxBodyBytes,
		ReduceMemoryUsage:     true, // buffers go back while a client is idle
		NoDefaultServerHeader: true,
		CloseOnShutdown:       true,
		Logger:                silent{},
	}
	if err := s.bind(); err != nil {
		for _, l := range s.listeners {
			_ = l.Close()
		}
		return nil, err
	}
	s.served = make(chan error, len(s.listeners))
	return s, nil
}

// bind makes the listeners.
func (s *Server) bind() error {
	admin, metrics := s.cfg.Admin, s.cfg.Metrics
	switch {
	case admin != "" && metrics != "" && overlap(admin, metrics):
		l, err := s.listen("admin", wider(admin, metrics))
		if err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(admin)
		l.allAt = net.ParseIP(host)
		l.all = l.allAt == nil || l.allAt.IsUnspecified() || wider(admin, metrics) == admin
		s.listeners = append(s.listeners, l)
		return nil
	case admin != "":
		l, err := s.listen("admin", admin)
		if err != nil {
			return err
		}
		l.all = true
		s.listeners = append(s.listeners, l)
	}
	if metrics == "" {
		return nil
	}
	l, err := s.listen("metrics", metrics)
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, l)
	return nil
}

// overlap reports whether two addresses cannot both be bound.
func overlap(a, b string) bool {
	hostA, portA, _ := net.SplitHostPort(a)
	hostB, portB, _ := net.SplitHostPort(b)
	return portA == portB && portA != "0" && (hostA == hostB || wildcard(hostA) || wildcard(hostB))
}

func wildcard(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// wider returns the one of two overlapping addresses that includes the other.
func wider(a, b string) string {
	if host, _, _ := net.SplitHostPort(a); wildcard(host) {
		return a
	}
	return b
}

// Start answers from now on.
func (s *Server) Start() {
	for _, l := range s.listeners {
		go s.serve(l)
	}
}

// serve is the goroutine of one listener.
func (s *Server) serve(l *listener) {
	err := s.http.Serve(l)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		s.cfg.Log.Error("admin listener failed", "listener", l.name, "address", l.Addr().String(), "error", err)
	}
	s.served <- err
}

// Addrs returns the addresses of the listeners by name, "admin" and "metrics", with their real ports; one that is off is "".
func (s *Server) Addrs() (admin, metrics string) {
	for _, l := range s.listeners {
		if l.name == "admin" {
			admin = l.Addr().String()
		} else {
			metrics = l.Addr().String()
		}
	}
	if metrics == "" && s.cfg.Metrics != "" {
		metrics = admin
	}
	return admin, metrics
}

// Close stops answering: listeners close at once, requests under way have until ctx ends.
func (s *Server) Close(ctx context.Context) {
	close(s.quit)
	_ = s.http.ShutdownWithContext(ctx)
	for _, l := range s.listeners {
		_ = l.Close()
	}
}

// silent drops fasthttp's log: what clients do wrong is their business.
type silent struct{}

// Printf implements fasthttp.Logger.
func (silent) Printf(string, ...any) {}

// parsePort reads a decimal port, 1 to 65535.
func parsePort(s string) (uint16, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err == nil && n > 0
}
