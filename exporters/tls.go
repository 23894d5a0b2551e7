package exporters

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// tlsConfig returns how to trust a collector and how to show who we are. The client certificate is read again at each handshake, so
// that one which is renewed on disk is picked up.
func tlsConfig(cfg *Config) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(maxInFlight)}
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
