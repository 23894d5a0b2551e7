package exporters

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/internal/need"
)

// TestEveryExporterOfTheTable ranges over the table: whatever an exporter does, its accounts hold, it takes hostile records, it ends
// when told to, and its accounts hold when nobody receives.
func TestEveryExporterOfTheTable(t *testing.T) {
	answers := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }))
	defer answers.Close()
	dead := "http://" + newOutage(t).addr
	for _, k := range Table() {
		for _, base := range []string{answers.URL, dead} {
			t.Run(k.Name, func(t *testing.T) {
				var out bytes.Buffer
				cfg := testConfig(k.Name)
				cfg.ZipkinEndpoint, cfg.OTLPEndpoint, cfg.JaegerEndpoint, cfg.Output = base+"/api/v2/spans", base, base+"/v1/traces", &out
				p, rings := newTestPipeline(t, cfg, 64)
				p.Start()
				all := hostile()
				for i, r := range all {
					push(t, rings[i%2], r)
				}
				limit := 300 * time.Millisecond // nobody receives: it is used up
				if base == answers.URL {
					limit = 20 * time.Second
				}
				s := shutdown(t, p, limit)
				if s.Recorded != uint64(len(all)) || s.Exporters[0].Queued != 0 {
					t.Errorf("%+v", s)
				}
				if base == answers.URL && s.Exporters[0].Exported != uint64(len(all)) {
					t.Errorf("%+v", s.Exporters[0])
				}
				if !strings.HasPrefix(p.Endpoints(), k.Name) {
					t.Errorf("start line: %s", p.Endpoints())
				}
			})
		}
	}
}

func TestJaegerCollectorGetsThrift(t *testing.T) {
	got := make(chan []byte, 10)
	var kind string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		kind = r.URL.Path + " " + r.Header.Get("Content-Type") + r.Header.Get("Content-Encoding")
		w.WriteHeader(202)
		got <- body.Bytes()
	}))
	defer s.Close()
	cfg := testConfig("jaeger")
	cfg.JaegerEndpoint, cfg.Gzip = s.URL+"/api/traces", true
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	r := record(span.Client, 1)
	push(t, rings[0], r)
	shutdown(t, p, 5*time.Second)
	payload := <-got
	if kind != "/api/traces application/vnd.apache.thrift.binary" {
		t.Error(kind)
	}
	if !bytes.Contains(payload, []byte("Cart")) || len(payload) < 200 {
		t.Errorf("%q", payload)
	}
}

// agentSocket listens as a Jaeger agent would.
func agentSocket(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	if err != nil {
		need.Missing(t, "a socket at "+addr, err.Error())
	}
	t.Cleanup(func() { conn.Close() })
	udp := conn.(*net.UDPConn)
	if err := udp.SetReadBuffer(8 << 20); err != nil {
		t.Fatal(err)
	}
	return udp
}

func TestPacketsToTheAgentAreBounded(t *testing.T) {
	agent := agentSocket(t, "127.0.0.1:0")
	cfg := testConfig("jaeger")
	cfg.JaegerEndpoint, cfg.BatchSpans, cfg.BatchBytes, cfg.FlushEvery = "udp://"+agent.LocalAddr().String(), 10000, 1<<20, time.Minute
	p, rings := newTestPipeline(t, cfg, 512)
	all := make([]*span.Record, 300)
	for i := range all {
		all[i] = record(span.Kind(i%2), i)
		push(t, rings[0], all[i])
	}
	p.Start()
	s := shutdown(t, p, 5*time.Second)
	if s.Exporters[0].Exported != 300 {
		t.Errorf("%+v", s)
	}
	agent.SetReadDeadline(time.Now().Add(5 * time.Second))
	packet, packets := make([]byte, 1<<16), 0
	var largest int
	for spans := 0; spans < 300; packets++ {
		n, err := agent.Read(packet)
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, n)
		spans += bytes.Count(packet[:n], []byte("GET /api/Carts/{id}"))
	}
	if packets < 2 || largest > maxPacketBytes || largest < maxPacketBytes/2 {
		t.Errorf("%d packets, the largest of %d bytes", packets, largest)
	}
}

func TestASpanThatNoPacketCarriesIsCounted(t *testing.T) {
	cfg := testConfig("jaeger", "none")
	cfg.JaegerEndpoint = "udp://127.0.0.1:1"
	cfg.Resource = []KV{{"huge", strings.Repeat("x", maxPacketBytes)}}
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	pushMany(t, rings[0], 0, 3)
	s := shutdown(t, p, time.Second)
	if s.Exporters[0].Dropped[ReasonEncode] != 3 || s.Exporters[1].Exported != 3 {
		t.Errorf("%+v", s)
	}
}

func TestAnAgentThatIsAwayCostsNothing(t *testing.T) {
	agent := agentSocket(t, "127.0.0.1:0")
	addr := agent.LocalAddr().String()
	agent.Close()
	cfg := testConfig("jaeger")
	cfg.JaegerEndpoint = "udp://" + addr
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	for i := range 5 {
		pushMany(t, rings[0], i, i+1)
		eventually(t, "the packet", func() bool { return p.Stats().Exporters[0].Exported == uint64(i+1) })
	}
	shutdown(t, p, time.Second)
}

// listenIPv6 listens at ::1.
func listenIPv6(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		need.Missing(t, "IPv6 at ::1", err.Error())
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Every way out of the table, to an address and to a name that has no other.
func TestIPv6OnlyCollectors(t *testing.T) {
	moveTo("::1")
	for _, host := range []string{"[::1]", "six.test"} {
		for _, c := range []struct{ kind, path string }{
			{"zipkin", "/api/v2/spans"}, {"otlp", "/v1/traces"}, {"jaeger", "/v1/traces"}, {"jaeger", "/api/traces"}, {"jaeger", ""},
		} {
			t.Run(c.kind+" "+host+c.path, func(t *testing.T) {
				l := listenIPv6(t)
				var asked atomic.Int64
				srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == c.path {
						asked.Add(1)
					}
					w.WriteHeader(http.StatusAccepted)
				})}
				go srv.Serve(l)
				defer srv.Close()
				_, port, _ := net.SplitHostPort(l.Addr().String())
				endpoint := "http://" + host + ":" + port + c.path
				var agent *net.UDPConn
				if c.path == "" {
					agent = agentSocket(t, "[::1]:0")
					_, port, _ := net.SplitHostPort(agent.LocalAddr().String())
					endpoint = "udp://" + host + ":" + port
				}
				cfg := testConfig(c.kind)
				cfg.ZipkinEndpoint, cfg.OTLPEndpoint, cfg.JaegerEndpoint = endpoint, endpoint, endpoint
				p, rings := newTestPipeline(t, cfg, 64)
				p.Start()
				pushMany(t, rings[0], 0, 10)
				if s := shutdown(t, p, 5*time.Second); s.Exporters[0].Exported != 10 {
					t.Errorf("%+v", s)
				}
				if agent == nil {
					if asked.Load() == 0 {
						t.Error("nothing came")
					}
					return
				}
				agent.SetReadDeadline(time.Now().Add(5 * time.Second))
				if n, err := agent.Read(make([]byte, 1<<16)); err != nil || n == 0 {
					t.Errorf("%d bytes: %v", n, err)
				}
			})
		}
	}
}

// TestNamesWithTwoAddresses: the name is both ::1 and 127.0.0.1, as localhost is on most machines, and the collector listens on one of them.
func TestNamesWithTwoAddresses(t *testing.T) {
	moveTo("::1", "127.0.0.1")
	for _, network := range []string{"tcp4", "tcp6"} {
		t.Run(network, func(t *testing.T) {
			var l net.Listener
			if network == "tcp6" {
				l = listenIPv6(t)
			} else {
				var err error
				if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
					t.Fatal(err)
				}
			}
			col := newCollector(t)
			srv := &http.Server{Handler: col}
			go srv.Serve(l)
			defer srv.Close()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			cfg := testConfig("zipkin")
			cfg.ZipkinEndpoint = "http://two.test:" + port + "/"
			p, rings := newTestPipeline(t, cfg, 64)
			p.Start()
			pushMany(t, rings[0], 0, 5)
			shutdown(t, p, 5*time.Second)
			col.checkOnce(5)
		})
	}
}

func TestEndpointsByURL(t *testing.T) {
	for _, c := range []struct{ kind, in, want string }{
		{"jaeger", "", "jaeger http://localhost:4318/v1/traces"},
		{"jaeger", "udp://agent", "jaeger udp://agent"},
		{"jaeger", "http://user:pw@c:14268/api/traces?format=jaeger.thrift", "jaeger http://c:14268/api/traces"},
		{"otlp", "", "otlp http://localhost:4318/v1/traces"},
		{"otlp", "http://c:4318/", "otlp http://c:4318/v1/traces"},
		{"otlp", "https://c/prefix", "otlp https://c/prefix/v1/traces"},
		{"otlp", "http://c:4318/v1/traces", "otlp http://c:4318/v1/traces"},
		{"zipkin", "", "zipkin http://localhost:9411/api/v2/spans"},
		{"log", "", "log"}, {"none", "", "none"},
	} {
		cfg := testConfig(c.kind)
		cfg.JaegerEndpoint, cfg.OTLPEndpoint, cfg.ZipkinEndpoint = c.in, c.in, c.in
		p, err := New(cfg, nil)
		if err != nil {
			t.Errorf("%s %q: %v", c.kind, c.in, err)
		} else if p.Endpoints() != c.want {
			t.Errorf("%s %q: %s, want %s", c.kind, c.in, p.Endpoints(), c.want)
		}
	}
}
