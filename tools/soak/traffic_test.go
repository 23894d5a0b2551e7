package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"
)

func TestSharesSumUp(t *testing.T) {
	sum := 0.0
	for _, k := range kinds {
		sum += k.share
		if k.workers < 2 || k.workers%2 != 0 {
			t.Errorf("%s has %d workers: each side needs half of them", k.name, k.workers)
		}
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("shares sum up to %v", sum)
	}
}

// direct returns an application and targets that lead to it without a sidecar.
func direct(t *testing.T) *targets {
	t.Helper()
	a, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	a.fetch = func(_ context.Context, id, _ string) ([]byte, error) { return itemOf(id), nil }
	dead, _, err := deadPort()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	return &targets{plain: [2]string{a.plain, a.plain}, secure: [2]string{a.secure, a.secure}, dead: [2]string{dead, dead}, roots: roots, limit: visitLimit}
}

// TestTrafficIsFlawlessWithoutASidecar runs the mix against the application itself: what fails through the sidecar is then not the
// traffic's own fault.
func TestTrafficIsFlawlessWithoutASidecar(t *testing.T) {
	tl := newTally()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	run(ctx, direct(t), tl, 150, 1)
	c := tl.counts()
	if c.failures != 0 || c.altered != 0 {
		t.Errorf("%d failures, %d altered: %q", c.failures, c.altered, c.unexpected)
	}
	if c.requests < 100 || c.spans() < 80 || c.spans() > c.requests {
		t.Errorf("%d requests, %d of them visible", c.requests, c.spans())
	}
}

// TestEveryVisitNoticesAlteredBytes puts a relay in between that flips a bit of what comes back, late enough to hit a body or a frame.
func TestVisitsNoticeAlteredBytes(t *testing.T) {
	app := direct(t)
	for _, k := range kinds {
		if !strings.Contains("keep-alive call churn bulk websocket grpc-stream h2c", k.name) {
			continue // of TLS and of errors no byte is compared
		}
		l, err := listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go flip(l, app.plain[0])
		spoilt := *app
		spoilt.plain = [2]string{l.Addr().String(), l.Addr().String()}
		tl := newTally()
		c := &client{kind: k.name, targets: &spoilt, tally: tl, random: seeded(1, 1)}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		k.visit(ctx, c)
		cancel()
		c.links.close()
		_ = l.Close()
		if got := tl.counts(); got.failures == 0 {
			t.Errorf("%s did not notice a flipped bit", k.name)
		}
	}
}

// flip relays connections to addr and flips one bit in the last byte of each read of 60 bytes or more.
func flip(l net.Listener, addr string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			server, err := net.Dial("tcp", addr)
			if err != nil {
				return
			}
			defer server.Close()
			go func() { _, _ = io.Copy(server, conn) }()
			b := make([]byte, 64<<10)
			for {
				n, err := server.Read(b)
				if n >= 60 {
					b[n-1] ^= 1
				}
				if _, writeErr := conn.Write(b[:n]); err != nil || writeErr != nil {
					return
				}
			}
		}()
	}
}

func TestFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		for _, mask := range [][]byte{nil, {1, 2, 3, 4}} {
			want := patterned(uint64(n), n)
			frame := appendFrame(nil, opBinary, want, mask)
			op, got, err := readFrame(bufio.NewReader(bytes.NewReader(frame)))
			if err != nil || op != opBinary || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, mask %v: %d bytes of %d, %v", n, mask, len(got), op, err)
			}
			if _, _, err := readFrame(bufio.NewReader(bytes.NewReader(frame[:len(frame)-1]))); err == nil {
				t.Errorf("%d bytes, mask %v: a cut frame was taken", n, mask)
			}
		}
	}
	for _, bad := range [][]byte{{0x02, 0}, {0x81, 0}, {0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0}} {
		if _, _, err := readFrame(bufio.NewReader(bytes.NewReader(bad))); !errors.Is(err, errFrame) {
			t.Errorf("% x: %v", bad, err)
		}
	}
	// RFC 6455 §1.3.
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept key %s", got)
	}
}

func TestCollectorCountsASpanOnce(t *testing.T) {
	c := &collector{recent: map[[8]byte]struct{}{}, turned: time.Now()}
	ids, ok := readZipkin([]byte(`[{"id":"00000000000000ff"},{"id":"0000000000000001"}]`))
	c.count(ids, ok)
	c.turned = c.turned.Add(-2 * generation)
	c.count(ids[:1], ok) // in the generation before
	c.count(ids[:1], ok)
	ids, ok = readZipkin([]byte(`[{"id":"xyz"}]`))
	c.count(ids, ok)
	if got := c.taken(); got.Spans != 2 || got.Repeated != 2 || got.Bad != 1 {
		t.Errorf("%+v", got)
	}
	if _, ok := readOTLP([]byte("\xff\xff")); ok {
		t.Error("garbage was taken for spans")
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"-minutes", "0.1"}, {"-rate", "1"}, {"x"}, {"-nothing"}} {
		if code := soak(args); code != 2 {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}
