package netramesh

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	program "github.com/spanwire/spanwire/internal/sidecar"
)

// The tests of this file are the rows of the table "Names that keep working" in docs/netramesh.md, in its order. Those of routing,
// statsd and redirect rules are in files of their own.

func TestRowServiceName(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  []string
		want string
	}{
		{"flag", []string{"--service-name", "flag"}, []string{"JAEGER_SERVICE_NAME=jaeger", "SPANWIRE_SERVICE_NAME=own"}, "flag"},
		{"own variable", nil, []string{"JAEGER_SERVICE_NAME=jaeger", "OTEL_SERVICE_NAME=otel", "SPANWIRE_SERVICE_NAME=own"}, "own"},
		{"Jaeger", nil, []string{"JAEGER_SERVICE_NAME=jaeger"}, "jaeger"},
		{"OpenTelemetry", nil, []string{"OTEL_SERVICE_NAME=otel"}, "otel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t)
			app, _ := answering(t, ok)
			env := append(a.env(), "NETRA_PPROF_PORT=0", "SPANWIRE_INBOUND=127.0.0.1:0="+app)
			s := start(t, command(append(env, c.env...), c.args...))
			get(t, s.Inbound, "/")
			if got := a.one().Service; got != c.want {
				t.Errorf("service %q, want %q", got, c.want)
			}
		})
	}
	t.Run("required", func(t *testing.T) {
		cmd := command([]string{"SPANWIRE_LISTEN=127.0.0.1:0"})
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), "--service-name") {
			t.Errorf("code %d, %s", code, out)
		}
	})
}

func TestRowLoggerLevel(t *testing.T) {
	for value, shown := range map[string]string{"debug": "debug", "info": "info", "warning": "warn", "warn": "warn", "error": "error",
		"fatal": "error"} {
		t.Run(value, func(t *testing.T) {
			port := program.FreePort(t)
			cmd := command([]string{"NETRA_LOGGER_LEVEL=" + value, "NETRA_PORT=0", "NETRA_PPROF_PORT=" + port, "NETRA_PROMETHEUS_PORT=0"},
				"--service-name", "x")
			var log program.Buffer
			cmd.Stderr = &log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			awaitListener(t, "127.0.0.1:"+port)
			if _, body := get(t, "127.0.0.1:"+port, "/loglevel"); strings.ToLower(strings.TrimSpace(body)) != shown {
				t.Errorf("level %q, want %q", body, shown)
			}
			begun := func() bool { return strings.Contains(log.String(), "spanwire started") }
			if shown == "debug" || shown == "info" {
				for deadline := time.Now().Add(patience); !begun(); time.Sleep(5 * time.Millisecond) { // the line comes after the listeners
					if time.Now().After(deadline) {
						t.Fatalf("the log at level %s:\n%s", value, log.String())
					}
				}
				return
			}
			_ = cmd.Process.Signal(syscall.SIGTERM)
			timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
			if err := cmd.Wait(); err != nil || begun() { // the log is all there
				t.Errorf("%v, the log at level %s:\n%s", err, value, log.String())
			}
		})
	}
	refusesToStart(t, []string{"NETRA_LOGGER_LEVEL=loud"}, "NETRA_LOGGER_LEVEL", `"loud"`, "debug, info, warning, error or fatal")
}

// awaitListener waits until addr takes connections.
func awaitListener(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestRowPorts(t *testing.T) {
	t.Run("moved", func(t *testing.T) {
		netra, pprof, metrics := program.FreePort(t), program.FreePort(t), program.FreePort(t)
		s := launch(t, "NETRA_PORT="+netra, "NETRA_PPROF_PORT="+pprof, "NETRA_PROMETHEUS_PORT="+metrics)
		s.logged("transparent=[::]:" + netra + " admin=127.0.0.1:" + pprof + " metrics=[::]:" + metrics)
		if status, body := get(t, s.Admin, "/debug/pprof/"); status != 200 || !strings.Contains(body, "goroutine") {
			t.Errorf("profiles: %d %s", status, body)
		}
		for _, path := range []string{"/metrics", "/", "/whatever"} {
			if status, body := get(t, "127.0.0.1:"+metrics, path); status != 200 || !strings.Contains(body, "spanwire_build_info") {
				t.Errorf("metrics at %s: %d", path, status)
			}
		}
	})
	t.Run("profiles and metrics at one port", func(t *testing.T) {
		port := program.FreePort(t)
		s := launch(t, "NETRA_PORT=0", "NETRA_PPROF_PORT="+port, "NETRA_PROMETHEUS_PORT="+port)
		if status, body := get(t, "127.0.0.1:"+port, "/metrics"); status != 200 || !strings.Contains(body, "spanwire_build_info") {
			t.Errorf("metrics: %d", status)
		}
		if status, _ := get(t, "127.0.0.1:"+port, "/debug/pprof/"); status != 200 {
			t.Errorf("profiles: %d", status)
		}
		// What only the loopback address had before stays there.
		if _, body := get(t, "127.0.0.2:"+port, "/debug/pprof/"); !strings.Contains(body, "spanwire_build_info") {
			t.Errorf("profiles from elsewhere, or not metrics: %s", body)
		}
		s.logged("metrics=")
	})
	t.Run("the port of the relay taken twice", func(t *testing.T) {
		port := program.FreePort(t)
		cmd := command([]string{"NETRA_PORT=" + port, "NETRA_PROMETHEUS_PORT=" + port}, "--service-name", "x")
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), port) {
			t.Errorf("code %d, %s", code, out)
		}
	})
	t.Run("service link", func(t *testing.T) {
		s := launch(t, "NETRA_PORT=tcp://10.0.0.1:14956", "SPANWIRE_LISTEN=127.0.0.1:0", "NETRA_PPROF_PORT=0",
			"NETRA_PROMETHEUS_PORT=tcp://10.0.0.1:9090", "SPANWIRE_METRICS=off", "JAEGER_AGENT_PORT=udp://10.0.0.1:6831")
		for _, name := range []string{"NETRA_PORT", "JAEGER_AGENT_PORT"} {
			if n := strings.Count(s.Log.String(), name+" "); n > 1 {
				t.Errorf("%d lines about %s", n, name)
			}
		}
		if n := strings.Count(s.Log.String(), "is a Kubernetes service link, ignored"); n == 0 {
			t.Error("no line about service links")
		}
	})
	for _, name := range []string{"NETRA_PORT", "NETRA_PPROF_PORT", "NETRA_PROMETHEUS_PORT"} {
		for _, value := range []string{"x", "65536", "-1", ":80"} {
			env := []string{name + "=" + value}
			cmd := command(env, "--service-name", "x")
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), fmt.Sprintf("%s %q", name, value)) {
				t.Errorf("%s: code %d, %s", env, code, out)
			}
		}
	}
}

func TestRowTracingContext(t *testing.T) {
	// A call within the time after the response is its child; one behind it starts a trace.
	for _, c := range []struct {
		ms     string
		joined bool
	}{{"60000", true}, {"1", false}} {
		t.Run(c.ms, func(t *testing.T) {
			a := newAgent(t)
			app, _ := answering(t, ok)
			s := beside(t, a, app, app, "NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS="+c.ms,
				"NETRA_TRACING_CONTEXT_CLEANUP_INTERVAL=1000", "NETRA_ROUTING_CONTEXT_CLEANUP_INTERVAL=1000")
			get(t, s.Inbound, "/in", "X-Request-Id: r")
			for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); { // the lifetime is real time
				time.Sleep(time.Millisecond)
			}
			get(t, s.Outbound, "/out", "X-Request-Id: r")
			all := a.spans(2)
			in, out := find(t, all, "server", "/in"), find(t, all, "client", "shop.test/out")
			if joined := out.Parent == in.ID && out.Trace == in.Trace; joined != c.joined {
				t.Errorf("joined: %v, want %v", joined, c.joined)
			}
		})
	}
	// 0 is "never" there, and the longest that there is here.
	s := beside(t, nil, "127.0.0.1:9", "", "NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=0", "NETRA_TRACING_CONTEXT_CLEANUP_INTERVAL=0",
		"NETRA_ROUTING_CONTEXT_EXPIRATION_MILLISECONDS=-1", "NETRA_ROUTING_CONTEXT_CLEANUP_INTERVAL=0")
	for _, name := range []string{"join-ttl", "route-ttl"} {
		if got := s.setting(name).Values; !slices.Equal(got, []string{"24h0m0s"}) {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, name := range []string{"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS", "NETRA_TRACING_CONTEXT_CLEANUP_INTERVAL",
		"NETRA_ROUTING_CONTEXT_CLEANUP_INTERVAL"} {
		refusesToStart(t, []string{name + "=5s"}, name, `"5s"`, "milliseconds")
	}
}

func TestRowHTTPPorts(t *testing.T) {
	app, heads := answering(t, ok)
	_, port, _ := net.SplitHostPort(app)
	for _, c := range []struct {
		name, ports string
		traced      bool
	}{
		{"empty: every port", "", true}, {"listed", "1, " + port, true}, {"not listed", "1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := newAgent(t)
			s := beside(t, a, app, app, "NETRA_HTTP_PORTS="+c.ports)
			for i, addr := range []string{s.Inbound, s.Outbound} {
				get(t, addr, "/")
				if traced := len(values(next(t, heads), "uber-trace-id")) == 1; traced != c.traced {
					t.Errorf("listener %d: traced %v, want %v", i, traced, c.traced)
				}
			}
			if !c.traced {
				s.AwaitMetric(`spanwire_opaque_total{reason="port"}`, 2)
			} else {
				a.spans(2)
			}
		})
	}
	refusesToStart(t, []string{"NETRA_HTTP_PORTS=80,http"}, "NETRA_HTTP_PORTS", `"http"`)
}

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestRowRequestIDHeader(t *testing.T) {
	app, heads := answering(t, ok)
	for variable, name := range map[string]string{"": "X-Request-Id", "NETRA_HTTP_REQUEST_ID_HEADER_NAME=X-Trail": "X-Trail"} {
		t.Run(name, func(t *testing.T) {
			a := newAgent(t)
			s := beside(t, a, app, app, variable)
			for _, addr := range []string{s.Inbound, s.Outbound} {
				get(t, addr, "/")
				made := value(t, next(t, heads), name)
				if !uuid4.MatchString(made) {
					t.Errorf("made %q", made)
				}
				get(t, addr, "/", name+": mine")
				if got := value(t, next(t, heads), name); got != "mine" {
					t.Errorf("%q instead of what the client sent", got)
				}
			}
			all := a.spans(4)
			if n := len(slices.DeleteFunc(all, func(s tracing) bool { return s.Tags["http.request_id"] != "mine" })); n != 2 {
				t.Errorf("%d spans with the client's id", n)
			}
		})
	}
	for _, bad := range []string{"no header", "Connection", "uber-trace-id"} {
		refusesToStart(t, []string{"NETRA_HTTP_REQUEST_ID_HEADER_NAME=" + bad}, "NETRA_HTTP_REQUEST_ID_HEADER_NAME", `"`+bad+`"`)
	}
}

func TestRowXSource(t *testing.T) {
	app, heads := answering(t, ok)
	for _, c := range []struct {
		env         []string
		name, value string
	}{
		{nil, "X-Source", "netra"},
		{[]string{"NETRA_HTTP_X_SOURCE_HEADER_NAME=X-From", "NETRA_HTTP_X_SOURCE_VALUE=cart"}, "X-From", "cart"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := beside(t, nil, app, app, c.env...)
			get(t, s.Outbound, "/")
			if got := value(t, next(t, heads), c.name); got != c.value {
				t.Errorf("set to %q", got)
			}
			get(t, s.Outbound, "/", c.name+": theirs", strings.ToLower(c.name)+": theirs too")
			if got := value(t, next(t, heads), c.name); got != c.value {
				t.Errorf("replaced by %q", got)
			}
			get(t, s.Inbound, "/", c.name+": theirs")
			if got := value(t, next(t, heads), c.name); got != "theirs" {
				t.Errorf("inbound: %q", got)
			}
		})
	}
	for name, bad := range map[string][]string{
		"NETRA_HTTP_X_SOURCE_HEADER_NAME": {"no header", "Content-Length", "X-Request-Id"}, "NETRA_HTTP_X_SOURCE_VALUE": {"é", "a\tb"},
	} {
		for _, v := range bad {
			refusesToStart(t, []string{name + "=" + v}, name, fmt.Sprintf("%q: ", v))
		}
	}
}

func TestRowIgnoredPaths(t *testing.T) {
	a := newAgent(t)
	app, heads := answering(t, ok)
	s := beside(t, a, app, "", "NETRA_HTTP_TRACING_IGNORED_PATHS=/health, /ping")
	for _, path := range []string{"/health", "/ping?x=1", "/healthy", "/health/deep", "/last"} {
		get(t, s.Inbound, path)
		value(t, next(t, heads), "x-request-id") // it is made all the same
	}
	var ops []string
	for _, span := range a.spans(3) {
		ops = append(ops, span.Op)
	}
	slices.Sort(ops)
	if want := []string{"/health/deep", "/healthy", "/last"}; !slices.Equal(ops, want) {
		t.Errorf("spans of %q, want %q", ops, want)
	}
}

func TestRowPathFolding(t *testing.T) {
	for _, c := range []struct{ list, path, op, doubt string }{ // doubt: what a line says was read as a replacement
		{"/users/[0-9]+;/users/{id}", "/users/42/cart", "/users/{id}/cart", ""},
		{"/users/[0-9]+;/[a-zA-Z0-9]{24};", "/users/42", "/{id}", ""},
		{"/users/[0-9]+;/[a-zA-Z0-9]{24};", "/x/507f1f77bcf86cd799439011/y", "/x/{id}/y", ""},
		{`/(de|fr)/shop;/$1/all;\d+`, "/de/shop/7", "/de/all/{id}", ""},
		{"", "/users/42", "/users/42", ""}, // as Netramesh: nothing is folded unless asked for
		// Replacements without a placeholder.
		{"/users/[0-9]+;/users/ID", "/users/42/cart", "/users/ID/cart", "/users/ID"},
		{"/users/[0-9]+;*", "/users/42/cart", "*/cart", "*"},
		{"/users/[0-9]+;/users/*;/[a-f0-9]{24}", "/users/42/507f1f77bcf86cd799439011", "/users/*/{id}", "/users/*"},
		{"/users/[0-9]+;/users/[id]", "/users/42", "/users/[id]", "/users/[id]"},
		{"/users/[0-9]+;/users/:id;/x/([0-9]+);/x/$1+", "/users/42", "/users/:id", "/users/:id"},
		// Both at once.
		{"/a/([0-9]+);/[a-z]+/{id}", "/a/1", "/[a-z]+/{id}", "/[a-z]+/{id}"},
	} {
		t.Run(c.list, func(t *testing.T) {
			a := newAgent(t)
			app, _ := answering(t, ok)
			s := beside(t, a, app, "", "NETRA_HTTP_TRACING_FOLD_PATHS="+c.list)
			get(t, s.Inbound, c.path)
			if got := a.one(); got.Op != c.op || got.Tags["http.path"] != c.path {
				t.Errorf("operation %q with path %q, want %q", got.Op, got.Tags["http.path"], c.op)
			}
			if doubts := strings.Count(s.Log.String(), "is read as the replacement of"); (doubts == 1) != (c.doubt != "") {
				t.Errorf("%d lines about how it was read:\n%s", doubts, s.Log.String())
			} else if doubts == 1 && !strings.Contains(s.Log.String(), `NETRA_HTTP_TRACING_FOLD_PATHS: \"`+c.doubt+`\" is read as`) {
				t.Errorf("the log does not name %q:\n%s", c.doubt, s.Log.String())
			}
		})
	}
	refusesToStart(t, []string{"NETRA_HTTP_TRACING_FOLD_PATHS=/[0-9"}, "NETRA_HTTP_TRACING_FOLD_PATHS", `"/[0-9"`)
}

func TestRowTagMaps(t *testing.T) {
	a := newAgent(t)
	app, _ := answering(t, ok)
	s := beside(t, a, app, "", "HTTP_HEADER_TAG_MAP=x-user:user,X-Shop:shop.id", "HTTP_COOKIE_TAG_MAP=sid:session,lang:lang")
	get(t, s.Inbound, "/", "X-User: ann", "x-shop: 7", "Cookie: a=b; lang=de; sid=s1")
	span := a.one()
	for tag, want := range map[string]string{"user": "ann", "shop.id": "7", "session": "s1", "lang": "de"} {
		if span.Tags[tag] != want {
			t.Errorf("%s = %v, want %q", tag, span.Tags[tag], want)
		}
	}
	// What Netramesh takes and is no tag here is left out, with a line; the others are tags, and the value of Authorization never is.
	b := newAgent(t)
	list := "Authorization:auth,Cookie:all,bare,:none,X-User:first,x-user: user"
	for i := range 12 {
		list += fmt.Sprintf(",X-%d:t%d", i, i)
	}
	s = beside(t, b, app, "", "HTTP_HEADER_TAG_MAP="+list, "HTTP_COOKIE_TAG_MAP=sid:one,sid:two,SID:three,a b:four")
	get(t, s.Inbound, "/", "Authorization: hunter2", "X-User: ann", "X-0: zero", "X-10: ten", "X-11: eleven", "bare: x", "Cookie: sid=s1; SID=s2")
	span = b.one()
	for tag, want := range map[string]any{"user": "ann", "t0": "zero", "t10": "ten", "two": "s1", "three": "s2",
		"first": nil, "auth": nil, "all": nil, "bare": nil, "t11": nil, "one": nil} {
		if span.Tags[tag] != want {
			t.Errorf("%s = %v, want %v", tag, span.Tags[tag], want)
		}
	}
	if strings.Contains(fmt.Sprint(span), "hunter2") {
		t.Errorf("a credential in %v", span)
	}
	for _, left := range []string{"Authorization:auth", "Cookie:all", "bare", ":none", "X-User:first", "X-11:t11", "sid:one", "a b:four"} {
		s.logged(`\"` + left + `\" skipped: `)
	}
	// The flag is strict.
	cmd := command(nil, "--service-name", "x", "--tag-header", "Authorization:a")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), `--tag-header "Authorization:a": must not`) {
		t.Errorf("code %d, %s", code, out)
	}
}

// A flag beats a variable, Spanwire's own variable its compatible twin.
func TestOwnVariableBeatsItsTwin(t *testing.T) {
	app, heads := answering(t, ok)
	s := beside(t, nil, app, "", "NETRA_HTTP_REQUEST_ID_HEADER_NAME=X-Theirs", "SPANWIRE_REQUEST_ID_HEADER=X-Ours")
	get(t, s.Inbound, "/")
	head := next(t, heads)
	if len(values(head, "X-Ours")) != 1 || len(values(head, "X-Theirs")) != 0 {
		t.Errorf("head:\n%s", head)
	}
}

// The start line says that Netramesh's defaults hold, and what says so; and which sampler, since Netramesh's default traces nothing.
func TestCompatIsImpliedAndSaid(t *testing.T) {
	app, _ := answering(t, ok)
	for _, c := range []struct {
		env  string
		want []string
		not  string
	}{
		{"NETRA_HTTP_PORTS=80", []string{`compat="netramesh (implied by NETRA_HTTP_PORTS)"`, `sampler="always (default)"`,
			"udp://localhost:6831"}, ""},
		{"HTTP_HEADER_TAG_MAP=a:b", []string{`compat="netramesh (implied by HTTP_HEADER_TAG_MAP)"`}, ""},
		{"JAEGER_AGENT_HOST=127.0.0.1", []string{`compat="netramesh (implied by JAEGER_AGENT_HOST)"`, "udp://127.0.0.1:6831"}, ""},
		{"NETRA_PORT=tcp://10.0.0.1:80", nil, "compat="},
	} {
		s := launch(t, "SPANWIRE_INBOUND=127.0.0.1:0="+app, "SPANWIRE_ADMIN=127.0.0.1:0", c.env)
		s.logged(c.want...)
		if c.not != "" && strings.Contains(s.Log.String(), c.not) {
			t.Errorf("%s: the log has %s", c.env, c.not)
		}
	}
}

// A variable that Netramesh does not have is most likely mistyped.
func TestUnknownVariableIsSaid(t *testing.T) {
	s := beside(t, nil, "127.0.0.1:9", "", "NETRA_HTTP_PORT=80", "NETRA_SIDECAR_PORT=14956", "NETRA_INBOUND_PROBABILITY=1")
	s.logged("NETRA_HTTP_PORT is no variable of Netramesh, ignored")
	for _, name := range []string{"NETRA_SIDECAR_PORT", "NETRA_INBOUND_PROBABILITY"} {
		if strings.Contains(s.Log.String(), name+" is no variable") {
			t.Errorf("%s is one", name)
		}
	}
}
