package settings

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// load runs Load with a command line, variables and the text of a configuration file ("" = none). --service-name is given unless
// a test does it.
func load(t *testing.T, args, environ []string, yaml string) (*Loaded, error) {
	t.Helper()
	flags := NewFlags()
	app := &cli.App{Name: "x", Flags: flags.CLI(), Action: func(*cli.Context) error { return nil },
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return err }}
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{"--config", path}, args...)
	}
	if err := app.Run(append([]string{"x"}, args...)); err != nil {
		t.Fatalf("command line %q: %v", args, err)
	}
	return Load(flags, environ)
}

// named is load with a service name where none is given.
func named(t *testing.T, args, environ []string, yaml string) (*Loaded, error) {
	t.Helper()
	return load(t, args, append([]string{"SPANWIRE_SERVICE_NAME=svc"}, environ...), yaml)
}

func entry(t *testing.T, l *Loaded, name string) Entry {
	t.Helper()
	for _, e := range l.Entries {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("no entry for %s", name)
	return Entry{}
}

func TestPrecedence(t *testing.T) {
	const file = "listen: :3\n"
	all := []string{"SPANWIRE_LISTEN=:2", "NETRA_PORT=4"}
	for _, c := range []struct {
		name          string
		args, environ []string
		yaml          string
		want, origin  string
	}{
		{"flag before all", []string{"--listen", ":1"}, all, file, ":1", "flag"},
		{"own variable before the file", nil, all, file, ":2", "SPANWIRE_LISTEN"},
		{"file before a compatible variable", nil, all[1:], file, ":3", "c.yaml"},
		{"compatible variable before the default", nil, all[1:], "", ":4", "NETRA_PORT"},
		{"default", nil, nil, "", ":14956", "default"},
		{"an empty variable is unset", nil, []string{"SPANWIRE_LISTEN=", "NETRA_PORT= "}, "", ":14956", "default"},
		{"the last flag wins", []string{"--listen", ":1", "--listen", ":9"}, nil, "", ":9", "flag"},
		{"an empty key is absent", nil, all[1:], "listen:\n", ":4", "NETRA_PORT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := named(t, c.args, c.environ, c.yaml)
			if err != nil {
				t.Fatal(err)
			}
			e := entry(t, l, "listen")
			if l.Config.Listen != c.want || filepath.Base(e.Origin) != c.origin || !slices.Equal(e.Values, []string{c.want}) {
				t.Errorf("listen = %q from %v; want %q from %q", l.Config.Listen, e, c.want, c.origin)
			}
		})
	}
}

// TestEverySettingHasEveryPlace gives each row of the table a value that is not its default from each of its own places.
func TestEverySettingHasEveryPlace(t *testing.T) {
	readable := filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(readable, []byte("X-A: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	samples := map[string]string{
		"service-name": "other", "resource": "a=b", "listen": ":7", "inbound": ":0=app:1", "outbound": ":0=app:2", "loops": "3",
		"dial-timeout": "3s", "http-ports": "80", "exporter": "log", "jaeger-endpoint": "udp://h:1", "zipkin-endpoint": "http://z:1/x",
		"otlp-endpoint": "https://o:1", "export-header": "a=b", "export-header-file": readable, "export-ca": readable,
		"export-cert": readable, "export-key": readable, "export-timeout": "3s", "export-compression": "gzip", "export-queue": "7",
		"export-interval": "3s", "busy-poll": "3us",
		"propagators": "b3", "no-inject": "h", "sampler": "never", "sampler-rule": "GET /x*=never",
		"route": "true", "route-header": "X-R", "route-cookie": "r", "route-ttl": "3s", "route-allow": "10.1.0.0/16",
		"sampler-initial": "never", "sampler-interval": "3s", "disabled": "true", "request-id-header": "X-Id", "join-ttl": "3s",
		"join-size": "7", "naming": "netra", "ignore-path": "/x", "ignore-agent": "x", "fold-path": "x", "fold": "off",
		"max-operations": "7", "tag-schema": "zipkin", "tag-header": "x", "tag-cookie": "x", "redact-query": "all", "openapi": "x", "trace-response-header": "x",
		"compat":          "netramesh",
		"x-source-header": "X-S", "x-source-value": "v", "admin": ":7", "metrics": ":8", "probe-ports": "80", "drain-timeout": "3s",
		"heartbeat": "true", "verify": "true", "log-level": "debug", "log-format": "json",
		"metrics-operations": "true", "metrics-peers": "true", "max-peers": "7",
		"max-series": "700", "statsd": ":8125", "statsd-prefix": "shop.", "access-log": "json", "access-log-format": "json",
	}
	// Some settings are allowed together with another only.
	partners := map[string][]string{
		"export-cert": {"SPANWIRE_EXPORT_KEY=" + readable}, "export-key": {"SPANWIRE_EXPORT_CERT=" + readable},
		"x-source-header": {"SPANWIRE_X_SOURCE_VALUE=v"}, "x-source-value": {"SPANWIRE_X_SOURCE_HEADER=X-S"},
		"access-log-format": {"SPANWIRE_ACCESS_LOG=./access.log"},
	}
	for _, s := range Table() {
		value, ok := samples[s.Name]
		if !ok {
			t.Errorf("%s: no sample in this test", s.Name)
			continue
		}
		before, err := named(t, nil, nil, "")
		if err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		args := []string{"--" + s.Name, value}
		if s.form == boolean {
			args = args[:1]
		}
		places := map[string]struct {
			args, environ []string
			yaml          string
		}{
			"flag":     {args: args},
			"variable": {environ: []string{s.Variable() + "=" + value}},
			"file":     {yaml: fmt.Sprintf("%s: %q\n", s.Name, value)},
		}
		for place, p := range places {
			environ := slices.Concat([]string{"SPANWIRE_SERVICE_NAME=svc"}, partners[s.Name], p.environ)
			if place == "file" && s.Name == "service-name" {
				environ = nil
			}
			after, err := load(t, p.args, environ, p.yaml)
			if err != nil {
				t.Errorf("%s by %s: %v", s.Name, place, err)
				continue
			}
			if cmp.Equal(before.Config, after.Config) {
				t.Errorf("%s by %s changes nothing", s.Name, place)
			}
			if e := entry(t, after, s.Name); e.Origin == "default" || len(e.Values) != 1 {
				t.Errorf("%s by %s: entry %v", s.Name, place, e)
			}
		}
	}
}

func TestServiceLinksAreIgnoredWithOneLine(t *testing.T) {
	l, err := named(t, nil, []string{"NETRA_PORT=tcp://10.0.0.1:14956", "NETRA_PORT_14956_TCP=tcp://10.0.0.1:14956",
		"NETRA_SERVICE_HOST=10.0.0.1",
		"JAEGER_AGENT_PORT=tcp://10.0.0.2:6831", "JAEGER_SERVICE_PORT_HTTP=80", "SPANWIRE_PORT=tcp://10.0.0.3:80",
		"SPANWIRE_SERVICE_HOST=10.0.0.3"}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`NETRA_PORT "tcp://10.0.0.1:14956" is a Kubernetes service link, ignored`,
		`JAEGER_AGENT_PORT "tcp://10.0.0.2:6831" is a Kubernetes service link, ignored`}
	slices.Sort(l.Warnings)
	slices.Sort(want)
	if !slices.Equal(l.Warnings, want) {
		t.Errorf("warnings %q, want %q", l.Warnings, want)
	}
	if c := l.Config; c.Netramesh || c.Listen != ":14956" || c.JaegerEndpoint != "http://localhost:4318/v1/traces" {
		t.Errorf("service links had an effect: %+v", c)
	}
}

func TestUnknownOwnVariableIsWarnedAbout(t *testing.T) {
	l, err := named(t, nil, []string{"SPANWIRE_LOPS=1"}, "")
	if err != nil || !slices.Equal(l.Warnings, []string{"SPANWIRE_LOPS is no setting, ignored"}) {
		t.Errorf("%v, %v", l, err)
	}
}

// TestNetrameshVariablesThatDoNothing are checked all the same: one that does not parse stops the start, one that nobody knows is told.
func TestNetrameshVariablesThatDoNothing(t *testing.T) {
	l, err := named(t, nil, []string{"NETRA_TRACING_CONTEXT_CLEANUP_INTERVAL=1000", "NETRA_ROUTING_CONTEXT_CLEANUP_INTERVAL=1000",
		"NETRA_SIDECAR_USER_ID=1337", "NETRA_HTTP_PORT=80"}, "")
	if err != nil || !slices.Equal(l.Warnings, []string{"NETRA_HTTP_PORT is no variable of Netramesh, ignored"}) {
		t.Errorf("%v, %v", l, err)
	}
	for _, name := range []string{"NETRA_TRACING_CONTEXT_CLEANUP_INTERVAL", "NETRA_ROUTING_CONTEXT_CLEANUP_INTERVAL"} {
		_, err := named(t, nil, []string{name + "=1s"}, "")
		if err == nil || !strings.Contains(err.Error(), name+` "1s"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompatImplication(t *testing.T) {
	for _, c := range []struct {
		name          string
		args, environ []string
		want          bool
		origin        string
	}{
		{"nothing", nil, nil, false, "default"},
		{"NETRA", nil, []string{"NETRA_HTTP_PORTS=80"}, true, "implied by NETRA_HTTP_PORTS"},
		{"a NETRA variable without effect here", nil, []string{"NETRA_STATSD_PREFIX=x"}, true, "implied by NETRA_STATSD_PREFIX"},
		{"tag map", nil, []string{"HTTP_HEADER_TAG_MAP=a:b"}, true, "implied by HTTP_HEADER_TAG_MAP"},
		{"Jaeger alone", nil, []string{"JAEGER_AGENT_HOST=h"}, true, "implied by JAEGER_AGENT_HOST"},
		{"Jaeger and OpenTelemetry", nil, []string{"JAEGER_AGENT_HOST=h", "OTEL_SERVICE_NAME=x"}, false, "default"},
		{"not wanted", []string{"--compat", "none"}, []string{"NETRA_HTTP_PORTS=80"}, false, "flag"},
		{"wanted", []string{"--compat", "netramesh"}, nil, true, "flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := named(t, c.args, c.environ, "")
			if err != nil {
				t.Fatal(err)
			}
			cfg := l.Config
			if e := entry(t, l, "compat"); cfg.Netramesh != c.want || e.Origin != c.origin {
				t.Errorf("netramesh %v from %q, want %v from %q", cfg.Netramesh, e.Origin, c.want, c.origin)
			}
			if got := cfg.Naming == "netra" && cfg.TagSchema == "netra" && cfg.Fold == "off" && cfg.Propagators[0] == "jaeger" &&
				len(cfg.Propagators) == 4 &&
				cfg.XSourceHeader == "X-Source" && cfg.XSourceValue == "netra"; got != c.want {
				t.Errorf("defaults of Netramesh: %v, want %v: %+v", got, c.want, cfg)
			}
		})
	}
}

// remote is what the remote sampler of that endpoint is called.
func remote(url string) string { return "remote=" + url + ", always until it answers" }

// TestHowARemoteSamplerIsAsked: interval and the sampler before the first answer, from each place that has them.
func TestHowARemoteSamplerIsAsked(t *testing.T) {
	for environ, want := range map[string]string{
		"": "always 1m0s",
		"OTEL_TRACES_SAMPLER=parentbased_jaeger_remote OTEL_TRACES_SAMPLER_ARG=pollingIntervalMs=5000,initialSamplingRate=0.25": "ratio=0.25 5s",
		"OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.5":                                                          "always 1m0s",
		"OTEL_TRACES_SAMPLER=jaeger_remote OTEL_TRACES_SAMPLER_ARG=pollingIntervalMs=5,initialSamplingRate=2":                   "always 1m0s",
		"JAEGER_SAMPLER_TYPE=remote JAEGER_SAMPLER_PARAM=0.5 JAEGER_SAMPLER_REFRESH_INTERVAL=2m":                                "ratio=0.5 2m0s",
		"JAEGER_SAMPLER_TYPE=probabilistic JAEGER_SAMPLER_PARAM=0.5":                                                            "always 1m0s",
		"JAEGER_SAMPLER_TYPE=remote SPANWIRE_SAMPLER_INITIAL=rate=1 SPANWIRE_SAMPLER_INTERVAL=7s":                               "rate=1 7s",
	} {
		l, err := named(t, nil, strings.Fields(environ), "")
		if err != nil {
			t.Errorf("%s: %v", environ, err)
			continue
		}
		if got := l.Config.SamplerInitial.String() + " " + l.Config.SamplerInterval.String(); got != want {
			t.Errorf("%s: %s, want %s", environ, got, want)
		}
	}
}

func TestSamplersOfOthers(t *testing.T) {
	for environ, want := range map[string]string{
		"OTEL_TRACES_SAMPLER=always_on":                                                                                       "always, whatever the parent",
		"OTEL_TRACES_SAMPLER=parentbased_always_off":                                                                          "never",
		"OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=0.25":                                                       "ratio=0.25, whatever the parent",
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.5":                                            "ratio=0.5",
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=x":                                              "ratio=1",
		"JAEGER_SAMPLER_TYPE=const":                                                                                           "never",
		"JAEGER_SAMPLER_TYPE=probabilistic JAEGER_SAMPLER_PARAM=0.001":                                                        "ratio=0.001",
		"JAEGER_SAMPLER_TYPE=ratelimiting JAEGER_SAMPLER_PARAM=2":                                                             "rate=2",
		"OTEL_TRACES_SAMPLER=parentbased_always_on JAEGER_SAMPLER_TYPE=const":                                                 "always",
		"OTEL_TRACES_SAMPLER=jaeger_remote JAEGER_SAMPLER_TYPE=const SPANWIRE_SAMPLER=rate=1":                                 "rate=1",
		"OTEL_TRACES_SAMPLER=jaeger_remote":                                                                                   remote("http://localhost:5778/sampling") + ", whatever the parent",
		"OTEL_TRACES_SAMPLER=parentbased_jaeger_remote OTEL_TRACES_SAMPLER_ARG=endpoint=http://c:5778,pollingIntervalMs=5000": remote("http://c:5778/sampling"),
		"JAEGER_SAMPLER_TYPE=remote":                                                                                          remote("http://localhost:5778/sampling"),
		"JAEGER_SAMPLER_TYPE=remote JAEGER_AGENT_HOST=agent":                                                                  remote("http://agent:5778/sampling"),
		"JAEGER_SAMPLER_TYPE=remote JAEGER_AGENT_HOST=fd00::1":                                                                remote("http://[fd00::1]:5778/sampling"),
		"JAEGER_SAMPLER_TYPE=remote JAEGER_SAMPLER_MANAGER_HOST_PORT=c:1 JAEGER_AGENT_HOST=a":                                 remote("http://c:1/sampling"),
		"JAEGER_SAMPLER_MANAGER_HOST_PORT=http://c:1/x/sampling":                                                              remote("http://c:1/x/sampling"),
		"JAEGER_SAMPLING_ENDPOINT=https://c/s JAEGER_SAMPLER_MANAGER_HOST_PORT=d:1":                                           remote("https://c/s"),
		"JAEGER_SAMPLER_MANAGER_HOST_PORT=c:1 JAEGER_SAMPLER_TYPE=const":                                                      "never",
	} {
		l, err := named(t, nil, strings.Fields(environ), "")
		if err != nil || l.Config.Sampler.String() != want {
			t.Errorf("%s: %v %v, want %s", environ, l, err, want)
		}
	}
}

func TestEndpointsChooseExporters(t *testing.T) {
	for _, c := range []struct {
		name          string
		args, environ []string
		want          string
	}{
		{"none set", nil, nil, "jaeger"},
		{"named", []string{"--exporter", "log", "--zipkin-endpoint", "http://z"}, nil, "log"},
		{"OpenTelemetry's choice", nil, []string{"OTEL_TRACES_EXPORTER=zipkin", "OTEL_EXPORTER_OTLP_ENDPOINT=http://o"}, "zipkin"},
		{"Zipkin", []string{"--zipkin-endpoint", "http://z"}, nil, "zipkin"},
		{"flag before variable", []string{"--zipkin-endpoint", "http://z"}, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://o"}, "zipkin"},
		{"the first of other programs' variables", nil, []string{"OTEL_EXPORTER_ZIPKIN_ENDPOINT=http://z",
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://o", "JAEGER_AGENT_HOST=h"},
			"otlp"},
		{"all flags", []string{"--zipkin-endpoint", "http://z", "--jaeger-endpoint", "udp://j:1"}, nil, "zipkin,jaeger"},
		{"several kinds", []string{"--exporter", "zipkin,otlp", "--exporter", "log"}, nil, "zipkin,otlp,log"},
	} {
		l, err := named(t, c.args, c.environ, "")
		if err != nil || strings.Join(l.Config.Exporters, ",") != c.want {
			t.Errorf("%s: %v %v, want %s", c.name, l, err, c.want)
		}
	}
}

func TestEndpointForms(t *testing.T) {
	for _, c := range []struct {
		args, environ string
		get           func(Config) string
		want          string
	}{
		{"--otlp-endpoint http://o:4318", "", otlpOf, "http://o:4318/v1/traces"},
		{"--otlp-endpoint http://o/base/", "", otlpOf, "http://o/base/v1/traces"},
		{"--otlp-endpoint http://o/v1/traces", "", otlpOf, "http://o/v1/traces"},
		{"", "OTEL_EXPORTER_OTLP_ENDPOINT=https://o:1", otlpOf, "https://o:1/v1/traces"},
		{"", "OTEL_EXPORTER_OTLP_ENDPOINT=https://o:1 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t/x", otlpOf, "http://t/x"},
		{"", "JAEGER_AGENT_PORT=7000", jaegerOf, "udp://localhost:7000"},
		{"", "JAEGER_AGENT_HOST=::1", jaegerOf, "udp://[::1]:6831"},
		{"", "JAEGER_ENDPOINT=http://j:14268/api/traces?format=jaeger.thrift JAEGER_AGENT_HOST=h", jaegerOf,
			"http://j:14268/api/traces?format=jaeger.thrift"},
	} {
		l, err := named(t, strings.Fields(c.args), strings.Fields(c.environ), "")
		if err != nil {
			t.Errorf("%s %s: %v", c.args, c.environ, err)
		} else if got := c.get(l.Config); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.args, c.environ, got, c.want)
		}
	}
}

func otlpOf(c Config) string   { return c.OTLPEndpoint }
func jaegerOf(c Config) string { return c.JaegerEndpoint }

func TestExplicitListenersSwitchOthersOff(t *testing.T) {
	l, err := named(t, []string{"--inbound", "localhost:0=app:80", "--outbound", ":0=db.example:81", "--inbound",
		"[::1]:0=[::1]:82"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []Listener{{"127.0.0.1:0", "app:80", false}, {"[::1]:0", "[::1]:82", false}, {":0", "db.example:81", true}}
	if c := l.Config; c.Listen != "" || c.Metrics != "" || !slices.Equal(c.Explicit, want) {
		t.Errorf("listen %q, metrics %q, explicit %v", c.Listen, c.Metrics, c.Explicit)
	}
	l, err = named(t, []string{"--inbound", ":0=app:80", "--listen", ":1", "--metrics", ":2"}, nil, "")
	if err != nil || l.Config.Listen != ":1" || l.Config.Metrics != ":2" {
		t.Errorf("given listeners are off: %v %v", l, err)
	}
}

func TestConfigurationFile(t *testing.T) {
	l, err := load(t, nil, nil, `# comment
service-name: shop
loops: 1
metrics: off
disabled: no
exporter: zipkin,log
resource: {zone: a, team: "b"}
ignore-path:
  - /health
  - "/with,comma"
fold-path: [ '/a;b=>/x' ]
tag-header:
join-ttl: 3s
`)
	if err != nil {
		t.Fatal(err)
	}
	c := l.Config
	if c.ServiceName != "shop" || c.Loops != 1 || c.Metrics != "" || c.Disabled || !slices.Equal(c.Exporters, []string{"zipkin",
		"log"}) ||
		!slices.Equal(c.Resource, []Pair{{"zone", "a"}, {"team", "b"}}) || !slices.Equal(c.IgnorePaths, []string{"/health",
		"/with,comma"}) ||
		!slices.Equal(c.FoldPaths, []string{"/a;b=>/x"}) || c.TagHeaders != nil || c.JoinTTL != 3*time.Second {
		t.Errorf("%+v", c)
	}
	if _, err := named(t, nil, nil, "# nothing\n"); err != nil {
		t.Errorf("file with nothing but a comment: %v", err)
	}
}

func TestServiceNameWithinResource(t *testing.T) {
	l, err := load(t, nil, []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=shop,zone=a"}, "")
	if err != nil || l.Config.ServiceName != "shop" || !slices.Equal(l.Config.Resource, []Pair{{"zone", "a"}}) {
		t.Errorf("%v %v", l, err)
	}
}

func TestSecretsAreMasked(t *testing.T) {
	l, err := named(t, []string{"--export-header", "Authorization=Bearer secret", "--jaeger-endpoint",
		"https://me:secret@j/v1/traces"}, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.Entries); strings.Contains(got, "secret") || !strings.Contains(got, "Authorization=***") ||
		!strings.Contains(got, "https://me:***@j/v1/traces") {
		t.Error(got)
	}
	if !slices.Equal(l.Config.ExportHeaders, []Pair{{"Authorization", "Bearer secret"}}) {
		t.Error(l.Config.ExportHeaders)
	}
}

func TestMaskURL(t *testing.T) {
	for url, want := range map[string]string{
		"http://h:1/x?y=a@b": "http://h:1/x?y=a@b", "http://u:p@h/": "http://u:***@h/", "http://token@h": "http://***@h",
		"http://u:p/q@h": "http://u:***@h", "http://[::1]:80/a@b": "http://[::1]:80/a@b", "http://[::1]/a@b": "http://[::1]/a@b",
		"http://[:p#@h": "http://[:***@h", "u:p@h": "u:***@h", "": "", "http://u:@h": "http://u:***@h",
	} {
		if got := maskURL(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}

func TestOTLPHeadersAreForOTLPAlone(t *testing.T) {
	l, err := named(t, nil, []string{"OTEL_EXPORTER_OTLP_HEADERS=api-key=a%3Db"}, "")
	if err != nil || l.Config.ExportHeaders != nil || !slices.Equal(l.Config.OTLPHeaders, []Pair{{"api-key", "a=b"}}) {
		t.Errorf("%v %v", l, err)
	}
}

func TestHeaderFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# comment\n\nAuthorization: Bearer a=b:c\r\nX-Scope:t\n")
	l, err := named(t, []string{"--export-header-file", path}, nil, "")
	if err != nil || !slices.Equal(l.Config.FileHeaders, []Pair{{"Authorization", "Bearer a=b:c"}, {"X-Scope", "t"}}) {
		t.Errorf("%v %v", l, err)
	}
	for _, line := range []string{"secret", "secret=a: b", ": secret", "X-Scope: secret\x00"} {
		write("X-Scope: t\n" + line + "\n")
		if _, err := named(t, []string{"--export-header-file", path}, nil, ""); err == nil || !strings.Contains(err.Error(),
			"line 2 is no header") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", line, err)
		}
	}
}
