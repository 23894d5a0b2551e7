package core

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/parsers"
)

// The property test runs for propertyTime, or for as long as SPANWIRE_PROPERTY_TIME says (a Go duration). SPANWIRE_PROPERTY_SEED
// sets the first seed; a failure names the seed of the session that failed.
const (
	propertyTime    = 3 * time.Second
	propertyWorkers = 8
)

// Whatever two peers say, in whatever pieces, however slowly they read and however they leave: what arrives is what was sent but
// for whole header lines, and when it was cut off, a beginning of that. Afterwards nothing is left: no session, byte,
// descriptor, and every request that was counted has its span.
func TestAnyStreamArrivesUnchanged(t *testing.T) { playAnyStreams(t, trace.Config{}, readMax) }

// The same, with the trace id written into responses and both heads read for tags.
func TestAnyStreamArrivesUnchangedButForTheTraceID(t *testing.T) {
	playAnyStreams(t, trace.Config{TraceResponseHeader: "X-Trace-Id", TagHeaders: []string{"Host", "Content-Length"}, TagCookies: []string{"a"}}, readMax)
}

// smallReads are the sizes of reads at which a stream is split at every byte, or nearly: what a network may do, and loopback hardly ever does.
var smallReads = []int32{1, 2, 7}

// The same, when no read of the engine's takes more than a few bytes.
func TestAnyStreamArrivesUnchangedInSmallReads(t *testing.T) {
	for _, most := range smallReads {
		t.Run(strconv.Itoa(int(most)), func(t *testing.T) { playAnyStreams(t, trace.Config{}, most) })
	}
}

// playAnyStreams plays sessions over an engine whose reads take most bytes.
func playAnyStreams(t *testing.T, settings trace.Config, most int32) {
	t.Helper()
	lasts, seed := propertyTime, uint64(1)
	if v := os.Getenv("SPANWIRE_PROPERTY_TIME"); v != "" {
		var err error
		if lasts, err = time.ParseDuration(v); err != nil {
			t.Fatal(err)
		}
	}
	if v := os.Getenv("SPANWIRE_PROPERTY_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	longest := math.MaxInt
	if most < readMax {
		lasts /= time.Duration(len(smallReads))
		longest = 16 << 10 * int(most) // a read and a write for every few bytes
	}
	files := openDescriptors()
	var cfg Config
	cfg.Loops = 2
	var err error
	if cfg.Trace, err = trace.NewShared(settings); err != nil {
		t.Fatal(err)
	}
	backends := make([]*backend, propertyWorkers)
	for i := range backends {
		backends[i] = newBackend(t)
		cfg.Explicit = append(cfg.Explicit, Listen{Addr: "127.0.0.1:0", Upstream: backends[i].addr, Kind: span.Kind(i % 2)})
	}
	e, _ := startWith(t, cfg, func(e *Engine) { readAtMost(e, most) })
	var taken, sessions atomic.Uint64
	stop, drained := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(drained)
		for {
			taken.Add(uint64(len(takeSpans(e))))
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	until := time.Now().Add(lasts)
	var wg sync.WaitGroup
	for i, b := range backends {
		wg.Go(func() {
			for k := uint64(0); time.Now().Before(until) && !t.Failed(); k++ {
				n := seed + k*propertyWorkers + uint64(i)
				if err := playScenario(n, longest, e.Listeners()[i].Addr, b); err != nil {
					t.Errorf("seed %d: %v", n, err)
				}
				sessions.Add(1)
			}
		})
	}
	wg.Wait()
	noSessions(t, e)
	close(stop)
	<-drained
	taken.Add(uint64(len(takeSpans(e))))
	st := e.Stats()
	recorded := st.ConnectSpans
	for k := range st.Requests {
		for _, n := range st.Requests[k] {
			recorded += n
		}
	}
	if got := taken.Load() + st.RingDropped; got != recorded {
		t.Errorf("%d spans of %d requests", got, recorded)
	}
	if recorded == 0 || most == readMax && st.Opaque[parsers.ReasonUnknown] == 0 {
		t.Errorf("%d requests, opaque: %v: too tame", recorded, st.Opaque)
	}
	t.Logf("%d sessions, %d requests, %d MiB", sessions.Load(), recorded, (st.Bytes[0]+st.Bytes[1])>>20)
	e.Close()
	for _, b := range backends {
		_ = b.l.Close()
	}
	eventually(t, fmt.Sprintf("%d descriptors", files), func() bool { return openDescriptors() <= files })
}

// ending is how a scenario's session ends.
type ending uint8

const (
	endGracefully ending = iota // both say all they have, then half-close
	endByReset                  // one side resets somewhere
	endByClose                  // one side closes somewhere
	numEndings
)

// peer is one end of a scenario.
type peer struct {
	name   string
	conn   *net.TCPConn
	rand   *rand.Rand
	says   []byte
	heard  []byte
	waits  int // bytes to hear before saying anything
	leaves int // how much to say before leaving; -1 = all, gracefully
	how    ending
	slow   bool
	spoken chan struct{} // closed when enough was heard
	err    error         // of reading
	lost   error         // of writing
}

// readAtMost has no read of an engine that has not started take more than most bytes.
func readAtMost(e *Engine, most int32) {
	for _, w := range e.workers {
		w.most = most
	}
}

// playScenario plays one session made from seed, in which nobody says more than longest, and checks what arrived.
func playScenario(seed uint64, longest int, addr string, b *backend) error {
	r := rand.New(rand.NewPCG(seed, 7))
	c, err := net.DialTimeout("tcp", addr, testTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = b.l.SetDeadline(time.Now().Add(testTimeout))
	s, err := b.l.AcceptTCP()
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	cl, sv := newPeer("client", c.(*net.TCPConn), r), newPeer("server", s, r)
	cl.says, sv.says = genStreams(r)
	for len(cl.says) > longest || len(sv.says) > longest {
		cl.says, sv.says = genStreams(r)
	}
	cl.narrow(len(sv.says))
	sv.narrow(len(cl.says))
	if r.IntN(4) > 0 && len(cl.says) > 0 {
		sv.waits = 1 + r.IntN(len(cl.says)) // like a server that answers
	}
	how := ending(r.IntN(int(numEndings)))
	if how != endGracefully {
		leaver := cl
		if r.IntN(2) == 0 {
			leaver = sv
		}
		leaver.how, leaver.leaves = how, r.IntN(len(leaver.says)+1)
		if leaver == sv {
			sv.waits = min(sv.waits, len(cl.says)/2)
		}
	}
	var wg sync.WaitGroup
	for _, p := range []*peer{cl, sv} {
		wg.Go(p.listen)
		wg.Go(p.talk)
	}
	wg.Wait()
	for _, pair := range [][2]*peer{{cl, sv}, {sv, cl}} {
		if err := pair[1].check(pair[0], how); err != nil {
			return fmt.Errorf("%s to %s, ending %d: %w", pair[0].name, pair[1].name, how, err)
		}
	}
	return nil
}

func newPeer(name string, c *net.TCPConn, r *rand.Rand) *peer {
	p := &peer{name: name, conn: c, rand: rand.New(rand.NewPCG(r.Uint64(), 1)), leaves: -1, spoken: make(chan struct{})}
	_ = c.SetDeadline(time.Now().Add(3 * testTimeout))
	_ = c.SetNoDelay(true)
	p.slow = r.IntN(3) == 0
	return p
}

// narrow may give the peer small socket buffers; not too small for what it is to hear, since loopback with its large segments
// crawls through a small window, at 200 ms a probe.
func (p *peer) narrow(hears int) {
	if p.rand.IntN(2) == 0 {
		_ = p.conn.SetReadBuffer(max(2048<<p.rand.IntN(6), hears/8))
	}
	if p.rand.IntN(2) == 0 {
		_ = p.conn.SetWriteBuffer(2048 << p.rand.IntN(6))
	}
}

// listen reads to the end.
func (p *peer) listen() {
	ready := p.waits
	if ready == 0 {
		close(p.spoken)
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(buf[:1+p.rand.IntN(len(buf))])
		p.heard = append(p.heard, buf[:n]...)
		if ready > 0 && (len(p.heard) >= ready || err != nil) {
			ready = 0
			close(p.spoken)
		}
		if err != nil {
			p.err = err
			return
		}
		if p.slow && len(p.heard) < 64<<10 && p.heard[len(p.heard)-1]%4 == 0 {
			time.Sleep(time.Duration(len(p.heard)%2000) * time.Microsecond)
		}
	}
}

// talk writes what the peer has to say in random pieces, and leaves.
func (p *peer) talk() {
	<-p.spoken
	r := rand.New(rand.NewPCG(uint64(len(p.says)), uint64(p.leaves)+9))
	rest := p.says
	if p.leaves >= 0 {
		rest = rest[:p.leaves]
	}
	limit := 1 << (1 + r.IntN(20))
	for pauses := 40; len(rest) > 0; {
		n := min(1+r.IntN(limit), len(rest))
		if _, p.lost = p.conn.Write(rest[:n]); p.lost != nil {
			break // the other side has left
		}
		rest = rest[n:]
		if pauses > 0 && r.IntN(8) == 0 {
			pauses--
			time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
		}
		if limit < 1024 {
			limit *= 2 // a few short pieces, not a million
		}
	}
	switch {
	case p.leaves < 0:
		_ = p.conn.CloseWrite()
	case p.how == endByReset:
		_ = p.conn.SetLinger(0)
		_ = p.conn.Close()
	default:
		_ = p.conn.Close()
	}
}

// check compares what p heard with what from said.
func (p *peer) check(from *peer, how ending) error {
	heard, said := withoutLines(p.heard), withoutLines(from.says)
	if how == endGracefully {
		if !errors.Is(p.err, io.EOF) {
			return fmt.Errorf("ended with %w", p.err)
		}
		if !bytes.Equal(heard, said) {
			return difference(heard, said)
		}
		return nil
	}
	if errors.Is(p.err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("heard nothing of the other side's leaving (%d bytes of %d)", len(p.heard), len(from.says))
	}
	// An error is told once: a write of this side's may have taken it, and then the read sees the end.
	if from.leaves >= 0 && how == endByReset && p.lost == nil && !errors.Is(p.err, syscall.ECONNRESET) {
		return fmt.Errorf("the other side reset, and this one saw %w", p.err)
	}
	if bytes.HasPrefix(said, heard) {
		return nil
	}
	// It may have been cut off in the middle of a line that was put in, or would have been taken out.
	whole := 0
	if i := bytes.LastIndex(p.heard, []byte("\r\n")); i >= 0 {
		whole = i + 2
	}
	if !bytes.HasPrefix(said, withoutLines(p.heard[:whole])) {
		return difference(heard, said)
	}
	return nil
}

// difference says where two streams part.
func difference(heard, said []byte) error {
	i := 0
	for i < len(heard) && i < len(said) && heard[i] == said[i] {
		i++
	}
	from := max(i-60, 0)
	return fmt.Errorf("%d bytes heard, %d said, different at %d: heard %q, said %q", len(heard), len(said), i,
		heard[from:min(i+60, len(heard))], said[from:min(i+60, len(said))])
}
