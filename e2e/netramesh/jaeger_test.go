package netramesh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// The variables of jaeger-client-go, one by one.

func TestRowJaegerAgent(t *testing.T) {
	app, _ := answering(t, ok)
	t.Run("host and port", func(t *testing.T) {
		a := newAgent(t)
		s := beside(t, a, app, "")
		get(t, s.Inbound, "/")
		a.one()
	})
	t.Run("port alone", func(t *testing.T) {
		a := newAgent(t)
		s := beside(t, nil, app, "", fmt.Sprintf("JAEGER_AGENT_PORT=%d", a.port()))
		get(t, s.Inbound, "/")
		a.one()
	})
	t.Run("host alone", func(t *testing.T) {
		beside(t, nil, app, "", "JAEGER_AGENT_HOST=jaeger.test").logged("udp://jaeger.test:6831")
	})
	refusesToStart(t, []string{"JAEGER_AGENT_PORT=agent"}, "JAEGER_AGENT_PORT", `"agent"`)
}

// collector is a Jaeger collector's HTTP endpoint: Thrift in the binary protocol.
func collector(t *testing.T) (endpoint string, batches <-chan *jaeger.Batch, logins <-chan string) {
	t.Helper()
	got, who := make(chan *jaeger.Batch, 16), make(chan string, 16)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		buf := thrift.NewTMemoryBufferLen(len(body))
		buf.Write(body)
		b := jaeger.NewBatch()
		if err := b.Read(context.Background(), thrift.NewTBinaryProtocolConf(buf, nil)); err != nil {
			t.Errorf("collector: %v", err)
		}
		user, password, _ := r.BasicAuth()
		who <- user + ":" + password
		got <- b
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/api/traces", got, who
}

func TestRowJaegerEndpoint(t *testing.T) {
	app, _ := answering(t, ok)
	endpoint, batches, logins := collector(t)
	// The endpoint goes before the agent, as there.
	s := beside(t, newAgent(t), app, "", "JAEGER_ENDPOINT="+endpoint, "JAEGER_USER=ann", "JAEGER_PASSWORD=secret")
	get(t, s.Inbound, "/shop")
	select {
	case b := <-batches:
		if all := spansOf(b); len(all) != 1 || all[0].Op != "/shop" || all[0].Service != "x" {
			t.Errorf("got %+v", all)
		}
	case <-time.After(patience):
		t.Fatal("no batch")
	}
	if login := <-logins; login != "ann:secret" {
		t.Errorf("login %q", login)
	}
	if _, config := get(t, s.Admin, "/config"); strings.Contains(config+s.Log.String(), "secret") {
		t.Error("the password is shown")
	}
	refusesToStart(t, []string{"JAEGER_ENDPOINT=collector:14268"}, "JAEGER_ENDPOINT", `"collector:14268"`)
}

func TestRowJaegerTags(t *testing.T) {
	a := newAgent(t)
	app, _ := answering(t, ok)
	s := beside(t, a, app, "", "JAEGER_TAGS=dc=ams, zone=${ZONE:none}, rack=${RACK:r0}", "ZONE=b")
	get(t, s.Inbound, "/")
	p := a.one().Process
	for k, want := range map[string]string{"dc": "ams", "zone": "b", "rack": "r0"} {
		if p[k] != want {
			t.Errorf("%s = %v, want %s", k, p[k], want)
		}
	}
	refusesToStart(t, []string{"JAEGER_TAGS=dc"}, "JAEGER_TAGS", `"dc"`)
}

func TestRowJaegerDisabled(t *testing.T) {
	app, heads := answering(t, ok)
	for value, disabled := range map[string]bool{"true": true, "1": true, "false": false} {
		s := beside(t, nil, app, "", "JAEGER_DISABLED="+value)
		get(t, s.Inbound, "/")
		if none := len(values(next(t, heads), "uber-trace-id")) == 0; none != disabled {
			t.Errorf("%s: disabled %v", value, none)
		}
	}
	// What Netramesh goes on with when its tracer is off ends here, and a line says so.
	s := beside(t, nil, app, "", "JAEGER_DISABLED=true", "NETRA_HTTP_ROUTING_ENABLED=true", "NETRA_STATSD_ENABLED=true")
	s.logged("NETRA_HTTP_ROUTING_ENABLED has no effect: JAEGER_DISABLED relays only", "NETRA_STATSD_ENABLED has no effect: JAEGER_DISABLED relays only")
	get(t, s.Inbound, "/")
	if head := next(t, heads); len(values(head, "X-Request-Id")) != 0 {
		t.Errorf("an id is made:\n%s", head)
	}
	// What the guide offers instead: no trace, and all the rest.
	s = beside(t, nil, app, app, "JAEGER_SAMPLER_TYPE=const", "JAEGER_SAMPLER_PARAM=0")
	get(t, s.Outbound, "/")
	if head := next(t, heads); contextOf(t, head).flags != "0" || len(values(head, "X-Request-Id")) != 1 || len(values(head, "X-Source")) != 1 {
		t.Errorf("not sampled, and nothing else:\n%s", head)
	}
	for _, name := range []string{"JAEGER_DISABLED", "JAEGER_RPC_METRICS", "JAEGER_REPORTER_LOG_SPANS"} {
		refusesToStart(t, []string{name + "=perhaps"}, name, `"perhaps"`)
	}
}

func TestRowJaegerSampler(t *testing.T) {
	app, heads := answering(t, ok)
	for _, c := range []struct {
		kind, param string
		requests    int
		want        func(sampled int) bool
	}{
		{"", "", 5, func(n int) bool { return n == 5 }}, // here the default traces everything
		{"const", "1", 5, func(n int) bool { return n == 5 }},
		{"const", "0", 5, func(n int) bool { return n == 0 }},
		{"const", "", 5, func(n int) bool { return n == 0 }},
		{"probabilistic", "1", 5, func(n int) bool { return n == 5 }},
		{"probabilistic", "0.5", 200, func(n int) bool { return n > 50 && n < 150 }},
		{"ratelimiting", "1", 50, func(n int) bool { return n >= 1 && n <= 20 }}, // one a second, however slow the machine
	} {
		t.Run(c.kind+" "+c.param, func(t *testing.T) {
			s := beside(t, nil, app, "", "JAEGER_SAMPLER_TYPE="+c.kind, "JAEGER_SAMPLER_PARAM="+c.param)
			conn := dial(t, s.Inbound)
			sampled := 0
			for range c.requests {
				conn.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				conn.read(len(ok))
				if strings.HasSuffix(value(t, next(t, heads), "uber-trace-id"), ":1") {
					sampled++
				}
			}
			if !c.want(sampled) {
				t.Errorf("%d of %d sampled", sampled, c.requests)
			}
		})
	}
	// Rules match Netramesh's names, which have no method.
	for rule, flags := range map[string]string{"/health*=never": "0", "GET /health*=never": "1"} {
		s := beside(t, nil, app, "", "NETRA_LOGGER_LEVEL=info", "SPANWIRE_SAMPLER_RULE="+rule)
		get(t, s.Inbound, "/healthz")
		if got := contextOf(t, next(t, heads)).flags; got != flags {
			t.Errorf("%s: flags %s", rule, got)
		}
	}
	for _, env := range [][2]string{{"JAEGER_SAMPLER_TYPE", "sometimes"}, {"JAEGER_SAMPLER_PARAM", "half"},
		{"JAEGER_SAMPLER_PARAM", "NaN"}} {
		refusesToStart(t, []string{"JAEGER_SAMPLER_TYPE=const", env[0] + "=" + env[1]}, env[0], fmt.Sprintf("%q", env[1]))
	}
	refusesToStart(t, []string{"JAEGER_SAMPLER_TYPE=probabilistic", "JAEGER_SAMPLER_PARAM=2"}, "JAEGER_SAMPLER_PARAM", `"2"`)
}

func TestRowJaegerReporter(t *testing.T) {
	app, _ := answering(t, ok)
	t.Run("flush interval", func(t *testing.T) {
		a := newAgent(t)
		s := beside(t, a, app, "", "JAEGER_REPORTER_FLUSH_INTERVAL=10m")
		get(t, s.Inbound, "/")
		s.AwaitMetric("spanwire_spans_recorded_total", 1)
		// Within ten minutes nothing is sent; the end flushes.
		if n := a.count(); n != 0 {
			t.Errorf("%d spans before they are due", n)
		}
		s.Stop()
		a.one()
	})
	t.Run("queue size", func(t *testing.T) {
		endpoint := "http://" + program.Refusing(t) + "/api/traces"
		s := beside(t, nil, app, "", "JAEGER_ENDPOINT="+endpoint, "JAEGER_REPORTER_MAX_QUEUE_SIZE=10",
			"JAEGER_REPORTER_FLUSH_INTERVAL=1ms", "SPANWIRE_DRAIN_TIMEOUT=100ms")
		c := dial(t, s.Inbound)
		for range 100 {
			c.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			c.read(len(ok))
		}
		s.AwaitMetric(`spanwire_spans_dropped_total{exporter="jaeger",reason="queue_full"}`, 90)
	})
	// 0 is the default, as there.
	s := beside(t, nil, app, "", "JAEGER_REPORTER_MAX_QUEUE_SIZE=0", "JAEGER_REPORTER_FLUSH_INTERVAL=0s")
	for name, want := range map[string]string{"export-queue": "32768", "export-interval": "1s"} {
		if got := s.setting(name); got.Values[0] != want || got.Origin != "default" {
			t.Errorf("%s is %v", name, got)
		}
	}
	refusesToStart(t, []string{"JAEGER_REPORTER_FLUSH_INTERVAL=1"}, "JAEGER_REPORTER_FLUSH_INTERVAL", `"1"`)
	refusesToStart(t, []string{"JAEGER_REPORTER_MAX_QUEUE_SIZE=many"}, "JAEGER_REPORTER_MAX_QUEUE_SIZE", `"many"`)
}

func TestRowJaegerRemoteSampler(t *testing.T) {
	app, heads := answering(t, ok)
	for name, env := range map[string][]string{
		"type and manager": {"JAEGER_SAMPLER_TYPE=remote", "JAEGER_SAMPLER_PARAM=0"},
		"manager alone":    {"JAEGER_SAMPLER_PARAM=0"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 100)
			answer := make(chan string)
			manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.URL.String()
				select {
				case text := <-answer:
					fmt.Fprint(w, text)
				case <-r.Context().Done():
				}
			}))
			t.Cleanup(manager.Close)
			s := beside(t, nil, app, "", append(env, "JAEGER_SAMPLER_MANAGER_HOST_PORT="+manager.Listener.Addr().String())...)
			t.Cleanup(func() { _ = s.Cmd.Process.Kill() }) // before the manager waits for its clients
			if got := <-asked; got != "/sampling?service=x" {
				t.Errorf("asked for %s", got)
			}
			flags := func() string {
				get(t, s.Inbound, "/")
				return contextOf(t, next(t, heads)).flags
			}
			if got := flags(); got != "0" {
				t.Errorf("flags %s before the manager answers", got)
			}
			answer <- `{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1}}`
			s.Await("the answer to count", func() bool { return flags() == "1" })
		})
	}
}
