//go:build e2e

package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/smuggling"
)

const (
	// sessionPatience bounds a session; nothing takes nearly as long.
	sessionPatience = 20 * time.Second
	// bytewise bounds the vectors that are sent a byte at a time; longer ones go in pieces of longPiece bytes.
	bytewise  = 600
	longPiece = 1000
	// numRecorders is how many sessions run at once.
	numRecorders = 4
)

// recorder is a server that records one connection at a time.
type recorder struct {
	addr string
	l    *net.TCPListener
}

func startRecorders(t *testing.T) (all []*recorder) {
	for range numRecorders {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		all = append(all, &recorder{addr: l.Addr().String(), l: l.(*net.TCPListener)})
	}
	return all
}

// play is one session: where the client connects, and where its bytes are cut.
type play struct {
	inbound bool
	cuts    []int
	pieces  bool // cut by length: the head may come too slowly
}

// plays returns the segmentations of v: whole and byte by byte on both sides, and in two at each place where a cut is likely to matter.
func plays(v *smuggling.Vector) []play {
	step := 1
	if len(v.Client) > bytewise {
		step = longPiece
	}
	var cuts []int
	for at := step; at < len(v.Client); at += step {
		cuts = append(cuts, at)
	}
	all := []play{{inbound: true}, {}, {true, cuts, true}, {false, cuts, true}}
	for _, at := range v.Splits() {
		all = append(all, play{true, []int{at}, true})
	}
	return all
}

// playArrival plays v in all segmentations and compares what arrives, what is recorded and how the sessions end with what the table says. before is the
// sidecar's state, and it returns that afterwards.
func (x *beside) playArrival(t *testing.T, v *smuggling.Vector, before state, recorders []*recorder, n *tally) state {
	all := plays(v)
	var next, edited, missing atomic.Int64
	var wg sync.WaitGroup
	for _, r := range recorders {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all); i = int(next.Add(1)) - 1 {
				p := all[i]
				to := x.outbound[r.addr]
				if p.inbound {
					to = x.inbound[r.addr]
				}
				heads, err := r.session(v, to, p.cuts)
				if err != nil {
					t.Errorf("%s: inbound %v, cut at %s: %v\nsent %q", v, p.inbound, first(p.cuts), err, v.Client[:min(len(v.Client), 2000)])
					return
				}
				for k, yes := range heads {
					switch {
					case yes:
						edited.Add(1)
					case p.pieces:
						missing.Add(1)
					default:
						t.Errorf("%s: head %d is not edited", v, k)
					}
				}
			}
		})
	}
	wg.Wait()
	after := x.settled()
	n.sessions += len(all)
	n.heads += int(edited.Load())
	n.spans += after.requests - before.requests
	x.missing += int(missing.Load())
	if slow := after.slow - before.slow; int(missing.Load()) > slow {
		t.Errorf("%s: %d heads were not edited, %d of them for being slow", v, missing.Load(), slow)
	}
	if got, want := after.requests-before.requests, len(all)*v.Spans; got != want {
		t.Errorf("%s: %d requests recorded, want %d in each of %d sessions\nsent %q", v, got, v.Spans, len(all), v.Client[:min(len(v.Client), 2000)])
	}
	for reason, count := range after.opaque {
		want := 0
		if reason == v.Opaque {
			want = len(all)
		}
		if got := count - before.opaque[reason]; got != want {
			t.Errorf("%s: %d sessions opaque for %s, want %d", v, got, reason, want)
		}
	}
	return after
}

// session plays v once and returns which heads were edited.
func (r *recorder) session(v *smuggling.Vector, to string, cuts []int) (edited []bool, err error) {
	client, err := connect(to)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	_ = r.l.SetDeadline(time.Now().Add(sessionPatience))
	conn, err := r.l.AcceptTCP()
	if err != nil {
		return nil, fmt.Errorf("nobody dialled the server: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(sessionPatience))
	var arrival smuggling.Arrival
	var arrived error
	served := make(chan struct{})
	go func() {
		defer close(served)
		if arrival, arrived = serveScript(v, conn); arrived != nil {
			_ = conn.Close() // the client need not wait
		}
	}()
	heard, said := hear(client), say(v, client, cuts)
	answer, err := heard()
	<-served
	var answers []byte
	for _, a := range v.Answers {
		answers = append(answers, a.Data...)
	}
	switch {
	case arrived != nil:
		return nil, arrived
	case said != nil:
		return nil, said
	case err != nil:
		return nil, fmt.Errorf("the client heard %q, then: %w", answer, err)
	case !bytes.Equal(answer, answers):
		return nil, fmt.Errorf("the client heard %q, the server said %q", answer, answers)
	case arrival.Sent != len(v.Client) || len(arrival.Edited) != len(v.Inserts):
		return nil, fmt.Errorf("%d of %d bytes and %d of %d heads arrived", arrival.Sent, len(v.Client), len(arrival.Edited), len(v.Inserts))
	}
	return arrival.Edited, nil
}

// serveScript reads conn to its end, gives the answers of v where they are due, and half-closes at the end.
func serveScript(v *smuggling.Vector, conn *net.TCPConn) (a smuggling.Arrival, err error) {
	var got []byte
	buf := make([]byte, 64<<10)
	answered := 0
	for {
		n, rerr := conn.Read(buf)
		got = append(got, buf[:n]...)
		if a, err = v.Arrived(got); err != nil {
			return a, fmt.Errorf("the server received %q: %w", got[:min(len(got), 2000)], err)
		}
		for ; answered < len(v.Answers) && v.Answers[answered].After <= a.Sent; answered++ {
			if _, err := conn.Write(v.Answers[answered].Data); err != nil {
				return a, err
			}
		}
		if errors.Is(rerr, io.EOF) {
			return a, conn.CloseWrite()
		}
		if rerr != nil {
			return a, fmt.Errorf("the server received %q, then: %w", got[:min(len(got), 2000)], rerr)
		}
	}
}

// listener counts what a client has heard while it goes on speaking.
type listener struct {
	mu   sync.Mutex
	cond sync.Cond
	n    int
	done bool
}

// clientConn is a client's connection and what it has heard.
type clientConn struct {
	*net.TCPConn
	listener
}

// heard returns how many bytes have been heard, and whether that was all.
func (l *listener) heard() (n int, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n, l.done
}

// connect connects to addr.
func connect(addr string) (*clientConn, error) {
	c, err := net.DialTimeout("tcp", addr, sessionPatience)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(sessionPatience))
	client := &clientConn{TCPConn: c.(*net.TCPConn)}
	client.cond.L = &client.mu
	return client, nil
}

// hear starts to read c to its end; the function that it returns waits for that.
func hear(c *clientConn) func() ([]byte, error) {
	var got []byte
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for err == nil {
			var n int
			n, err = c.Read(buf)
			got = append(got, buf[:n]...)
			c.mu.Lock()
			c.n, c.done = len(got), err != nil
			c.cond.Broadcast()
			c.mu.Unlock()
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
	}()
	return func() ([]byte, error) {
		<-done
		return got, err
	}
}

// say sends the client's bytes of v, cut at cuts and where the server answers, waits for each answer and until each piece has been read, and half-closes.
func say(v *smuggling.Vector, c *clientConn, cuts []int) error {
	ends := slices.Clone(cuts)
	for _, a := range v.Answers {
		ends = append(ends, a.After)
	}
	ends = append(ends, len(v.Client))
	slices.Sort(ends)
	from, due, answered := 0, 0, 0
	for _, to := range slices.Compact(ends) {
		if _, err := c.Write(v.Client[from:to]); err != nil {
			return fmt.Errorf("sending byte %d: %w", from, err)
		}
		for ; answered < len(v.Answers) && v.Answers[answered].After == to; answered++ {
			due += len(v.Answers[answered].Data)
		}
		c.mu.Lock()
		for c.n < due && !c.done {
			c.cond.Wait()
		}
		c.mu.Unlock()
		if to < len(v.Client) {
			if err := awaitRead(c.TCPConn); err != nil {
				return err
			}
		}
		from = to
	}
	return c.CloseWrite()
}

// first shows the beginning of a list.
func first(cuts []int) string {
	if len(cuts) > 3 {
		return fmt.Sprintf("%v … (%d)", cuts[:3], len(cuts))
	}
	return fmt.Sprint(cuts)
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("BUG: " + s)
	}
	return n
}
