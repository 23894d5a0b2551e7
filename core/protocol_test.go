package core

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
	"github.com/spanwire/spanwire/parsers/parsertest"
)

// A protocol that the engine has never heard of gets spans by its row in the table alone. Taking the row out makes the session opaque
// and the spans stay away.
func TestAnotherProtocolNeedsOnlyItsRow(t *testing.T) {
	app := serve(t, func(c *net.TCPConn) {
		for lines := bufio.NewScanner(c); lines.Scan(); {
			answer := "OK " + strings.TrimPrefix(lines.Text(), "GETX ") + "\n"
			if lines.Text() == "GETX nothing" {
				answer = "ERR none\n"
			}
			if _, err := c.Write([]byte(answer)); err != nil {
				return
			}
		}
	})
	table := append([]parsers.Parser{parsertest.Toy()}, parsers.Table()...)
	e, addr := inboundTo(t, app, Config{Parsers: table})
	c := dial(t, addr)
	mustWrite(t, c, "GETX one\nGETX nothing\nGET")
	if got := mustRead(t, c, len("OK one\nERR none\n")); got != "OK one\nERR none\n" {
		t.Fatalf("got %q", got)
	}
	mustWrite(t, c, "X two\n")
	if got := mustRead(t, c, len("OK two\n")); got != "OK two\n" {
		t.Fatalf("got %q", got)
	}
	for i, s := range spans(t, e, 3) {
		want := span.FailureNone
		if i == 1 {
			want = span.FailureAnswered
		}
		if string(s.Text(span.Name)) != "GETX" || string(s.Text(span.Protocol)) != "toy" || s.Failure != want || s.Duration <= 0 {
			t.Errorf("span %d: %q of %q, failure %v, %d ns", i, s.Text(span.Name), s.Text(span.Protocol), s.Failure, s.Duration)
		}
	}
}

// When the drain time is over a session with a request in flight is reset: its body may be one that the close would seem to end. An
// idle one is closed. Closing both alike would fail here.
func TestCloseResetsOnlyWhatIsInFlight(t *testing.T) {
	app := serve(t, func(c *net.TCPConn) {
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "GET /body") {
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n\r\npart"))
			} else if strings.HasPrefix(line, "GET ") {
				_, _ = c.Write([]byte("HTTP/1.1 204 None\r\n\r\n"))
			}
		}
	})
	e, addr := inboundTo(t, app, Config{})
	cut, idle := dial(t, addr), dial(t, addr)
	mustWrite(t, cut, "GET /body HTTP/1.1\r\nHost: a\r\n\r\n")
	mustRead(t, cut, len("HTTP/1.1 200 OK\r\n\r\npart"))
	mustWrite(t, idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	mustRead(t, idle, len("HTTP/1.1 204 None\r\n\r\n"))
	e.Close()
	wantReset(t, cut)
	if n, err := idle.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("the idle client read %d, %v", n, err)
	}
}
