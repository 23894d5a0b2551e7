//go:build e2e

package transparency

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The addresses that the clients are told. They are the same directly and through, so that what a client prints is too.
const (
	originPlain = "127.0.0.1:8080"
	originSix   = "[::1]:8080"
	originTLS   = "127.0.0.1:8443"
	originH2C   = "127.0.0.1:8081" // h2cserver
	originDead  = "127.0.0.1:8009" // nobody listens
	originPROXY = "127.0.0.1:8082" // behind a line of the PROXY protocol
)

// origin is the server that the HTTP clients talk to. It keeps what it received.
type origin struct {
	mu sync.Mutex
	received
}

// received is what an origin received.
type received struct {
	seen   []string
	h1     int // HTTP/1 requests in the clear: those that the sidecar can read
	traced int // those of them that came with a trace context
}

// ownContext is the trace context of a client that sends one; the sidecar replaces its parent by its own span.
const ownContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// contextHeaders are what the sidecar may add to a request.
var contextHeaders = []string{"Traceparent", "Tracestate", "X-Request-Id"}

// startOrigin serves at originPlain and originTLS until the test ends. dir gets the certificate, ca.pem, and its key, key.pem.
func startOrigin(t *testing.T, dir string) *origin {
	t.Helper()
	certificate := makeCertificate(t, dir)
	o := &origin{}
	for _, address := range []string{originPlain, originSix, originTLS} {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		protocols := &http.Protocols{}
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Handler: o, ReadHeaderTimeout: time.Minute, Protocols: protocols, DisableGeneralOptionsHandler: true}
		t.Cleanup(func() { _ = server.Close() })
		if address == originTLS {
			server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			go func() { _ = server.ServeTLS(listener, "", "") }()
		} else {
			go func() { _ = server.Serve(listener) }()
		}
	}
	return o
}

// startPROXY serves at originPROXY until the test ends: it wants the line that HAProxy's PROXY protocol, version 1, has before a connection's
// first request, and answers that request. net/http's server would refuse the line, and with it close the connection at once, so that chance
// decides whether its client is reset.
func startPROXY(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", originPROXY)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go servePROXY(conn)
		}
	}()
}

// servePROXY says what came of one connection: the line's first words, and the request's.
func servePROXY(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(clientPatience))
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return
	}
	words := strings.Fields(line)
	req, err := http.ReadRequest(r)
	if err != nil || len(words) != 6 {
		return
	}
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%s: %s %s\n", strings.Join(words[:4], " "), req.Method, req.RequestURI)
}

// taken returns what was received since the last call, sorted, since parallel requests have no order.
func (o *origin) taken() received {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.received
	o.received = received{}
	slices.Sort(r.seen)
	return r
}

// pattern returns n bytes in which no two lines of 64 are alike.
func pattern(n int) []byte {
	b := make([]byte, 0, n+64)
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "%063d\n", i)
	}
	return b[:n]
}

// ServeHTTP answers by path; see answers. What it received is kept before it answers, so that whoever has the answer finds it.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = nil // the only thing that would differ from run to run
	if r.URL.Path == "/expect" && r.Header.Get("X-Refuse") != "" {
		// The body is not asked for: RFC 9110 §10.1.1.
		w.Header().Set("Connection", "close")
		o.note(r, "refused")
		http.Error(w, "no", http.StatusExpectationFailed)
		return
	}
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	body := fmt.Sprintf("%s %d %x", framing(r), n, sum.Sum(nil)[:8])
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		body = fmt.Sprintf("%s %d", framing(r), n) // between its parts are random numbers
	}
	if err != nil {
		body += " " + err.Error()
	}
	o.note(r, body)
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	number := 0
	if len(segments) > 1 {
		number, _ = strconv.Atoi(segments[1])
	}
	if answer, ok := answers[segments[0]]; ok {
		answer(w, r, number, body)
		return
	}
	http.NotFound(w, r)
}

// framing says how the body of r was framed.
func framing(r *http.Request) string {
	switch {
	case r.ContentLength >= 0:
		return "length"
	case len(r.TransferEncoding) > 0:
		return "chunked"
	default:
		return "stream"
	}
}

// boundary is what parts a body, made by chance.
var boundary = regexp.MustCompile(`boundary=-*[0-9a-f]+`)

// note keeps what was received.
func (o *origin) note(r *http.Request, body string) {
	var lines []string
	for name, values := range r.Header {
		if r.ProtoMajor == 1 && r.TLS == nil && slices.Contains(contextHeaders, name) {
			continue
		}
		lines = append(lines, boundary.ReplaceAllString(fmt.Sprintf("%s=%q", name, values), "boundary=…"))
	}
	slices.Sort(lines)
	secure := ""
	if r.TLS != nil {
		secure = "TLS "
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen = append(o.seen, fmt.Sprintf("%s%s %s %s %s host=%s %s", secure, r.Proto, r.Method, r.RequestURI, body, r.Host, strings.Join(lines, " ")))
	if r.TLS == nil && r.ProtoMajor == 1 {
		o.h1++
		if c := r.Header.Get("Traceparent"); c != "" && c != ownContext {
			o.traced++
		}
	}
}

// answers are the first segments of the paths that the origin knows; n is the second one as a number, body what the request's was.
var answers = map[string]func(w http.ResponseWriter, r *http.Request, n int, body string){
	"hello": func(w http.ResponseWriter, _ *http.Request, _ int, _ string) {
		_, _ = io.WriteString(w, "hello, world\n")
	},
	"echo": func(w http.ResponseWriter, r *http.Request, _ int, body string) {
		_, _ = fmt.Fprintf(w, "%s %s\n", r.Method, body)
	},
	"expect": func(w http.ResponseWriter, r *http.Request, _ int, body string) {
		_, _ = fmt.Fprintf(w, "%s %s expect=%s\n", r.Method, body, r.Header.Get("Expect"))
	},
	"size": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(pattern(n))
	},
	"chunked": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		for rest := pattern(n); len(rest) > 0; {
			k := min(len(rest), 10_007)
			_, _ = w.Write(rest[:k])
			_ = http.NewResponseController(w).Flush()
			rest = rest[k:]
		}
	},
	"gzip": func(w http.ResponseWriter, r *http.Request, n int, _ string) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			_, _ = w.Write(pattern(n))
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(pattern(n))
		_ = z.Close()
	},
	"redirect": func(w http.ResponseWriter, r *http.Request, n int, _ string) {
		to := "/hello"
		if n > 1 {
			to = fmt.Sprintf("/redirect/%d", n-1)
		}
		http.Redirect(w, r, to, http.StatusFound)
	},
	"again": func(w http.ResponseWriter, r *http.Request, n int, _ string) { http.Redirect(w, r, "/echo", n) },
	"status": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		w.WriteHeader(n)
		if n != http.StatusNoContent && n != http.StatusNotModified {
			_, _ = fmt.Fprintf(w, "status %d\n", n)
		}
	},
	"hang": func(_ http.ResponseWriter, r *http.Request, _ int, _ string) {
		select { // longer than any client here waits
		case <-r.Context().Done():
		case <-time.After(30 * time.Second):
		}
	},
	"slow": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		for i := range 5 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Duration(n) * time.Millisecond) // the pace of the server is what the path asks for
		}
	},
	"abort": func(http.ResponseWriter, *http.Request, int, string) { panic(http.ErrAbortHandler) },
	"truncated": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(pattern(n / 2))
		panic(http.ErrAbortHandler)
	},
	"close": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		// An answer as HTTP/1.0 has it, ended by the close alone.
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n%s", pattern(n))
		_ = conn.Close()
	},
	"trailers": func(w http.ResponseWriter, _ *http.Request, n int, _ string) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = w.Write(pattern(n))
		w.Header().Set("X-Sum", fmt.Sprintf("%x", sha256.Sum256(pattern(n))))
	},
	"hints": func(w http.ResponseWriter, _ *http.Request, _ int, _ string) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "after the hints\n")
	},
	"range": func(w http.ResponseWriter, r *http.Request, n int, _ string) {
		http.ServeContent(w, r, "range.bin", time.Unix(1_000_000_000, 0), strings.NewReader(string(pattern(n))))
	},
	"auth": func(w http.ResponseWriter, r *http.Request, _ int, _ string) {
		if user, password, ok := r.BasicAuth(); !ok || user != "user" || password != "secret" {
			w.Header().Set("Www-Authenticate", `Basic realm="origin"`)
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "welcome\n")
	},
	"cookie": func(w http.ResponseWriter, r *http.Request, _ int, _ string) {
		if c, err := r.Cookie("taste"); err == nil {
			_, _ = fmt.Fprintf(w, "taste is %s\n", c.Value)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "taste", Value: "sweet", Path: "/"})
		_, _ = io.WriteString(w, "no cookie\n")
	},
	"tree": func(w http.ResponseWriter, r *http.Request, _ int, _ string) {
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/tree/" {
			for i := range 8 {
				_, _ = fmt.Fprintf(w, "<a href=\"/tree/page%d.html\">%d</a>\n", i, i)
			}
			return
		}
		_, _ = fmt.Fprintf(w, "<p>%s\n", r.URL.Path)
	},
}

// makeCertificate makes a certificate for 127.0.0.1 and localhost that signs itself, and writes it to dir as ca.pem and key.pem, readable
// for all: the servers run as other users.
func makeCertificate(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, content := range map[string][]byte{"ca.pem": certificate, "key.pem": private} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil { //nolint:gosec // a key of this test alone
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certificate, private)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// awaitPort waits until a server listens at address, for at most limit.
func awaitPort(ctx context.Context, t *testing.T, address string, limit time.Duration) {
	t.Helper()
	var d net.Dialer
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nobody listens at %s: %v", address, err)
		}
	}
}
