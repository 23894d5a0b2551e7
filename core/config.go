// Package core is the relay engine: it accepts connections, finds out where they were going, dials there at once, relays the
// bytes both ways, shows them to a parser as they pass, and turns what the parser sees into spans and inserted header
// lines.
//
// The path of a byte, by file: accept.go → origdst.go → dial.go → observe.go → edit.go → relay.go; spans leave through
// exchange.go into a ring. One worker (worker.go) is what one loop owns; nothing of it is shared.
package core

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/parsers"
)

// Errors of the configuration.
var (
	// ErrNoListener: neither a transparent nor an explicit listener was configured.
	ErrNoListener = errors.New("no listener configured")
	// ErrSelfUpstream: an explicit listener would dial itself.
	ErrSelfUpstream = errors.New("the upstream is this very listener")
)

// Listen is an explicit listener: what arrives at Addr goes to Upstream.
type Listen struct {
	Addr     string    // host:port; port 0 = any free one
	Upstream string    // host:port; a host name is resolved off the loops, again on failure and every 30 s
	Kind     span.Kind // Server: requests to the local application; Client: requests from it
}

// Config is what an Engine is made from.
type Config struct {
	// Heartbeat keeps a fail-open redirect to the transparent listener alive; without that listener it means nothing.
	Heartbeat bool
	// Loops is the number of event loops, at least 1.
	Loops int
	// Transparent is the address of the listener that redirected connections arrive at; "" = none.
	Transparent string
	// Explicit are the explicit listeners.
	Explicit []Listen
	// DialTimeout bounds a connect; 0 = 10 s.
	DialTimeout time.Duration
	// BusyPoll is how long a loop goes on looking for the answer to what it has passed on before it sleeps; 0 = not at all.
	BusyPoll time.Duration
	// HTTPPorts restricts parsing to these destination ports; empty = every port.
	HTTPPorts []uint16
	// Disabled: relay only; nothing is parsed, no span is made.
	Disabled bool
	// Trace is what the loops' tracers share. Invariant: not nil unless Disabled.
	Trace *trace.Shared
	// Parsers is the table of protocols; nil = parsers.Table().
	Parsers []parsers.Parser
	// RingSlots is the number of spans each loop's ring holds, a power of two; 0 = 2048.
	RingSlots int
	// MaxSeries switches on counters by operation, and bounds the series that a scraper sees of them; 0 = none. Invariant: set exactly when
	// Trace counts operations.
	MaxSeries int
	// CountStatuses: finished inbound requests are counted by status.
	CountStatuses bool
	// LogRequests: finished requests, sampled or not, go into rings of their own as well (RequestRings).
	LogRequests bool
	// Verify switches on that all that is sent is compared with what was received, by these rules; nil = it is not.
	Verify *verify.Rules
	// Log receives what a person should know; never payload. nil = discard.
	Log *slog.Logger
}

// Bound is a listener as it was bound.
type Bound struct {
	// Name is "transparent", "inbound" or "outbound".
	Name string
	// Addr is the address with its real port.
	Addr string
	// Upstream is where an explicit listener leads; "" for the transparent one.
	Upstream string
}

const (
	defaultDialTimeout = 10 * time.Second
	// defaultRingSlots holds 20 ms of spans at 100 000 a second, which is several time slices; 2 MiB a loop when it has been full, a tenth
	// of it in ordinary use (the ring starts over whenever it is empty).
	defaultRingSlots = 2048
)

// withDefaults fills in defaults and checks what cannot be checked later.
func (c Config) withDefaults() (Config, error) {
	if c.Loops < 1 {
		return c, fmt.Errorf("loops: %d: at least 1", c.Loops)
	}
	if c.Transparent == "" && len(c.Explicit) == 0 {
		return c, ErrNoListener
	}
	if c.Trace == nil && !c.Disabled {
		panic("BUG: core.Config.Trace is nil")
	}
	if c.DialTimeout == 0 {
		c.DialTimeout = defaultDialTimeout
	}
	if c.RingSlots == 0 {
		c.RingSlots = defaultRingSlots
	}
	if c.Parsers == nil {
		c.Parsers = parsers.Table()
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	for _, l := range c.Explicit {
		if err := checkHostPort(l.Upstream); err != nil {
			return c, fmt.Errorf("upstream %q: %w", l.Upstream, err)
		}
	}
	return c, nil
}

// checkHostPort reports what is wrong with a host:port that is to be dialled.
func checkHostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return err
	}
	if host == "" {
		return errors.New("a host is missing")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("port %q: 1 to 65535", port)
	}
	return nil
}
