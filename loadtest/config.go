package loadtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Bounds of the settings, stated in the messages of Validate and in the help of spanload.
const (
	// MinRate and MaxRate bound Config.Rate, requests a second. The upper one is more than a core can send by far.
	MinRate, MaxRate = 0.01, 10_000_000
	// MaxConnections is the descriptor limit of a large machine's default, less some.
	MaxConnections = 60_000
	// MaxPipeline bounds the requests in flight on one connection.
	MaxPipeline = 1024
	// MaxBodySize bounds a request body or TCP message in bytes: it is held in memory, once.
	MaxBodySize = 256 << 20
	// MaxTimeout is what the histogram can hold.
	MaxTimeout = 10 * time.Minute
)

// ErrConfig is wrapped by every error of Validate: the settings are at fault, not the run.
var ErrConfig = errors.New("invalid setting")

// Header is a request header field.
type Header struct{ Name, Value string }

// Config describes one run. DefaultConfig has the defaults of spanload; a zero Config is not valid.
type Config struct {
	// URL is the target: http://host[:port]/path, or host:port with TCP.
	URL string
	// Closed makes each connection send its next request when it has its answer, as fast as that goes; Rate is then unused.
	Closed bool
	// Rate is the number of requests a second over all connections; 0 with Closed.
	Rate float64
	// Arrivals says how an open loop spreads them.
	Arrivals Arrivals
	// Connections is how many carry requests. IdleConnections are opened besides and never used.
	Connections, IdleConnections int
	// Warmup is run before Duration with the same traffic, and not measured; its errors count.
	Warmup, Duration time.Duration
	// Requests ends the run after so many, warm-up included; 0 = no such limit.
	Requests int64
	// Method and Headers are sent with every request. A Host header replaces the one made from URL.
	Method  string
	Headers []Header
	// BodySize is the length of the request body, random bytes drawn from Seed; with TCP that of the message (at least 1).
	BodySize int
	// Body replaces the random body when not nil.
	Body []byte
	// Pipeline is how many requests may be in flight on one connection; 1 = none behind another.
	Pipeline int
	// NoKeepalive opens a connection for every request.
	NoKeepalive bool
	// Timeout bounds one request from being sent (connecting included) to the end of its answer.
	Timeout time.Duration
	// ExpectStatus lists the status codes that are right; empty = any 2xx.
	ExpectStatus []int
	// TCP sends messages and expects them back unchanged, in place of HTTP.
	TCP bool
	// Events reads answers as server-sent events of this package's server and records the delay of each (Result.EventLatency).
	Events bool
	// Seed determines bodies and Poisson arrivals.
	Seed uint64
	// Progress, when not nil, is called by the loop about twice a second. It must not block.
	Progress func(Progress)
}

// DefaultConfig returns the defaults for url: 1 000 requests a second, open loop, over 32 connections for 10 s.
func DefaultConfig(url string) Config {
	return Config{
		URL: url, Rate: 1000, Connections: 32, Warmup: time.Second, Duration: 10 * time.Second, Method: "GET",
		Pipeline: 1, Timeout: 10 * time.Second, Seed: 1,
	}
}

// Validate tells the first setting that is out of bounds, by the name of its flag in spanload.
func (c *Config) Validate() error {
	checks := []struct {
		ok                   bool
		flag, value, allowed string
	}{
		{c.Closed || (c.Rate >= MinRate && c.Rate <= MaxRate), "--rate", fmt.Sprint(c.Rate),
			fmt.Sprintf("%v to %d requests a second", MinRate, MaxRate)},
		{!c.Closed || c.Rate == 0, "--rate", fmt.Sprint(c.Rate), "nothing together with --closed, which sends as fast as answers come"},
		{!c.Closed || c.Arrivals == Constant, "--arrivals", c.Arrivals.String(), "constant together with --closed"},
		{c.Connections >= 1 && c.Connections <= MaxConnections, "--connections", fmt.Sprint(c.Connections),
			fmt.Sprintf("1 to %d", MaxConnections)},
		{c.IdleConnections >= 0 && c.IdleConnections <= MaxConnections, "--idle-connections", fmt.Sprint(c.IdleConnections),
			fmt.Sprintf("0 to %d", MaxConnections)},
		{c.Duration > 0, "--duration", c.Duration.String(), "more than 0s"},
		{c.Warmup >= 0, "--warmup", c.Warmup.String(), "0s or more"},
		{c.Requests >= 0, "--requests", fmt.Sprint(c.Requests), "0 (no limit) or more"},
		{c.TCP || isToken(c.Method), "--method", c.Method, "a token such as GET or POST"},
		{c.BodySize >= 0 && c.BodySize <= MaxBodySize, "--body-size", fmt.Sprint(c.BodySize), fmt.Sprintf("0 to %d bytes", MaxBodySize)},
		{c.Body == nil || c.BodySize == 0, "--body-size", fmt.Sprint(c.BodySize), "nothing together with --body-file"},
		{!c.TCP || c.BodySize > 0 || len(c.Body) > 0, "--body-size", fmt.Sprint(c.BodySize), "1 or more with --tcp: the size of a message"},
		{c.Pipeline >= 1 && c.Pipeline <= MaxPipeline, "--pipeline", fmt.Sprint(c.Pipeline), fmt.Sprintf("1 to %d", MaxPipeline)},
		{c.Pipeline == 1 || !c.NoKeepalive, "--pipeline", fmt.Sprint(c.Pipeline), "1 with --no-keepalive"},
		{c.Timeout >= time.Millisecond && c.Timeout <= MaxTimeout, "--timeout", c.Timeout.String(), "1ms to " + MaxTimeout.String()},
		{!c.TCP || len(c.Headers) == 0, "--header", fmt.Sprint(len(c.Headers)), "none with --tcp"},
		{!c.TCP || len(c.ExpectStatus) == 0, "--expect-status", fmt.Sprint(c.ExpectStatus), "none with --tcp"},
		{!c.TCP || !c.Events, "--events", "true", "nothing with --tcp"},
	}
	for _, check := range checks {
		if !check.ok {
			return fmt.Errorf("%w: %s %s (allowed: %s)", ErrConfig, check.flag, check.value, check.allowed)
		}
	}
	for _, code := range c.ExpectStatus {
		if code < 200 || code > 599 {
			return fmt.Errorf("%w: --expect-status %d (allowed: 200 to 599)", ErrConfig, code)
		}
	}
	if err := validateHeaders(c.Headers); err != nil {
		return err
	}
	_, err := parseTarget(c.URL, c.TCP)
	return err
}

// validateHeaders refuses what would break the framing of the request, and what this package sets itself.
func validateHeaders(headers []Header) error {
	for _, h := range headers {
		field := h.Name + ": " + h.Value
		if !isToken(h.Name) || strings.ContainsAny(h.Value, "\r\n\x00") {
			return fmt.Errorf("%w: --header %q (allowed: Name: value, on one line)", ErrConfig, field)
		}
		switch strings.ToLower(h.Name) {
		case "content-length", "transfer-encoding", "connection", strings.ToLower(HeaderBodyHash):
			return fmt.Errorf("%w: --header %q (allowed: any but Content-Length, Transfer-Encoding, Connection and %s, which follow from "+
				"other settings)", ErrConfig, field, HeaderBodyHash)
		}
	}
	return nil
}

// isToken tells whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	const others = "!#$%&'*+-.^_`|~"
	for _, c := range []byte(s) {
		alphanumeric := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
		if !alphanumeric && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != ""
}

// target is where the traffic goes.
type target struct {
	host    string // value of the Host field; empty with TCP
	address string // host:port to resolve and dial
	path    string // request target in origin form
}

// parseTarget reads Config.URL.
func parseTarget(raw string, tcp bool) (target, error) {
	if tcp {
		raw = strings.TrimPrefix(raw, "tcp://")
		u, err := url.Parse("tcp://" + raw)
		if err != nil || u.Hostname() == "" || u.Port() == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return target{}, fmt.Errorf("%w: target %q (allowed: host:port with --tcp)", ErrConfig, raw)
		}
		return target{address: u.Host}, nil
	}
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return target{}, fmt.Errorf("%w: target %q (allowed: http://host[:port][/path])", ErrConfig, raw)
	}
	t := target{host: u.Host, address: u.Host, path: u.RequestURI()}
	if u.Port() == "" {
		t.address = strings.TrimSuffix(u.Host, ":") + ":80"
	}
	return t, nil
}

// ReadBody reads a file for Config.Body; never nil, even when the file is empty.
func ReadBody(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: --body-file: %w (allowed: a readable file)", ErrConfig, err)
	}
	if len(b) > MaxBodySize {
		return nil, fmt.Errorf("%w: --body-file %s (allowed: at most %d bytes)", ErrConfig, path, MaxBodySize)
	}
	return append(make([]byte, 0, len(b)), b...), nil
}
