package exporters

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// tlsConfig returns how to trust the collector at host and how to show who we are. The client certificate is read again at each
// handshake, so that one which is renewed on disk is picked up.
func tlsConfig(cfg *Config, host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(maxInFlight)}
	if cfg.CAFile != "" {
		text, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("--export-ca %q: %w", cfg.CAFile, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--export-ca %q: holds no certificate; allowed: PEM", cfg.CAFile)
		}
	}
	switch {
	case cfg.CertFile == "" && cfg.KeyFile == "":
		return c, nil
	case cfg.CertFile == "":
		return nil, fmt.Errorf("--export-key %q: needs --export-cert too", cfg.KeyFile)
	case cfg.KeyFile == "":
		return nil, fmt.Errorf("--export-cert %q: needs --export-key too", cfg.CertFile)
	}
	pair := keyPair{cert: cfg.CertFile, key: cfg.KeyFile}
	if _, err := pair.load(nil); err != nil {
		return nil, err
	}
	c.GetClientCertificate = pair.load
	return c, nil
}

// keyPair names the files of a client certificate.
type keyPair struct{ cert, key string }

// load reads the files; it has the signature that crypto/tls asks for.
func (p keyPair) load(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("--export-cert %q, --export-key %q: %w", p.cert, p.key, err)
	}
	return &pair, nil
}

// alertWait is how long alertConn waits for the alert behind a failed write; it was sent before the reset that failed the write.
const alertWait = 100 * time.Millisecond

// alertConn keeps the alert that ended a connection for its sender. In TLS 1.3 a server judges the client's certificate after the client
// has finished the handshake (RFC 8446 §4.4.2.4): its alert comes while we are writing already, followed by a reset, and the write
// knows of the reset only. And what a read says before the first byte of an answer, fasthttp reports as a plain end of stream.
type alertConn struct {
	*tls.Conn
	alert *atomic.Pointer[net.OpError]
}

// Read implements net.Conn.
func (c alertConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if op := alertOf(err); op != nil {
		c.alert.Store(op)
	}
	return n, err
}

// Write implements net.Conn.
func (c alertConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && c.SetReadDeadline(time.Now().Add(alertWait)) == nil {
		var one [1]byte
		_, _ = c.Read(one[:]) // for the alert, which Read keeps
	}
	return n, err
}

// alertOf returns err if it is an alert that the other side sent, else nil; crypto/tls has no exported type for it.
func alertOf(err error) *net.OpError {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return op
	}
	return nil
}
