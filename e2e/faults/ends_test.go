//go:build e2e

package faults

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/spanwire/spanwire/e2e/faults/relay"
)

// stuck is how long a conversation may last: the faults hold one up for a few seconds.
const stuck = 60 * time.Second

// errAltered: bytes came that were not sent.
var errAltered = errors.New("ALTERED")

// end is how a conversation ended, as one of its ends saw it.
type end struct {
	err   error // nil: complete
	clean bool  // err is an end of the stream, not a reset
	late  bool  // err is a timeout
	heads int   // the client: request heads of which a byte was sent; the server: complete ones
	bytes int   // received
}

// failed returns the end with an error.
func (e end) failed(c *net.TCPConn, shut bool, err error) end {
	e.err = err
	e.late = errors.Is(err, os.ErrDeadlineExceeded)
	e.clean = (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) && (shut || !relay.WasReset(c))
	return e
}

// expect reads want from r, and compares it piece by piece: what comes before an error is a beginning of want.
func (e *end) expect(r *bufio.Reader, want []byte) error {
	for len(want) > 0 {
		got, err := r.Peek(1)
		if err == nil {
			got, _ = r.Peek(min(r.Buffered(), len(want)))
		}
		if len(got) == 0 {
			return err
		}
		if !bytes.Equal(got, want[:len(got)]) {
			at := 0
			for got[at] == want[at] {
				at++
			}
			return fmt.Errorf("%w after %d bytes: got %.60q, want %.60q", errAltered, e.bytes+at, got[at:], want[at:])
		}
		e.bytes += len(got)
		_, _ = r.Discard(len(got))
		want = want[len(got):]
	}
	return nil
}

// expectHead is expect for the head of a request, in which lines of ours may be new, missing or changed.
func (e *end) expectHead(r *bufio.Reader, want []byte) error {
	var got []byte
	for {
		line, err := r.ReadSlice('\n')
		got = append(got, line...)
		e.bytes += len(line)
		if err != nil {
			if left := without(got); !bytes.HasPrefix(without(want), left) {
				return fmt.Errorf("%w: the beginning of a head: got %q, want %q", errAltered, left, want)
			}
			return err
		}
		if len(line) <= 2 {
			break
		}
	}
	if a, b := without(got), without(want); !bytes.Equal(a, b) {
		return fmt.Errorf("%w: a head: got %q, want %q", errAltered, a, b)
	}
	e.heads++
	return nil
}

// expectEnd waits for the end of the stream; data is an alteration.
func (e *end) expectEnd(r *bufio.Reader) error {
	switch b, err := r.Peek(1); {
	case err == nil:
		got, _ := r.Peek(min(60, r.Buffered()))
		return fmt.Errorf("%w: %d bytes in all, then %q", errAltered, e.bytes, append(b, got...))
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

// converse holds a conversation as the client.
func converse(addr string, token uint32) (e end) {
	s := newScript(token)
	conn, err := net.DialTimeout("tcp", addr, stuck)
	if err != nil {
		return end{err: err}
	}
	c := conn.(*net.TCPConn)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(stuck))
	r := bufio.NewReaderSize(c, 64<<10)
	window := make(chan struct{}, s.depth)
	over := make(chan struct{})
	var writer sync.WaitGroup
	sent := 0
	shut := false
	writer.Go(func() {
		sent = speak(c, &s, window, over)
		if s.halfClose && sent >= 0 {
			shut = c.CloseWrite() == nil
		}
	})
	err = e.listen(r, &s, window)
	if err == nil && (s.halfClose || s.lastCloses || s.kind == kindStream) {
		writer.Wait() // nothing is left to be sent
		err = e.expectEnd(r)
	}
	close(over)
	_ = c.SetWriteDeadline(time.Now()) // a writer that is stuck behind a connection that has failed
	writer.Wait()
	if err != nil {
		e = e.failed(c, shut, err)
	}
	e.heads = max(sent, -sent)
	return e
}

// speak sends what the client has to say, and returns how many requests it began; negative: it could not send all.
func speak(c *net.TCPConn, s *script, window, over chan struct{}) int {
	random := rand.New(rand.NewPCG(uint64(s.token), 5))
	if s.kind != kindHTTP {
		if !dribble(c, random, s.rawLine(), s.rawUp()) {
			return -1
		}
		return 1
	}
	for i := range s.n {
		select {
		case window <- struct{}{}:
		case <-over:
			return -i - 1 // at most; not counting on it costs nothing
		}
		m := s.request(i)
		if !dribble(c, random, m.head, m.body) {
			return -i - 1
		}
	}
	return s.n
}

// dribble writes a and b, mostly in one piece, sometimes in several with pauses.
func dribble(c *net.TCPConn, r *rand.Rand, a, b []byte) bool {
	bufs := net.Buffers{a, b}
	if r.IntN(4) == 0 {
		cut := r.IntN(len(a))
		if _, err := c.Write(a[:cut]); err != nil {
			return false
		}
		time.Sleep(time.Duration(r.IntN(3000)) * time.Microsecond)
		bufs[0] = a[cut:]
	}
	_, err := bufs.WriteTo(c)
	return err == nil
}

// listen reads what the client must get.
func (e *end) listen(r *bufio.Reader, s *script, window chan struct{}) error {
	if s.kind != kindHTTP {
		return e.expect(r, s.rawDown())
	}
	for i := range s.n {
		m := s.response(i)
		if err := e.expect(r, m.head); err != nil {
			return fmt.Errorf("answer %d of %d: %w", i, s.n, err)
		}
		if err := e.expect(r, m.body); err != nil {
			return fmt.Errorf("body of answer %d of %d: %w", i, s.n, err)
		}
		<-window
	}
	return nil
}

// serve holds a conversation as the server. known is false when the connection ended before it said which one it is.
func serve(c *net.TCPConn) (token uint32, known bool, e end) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(stuck))
	r := bufio.NewReaderSize(c, 64<<10)
	var first []byte
	var err error
	for n := tokenBytes; err == nil && !known && n < 64; n++ {
		first, err = r.Peek(n)
		token, known = tokenIn(first)
	}
	if !known {
		if err == nil {
			err = fmt.Errorf("%w: begins with %q", errAltered, first)
		}
		return 0, false, e.failed(c, false, err)
	}
	s := newScript(token)
	shut, err := e.answer(c, r, &s)
	if err != nil {
		return token, true, e.failed(c, shut, err)
	}
	return token, true, e
}

// answer plays the server's part; shut: it has sent FIN.
func (e *end) answer(c *net.TCPConn, r *bufio.Reader, s *script) (shut bool, err error) {
	if s.kind != kindHTTP {
		return e.answerRaw(c, r, s)
	}
	for i := range s.n {
		m := s.request(i)
		if err := e.expectHead(r, m.head); err != nil {
			return false, fmt.Errorf("request %d of %d: %w", i, s.n, err)
		}
		if err := e.expect(r, m.body); err != nil {
			return false, fmt.Errorf("body of request %d of %d: %w", i, s.n, err)
		}
		a := s.response(i)
		bufs := net.Buffers{a.head, a.body}
		if _, err := bufs.WriteTo(c); err != nil {
			return false, fmt.Errorf("writing answer %d of %d: %w", i, s.n, err)
		}
	}
	if s.lastCloses {
		if err := c.CloseWrite(); err != nil {
			return false, err
		}
	}
	return s.lastCloses, e.expectEnd(r)
}

func (e *end) answerRaw(c *net.TCPConn, r *bufio.Reader, s *script) (shut bool, err error) {
	if err := e.expect(r, s.rawLine()); err != nil {
		return false, err
	}
	up := s.rawUp()
	if s.kind == kindEcho {
		for len(up) > 0 {
			if _, err := r.Peek(1); err != nil {
				return false, err
			}
			n := min(r.Buffered(), len(up))
			piece := up[:n]
			if err := e.expect(r, piece); err != nil {
				return false, err
			}
			if _, err := c.Write(piece); err != nil {
				return false, err
			}
			up = up[n:]
		}
		return false, e.expectEnd(r)
	}
	if err := e.expect(r, up); err != nil {
		return false, err
	}
	if s.kind == kindUpload {
		if err := e.expectEnd(r); err != nil {
			return false, err
		}
	}
	if _, err := c.Write(s.rawDown()); err != nil {
		return false, err
	}
	if err := c.CloseWrite(); err != nil {
		return false, err
	}
	return true, e.expectEnd(r)
}

// tokenIn finds the token in the first bytes of a conversation, if they hold all of it.
func tokenIn(first []byte) (uint32, bool) {
	i := bytes.Index(first, []byte("c-"))
	if i < 0 || len(first) < i+tokenBytes {
		return 0, false
	}
	n, err := strconv.ParseUint(string(first[i+2:i+tokenBytes]), 16, 32)
	return uint32(n), err == nil
}
