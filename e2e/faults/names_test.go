//go:build e2e

package faults

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/netns"
	"github.com/spanwire/spanwire/internal/proof"
)

// Names that nobody resolves hold up neither the start nor traffic that needs none; when they resolve again, what needs them goes on.
func TestNameServerIsSilent(t *testing.T) {
	netns.Isolated(t, 2*time.Minute, []string{"unshare"}, func() { silentNames(t) })
}

func silentNames(t *testing.T) {
	report := proof.Fault{Name: "Name server silent", What: "The name server takes every question and answers none, from before the start; upstreams and the " +
		"collector are given by name, one more upstream by address."}
	defer func() { proof.Write(t, report) }()
	awake := make(chan struct{})
	nameServer(t, awake)
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	third := newLoad(t)
	begun := time.Now()
	m := newMesh(t, setup{
		names: true,
		wrap:  []string{need.Tool(t, "unshare"), "--mount", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, resolv},
		// The one whose upstream is an address; its own address is the last of the start line's.
		args: []string{"--inbound", "127.0.0.1:4321=" + third.server()},
	})
	took := time.Since(begun)
	if took > 2*time.Second {
		t.Errorf("the start waited %v for names", took)
	}
	// Whoever needs no name is served.
	for range 20 {
		if e := third.one("127.0.0.1:4321", false); e.err != nil {
			t.Fatal(e.err)
		}
	}
	if n := m.Metric("spanwire_spans_recorded_total"); n == 0 {
		t.Errorf("%v spans", n)
	}
	// Whoever needs one waits for the first answer, and is then told that there is none.
	c, err := net.Dial("tcp", m.Inbound)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(stuck))
	if _, err := io.Copy(io.Discard, c); err == nil {
		t.Error("a connection to an unknown name ended as if it had been served")
	}
	m.AwaitMetric(`spanwire_refused_total{reason="unresolved"}`, 1)
	close(awake)
	m.Await("the names to be known again", func() bool { return third.reaches(m.Inbound) && third.reaches(m.Outbound) })
	stop := m.begin(10)
	m.goesOn(40, "conversations")
	stop()
	sum, faults := third.judge()
	for _, f := range faults {
		t.Error(f)
	}
	m.judged()
	m.Await("the sessions to end", func() bool { return m.Sum("spanwire_sessions") == 0 })
	m.Await("the spans to be sent", func() bool { return m.Sum("spanwire_spans_queued") == 0 })
	recorded, exported := m.Sum("spanwire_spans_recorded_total"), m.Sum("spanwire_spans_exported_total")
	if recorded != exported || recorded == 0 {
		t.Errorf("%v spans recorded, %v exported", recorded, exported)
	}
	report.Outcome = []proof.Figure{proof.Figuref("start", "%v", took.Round(time.Millisecond)), proof.Figuref("conversations without a name, with a silent name server", "%d", sum.whole),
		proof.Figuref("spans recorded = exported, once it spoke", "%v = %v", recorded, exported)}
	m.Stop()
}

// reaches reports whether a connection to addr lives for a moment: one that leads nowhere is reset at once.
func (l *load) reaches(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	timeout, ok := err.(net.Error) //nolint:errorlint // as it comes
	return ok && timeout.Timeout()
}

// nameServer is a DNS server at port 53 of the test's namespace: silent, until it is told to know every name as 127.0.0.1.
func nameServer(t *testing.T, awake <-chan struct{}) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, peer, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			select {
			case <-awake:
				_, _ = c.WriteTo(answer(b[:n]), peer)
			default:
			}
		}
	}()
}

// answer makes the answer to a query with one question (RFC 1035 §4.1): of type A 127.0.0.1, else none.
func answer(query []byte) []byte {
	end := 12
	for end < len(query) && query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 5 // root label, type, class
	out := append([]byte(nil), query[:end]...)
	out[2], out[3] = 0x84, 0 // response, authoritative
	clear(out[6:12])
	if binary.BigEndian.Uint16(query[end-4:]) == 1 {
		out[7] = 1
		out = append(out, 0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1) // the question's name, A, IN, TTL 0, four bytes
	}
	return out
}
