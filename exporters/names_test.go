package exporters

import (
	"context"
	"encoding/binary"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// names is the DNS server that collectors are looked up with while tests run: every name has the addresses that are set.
var names atomic.Pointer[[]netip.Addr]

// TestMain points the process's resolver at it. Names of the hosts file, localhost among them, are found there as ever.
func TestMain(m *testing.M) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go answerNames(conn)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	os.Exit(m.Run())
}

// answerNames answers queries with one question (RFC 1035 §4.1): for A and AAAA with the addresses of that kind, for anything else with none.
func answerNames(conn net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, peer, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		end := 12
		for end < n && b[end] != 0 {
			end += 1 + int(b[end])
		}
		end += 5 // the root's label, type, class
		if end > n {
			continue
		}
		out := append([]byte(nil), b[:end]...)
		out[2], out[3] = 0x84, 0 // response, authoritative
		binary.BigEndian.PutUint32(out[6:], 0)
		binary.BigEndian.PutUint16(out[10:], 0)
		addrs := names.Load()
		if addrs == nil {
			out[3] = 3 // no such name
			addrs = new([]netip.Addr)
		}
		kind := binary.BigEndian.Uint16(out[end-4:])
		for _, a := range *addrs {
			if kind == 1 && a.Is4() || kind == 28 && a.Is6() {
				ip := a.AsSlice()
				out[7]++
				out = append(out, 0xC0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(ip))) // the question's name, type, IN, TTL 0
				out = append(out, ip...)
			}
		}
		_, _ = conn.WriteTo(out, peer)
	}
}

// moveTo lets every name have the addresses, and those only.
func moveTo(addrs ...string) {
	var all []netip.Addr
	for _, a := range addrs {
		all = append(all, netip.MustParseAddr(a))
	}
	names.Store(&all)
}

// at serves a collector at addr.
func (c *collector) at(addr string) *http.Server {
	c.t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		c.t.Fatal(err)
	}
	s := &http.Server{Handler: c}
	go s.Serve(l)
	c.t.Cleanup(func() { s.Close() })
	return s
}

// A collector that was replaced by one at another address, as pods are: its name is looked up again when the old address fails, and also
// when the old one goes on answering, once a connection is resolveEvery old.
func TestCollectorsThatMove(t *testing.T) {
	for _, dies := range []bool{true, false} {
		name := "and is gone"
		if !dies {
			name = "and still answers"
		}
		t.Run(name, func(t *testing.T) {
			before, after := newCollector(t), newCollector(t)
			_, port, _ := net.SplitHostPort(newOutage(t).addr)
			old := before.at("127.0.0.2:" + port)
			after.at("127.0.0.3:" + port)
			moveTo("127.0.0.2")
			cfg := testConfig("zipkin")
			cfg.ZipkinEndpoint = "http://collector.test:" + port + "/"
			p, rings := newTestPipeline(t, cfg, 64)
			client := &p.lanes[0].Sender.(*httpSender).client
			if client.MaxConnDuration != resolveEvery {
				t.Fatalf("connections live for %v", client.MaxConnDuration)
			}
			if !dies {
				client.MaxConnDuration = 20 * time.Millisecond
			}
			p.Start()
			push(t, rings[0], record(1, 1))
			// Not only there: had the answer not been read, the span would rightly go to the new address too.
			eventually(t, "a span at the old address", func() bool { return before.distinct() == 1 && p.Stats().Exporters[0].Exported == 1 })
			moveTo("127.0.0.3")
			if dies {
				old.Close()
			}
			n := 1
			eventually(t, "a span at the new address", func() bool {
				n++
				push(t, rings[0], record(1, n))
				eventually(t, "room", func() bool { return rings[0].Len() == 0 })
				return after.distinct() > 0
			})
			shutdown(t, p, 5*time.Second)
			if got := before.distinct() + after.distinct(); got != n {
				t.Errorf("%d spans of %d", got, n)
			}
		})
	}
}

// The same of an agent: nobody answers, so only the age of the socket makes the sender look again.
func TestAgentsThatMove(t *testing.T) {
	before := agentSocket(t, "127.0.0.2:0")
	_, port, _ := net.SplitHostPort(before.LocalAddr().String())
	after := agentSocket(t, "127.0.0.3:"+port)
	moveTo("127.0.0.2")
	s := newUDPSender("agent.test:"+port, time.Second)
	defer s.Abort()
	for i, agent := range []*net.UDPConn{before, before, after} {
		if i == 1 {
			moveTo("127.0.0.3")
		}
		if i == 2 {
			s.dialed = s.dialed.Add(-resolveEvery - time.Second)
		}
		if r := s.Send([]byte("span"), 1); r.Outcome != Delivered {
			t.Fatalf("packet %d: %+v", i, r)
		}
		_ = agent.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := agent.Read(make([]byte, 10)); n != 4 || err != nil {
			t.Fatalf("packet %d: %d bytes, %v", i, n, err)
		}
	}
}

// A name that is not known is a failure of its own, and mends by itself.
func TestANameThatIsNotKnownYet(t *testing.T) {
	names.Store(nil)
	col, log := newCollector(t), &lines{}
	_, port, _ := net.SplitHostPort(newOutage(t).addr)
	col.at("127.0.0.2:" + port)
	cfg := testConfig("otlp")
	cfg.OTLPEndpoint, cfg.Log = "http://collector.test:"+port, log.logger()
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	push(t, rings[0], record(1, 1))
	eventually(t, "the line", func() bool { return log.count("failure=name_resolution") == 1 })
	moveTo("127.0.0.2")
	eventually(t, "the span", func() bool { return col.distinct() == 1 })
	shutdown(t, p, 5*time.Second)
}
