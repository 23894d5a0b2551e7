package netramesh

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// conn is an end of a connection in the hands of the test: of the client, or of the service.
type conn struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

func newConn(t *testing.T, c net.Conn) *conn {
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &conn{TCPConn: c.(*net.TCPConn), t: t, r: bufio.NewReader(c)}
}

// dial connects to addr.
func dial(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	return newConn(t, c)
}

// send writes all of s.
func (c *conn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.TCPConn, s); err != nil {
		c.t.Fatal(err)
	}
}

// read returns the next n bytes.
func (c *conn) read(n int) string {
	c.t.Helper()
	b := make([]byte, n)
	if m, err := io.ReadFull(c.r, b); err != nil {
		c.t.Fatalf("after %q: %v", b[:m], err)
	}
	return string(b)
}

// head returns the next head, with its empty line, as it came.
func (c *conn) head() string {
	c.t.Helper()
	var b strings.Builder
	for !strings.HasSuffix(b.String(), "\r\n\r\n") {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("after %q: %v", b.String(), err)
		}
		b.WriteString(line)
	}
	return b.String()
}

// response reads a response to a request of that method.
func (c *conn) response(method string) *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// rest returns all up to the end, which must be a clean one.
func (c *conn) rest() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("after %d bytes: %v, want a clean end", len(b), err)
	}
	return string(b)
}

// wantReset reads to the end, which must be a reset.
func (c *conn) wantReset() {
	c.t.Helper()
	if b, err := io.ReadAll(c.r); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("after %q: %v, want a reset", b, err)
	}
}

// value returns the values of a header in a head, whatever its case.
func values(head, name string) (all []string) {
	for _, line := range strings.Split(head, "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			all = append(all, strings.TrimSpace(v))
		}
	}
	return all
}

// value returns the value of a header that must be there once.
func value(t *testing.T, head, name string) string {
	t.Helper()
	all := values(head, name)
	if len(all) != 1 {
		t.Fatalf("%d lines of %s, want 1, in\n%s", len(all), name, head)
	}
	return all[0]
}

// service is a listener whose connections the test accepts one by one.
type service struct {
	t *testing.T
	l *net.TCPListener
}

func newService(t *testing.T) *service {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &service{t: t, l: l}
}

func (s *service) addr() string { return s.l.Addr().String() }

// accept takes the next connection.
func (s *service) accept() *conn {
	s.t.Helper()
	_ = s.l.SetDeadline(time.Now().Add(patience))
	c, err := s.l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	return newConn(s.t, c)
}

// ok is the answer of a service that has nothing to say.
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// answering starts a service that answers each request with reply and puts its head into the channel.
func answering(t *testing.T, reply string) (addr string, heads <-chan string) {
	t.Helper()
	return answeringBy(t, func(string) string { return reply })
}

// answeringBy is answering where the answer depends on the head.
func answeringBy(t *testing.T, reply func(head string) string) (addr string, heads <-chan string) {
	t.Helper()
	s := newService(t)
	seen := make(chan string, 1024)
	go func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					var head strings.Builder
					for !strings.HasSuffix(head.String(), "\r\n\r\n") {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						head.WriteString(line)
					}
					select {
					case seen <- head.String():
					default: // nobody looks at so many
					}
					if _, err := io.WriteString(c, reply(head.String())); err != nil {
						return
					}
				}
			}()
		}
	}()
	return s.addr(), seen
}

// next returns the next head that a service saw.
func next(t *testing.T, heads <-chan string) string {
	t.Helper()
	select {
	case h := <-heads:
		return h
	case <-time.After(patience):
		t.Fatal("the service saw no request")
		return ""
	}
}

// backlog returns a listener's address with room for almost nobody, and how long connecting to it may take before it counts as full.
func backlog(t testing.TB) (addr string, patience time.Duration) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	in4 := &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err := errors.Join(syscall.Bind(fd, in4), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	in4 = name.(*syscall.SockaddrInet4)
	return (&net.TCPAddr{IP: in4.Addr[:], Port: in4.Port}).String(), 100 * time.Millisecond
}
