// Package statsd tells a statsd daemon how many inbound requests were answered with which status: a counter inbound.<status>, over UDP, many in one
// datagram. It reads the loops' own counters once a second, so requests cost nothing for it, and a receiver that is gone costs nothing either.
package statsd

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// MaxStatus bounds the statuses; those of HTTP end at 599.
const MaxStatus = 600

// Counts are requests by status; they only grow.
type Counts [MaxStatus]uint64

const (
	// interval is how often counters are sent; statsd's own default is to hand on what it has every 10 s.
	interval = time.Second
	// maxDatagram fits into an Ethernet frame through a tunnel or two: statsd's documentation calls 1432 bytes safe.
	maxDatagram = 1432
	// reconnectEvery is how often the name is looked up anew.
	reconnectEvery = 30 * time.Second
	// lookupTimeout bounds that.
	lookupTimeout = 5 * time.Second
)

// Config is what a Sender is made from.
type Config struct {
	// Addr is HOST:PORT.
	Addr string
	// Prefix stands before the names, with a dot; "" = none.
	Prefix string
	// Counts returns what was counted so far; false when that is not known at the moment.
	Counts func() (Counts, bool)

	interval time.Duration // replaces the constant of its name in tests
}

// Reason is why a datagram was not delivered; the label `reason` of spanwire_statsd_errors_total.
type Reason uint8

// The reasons.
const (
	// ReasonResolve: the name has no address, or none that can be sent to. What should have been sent is sent later.
	ReasonResolve Reason = iota
	// ReasonRefused: an earlier datagram reached a host where nobody listens (ICMP port unreachable, man 7 udp). What it said is lost; what should have
	// been sent now is sent later.
	ReasonRefused
	// ReasonSend: the kernel did not take it. It is sent later.
	ReasonSend
	// NumReasons is the number of values of Reason.
	NumReasons
)

// String returns the value of the label.
func (r Reason) String() string { return [NumReasons]string{"resolve", "refused", "send"}[r] }

// Stats is what became of the datagrams.
type Stats struct {
	Datagrams uint64 // handed to the kernel
	Errors    [NumReasons]uint64
}

// Sender is the goroutine that sends, and its account.
type Sender struct {
	cfg    Config
	prefix string
	stop   chan struct{}
	done   chan struct{}

	conn   net.Conn // nil: to be made
	dialed time.Time
	told   Counts // what the daemon was told so far
	buf    []byte

	datagrams atomic.Uint64
	errors    [NumReasons]atomic.Uint64
}

// New makes a sender; nothing is looked up or sent before Start.
func New(cfg Config) *Sender {
	if cfg.interval == 0 {
		cfg.interval = interval
	}
	s := &Sender{cfg: cfg, stop: make(chan struct{}), done: make(chan struct{}), buf: make([]byte, 0, maxDatagram)}
	if p := strings.TrimSuffix(cfg.Prefix, "."); p != "" {
		s.prefix = p + "."
	}
	return s
}

// Start begins to send.
func (s *Sender) Start() { go s.run() }

// Close sends what was counted since, once, and ends; it waits for that until ctx is done. After Start only.
func (s *Sender) Close(ctx context.Context) {
	close(s.stop)
	select {
	case <-s.done:
	case <-ctx.Done(): // a name server does not answer
	}
}

// Stats returns the account. Any goroutine.
func (s *Sender) Stats() Stats {
	st := Stats{Datagrams: s.datagrams.Load()}
	for i := range st.Errors {
		st.Errors[i] = s.errors[i].Load()
	}
	return st
}

// run is the goroutine.
func (s *Sender) run() {
	defer close(s.done)
	ticker := time.NewTicker(s.cfg.interval)
	defer ticker.Stop()
	for stopping := false; !stopping; {
		select {
		case <-ticker.C:
		case <-s.stop:
			stopping = true
		}
		if counts, ok := s.cfg.Counts(); ok && counts != s.told {
			s.send(&counts)
		}
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

// send tells the daemon what is new in counts. It stops at the first error: the rest is told the next time.
func (s *Sender) send(counts *Counts) {
	if !s.connect() {
		return
	}
	s.buf = s.buf[:0]
	first := 0 // status from which on the datagram tells
	for status, n := range counts {
		if n == s.told[status] {
			continue
		}
		before := len(s.buf)
		s.buf = s.appendCounter(s.buf, status, n-s.told[status])
		if len(s.buf) > maxDatagram {
			whole := s.buf
			s.buf = s.buf[:before]
			if !s.write(counts, first, status) {
				return
			}
			s.buf = append(s.buf[:0], whole[before+1:]...) // without the line feed between
			first = status
		}
	}
	if len(s.buf) > 0 {
		s.write(counts, first, MaxStatus)
	}
}

// appendCounter appends a counter, after a line feed where one stands before it.
func (s *Sender) appendCounter(dst []byte, status int, n uint64) []byte {
	if len(dst) > 0 {
		dst = append(dst, '\n')
	}
	dst = append(append(dst, s.prefix...), "inbound."...)
	dst = append(strconv.AppendInt(dst, int64(status), 10), ':')
	return append(strconv.AppendUint(dst, n, 10), "|c"...)
}

// write sends the datagram, which tells the statuses from first to before end.
func (s *Sender) write(counts *Counts, first, end int) bool {
	if _, err := s.conn.Write(s.buf); err != nil {
		reason := ReasonSend
		if errors.Is(err, syscall.ECONNREFUSED) {
			reason = ReasonRefused
		}
		s.errors[reason].Add(1)
		return false
	}
	s.datagrams.Add(1)
	copy(s.told[first:end], counts[first:end])
	return true
}

// connect looks the name up when that is due. While it cannot be, the last address that was found stays.
func (s *Sender) connect() bool {
	now := time.Now()
	if s.conn != nil && now.Sub(s.dialed) < reconnectEvery {
		return true
	}
	conn, err := net.DialTimeout("udp", s.cfg.Addr, lookupTimeout)
	if err != nil {
		s.errors[ReasonResolve].Add(1)
		return s.conn != nil
	}
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.conn, s.dialed = conn, now
	return true
}
