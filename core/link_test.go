package core

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// link is one session with both its ends in the hands of the test: what the client writes, the server reads.
type link struct {
	t      *testing.T
	e      *Engine
	client *net.TCPConn
	server *net.TCPConn
}

// connect starts an engine with one inbound listener and takes one connection through it.
func connect(t *testing.T, cfg Config) *link {
	t.Helper()
	up := newBackend(t)
	e, addr := inboundTo(t, up.addr, cfg)
	l := &link{t: t, e: e, client: dial(t, addr)}
	l.server = up.accept()
	return l
}

// startWith starts an engine after change has had its way with it, and returns it with the address of its first listener.
func startWith(t *testing.T, cfg Config, change func(e *Engine)) (*Engine, string) {
	t.Helper()
	if cfg.Loops == 0 {
		cfg.Loops = 1
	}
	if cfg.Trace == nil && !cfg.Disabled {
		shared, err := trace.NewShared(trace.Config{})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Trace = shared
	}
	cfg.Verify = rulesOf(cfg.Verify)
	e, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeVerified(t, e) })
	change(e)
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	return e, e.Listeners()[0].Addr
}

// backend is a listener whose connections the test accepts one by one.
type backend struct {
	t    *testing.T
	l    *net.TCPListener
	addr string
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &backend{t: t, l: l, addr: l.Addr().String()}
}

// accept takes the next connection.
func (b *backend) accept() *net.TCPConn {
	b.t.Helper()
	_ = b.l.SetDeadline(time.Now().Add(testTimeout))
	c, err := b.l.AcceptTCP()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(testTimeout))
	return c
}

// silent returns an address whose connections are not answered, and a function that takes those connections which had been, until
// another one comes: a listener whose backlog is full drops further SYNs (man 2 listen), and they are sent again after a second.
func silent(t *testing.T) (addr string, acceptNext func() *net.TCPConn) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	nl, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	t.Cleanup(func() { _ = nl.Close() })
	l := nl.(*net.TCPListener)
	addr = l.Addr().String()
	fillers := 0
	for ; fillers < 4; fillers++ {
		c, err := net.DialTimeout("tcp", addr, 100*time.Millisecond)
		if err != nil {
			return addr, func() *net.TCPConn {
				for range fillers {
					c, err := l.AcceptTCP()
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { _ = c.Close() })
				}
				_ = l.SetDeadline(time.Now().Add(testTimeout))
				c, err := l.AcceptTCP()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				_ = c.SetDeadline(time.Now().Add(testTimeout))
				return c
			}
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Fatal("the backlog does not fill")
	return "", nil
}

// stall keeps the first loop of e busy until the function that it returns is called: what others do meanwhile, the loop finds all at
// once.
func stall(t *testing.T, e *Engine) (release func()) {
	t.Helper()
	done := make(chan struct{})
	if err := e.workers[0].loop.Post(func() { <-done }); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { close(done) })
	t.Cleanup(release) // before the engine is closed
	return release
}

// turnOver waits until the first loop of e has done what it is doing now.
func turnOver(t *testing.T, e *Engine) {
	t.Helper()
	over := make(chan struct{})
	if err := e.workers[0].loop.Post(func() { close(over) }); err != nil {
		t.Fatal(err)
	}
	<-over
}

// send writes all of s at the client's end.
func (l *link) send(s string) { l.t.Helper(); mustWrite(l.t, l.client, s) }

// reply writes all of s at the server's end.
func (l *link) reply(s string) { l.t.Helper(); mustWrite(l.t, l.server, s) }

// closed waits until the engine has no session left.
func (l *link) closed() { l.t.Helper(); noSessions(l.t, l.e) }

// noSessions waits until e has no session, and checks that it holds nothing for any.
func noSessions(t *testing.T, e *Engine) {
	t.Helper()
	eventually(t, "no session", func() bool { s := e.Stats(); return s.Sessions[0]+s.Sessions[1] == 0 })
	if s := e.Stats(); s.PendingBytes != 0 {
		t.Errorf("%d bytes pending without a session", s.PendingBytes)
	}
}

// oneSpan waits for exactly one span and for the end of the session, after which no other can come.
func (l *link) oneSpan() span.Record {
	l.t.Helper()
	s := spans(l.t, l.e, 1)
	l.closed()
	if more := takeSpans(l.e); len(more) != 0 {
		l.t.Fatalf("more than one span: %+v", more)
	}
	return s[0]
}

// reset closes c so that its peer sees a reset.
func reset(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if err := c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// wantEOF reads c to its end, which must be a clean one, and returns what came.
func wantEOF(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("after %d bytes: %v, want a clean end", len(b), err)
	}
	return string(b)
}

// wantReset reads c to its end, which must be a reset, and returns what came before it.
func wantReset(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("after %d bytes: %v, want ECONNRESET", len(b), err)
	}
	return string(b)
}

// wantRefused says first to addr, whose connections are reset at once: so soon, perhaps, that connecting tells of it, or writing.
func wantRefused(t *testing.T, addr, first string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, testTimeout)
	if err == nil {
		defer func() { _ = c.Close() }()
		_ = c.SetDeadline(time.Now().Add(testTimeout))
		if _, err = io.WriteString(c, first); err == nil {
			var b []byte
			if b, err = io.ReadAll(c); len(b) > 0 || err == nil {
				t.Fatalf("%q and %v, want ECONNRESET", b, err)
			}
		} else if errors.Is(err, syscall.EPIPE) {
			return // reset before the write
		}
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("%v, want ECONNRESET", err)
	}
}

// wantSilence checks that nothing comes for a while: the one place where a test must wait for what does not happen.
func wantSilence(t *testing.T, c net.Conn, d time.Duration) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(d))
	n, err := c.Read(make([]byte, 1))
	if n != 0 || !errors.Is(err, errTimeout) {
		t.Fatalf("read %d bytes, %v; want nothing", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(testTimeout))
}

// errTimeout is what a read deadline ends with.
var errTimeout = os.ErrDeadlineExceeded

// fill writes blocks of 64 KiB to c until it takes no more, and returns how many bytes it took.
func fill(t *testing.T, e *Engine, c *net.TCPConn) (taken int64) {
	t.Helper()
	return fillWith(t, e, c, bytes.Repeat([]byte("0123456789abcdef"), 4096))
}

// fillWith writes block to c, again and again, until it takes no more for a moment in which e's loops had their turns.
func fillWith(t *testing.T, e *Engine, c *net.TCPConn, block []byte) (taken int64) {
	t.Helper()
	for idle := 0; idle < 2; {
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.Write(block[taken%int64(len(block)):]) // on from where the last write ended
		taken += int64(n)
		switch {
		case taken > 256<<20:
			t.Fatal("nothing stops a fast writer")
		case err != nil && !errors.Is(err, errTimeout):
			t.Fatal(err)
		case err != nil && n == 0:
			_ = e.Stats() // asks the loops, each in its turn
			idle++
		default:
			idle = 0
		}
	}
	_ = c.SetWriteDeadline(time.Now().Add(testTimeout))
	return taken
}
