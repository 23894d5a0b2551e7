package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// A build that flips one byte behind the read is found out: by the counter, and by a log line that says where, and nothing of what was sent. The
// same traffic through the build that is shipped is verified, edited heads included, and nothing in it is altered.
func TestVerifyFindsTheOneByteThatABuildFlips(t *testing.T) {
	const said = "nobody-should-log-this"
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, said) }))
	t.Cleanup(app.Close)
	flipped, err := program.Build(t.TempDir(), ".", "-tags", "spanwire_flip")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, bin string
		env, args []string
		heard     string
		altered   float64
	}{
		{"as shipped", binary, nil, []string{"run", "--verify"}, said, 0},
		{"as shipped, by the variable", binary, []string{"SPANWIRE_VERIFY=true"}, nil, said, 0},
		{"flipped", flipped, nil, []string{"--verify"}, said[:len(said)-1] + "r", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &process{program.Launch(t, c.bin, c.env, append(c.args, "--service-name", "svc", "--exporter", "none", "--loops", "1", "--admin",
				"off", "--metrics", "127.0.0.1:0", "--trace-response-header", "X-Trace-Id", "--inbound", "127.0.0.1:0="+app.Listener.Addr().String())...), t}
			if _, got := p.get(p.Inbound, "/a"); got != c.heard {
				t.Fatalf("heard %q, want %q", got, c.heard)
			}
			if _, got := p.get(p.Inbound, "/b"); got != said {
				t.Fatalf("heard %q, want %q", got, said)
			}
			p.Await("the sessions to end", func() bool { return p.Metric(`spanwire_sessions{side="inbound"}`) == 0 })
			for i, d := range []string{`{direction="client_to_server"}`, `{direction="server_to_client"}`} {
				altered := c.altered * float64(i)
				if got := p.Metric("spanwire_altered_bytes_total" + d); got != altered {
					t.Errorf("%s: %v bytes altered, want %v", d, got, altered)
				}
				if got, want := p.Metric("spanwire_verified_bytes_total"+d), p.Metric("spanwire_bytes_total"+d)-altered; got != want || got < 100 {
					t.Errorf("%s: %v bytes verified, want %v", d, got, want)
				}
			}
			place := regexp.MustCompile(`level=ERROR msg="bytes were altered" side=server direction=server_to_client fault=differs offset=[1-9][0-9]* .*bytes=1 `)
			if got := len(place.FindAllString(p.Log.String(), -1)); float64(got) != c.altered {
				t.Errorf("%d lines tell of it:\n%s", got, p.Log.String())
			}
			if strings.Contains(p.Log.String(), said[:10]) {
				t.Errorf("payload in the log:\n%s", p.Log.String())
			}
			p.Signal(syscall.SIGTERM)
			p.Exit(0)
			if want := fmt.Sprintf(" altered_bytes=%v ", c.altered); !strings.Contains(p.lastLine(), want) {
				t.Errorf("the last line does not tell%s: %s", want, p.lastLine())
			}
		})
	}
}

// Bytes for a server that has reset are not altered: they have an account of their own.
func TestVerifyTellsUndeliveredFromAltered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p := beside(t, l.Addr().String(), "--verify", "--metrics", "127.0.0.1:0")
	c, err := net.DialTimeout("tcp", p.Inbound, program.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(program.Patience))
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { // more than all buffers hold, to a server that does not read
		_, err := c.Write(make([]byte, 64<<20))
		sent <- err
	}()
	p.Await("bytes to be held", func() bool { return p.Metric("spanwire_pending_bytes") > 0 })
	_ = s.(*net.TCPConn).SetLinger(0)
	_ = s.Close()
	if err := <-sent; err == nil {
		t.Error("the client saw no reset")
	}
	p.Await("the sessions to end", func() bool { return p.Metric(`spanwire_sessions{side="inbound"}`) == 0 })
	if p.Metric(`spanwire_undelivered_bytes_total{direction="client_to_server"}`) == 0 {
		t.Error("nothing is undelivered")
	}
	if got := p.Sum("spanwire_altered_bytes_total"); got != 0 {
		t.Errorf("%v bytes altered", got)
	}
}
