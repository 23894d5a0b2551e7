//go:build e2e

package hostile

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// server is a real HTTP server that answers every request with its method and target, and notes each request in its own log. All read a request's body before
// they answer, as far as they can be told to: else what they answer depends on whether the body comes in the same read.
type server struct {
	name, addr string
	log        func() string
	sentinels  int // requests of our own so far
	through    int // of them through the sidecar, for the vector in hand

	requests  int // seen directly
	varied    int // exchanges with an outcome that it gives directly too, but not always
	variedNow int // of them those of the vector in hand
}

// startServers starts nginx, HAProxy, Node.js and Go's net/http. None is wanted to wait longer than serverPatience for a client.
func startServers(t *testing.T) []*server {
	return []*server{startNginx(t), startHAProxy(t), startNode(t), startGo(t)}
}

// serverPatience is what the servers' own timeouts are set to, where they can be set, in seconds: the client half-closes, so none should be needed.
const serverPatience = 15

const nginxConf = `worker_processes 1;
daemon off;
master_process off;
error_log stderr crit;
pid DIR/nginx.pid;
events {}
http {
	log_format requests '"$request" $status';
	access_log DIR/requests requests;
	lingering_close off; # or the line of a request comes in the log long after its answer
	client_header_timeout PATIENCE; client_body_timeout PATIENCE; keepalive_timeout PATIENCE;
	client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fastcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
	server {
		listen ADDR;
		location / { return 200 "$request_method $request_uri\n"; }
	}
}
`

func startNginx(t *testing.T) *server {
	dir := t.TempDir()
	s := &server{name: "nginx", addr: "127.0.0.1:" + sidecar.FreePort(t), log: func() string { return read(filepath.Join(dir, "requests")) }}
	run(t, s, exec.Command(need.Tool(t, "nginx"), "-p", dir, "-c", config(t, dir, nginxConf, s.addr)), nil)
	return s
}

const haproxyConf = `global
	log fd@1 format raw local0
	nbthread 1
	maxconn 100
defaults
	mode http
	log global
	log-format '"%r" %ST'
	option http-buffer-request
	timeout client PATIENCE
	timeout http-request PATIENCE
	timeout http-keep-alive PATIENCE
frontend requests
	bind ADDR
	http-request return status 200 content-type text/plain lf-string "%[method] %[url]\n"
`

func startHAProxy(t *testing.T) *server {
	var out sidecar.Buffer
	s := &server{name: "HAProxy", addr: "127.0.0.1:" + sidecar.FreePort(t), log: out.String}
	run(t, s, exec.Command(need.Tool(t, "haproxy"), "-db", "-f", config(t, t.TempDir(), haproxyConf, s.addr)), &out)
	return s
}

const nodeServer = `const [host, port] = process.argv[1].split(':');
require('http').createServer((req, res) => {
	require('fs').writeSync(1, '"' + req.method + ' ' + req.url + '"\n');
	req.on('data', () => {});
	req.on('end', () => res.end(req.method + ' ' + req.url + '\n'));
}).on('connect', (req, socket) => {
	require('fs').writeSync(1, '"' + req.method + ' ' + req.url + '"\n');
	socket.on('error', () => {});
	socket.end('HTTP/1.1 200 OK\r\n\r\n');
}).listen(+port, host);`

func startNode(t *testing.T) *server {
	var out sidecar.Buffer
	s := &server{name: "Node.js", addr: "127.0.0.1:" + sidecar.FreePort(t), log: out.String}
	run(t, s, exec.Command(need.Tool(t, "node"), "-e", nodeServer, s.addr), &out)
	return s
}

func startGo(t *testing.T) *server {
	var out sidecar.Buffer
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(&out, "\"%s %s\"\n", r.Method, r.RequestURI)
		_, _ = io.Copy(io.Discard, r.Body) // a body that breaks off is the client's doing
		fmt.Fprintf(w, "%s %s\n", r.Method, r.RequestURI)
	}
	srv := &http.Server{Handler: http.HandlerFunc(h), ReadTimeout: serverPatience * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return &server{name: "Go net/http", addr: l.Addr().String(), log: out.String}
}

// config writes a configuration file and returns its path.
func config(t *testing.T, dir, text, addr string) string {
	t.Helper()
	path := filepath.Join(dir, "conf")
	text = strings.NewReplacer("DIR", dir, "ADDR", addr, "PATIENCE", fmt.Sprintf("%ds", serverPatience)).Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run starts cmd and waits until s accepts; its output goes to out. It is killed when the test ends.
func run(t *testing.T, s *server, cmd *exec.Cmd, out io.Writer) {
	t.Helper()
	var errs sidecar.Buffer
	cmd.Stdout, cmd.Stderr = out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	for deadline := time.Now().Add(sidecar.Patience); ; time.Sleep(5 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-done:
			t.Fatalf("%s ended: %s", s.name, errs.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen: %s", s.name, errs.String())
		}
	}
}

func read(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// sentinel is how the targets of our own requests begin.
const sentinel = "/sentinel-"

// ask sends a request of our own to addr and returns its target once it is answered.
func (s *server) ask(addr string) (target string, err error) {
	s.sentinels++
	if addr != s.addr {
		s.through++
	}
	target = fmt.Sprintf("%s%d-", sentinel, s.sentinels)
	answer, _, err := s.exchange(addr, []byte("GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), nil, nil)
	if err == nil && !strings.Contains(answer, "200 OK") {
		err = fmt.Errorf("answered %q", answer)
	}
	if err != nil {
		err = fmt.Errorf("%s: %s: %w", s.name, target, err)
	}
	return target, err
}

// settle returns when the server has most likely done all that it will do with what was sent to addr before: requests that were sent later, the same way, have been
// answered. So a half-close does not cut short what the server would have said.
func (s *server) settle(addr string) error {
	for range 3 {
		if _, err := s.ask(addr); err != nil {
			return err
		}
	}
	return nil
}

// seen calls f and returns the lines that the server's log gained by it: one for each request that it saw. A request of our own marks where they end.
func (s *server) seen(f func()) ([]string, error) {
	from := len(s.log())
	f()
	mark, err := s.ask(s.addr)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(sidecar.Patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		gained := s.log()[from:]
		at := strings.Index(gained, mark)
		if at < 0 || !strings.Contains(gained[at:], "\n") {
			continue
		}
		var lines []string
		for line := range strings.Lines(gained) {
			if !strings.Contains(line, sentinel) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
		return lines, nil
	}
	return nil, fmt.Errorf("%s: no line for %s", s.name, mark)
}

// dates are what differs between two answers to one request.
var dates = regexp.MustCompile(`(?i)\r\nDate: [^\r]*`)

// exchange sends data to addr, cut at cuts, calls before, half-closes, and returns what comes back up to the end, without dates, and
// what of it had come before the half-close.
func (s *server) exchange(addr string, data []byte, cuts []int, before func(*clientConn) error) (answer, early string, err error) {
	c, err := connect(addr)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	heard := hear(c)
	from := 0
	for _, to := range append(cuts[:len(cuts):len(cuts)], len(data)) {
		if _, err := c.Write(data[from:to]); err != nil {
			break // the server has had enough
		}
		if to < len(data) {
			if err := awaitRead(c.TCPConn); err != nil {
				return "", "", err
			}
		}
		from = to
	}
	if before != nil {
		if err := before(c); err != nil {
			return "", "", err
		}
	}
	asked, _ := c.heard()
	_ = c.CloseWrite() // fails when the server has reset
	got, err := heard()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", "", fmt.Errorf("no end after %q", got)
	}
	return dates.ReplaceAllString(string(got), ""), dates.ReplaceAllString(string(got[:asked]), ""), nil
}
