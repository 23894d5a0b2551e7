//go:build e2e

package faults

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/e2e/faults/relay"
)

// load holds conversations between clients and servers, and keeps what became of each.
type load struct {
	t       *testing.T
	next    atomic.Uint32
	talking atomic.Int64 // servers' ends that are open

	mu      sync.Mutex
	book    map[uint32]*record
	orphans []end // servers' ends that never learned their token, with an error that is no alteration
	unnamed int   // connections that were cut off before anybody could tell whose they were
	over    bool  // a client got bytes that were not sent
	wholes  int   // conversations that ended as they should, for the client
}

// record is what became of a conversation.
type record struct {
	outbound       bool
	begun, ended   bool // by the client
	served         int  // how many connections came to the server with its token
	client, server end
	harms          []relay.Fault // what cut it off
}

func newLoad(t *testing.T) *load { return &load{t: t, book: map[uint32]*record{}} }

// of returns the record of a token. mu is held.
func (l *load) of(token uint32) *record {
	r := l.book[token]
	if r == nil {
		r = &record{}
		l.book[token] = r
	}
	return r
}

// server starts a server and returns its address.
func (l *load) server() string {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = ln.Close() })
	go l.acceptAll(ln)
	return ln.Addr().String()
}

func (l *load) acceptAll(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		l.talking.Add(1)
		go func() {
			defer l.talking.Add(-1)
			token, known, e := serve(c.(*net.TCPConn))
			l.mu.Lock()
			defer l.mu.Unlock()
			if !known {
				l.orphans = append(l.orphans, e)
				return
			}
			r := l.of(token)
			r.served++
			r.server = e
		}()
	}
}

// harmed notes that a relay is cutting a connection off.
func (l *load) harmed(first []byte, f relay.Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if token, known := tokenIn(first); known {
		r := l.of(token)
		r.harms = append(r.harms, f)
		return
	}
	l.unnamed++
}

// run has clients converse with addr, one conversation after the other each, until over is closed, and waits for them.
func (l *load) run(addr string, outbound bool, clients int, over <-chan struct{}) {
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for !l.hopeless() {
				select {
				case <-over:
					return
				default:
					l.one(addr, outbound)
				}
			}
		})
	}
	wg.Wait()
}

// hopeless reports whether the load may end, for judge will have something to say.
func (l *load) hopeless() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

// whole returns how many conversations have ended as they should.
func (l *load) whole() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wholes
}

// ended returns how many conversations have ended for the client, as they should or not.
func (l *load) ended() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.book {
		if r.ended {
			n++
		}
	}
	return n
}

// one holds one conversation with addr.
func (l *load) one(addr string, outbound bool) end {
	token := l.next.Add(1)
	l.mu.Lock()
	r := l.of(token)
	r.begun, r.outbound = true, outbound
	l.mu.Unlock()
	e := converse(addr, token)
	l.mu.Lock()
	defer l.mu.Unlock()
	r.client, r.ended = e, true
	l.over = l.over || errors.Is(e.err, errAltered)
	if e.err == nil {
		l.wholes++
	}
	return e
}

// tally sums up a load.
type tally struct {
	conversations, whole, cut int
	// Of inbound, outbound: of which a byte was sent; which arrived whole; and which the sidecar must have seen, since no FIN came from the
	// server in mid-stream.
	requests [2]struct{ sent, served, visible int }
	bytes    int
}

// judge checks every conversation: what nobody cut off arrived whole at both ends; what was cut off by a reset ended by a reset; nothing was altered
// or is stuck; nothing was served twice. The ends check byte by byte, so that what came before a cut is a beginning. It returns what is wrong.
func (l *load) judge() (sum tally, faults []string) {
	for deadline := time.Now().Add(stuck); l.talking.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			faults = append(faults, fmt.Sprintf("%d servers' ends stay open", l.talking.Load()))
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var missing []string
	for token, r := range l.book {
		side := 0
		if r.outbound {
			side = 1
		}
		sum.conversations++
		sum.bytes += r.client.bytes + r.server.bytes
		if s := newScript(token); s.kind == kindHTTP {
			sum.requests[side].sent += r.client.heads
			sum.requests[side].served += r.server.heads
			if !slices.Contains(r.harms, relay.Cut) {
				sum.requests[side].visible += r.server.heads
			}
		}
		switch wrong, lost := r.verdict(); {
		case wrong != "":
			faults = append(faults, fmt.Sprintf("c-%08x: %s: %s", token, wrong, r))
		case lost:
			missing = append(missing, fmt.Sprintf("c-%08x: %s", token, r))
		case r.client.err == nil && r.server.err == nil:
			sum.whole++
		default:
			sum.cut++
		}
	}
	for _, e := range l.orphans {
		if errors.Is(e.err, errAltered) || e.late {
			faults = append(faults, fmt.Sprintf("a connection without a token: %v", e.err))
		}
	}
	slices.Sort(missing)
	if len(missing) > l.unnamed {
		faults = append(faults, fmt.Sprintf("%d conversations ended early, but %d only were cut off without being known:\n\t%s", len(missing), l.unnamed,
			strings.Join(missing[:min(20, len(missing))], "\n\t")))
	}
	return sum, faults
}

// verdict says what is wrong with a conversation, or that it ended early without anybody having cut it off.
func (r *record) verdict() (wrong string, lost bool) {
	for _, e := range []end{r.client, r.server} {
		if errors.Is(e.err, errAltered) {
			return "bytes came that were not sent", false
		}
		if e.late {
			return "stuck", false
		}
	}
	switch {
	case !r.begun || !r.ended:
		return "no client knows of it", false
	case r.served > 1:
		return "came to the server more than once", false
	case len(r.harms) == 0:
		return "", r.client.err != nil || r.served == 0 || r.server.err != nil
	case slices.Contains(r.harms, relay.Cut):
		return "", false
	case r.client.clean:
		return "a reset came to the client as an end", false
	case r.server.clean:
		return "a reset came to the server as an end", false
	}
	return "", false
}

// String describes a conversation.
func (r *record) String() string {
	return fmt.Sprintf("outbound %v, cut off by %v; client: %d bytes, %v; served %d: %d bytes, %v", r.outbound, r.harms, r.client.bytes, r.client.err,
		r.served, r.server.bytes, r.server.err)
}
