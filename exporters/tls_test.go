package exporters

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeFile writes text into a file of the test and returns its path.
func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// identity is a certificate and its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

// issue makes a certificate signed by ca, or by itself for nil.
func issue(t testing.TB, ca *identity, change func(*x509.Certificate)) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	signer := &identity{cert: template, key: key}
	if ca != nil {
		signer = ca
	} else {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &identity{cert: cert, key: key, pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// pair returns the certificate for a TLS configuration.
func (i *identity) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}
}

// files writes certificate and key.
func (i *identity) files(t testing.TB) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", i.pem), writeFile(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})))
}

func TestTLS(t *testing.T) {
	ca, other := issue(t, nil, nil), issue(t, nil, nil)
	good := issue(t, ca, nil)
	expired := issue(t, ca, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	named := issue(t, ca, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"collector.example"} })
	client, stranger := issue(t, ca, nil), issue(t, other, nil)
	for _, c := range []struct {
		name      string
		server    *identity
		trust     *identity // nil: the system's authorities
		client    *identity
		mutual    bool
		log       string // "" = delivered
		plaintext bool
	}{
		{name: "right authority", server: good, trust: ca},
		{name: "wrong authority", server: good, trust: other, log: "failure=tls_unknown_authority"},
		{name: "system authorities", server: good, log: "failure=tls_unknown_authority"},
		{name: "expired", server: expired, trust: ca, log: "failure=tls_certificate_expired"},
		{name: "another name", server: named, trust: ca, log: "failure=tls_name_mismatch"},
		{name: "client certificate", server: good, trust: ca, client: client, mutual: true},
		{name: "client certificate of a stranger", server: good, trust: ca, client: stranger, mutual: true, log: "failure=tls"},
		{name: "client certificate missing", server: good, trust: ca, mutual: true, log: "failure=tls"},
		{name: "the server speaks plain HTTP", plaintext: true, trust: ca, log: "failure=tls"},
	} {
		t.Run(c.name, func(t *testing.T) {
			col, out := newCollector(t), &lines{}
			s := httptest.NewUnstartedServer(col)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			if c.plaintext {
				s.Start()
			} else {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{c.server.pair()}}
				if c.mutual {
					s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
					s.TLS.ClientCAs.AddCert(ca.cert)
				}
				s.StartTLS()
			}
			defer s.Close()
			cfg := testConfig("otlp")
			cfg.OTLPEndpoint, cfg.Log = strings.Replace(s.URL, "http://", "https://", 1), out.logger()
			if c.trust != nil {
				cfg.CAFile = writeFile(t, "ca.pem", c.trust.pem)
			}
			if c.client != nil {
				cfg.CertFile, cfg.KeyFile = c.client.files(t)
			}
			p, rings := newTestPipeline(t, cfg, 64)
			p.Start()
			pushMany(t, rings[0], 0, 10)
			if c.log == "" {
				eventually(t, "the spans", func() bool { return p.Stats().Exporters[0].Exported == 10 })
				shutdown(t, p, 5*time.Second)
				col.checkOnce(10)
				return
			}
			eventually(t, "a counted drop", func() bool { return p.Stats().Exporters[0].Dropped[ReasonTLS] == 10 })
			shutdown(t, p, 5*time.Second)
			if n := out.count(c.log); n != 1 || out.count("endpoint=https://") != n {
				t.Errorf("%d lines with %s in: %s", n, c.log, out.buf.String())
			}
		})
	}
}
