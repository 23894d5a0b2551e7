package exporters

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openzipkin/zipkin-go/model"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/internal/sidecar"
)

func TestEverySpanArrivesOnceUnderLoad(t *testing.T) {
	const n = 6000
	for _, kind := range []string{"zipkin", "otlp"} {
		for _, gzipped := range []bool{false, true} {
			t.Run(kind, func(t *testing.T) {
				c := newCollector(t)
				cfg := testConfig(kind)
				cfg.ZipkinEndpoint = c.serve() + "/api/v2/spans"
				cfg.OTLPEndpoint = strings.TrimSuffix(cfg.ZipkinEndpoint, "/api/v2/spans")
				cfg.Gzip, cfg.QueueBytes = gzipped, 64<<20
				p, rings := newTestPipeline(t, cfg, 1024)
				p.Start()
				var producers sync.WaitGroup
				for i, r := range rings {
					producers.Go(func() { pushMany(t, r, i*n/2, (i+1)*n/2) })
				}
				producers.Wait()
				s := shutdown(t, p, 20*time.Second)
				c.checkOnce(n)
				if s.Recorded != n || s.Exporters[0].Exported != n {
					t.Errorf("%+v", s)
				}
				if got := c.headers.Get("Content-Encoding") == "gzip"; got != gzipped {
					t.Errorf("compressed: %v", got)
				}
				if kind == "zipkin" && c.headers.Get("b3") != "0" {
					t.Error("zipkin posts may be traced")
				}
				if c.headers.Get("User-Agent") != "spanwire/1.2.3" {
					t.Errorf("user agent %q", c.headers.Get("User-Agent"))
				}
			})
		}
	}
}

func TestBatchesAreBounded(t *testing.T) {
	var sizes sync.Map
	c := newCollector(t)
	c.script(func(_ http.ResponseWriter, r *http.Request) bool { sizes.Store(r.ContentLength, true); return false })
	cfg := testConfig("zipkin")
	cfg.ZipkinEndpoint, cfg.FlushEvery = c.serve()+"/", time.Minute
	p, rings := newTestPipeline(t, cfg, 1024)
	p.Start()
	pushMany(t, rings[0], 0, 5000)
	shutdown(t, p, 10*time.Second)
	c.checkOnce(5000)
	if n := c.asked(); n < 5000/defaultBatchSpans || n > 40 {
		t.Errorf("%d requests", n)
	}
	sizes.Range(func(size, _ any) bool {
		if size.(int64) > defaultBatchBytes {
			t.Errorf("a batch of %d bytes", size)
		}
		return true
	})
}

func TestAnIncompleteBatchIsSentInTime(t *testing.T) {
	c := newCollector(t)
	cfg := testConfig("zipkin")
	cfg.ZipkinEndpoint, cfg.FlushEvery = c.serve()+"/", 50*time.Millisecond
	p, rings := newTestPipeline(t, cfg, 1024)
	p.Start()
	defer shutdown(t, p, 5*time.Second)
	push(t, rings[0], record(span.Server, 1))
	eventually(t, "one span", func() bool { return c.distinct() == 1 })
	eventually(t, "empty queues", func() bool { e := p.Stats().Exporters[0]; return e.Queued == 0 && e.Exported == 1 })
}

// TestAnswers is what each answer of a collector leads to.
func TestAnswers(t *testing.T) {
	partial := protowire.AppendTag(nil, 1, protowire.BytesType)
	inner := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 3)
	inner = protowire.AppendString(protowire.AppendTag(inner, 2, protowire.BytesType), "three were odd")
	partial = protowire.AppendBytes(partial, inner)
	status := func(code int) func(w http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(code) } }
	hijack := func(answer string) func(w http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				io.WriteString(conn, answer)
				conn.Close()
			}
		}
	}
	for _, c := range []struct {
		name     string
		kind     string
		answer   func(w http.ResponseWriter)
		retried  bool // and so delivered with the next request
		rejected uint64
		log      string
	}{
		{"400", "zipkin", status(400), false, 10, "failure=status"},
		{"401", "otlp", status(401), false, 10, "failure=status"},
		{"404", "zipkin", status(404), false, 10, "failure=status"},
		{"500", "zipkin", status(500), false, 10, "failure=status"},
		{"redirect", "zipkin", func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) }, false, 10, "failure=status"},
		{"429", "zipkin", status(429), true, 0, "failure=busy"},
		{"502", "otlp", status(502), true, 0, "failure=busy"},
		{"503", "zipkin", status(503), true, 0, "failure=busy"},
		{"504", "otlp", status(504), true, 0, "failure=busy"},
		{"close without an answer", "zipkin", hijack(""), true, 0, "failure=connection"},
		{"close within the head", "otlp", hijack("HTTP/1.1 20"), true, 0, "failure=connection"},
		{"close within the body", "otlp", hijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"), true, 0, "failure=connection"},
		{"not HTTP", "zipkin", hijack("SSH-2.0-OpenSSH_9.6\r\n"), true, 0, "failure=connection"},
		{"partial success", "otlp", func(w http.ResponseWriter) { w.Write(partial) }, false, 3, "three were odd"},
		{"an answer without end", "otlp", func(w http.ResponseWriter) { w.Write(bytes.Repeat([]byte{'x'}, 1<<20)) }, false, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			col, log := newCollector(t), &lines{}
			var once atomic.Bool
			col.script(func(w http.ResponseWriter, r *http.Request) bool {
				if once.Swap(true) {
					return false
				}
				if !c.retried && c.rejected < 10 {
					col.take(r)
				} else {
					io.Copy(io.Discard, r.Body)
				}
				c.answer(w)
				return true
			})
			cfg := testConfig(c.kind)
			cfg.ZipkinEndpoint = col.serve() + "/api/v2/spans"
			cfg.OTLPTracesEndpoint, cfg.Log = cfg.ZipkinEndpoint, log.logger()
			p, rings := newTestPipeline(t, cfg, 64)
			pushMany(t, rings[0], 0, 10)
			p.Start()
			s := shutdown(t, p, 10*time.Second)
			e := s.Exporters[0]
			if e.Dropped[ReasonRejected] != c.rejected || e.Exported != 10-c.rejected || e.Queued != 0 {
				t.Errorf("%+v", e)
			}
			requests := 1
			if c.retried {
				requests = 2
				col.checkOnce(10)
			}
			if col.asked() != requests {
				t.Errorf("%d requests, want %d", col.asked(), requests)
			}
			if c.log != "" && log.count(c.log) != 1 {
				t.Errorf("no line with %s in: %s", c.log, log.buf.String())
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	col := newCollector(t)
	cfg := testConfig("zipkin")
	cfg.ZipkinEndpoint = col.serve() + "/"
	p, rings := newTestPipeline(t, cfg, 1024)
	q := p.lanes[0].queue
	paused := func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.pauses > 0
	}
	var mu sync.Mutex
	var first time.Time
	var early []time.Duration // requests within the second, when the sender had read the answer already
	col.script(func(w http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = time.Now()
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			return true
		}
		if after := time.Since(first); after < time.Second && paused() {
			early = append(early, after)
		}
		return false
	})
	p.Start()
	const n = 5000
	pushMany(t, rings[0], 0, n)
	eventually(t, "all spans", func() bool { return col.distinct() == n })
	shutdown(t, p, 5*time.Second)
	col.checkOnce(n)
	if after := time.Since(first); after < time.Second {
		t.Errorf("the batch came again %v after the answer that asked for a second", after)
	}
	// What another sender had under way when the pause began may still come; nobody asks anew before the second is over.
	if len(early) > maxInFlight-1 {
		t.Errorf("requests %v after the answer that asked for a second", early)
	}
}

// outage runs a collector that can be switched off: its port stays the same.
type outage struct {
	t    testing.TB
	addr string
	c    *collector
	srv  *http.Server
}

// up starts the server.
func (o *outage) up() {
	o.t.Helper()
	var l net.Listener
	eventually(o.t, "the port", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", o.addr)
		return err == nil
	})
	o.srv = &http.Server{Handler: o.c}
	go o.srv.Serve(l)
}

// newOutage reserves a port; nobody listens there yet.
func newOutage(t testing.TB) *outage {
	return &outage{t: t, addr: "127.0.0.1:" + sidecar.FreePort(t), c: newCollector(t)}
}

func TestACollectorThatComesBackGetsAllThatTheBoundKept(t *testing.T) {
	const bound, extra = 2048, 1000
	o, log := newOutage(t), &lines{}
	cfg := testConfig("zipkin")
	cfg.ZipkinEndpoint, cfg.QueueSpans, cfg.Log = "http://"+o.addr+"/api/v2/spans", bound, log.logger()
	p, rings := newTestPipeline(t, cfg, 256)
	p.Start()
	pushMany(t, rings[0], 0, bound)
	eventually(t, "all in the queue", func() bool { return rings[0].Len() == 0 })
	s := p.Stats()
	checkAccounts(t, s)
	if e := s.Exporters[0]; e.Queued != bound || e.Dropped[ReasonQueueFull] != 0 {
		t.Errorf("the bound is %d: %+v", bound, e)
	}
	pushMany(t, rings[0], bound, bound+extra)
	eventually(t, "all drained", func() bool { return rings[0].Len() == 0 })
	e := p.Stats().Exporters[0]
	if e.Queued > bound || e.Queued < bound-2*defaultBatchSpans || e.Exported != 0 {
		t.Errorf("beyond the bound: %+v", e)
	}
	o.up()
	defer o.srv.Close()
	eventually(t, "what was kept", func() bool { return p.Stats().Exporters[0].Queued == 0 })
	s = shutdown(t, p, 5*time.Second)
	kept := int(s.Exporters[0].Exported)
	o.c.checkOnce(kept)
	if uint64(kept)+s.Exporters[0].Dropped[ReasonQueueFull] != bound+extra {
		t.Errorf("%+v", s)
	}
	// The oldest went: the newest must all be there.
	o.c.mu.Lock()
	defer o.c.mu.Unlock()
	for i := bound + extra - bound/2; i < bound+extra; i++ {
		id := record(span.Server, i+1).SpanID
		if o.c.ids[model.ID(id.Uint64()).String()] != 1 {
			t.Fatalf("span %d was dropped, though it is new", i)
		}
	}
	if log.count("failure=connection") != 1 || log.count("export works again") != 1 {
		t.Errorf("log: %s", log.buf.String())
	}
}

func TestBytesAreBoundedToo(t *testing.T) {
	o := newOutage(t)
	cfg := testConfig("zipkin")
	cfg.ZipkinEndpoint, cfg.QueueBytes = "http://"+o.addr+"/", 256<<10
	p, rings := newTestPipeline(t, cfg, 256)
	p.Start()
	pushMany(t, rings[0], 0, 3000)
	eventually(t, "all drained", func() bool { return rings[0].Len() == 0 })
	l := p.lanes[0]
	l.queue.mu.Lock()
	held := l.queue.bytes
	for _, b := range l.queue.waiting {
		if cap(b.buf) > len(b.payload)*3/2 {
			t.Errorf("a batch of %d bytes waits in a buffer of %d", len(b.payload), cap(b.buf))
		}
	}
	l.queue.mu.Unlock()
	if held > 256<<10 || held < 128<<10 {
		t.Errorf("%d bytes held", held)
	}
	s := shutdown(t, p, 50*time.Millisecond)
	e := s.Exporters[0]
	if e.Queued != 0 || e.Exported != 0 || e.Dropped[ReasonQueueFull] == 0 || e.Dropped[ReasonShutdown] == 0 {
		t.Errorf("%+v", e)
	}
}

func TestASlowCollectorIsGivenUpAndRetried(t *testing.T) {
	col := newCollector(t)
	release := make(chan struct{})
	var once atomic.Bool
	col.script(func(w http.ResponseWriter, r *http.Request) bool {
		if once.Swap(true) {
			return false
		}
		io.Copy(io.Discard, r.Body)
		<-release
		return true
	})
	log := &lines{}
	cfg := testConfig("otlp")
	url := col.serve()
	t.Cleanup(func() { close(release) })
	cfg.OTLPEndpoint, cfg.Timeout, cfg.Log = url, 100*time.Millisecond, log.logger()
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	pushMany(t, rings[0], 0, 10)
	eventually(t, "the second attempt", func() bool { return col.distinct() == 10 })
	shutdown(t, p, 5*time.Second)
	if log.count("failure=timeout") != 1 {
		t.Errorf("log: %s", log.buf.String())
	}
}

func TestADeadExporterStallsNoOther(t *testing.T) {
	const n = 5000
	good, stuck := newCollector(t), newCollector(t)
	release := make(chan struct{})
	stuck.script(func(http.ResponseWriter, *http.Request) bool { <-release; return true })
	cfg := testConfig("zipkin", "otlp", "jaeger", "none")
	cfg.ZipkinEndpoint = good.serve() + "/api/v2/spans"
	cfg.OTLPEndpoint = stuck.serve()
	t.Cleanup(func() { close(release) }) // before the servers are closed, which wait for their handlers
	cfg.JaegerEndpoint = "http://" + newOutage(t).addr + "/v1/traces"
	p, rings := newTestPipeline(t, cfg, 1024)
	p.Start()
	pushMany(t, rings[1], 0, n)
	eventually(t, "every span at the good one", func() bool { return good.distinct() == n })
	begin := time.Now()
	s := shutdown(t, p, 200*time.Millisecond)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("shutting down took %v", took)
	}
	good.checkOnce(n)
	for i, want := range []uint64{n, 0, 0, n} {
		if e := s.Exporters[i]; e.Exported != want || e.Queued != 0 || want == 0 && e.Dropped[ReasonQueueFull]+e.Dropped[ReasonShutdown] != n {
			t.Errorf("%+v", e)
		}
	}
}

func TestAClosedIdleConnectionIsNoFailure(t *testing.T) {
	col, log := newCollector(t), &lines{}
	s := httptest.NewUnstartedServer(col)
	s.Config.IdleTimeout = 20 * time.Millisecond
	s.Start()
	t.Cleanup(s.Close)
	cfg := testConfig("zipkin")
	cfg.ZipkinEndpoint, cfg.Log = s.URL+"/", log.logger()
	p, rings := newTestPipeline(t, cfg, 64)
	p.Start()
	for i := range 10 {
		push(t, rings[0], record(span.Server, i+1))
		eventually(t, "the span", func() bool { return p.Stats().Exporters[0].Exported == uint64(i+1) })
		time.Sleep(time.Duration(15+i) * time.Millisecond) // around the moment at which the server closes
	}
	shutdown(t, p, 5*time.Second)
	col.checkOnce(10)
	if log.count("") != 0 {
		t.Errorf("log: %s", log.buf.String())
	}
}

func TestHeadersAndBasicAuthentication(t *testing.T) {
	for _, c := range []struct {
		name, user, wantAuth string
		set                  func(cfg *Config, url string)
	}{
		{"user-info in the URL", "u:p%40ss@", "Basic dTpwQHNz", func(cfg *Config, url string) { cfg.JaegerEndpoint = url }},
		{"settings", "", "Basic dTpw", func(cfg *Config, url string) { cfg.JaegerEndpoint, cfg.JaegerUser, cfg.JaegerPassword = url, "u", "p" }},
		{"user-info wins", "x:y@", "Basic eDp5", func(cfg *Config, url string) { cfg.JaegerEndpoint, cfg.JaegerUser, cfg.JaegerPassword = url, "u", "p" }},
		{"none", "", "", func(cfg *Config, url string) { cfg.JaegerEndpoint = url }},
		{"own header wins", "x:y@", "Bearer abc", func(cfg *Config, url string) {
			cfg.JaegerEndpoint, cfg.Headers = url, []KV{{"authorization", "Bearer abc"}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			col := newCollector(t)
			cfg := testConfig("jaeger")
			c.set(&cfg, strings.Replace(col.serve(), "http://", "http://"+c.user, 1)+"/v1/traces")
			cfg.Headers = append(cfg.Headers, KV{"X-Tenant", "shop"}, KV{"X-One", "2=2"})
			p, rings := newTestPipeline(t, cfg, 64)
			if strings.ContainsAny(p.Endpoints(), "@") {
				t.Errorf("the start line shows credentials: %s", p.Endpoints())
			}
			p.Start()
			pushMany(t, rings[0], 0, 1)
			shutdown(t, p, 5*time.Second)
			col.checkOnce(1)
			for k, want := range map[string]string{"Authorization": c.wantAuth, "X-Tenant": "shop", "X-One": "2=2"} {
				if got := col.headers.Get(k); got != want {
					t.Errorf("%s: %q, want %q", k, got, want)
				}
			}
		})
	}
}
