package core

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// stated is what a session may hold for a slow receiver in one direction: one read, and an incomplete head of 64 KiB.
const stated = readMax + 2*readMin

// A side that does not read stops the other from sending: without the check of pending in pump the relay reads on and keeps all
// it gets.
func TestSlowReceiverStopsTheSender(t *testing.T) {
	for _, kind := range []string{"opaque", "http"} {
		for _, d := range []parsers.Direction{parsers.ClientToServer, parsers.ServerToClient} {
			t.Run(kind+" "+d.String(), func(t *testing.T) {
				l := connect(t, Config{})
				from, to := l.client, l.server
				if kind == "opaque" {
					l.send("\x00")
					_ = mustRead(t, l.server, 1)
				} else {
					l.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
					head(t, l.server)
				}
				if d == parsers.ServerToClient {
					from, to = to, from
					if kind == "http" {
						l.reply("HTTP/1.1 200 OK\r\n\r\n")
						head(t, l.client)
					}
				}
				n := fill(t, l.e, from)
				st := l.e.Stats()
				if st.PendingBytes == 0 || st.PendingBytes > stated {
					t.Fatalf("%d bytes pending, %d are stated", st.PendingBytes, stated)
				}
				// All of it arrives, in order, and the sender goes on.
				done := make(chan error, 1)
				go func() {
					_, err := from.Write([]byte("the end"))
					done <- err
				}()
				got := mustRead(t, to, int(n)+7)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				block := strings.Repeat("0123456789abcdef", 4096)
				for at := 0; at < int(n); at += len(block) {
					want := block[:min(len(block), int(n)-at)]
					if got[at:at+len(want)] != want {
						t.Fatalf("byte %d or later was changed", at)
					}
				}
				if got[n:] != "the end" {
					t.Fatalf("the end is %q", got[n:])
				}
				if st := l.e.Stats(); st.PendingBytes != 0 {
					t.Errorf("%d bytes pending", st.PendingBytes)
				}
			})
		}
	}
}

// Many slow receivers at once: with more than pendingBudget pending, reads are small, so that the sum stays near the budget. The
// loop finds hundreds of full receive queues when it comes back from a stall, and could take a whole read from each.
func TestManySlowReceiversAreBounded(t *testing.T) {
	up := newBackend(t)
	e, addr := inboundTo(t, up.addr, Config{Disabled: true})
	const n = 300
	var clients []*net.TCPConn
	for range n {
		clients = append(clients, dial(t, addr))
		_ = up.accept().SetReadBuffer(4096)
	}
	proceed, stalled := make(chan struct{}), make(chan struct{})
	_ = e.workers[0].loop.Post(func() {
		for s := e.workers[0].sessions; s != nil; s = s.nextSession {
			s.flows[client].limit = readMax
			_ = unix.SetsockoptInt(int(s.socks[client].fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 200<<10)
			_ = unix.SetsockoptInt(int(s.socks[server].fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
		}
		close(stalled)
		<-proceed
	})
	<-stalled
	block := make([]byte, 1<<20)
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() {
			_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			_, _ = c.Write(block)
		})
	}
	wg.Wait()
	close(proceed)
	last := int64(-1)
	eventually(t, "the loop to come to rest", func() bool {
		time.Sleep(20 * time.Millisecond)
		p := e.Stats().PendingBytes
		same := p == last && p > 0
		last = p
		return same
	})
	if last < pendingBudget/2 {
		t.Fatalf("%d bytes pending: this does not test what it should", last)
	}
	if bound := int64(pendingBudget + n*readTight + readMax); last > bound {
		t.Errorf("%d bytes pending, %d are allowed", last, bound)
	}
	if got := e.heapOfPending(); got > 2*(pendingBudget+n*readMin) {
		t.Errorf("%d bytes of buffers", got)
	}
}

// heapOfPending sums the capacities of the buffers behind pending bytes.
func (e *Engine) heapOfPending() (n int64) {
	for _, w := range e.workers {
		done := make(chan struct{})
		_ = w.loop.Post(func() {
			for s := w.sessions; s != nil; s = s.nextSession {
				n += int64(cap(s.flows[0].pending) + cap(s.flows[1].pending))
			}
			close(done)
		})
		<-done
	}
	return n
}

// A client that sends requests and reads no answer fills both directions. Nothing may be lost when it reads at last, and its
// reset must end the session: without noticeFailure it is never seen.
func TestPipeliningFloodWithoutAReader(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + strings.Repeat("x", 65536)
	flood := strings.Repeat(request, 80)
	for _, how := range []string{"reads at last", "resets"} {
		t.Run(how, func(t *testing.T) {
			upstream := serve(t, func(c *net.TCPConn) {
				for buf := make([]byte, len(request)); ; {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					if _, err := io.WriteString(c, answer); err != nil {
						return
					}
				}
			})
			e, addr := inboundTo(t, upstream, Config{})
			c := dial(t, addr)
			asked := fillWith(t, e, c, []byte(flood)) / int64(len(request))
			if how == "resets" {
				reset(t, c)
				noSessions(t, e)
				return
			}
			_ = c.SetDeadline(time.Now().Add(testTimeout))
			for range min(asked, 200) {
				_ = mustRead(t, c, len(answer))
			}
			reset(t, c)
			noSessions(t, e)
		})
	}
}

// One session that moves as fast as it can must not keep the others on its loop waiting.
func TestBulkFlowLetsOthersThrough(t *testing.T) {
	sink := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	echo := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(c, c) })
	e := startEngine(t, Config{Explicit: []Listen{
		{Addr: "127.0.0.1:0", Upstream: sink}, {Addr: "127.0.0.1:0", Upstream: echo, Kind: span.Client}}})
	bulk, ping := dial(t, e.Listeners()[0].Addr), dial(t, e.Listeners()[1].Addr)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		block := make([]byte, 4<<20)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := bulk.Write(block); err != nil {
					return
				}
			}
		}
	}()
	eventually(t, "bulk to flow", func() bool { return e.Stats().Bytes[parsers.ClientToServer] > 16<<20 })
	worst := time.Duration(0)
	for i := range 50 {
		begin := time.Now()
		msg := fmt.Sprintf("\x00%03d", i)
		mustWrite(t, ping, msg)
		if got := mustRead(t, ping, 4); got != msg {
			t.Fatal(got)
		}
		worst = max(worst, time.Since(begin))
		runtime.Gosched()
	}
	close(stop)
	<-done
	if worst > time.Second {
		t.Errorf("a round trip beside a bulk flow took %v", worst)
	}
}

// A turn moves no more than it may, although more has come: the rest is put off until the others had theirs. (The test above cannot tell:
// a sender on another processor is seldom fast enough to keep a turn going.)
func TestTurnIsBounded(t *testing.T) {
	var got atomic.Int64
	sink := serve(t, func(c *net.TCPConn) {
		n, _ := io.Copy(io.Discard, c)
		got.Add(n)
	})
	const turn = readMin
	e, addr := startWith(t, Config{Explicit: []Listen{{Addr: "127.0.0.1:0", Upstream: sink}}}, func(e *Engine) { e.workers[0].turn = turn })
	c := dial(t, addr)
	mustWrite(t, c, "\x00")
	eventually(t, "the session", func() bool { return e.Stats().Bytes[parsers.ClientToServer] == 1 })
	first := make(chan uint64, 1)
	proceed := make(chan struct{})
	if err := e.workers[0].loop.Post(func() {
		s := e.workers[0].sessions
		fd := int(s.socks[client].fd)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20)
		for waiting := 0; waiting < turn+readMin; { // the client fills the queue
			waiting, _ = unix.IoctlGetInt(fd, unix.SIOCINQ)
			runtime.Gosched()
		}
		before := s.received[client]
		s.socks[client].readable = true
		s.pump(parsers.ClientToServer)
		first <- s.received[client] - before
		<-proceed
	}); err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(make([]byte, size))
		_ = c.CloseWrite()
		written <- err
	}()
	if n := <-first; n < turn || n >= turn+readMin {
		t.Errorf("a turn moved %d bytes, %d are allowed", n, turn)
	}
	close(proceed)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	eventually(t, "all to arrive", func() bool { return got.Load() == size+1 })
}
