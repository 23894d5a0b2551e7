package parsers

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// clientHello returns what crypto/tls sends first when it asks for name.
func clientHello(t testing.TB, name string) []byte {
	t.Helper()
	here, there := net.Pipe()
	go func() {
		// The handshake fails when the pipe is closed.
		_ = tls.Client(here, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	}()
	defer func() { _, _ = here.Close(), there.Close() }()
	_ = there.SetDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 16<<10)
	n, err := there.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// readByCryptoTLS returns the name that a server made of Go's library finds; ok is false when it does not get as far.
func readByCryptoTLS(first []byte) (name string, ok bool) {
	_ = tls.Server(recorded{r: bytes.NewReader(first)}, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = h.ServerName, true
		return nil, errors.New("seen enough")
	}}).Handshake()
	return name, ok
}

// recorded is a connection on which bytes have come, and then its end; what is sent goes nowhere.
type recorded struct {
	net.Conn
	r *bytes.Reader
}

func (c recorded) Read(p []byte) (int, error)       { return c.r.Read(p) }
func (c recorded) Write(p []byte) (int, error)      { return len(p), nil }
func (c recorded) SetWriteDeadline(time.Time) error { return nil }

func TestServerNameOfAHello(t *testing.T) {
	for _, name := range []string{"cart.example", "s.example", strings.Repeat("x.", 100) + "example", "xn--bcher-kva.example", "under_score.example"} {
		hello := clientHello(t, name)
		if got := helloServerName(hello); got != name {
			t.Errorf("%q, want %q", got, name)
		}
		end := strings.Index(string(hello), name) + len(name)
		for n := range hello {
			want := ""
			if n >= end {
				want = name
			}
			if got := helloServerName(hello[:n]); got != want {
				t.Fatalf("of the first %d bytes of %d: %q, want %q", n, len(hello), got, want)
			}
		}
	}
	hello := clientHello(t, "")
	if got := helloServerName(hello); got != "" {
		t.Errorf("no name was sent, and %q found", got)
	}
	hello = clientHello(t, "cart.example")
	for _, c := range []string{"\n", " ", "\x00", "\x7f", "\x80", "\"", "/"} {
		bad := strings.Replace(string(hello), "cart.", "car"+c+".", 1)
		if got := helloServerName([]byte(bad)); got != "" {
			t.Errorf("%q is no host name", got)
		}
	}
}

// FuzzServerName: nothing is read beyond what came; what is found is a host name that is in the bytes, and the one that crypto/tls finds where it takes the
// hello; more bytes never change it.
func FuzzServerName(f *testing.F) {
	for _, name := range []string{"cart.example", "a", ""} {
		f.Add(clientHello(f, name))
	}
	f.Fuzz(func(t *testing.T, first []byte) {
		got := helloServerName(first)
		if got != "" && !strings.Contains(string(first), got) {
			t.Fatalf("%q is not in %q", got, first)
		}
		for n := range first {
			if part := helloServerName(first[:n:n]); part != "" && part != got {
				t.Fatalf("%q after %d bytes, %q after all", part, n, got)
			}
		}
		if sniffTLS(first) != Yes || len(first) < 5 || len(first) != 5+(int(first[3])<<8|int(first[4])) {
			return // not one record
		}
		if name, ok := readByCryptoTLS(first); ok && got != name && (got != "" || isHostName(name)) {
			t.Fatalf("%q, and crypto/tls says %q", got, name)
		}
	})
}

// isHostName reports whether name has bytes of names only.
func isHostName(name string) bool {
	for i := range len(name) {
		if class[name[i]]&isToken == 0 {
			return false
		}
	}
	return len(name) <= maxServerName
}
