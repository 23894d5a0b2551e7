package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"
)

// application is a service with one set of answers on a plain and a TLS port, each for HTTP/1 and HTTP/2. One stands behind the inbound
// listeners, one is the upstream behind the outbound ones.
type application struct {
	plain, secure string // addresses
	certificate   *x509.Certificate
	// fetch gets the upstream's item through the sidecar, on behalf of the request with that id; nil for the upstream itself.
	fetch   func(ctx context.Context, id, requestID string) ([]byte, error)
	servers []*http.Server
}

// serve listens on two ports of the loopback and answers until close.
func serve() (*application, error) {
	a := &application{}
	certificate, err := selfSigned()
	if err != nil {
		return nil, err
	}
	a.certificate = certificate.Leaf
	for _, secure := range []bool{false, true} {
		l, err := listen("127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s := &http.Server{Handler: a.routes(), ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols)}
		s.Protocols.SetHTTP1(true)
		s.Protocols.SetHTTP2(true)
		s.Protocols.SetUnencryptedHTTP2(true)
		a.servers = append(a.servers, s)
		if secure {
			a.secure = l.Addr().String()
			s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			go func() { _ = s.ServeTLS(l, "", "") }() // returns when it is closed
		} else {
			a.plain = l.Addr().String()
			go func() { _ = s.Serve(l) }()
		}
	}
	return a, nil
}

func (a *application) close() {
	for _, s := range a.servers {
		_ = s.Close()
	}
}

func (a *application) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { answer(w, itemOf(r.PathValue("id"))) })
	mux.HandleFunc("GET /calls/{id}", a.call)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /status/{code}", status)
	mux.HandleFunc("GET /reset", reset)
	mux.HandleFunc("GET /cut", cut)
	mux.HandleFunc("GET /endless", endless)
	mux.HandleFunc("GET /socket", acceptSocket)
	mux.HandleFunc("POST /soak.Echo/Talk", talk)
	return mux
}

// itemOf is the body of an item: 100 to 2000 bytes that follow from its id, so that both ends know them.
func itemOf(id string) []byte {
	sum := crc32.ChecksumIEEE([]byte(id))
	return patterned(uint64(sum), 100+int(sum%1901))
}

// patterned returns n bytes that follow from seed, by a xorshift generator: no two stretches are alike, so that bytes lost, doubled or
// moved are noticed.
func patterned(seed uint64, n int) []byte {
	b := make([]byte, n+8)
	x := seed*0x9E3779B97F4A7C15 + 1
	for i := 0; i < n; i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	return b[:n]
}

func answer(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// call answers with what the upstream says of the item. It hands on the request id and no trace context, as applications do.
func (a *application) call(w http.ResponseWriter, r *http.Request) {
	if a.fetch == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := a.fetch(r.Context(), r.PathValue("id"), r.Header.Get("X-Request-Id"))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, err.Error())
		return
	}
	answer(w, body)
}

// echo answers with the body it was sent, once it has all of it.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, bulkMax+1))
	if err != nil {
		return // the connection broke; the client notices
	}
	answer(w, body)
}

func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil || code < 200 || code > 599 {
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
}

// hijack takes the connection from the server; nil, with an answer, when that cannot be.
func hijack(w http.ResponseWriter) *net.TCPConn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		w.WriteHeader(http.StatusNotImplemented)
		return nil
	}
	tcp, _ := conn.(*net.TCPConn)
	return tcp
}

// reset ends the connection by a reset instead of an answer.
func reset(w http.ResponseWriter, _ *http.Request) {
	if conn := hijack(w); conn != nil {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

// cutBytes of the 100 000 that cut announces are sent.
const cutBytes = 5000

// cut ends the connection within the body.
func cut(w http.ResponseWriter, _ *http.Request) {
	if conn := hijack(w); conn != nil {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n%s", patterned(1, cutBytes))
		_ = conn.Close()
	}
}

// endless answers with a head, and with more until the client has gone.
func endless(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := w.Write(patterned(2, 1000)); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// talk is what a gRPC server does on the wire: messages with a length before them, each answered by the same, and the status in a trailer
// (grpc/grpc, doc/PROTOCOL-HTTP2.md).
func talk(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		message, err := readMessage(r.Body)
		if errors.Is(err, io.EOF) {
			w.Header().Set("Grpc-Status", "0")
			return
		}
		if err != nil {
			return
		}
		if _, err := w.Write(message); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}

// readMessage reads one message with its head; io.EOF between two.
func readMessage(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > 1<<20 {
		return nil, fmt.Errorf("message of %d bytes", n)
	}
	message := append(head[:], make([]byte, n)...)
	_, err := io.ReadFull(r, message[5:])
	return message, err
}

// listen listens at addr.
func listen(addr string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned() (c tls.Certificate, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return c, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
