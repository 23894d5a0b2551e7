package settings

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestErrorLines(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name          string
		args, environ []string
		yaml          string
		want          string // the whole line; FILE is the configuration file
	}{
		{"flag", []string{"--loops", "x"}, nil, "", `--loops "x": want a whole number from 1 to 256`},
		{"own variable", nil, []string{"SPANWIRE_LOOPS=0"}, "", `SPANWIRE_LOOPS "0": want a whole number from 1 to 256`},
		{"file", nil, nil, "loops: many\n", `FILE: loops "many": want a whole number from 1 to 256`},
		{"empty flag", []string{"--loops", ""}, nil, "", `--loops "": want a whole number from 1 to 256`},
		{"unknown key", nil, nil, "lops: 1\n", `FILE line 1: unknown key "lops": want one of ` + namesOf(Table())},
		{"key twice", nil, nil, "loops: 1\nloops: 2\n", `FILE: want YAML: [2:1] mapping key "loops" already defined at [1:1]`},
		{"no YAML", nil, nil, "loops: [1\n", `FILE: want YAML: [1:8] sequence end token ']' not found`},
		{"nested by brackets", nil, nil, "loops:\n  " + strings.Repeat("[", 5000),
			`FILE line 2: nested too deeply: more than the 1000 levels that are allowed`},
		{"nested by dashes", nil, nil, "# x\n" + strings.Repeat("- ", 20000),
			`FILE line 2: nested too deeply: more than the 1000 levels that are allowed`},
		{"no mapping", nil, nil, "- loops\n", `FILE: want a mapping of setting names to values`},
		{"two documents", nil, nil, "loops: 1\n---\nloops: 2\n", `FILE: want one YAML document, not 2`},
		{"list for one", nil, nil, "loops: [1, 2]\n",
			`FILE line 1: loops: a value of this shape is not allowed; want a whole number from 1 to 256`},
		{"mapping for one", nil, nil, "loops: {a: 1}\n",
			`FILE line 1: loops: a value of this shape is not allowed; want a whole number from 1 to 256`},
		{"no file", []string{"--config", missing}, nil, "",
			`--config "` + missing + `": want a readable file: no such file or directory`},
		{"no file by variable", nil, []string{"SPANWIRE_CONFIG=" + missing}, "",
			`SPANWIRE_CONFIG "` + missing + `": want a readable file: no such file or directory`},
		{"unknown exporter", []string{"--exporter", "zipkin,kafka"}, nil, "",
			`--exporter "kafka": want jaeger, zipkin, otlp, log, separated by commas, or none`},
		{"none with another", []string{"--exporter", "none,log"}, nil, "",
			`--exporter "none,log": none goes with no other exporter; want jaeger, zipkin, otlp, log, separated by commas, or none`},
		{"endpoint that cannot be sent to", []string{"--otlp-endpoint", "http://a]b:80"}, nil, "",
			`--otlp-endpoint "http://a]b:80": want http(s)://HOST[:PORT][/PATH]`},
		{"no exporter", []string{"--exporter", ","}, nil, "",
			`--exporter "": want jaeger, zipkin, otlp, log, separated by commas, or none`},
		{"compatible port", nil, []string{"NETRA_PORT=abc"}, "", `NETRA_PORT "abc": want a port, 0 to 65535`},
		{"compatible number", nil, []string{"JAEGER_REPORTER_MAX_QUEUE_SIZE=-1"}, "",
			`JAEGER_REPORTER_MAX_QUEUE_SIZE (--export-queue) "-1": want a whole number of spans from 1 to 10000000`},
		{"compatible duration", nil, []string{"NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS=5s"}, "",
			`NETRA_TRACING_CONTEXT_EXPIRATION_MILLISECONDS "5s": want milliseconds, a whole number`},
		{"compatible level", nil, []string{"NETRA_LOGGER_LEVEL=loud"}, "",
			`NETRA_LOGGER_LEVEL "loud": want debug, info, warning, error or fatal`},
		{"sampler type", nil, []string{"JAEGER_SAMPLER_TYPE=lottery"}, "",
			`JAEGER_SAMPLER_TYPE "lottery": want const, probabilistic, ratelimiting or remote`},
		{"sampling endpoint", nil, []string{"JAEGER_SAMPLER_MANAGER_HOST_PORT=a:b"}, "",
			`JAEGER_SAMPLER_MANAGER_HOST_PORT "a:b": want HOST:PORT, or a URL with http or https`},
		{"remote sampler without a host", []string{"--sampler", "remote=http://"}, nil, "",
			`--sampler "remote=http://": want always, never, ratio=F with F from 0 to 1, rate=N with N new traces a second, or remote=URL`},
		{"remote before remote", []string{"--sampler-initial", "remote=http://a"}, nil, "",
			`--sampler-initial "remote=http://a": want always, never, ratio=F with F from 0 to 1, or rate=N with N new traces a second`},
		{"sampler rule", []string{"--sampler-rule", "GET /x=sometimes"}, nil, "",
			`--sampler-rule "GET /x=sometimes": want the name of an operation, or a pattern with *, then = and always, never, ratio=F or rate=N`},
		{"sampler parameter", nil, []string{"JAEGER_SAMPLER_TYPE=probabilistic", "JAEGER_SAMPLER_PARAM=2"}, "",
			`JAEGER_SAMPLER_PARAM "2": want a number from 0, to 1 for probabilistic and remote`},
		{"tags", nil, []string{"JAEGER_TAGS=a=b,c"}, "", `JAEGER_TAGS "c": want key=value, separated by commas`},
		{"statsd switch", nil, []string{"NETRA_STATSD_ENABLED=ja"}, "", `NETRA_STATSD_ENABLED "ja": want true or false`},
		{"statsd address", nil, []string{"NETRA_STATSD_ENABLED=true", "NETRA_STATSD_ADDRESS=gate"}, "",
			`NETRA_STATSD_ADDRESS "gate": want [HOST]:PORT`},
		{"another yes", nil, []string{"NETRA_STATSD_ENABLED=yes"}, "", `NETRA_STATSD_ENABLED "yes": want true or false`},
		{"statsd address, statsd unset", nil, []string{"NETRA_STATSD_ADDRESS=nope"}, "", `NETRA_STATSD_ADDRESS "nope": want [HOST]:PORT`},
		{"statsd address, statsd off", nil, []string{"NETRA_STATSD_ENABLED=false", "NETRA_STATSD_ADDRESS=off"}, "",
			`NETRA_STATSD_ADDRESS "off": want [HOST]:PORT`},
		{"routing cookie, off", nil, []string{"NETRA_HTTP_ROUTING_COOKIE_NAME=a b"}, "", `NETRA_HTTP_ROUTING_COOKIE_NAME "a b": want the name of a cookie`},
		{"routing cookie, on", nil, []string{"NETRA_HTTP_ROUTING_COOKIE_ENABLED=true", "NETRA_HTTP_ROUTING_COOKIE_NAME=a b"}, "",
			`NETRA_HTTP_ROUTING_COOKIE_NAME "a b": want the name of a cookie`},
		{"sampler parameter, no number", nil, []string{"JAEGER_SAMPLER_TYPE=ratelimiting", "JAEGER_SAMPLER_PARAM=NaN"}, "",
			`JAEGER_SAMPLER_PARAM "NaN": want a number from 0, to 1 for probabilistic and remote`},
		{"sampler parameter, without end", nil, []string{"JAEGER_SAMPLER_TYPE=const", "JAEGER_SAMPLER_PARAM=Inf"}, "",
			`JAEGER_SAMPLER_PARAM "Inf": want a number from 0, to 1 for probabilistic and remote`},
		{"statsd", []string{"--statsd", "gate:0"}, nil, "", `--statsd "gate:0": want [HOST]:PORT, or off`},
		{"statsd prefix", []string{"--statsd-prefix", "a:1|c"}, nil, "",
			`--statsd-prefix "a:1|c": want letters, digits, dots, dashes and underscores`},
		{"access log", []string{"--access-log", "jsn"}, nil, "",
			`--access-log "jsn": want text, json, off, or a file named with a slash, such as ./access.log`},
		{"access log in two formats", []string{"--access-log", "json", "--access-log-format", "text"}, nil, "",
			`--access-log-format "text": want text or json, and what --access-log says where that is one of them`},
		{"agent host", nil, []string{"JAEGER_AGENT_HOST=a b"}, "", `JAEGER_AGENT_HOST "a b": want a host name or an IP address`},
		{"gRPC", nil, []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, "",
			`OTEL_EXPORTER_OTLP_PROTOCOL "grpc": want http/protobuf (port 4318)`},
		{"sampler", []string{"--sampler", "ratio=2"}, nil, "",
			`--sampler "ratio=2": want always, never, ratio=F with F from 0 to 1, rate=N with N new traces a second, or remote=URL`},
		{"routing switch", nil, []string{"NETRA_HTTP_ROUTING_ENABLED=maybe"}, "", `NETRA_HTTP_ROUTING_ENABLED "maybe": want true or false`},
		{"routing cookie", nil, []string{"NETRA_HTTP_ROUTING_COOKIE_ENABLED=maybe"}, "",
			`NETRA_HTTP_ROUTING_COOKIE_ENABLED "maybe": want true or false`},
		{"routes allowed", []string{"--route-allow", "10.0.0.0/40"}, nil, "",
			`--route-allow "10.0.0.0/40": want a CIDR, an IP address, a host name or *.DOMAIN`},
		{"listen", []string{"--listen", "14956"}, nil, "",
			`--listen "14956": want an address to listen at, [IP]:PORT (port 0 for any free one), or off`},
		{"inbound without upstream", []string{"--inbound", ":80"}, nil, "",
			`--inbound ":80": want [IP]:PORT=HOST:PORT (the first port may be 0)`},
		{"inbound upstream", []string{"--inbound", ":80=app"}, nil, "",
			`--inbound ":80=app": the part after = is no HOST:PORT; want [IP]:PORT=HOST:PORT (the first port may be 0)`},
		{"upstream port 0", []string{"--outbound", ":80=app:0"}, nil, "",
			`--outbound ":80=app:0": the part after = is no HOST:PORT; want [IP]:PORT=HOST:PORT (the first port may be 0)`},
		{"fold", []string{"--fold-path", "/(x"}, nil, "",
			"--fold-path \"/(x\": missing closing ): `/(x`; want REGEXP or REGEXP=>REPLACEMENT, RE2 syntax"},
		{"redact all and more", []string{"--redact-query", "all,x"}, nil, "", `--redact-query "all,x": all goes with nothing else, and ` +
			"none comes first; want all, none, or names of parameters separated by commas (none,NAME,… for those alone)"},
		{"password hidden", []string{"--jaeger-endpoint", "http://u:secret@h:1/x"}, nil, "",
			`--jaeger-endpoint "http://u:***@h:1/x": want http(s)://HOST:PORT/v1/traces, http(s)://HOST:PORT/api/traces or udp://HOST:PORT`},
		{"broken password hidden", []string{"--zipkin-endpoint", "http://u:sec/ret@h:1"}, nil, "",
			`--zipkin-endpoint "http://u:***@h:1": want http(s)://HOST[:PORT][/PATH]`},
		{"header hidden", []string{"--export-header", "secret"}, nil, "",
			`--export-header "***": want NAME=VALUE with the name of a header`},
		{"header value hidden", []string{"--export-header", "a b=secret"}, nil, "",
			`--export-header "a b=***": want NAME=VALUE with the name of a header`},
		{"unreadable file", []string{"--export-ca", missing}, nil, "",
			`--export-ca "` + missing + `": no such file or directory; want a readable file`},
		{"certificate alone", []string{"--export-cert", "/dev/null"}, nil, "",
			`--export-cert "/dev/null", --export-key "": want both or none`},
		{"one port twice", []string{"--listen", ":5", "--admin", "127.0.0.1:5"}, nil, "",
			`--admin "127.0.0.1:5": want another port than --listen ":5"`},
		{"one port in two texts", []string{"--listen", ":014957", "--admin", "127.0.0.1:14957"}, nil, "",
			`--admin "127.0.0.1:14957": want another port than --listen ":14957"`},
		{"one IPv6 address in two texts", []string{"--listen", "[0:0::1]:5", "--inbound", "[::1]:05=app:1"}, nil, "",
			`--inbound "[::1]:5": want another port than --listen "[::1]:5"`},
		{"one IPv4 address in two texts", []string{"--listen", "[::ffff:127.0.0.1]:5", "--admin", "127.0.0.1:5"}, nil, "",
			`--admin "127.0.0.1:5": want another port than --listen "127.0.0.1:5"`},
		{"no listener", []string{"--listen", "off"}, nil, "",
			`--listen "off": want an address, or an --inbound or --outbound listener`},
		{"source without value", []string{"--x-source-header", "X-S"}, nil, "",
			`--x-source-header "X-S", --x-source-value "": want both or none`},
		{"boolean", nil, []string{"SPANWIRE_DISABLED=maybe"}, "", `SPANWIRE_DISABLED "maybe": want true or false`},
		{"compatible boolean", nil, []string{"JAEGER_DISABLED=maybe"}, "", `JAEGER_DISABLED (--disabled) "maybe": want true or false`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := named(t, c.args, c.environ, c.yaml)
			if err == nil {
				t.Fatal("no error")
			}
			got := err.Error()
			if c.yaml != "" {
				if i := strings.Index(got, "c.yaml"); i >= 0 {
					got = "FILE" + got[i+len("c.yaml"):]
				}
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if strings.ContainsAny(got, "\n\r") {
				t.Error("more than one line")
			}
		})
	}
	for _, c := range []struct {
		args, environ []string
		yaml, want    string
	}{
		{[]string{"--resource", "a=b", "--resource", "service.name=a\tb"}, nil, "", `--resource: service.name "a\tb": want a name`},
		{nil, []string{"SPANWIRE_RESOURCE=service.name=a\x7fb"}, "", `SPANWIRE_RESOURCE: service.name "a\x7fb": want a name`},
		{nil, nil, `resource: ["service.name=a\tb"]`, `c.yaml: resource: service.name "a\tb": want a name`},
		{nil, []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=a%0Ab"}, "", `OTEL_RESOURCE_ATTRIBUTES: service.name "a\nb": want a name`},
		{nil, []string{"JAEGER_TAGS=service.name=a\tb"}, "", `JAEGER_TAGS: service.name "a\tb": want a name`},
	} {
		_, err := load(t, c.args, c.environ, c.yaml)
		if err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%q, %q, %q: %v; want %s", c.args, c.environ, c.yaml, err, c.want)
		}
	}
	if _, err := load(t, nil, nil, ""); err == nil || !strings.HasPrefix(err.Error(), `--service-name "": want a name`) {
		t.Errorf("without a service name: %v", err)
	}
}

func TestOpenTelemetryValuesAreWarnedAbout(t *testing.T) {
	for _, c := range []struct {
		name, environ, setting, warning string
		values                          []string
	}{
		{"propagators", "OTEL_PROPAGATORS=baggage,b3,xray", "propagators", `OTEL_PROPAGATORS: "baggage" is not known here, skipped`,
			[]string{"b3"}},
		{"no known propagator", "OTEL_PROPAGATORS=baggage", "propagators", `OTEL_PROPAGATORS: "baggage" is not known here, skipped`,
			propagators[:]},
		{"exporter", "OTEL_TRACES_EXPORTER=console", "exporter", `OTEL_TRACES_EXPORTER: "console" is not known here, skipped`,
			[]string{"jaeger"}},
		{"sampler", "OTEL_TRACES_SAMPLER=xray", "sampler", `OTEL_TRACES_SAMPLER "xray": not known here, skipped`, []string{"always"}},
		{"remote sampler", "OTEL_TRACES_SAMPLER=jaeger_remote OTEL_TRACES_SAMPLER_ARG=endpoint=ftp://a,pollingIntervalMs=1000", "sampler",
			`OTEL_TRACES_SAMPLER_ARG: "endpoint=ftp://a" skipped: want endpoint=URL, pollingIntervalMs=N from 1000 or ` +
				`initialSamplingRate=F from 0 to 1`, []string{"remote=http://localhost:5778/sampling", whateverTheParent}},
		{"gRPC endpoint", "OTEL_TRACES_SAMPLER=jaeger_remote OTEL_TRACES_SAMPLER_ARG=endpoint=http://c:14250", "sampler",
			`OTEL_TRACES_SAMPLER_ARG: "http://c:14250" is Jaeger's gRPC port; the endpoint is asked over HTTP, which is port 5778`,
			[]string{"remote=http://c:14250/sampling", whateverTheParent}},
		{"endpoint", "OTEL_EXPORTER_ZIPKIN_ENDPOINT=here", "zipkin-endpoint",
			`OTEL_EXPORTER_ZIPKIN_ENDPOINT (--zipkin-endpoint) "here": want http(s)://HOST[:PORT][/PATH]; skipped`,
			[]string{"http://localhost:9411/api/v2/spans"}},
		{"timeout", "OTEL_EXPORTER_OTLP_TIMEOUT=10s", "export-timeout",
			`OTEL_EXPORTER_OTLP_TIMEOUT "10s": want milliseconds, a whole number from 1; skipped`,
			[]string{"10s"}},
		{"boolean", "OTEL_SDK_DISABLED=1", "disabled", `OTEL_SDK_DISABLED "1": want true or false, taken as false`, []string{"false"}},
		{"attributes", "OTEL_RESOURCE_ATTRIBUTES=a=b%20c,d", "resource",
			`OTEL_RESOURCE_ATTRIBUTES: entry 2, "d", skipped: want key=value, percent-encoded`,
			[]string{"a=b c"}},
		{"headers", "OTEL_EXPORTER_OTLP_HEADERS=a=b,secret", "export-header",
			`OTEL_EXPORTER_OTLP_HEADERS: entry 2, "***", skipped: want key=value, percent-encoded`,
			[]string{"a=***"}},
		{"endpoint that cannot be sent to", "OTEL_EXPORTER_OTLP_ENDPOINT=http://a]b:80", "otlp-endpoint",
			`OTEL_EXPORTER_OTLP_ENDPOINT (--otlp-endpoint) "http://a]b:80": want http(s)://HOST[:PORT][/PATH]; skipped`,
			[]string{"http://localhost:4318"}},
		{"protocol", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "exporter",
			`OTEL_EXPORTER_OTLP_PROTOCOL "http/json": not spoken here, http/protobuf is used`,
			[]string{"jaeger"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := named(t, nil, strings.Fields(c.environ), "")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(l.Warnings, c.warning) {
				t.Errorf("warnings %q lack %q", l.Warnings, c.warning)
			}
			if e := entry(t, l, c.setting); !slices.Equal(e.Values, c.values) {
				t.Errorf("%s = %v, want %v", c.setting, e, c.values)
			}
		})
	}
}

// TestNameOfOpenTelemetryIsSkippedWithoutNeed: what relays only starts without a name, and says what became of the one that it was given.
func TestNameOfOpenTelemetryIsSkippedWithoutNeed(t *testing.T) {
	l, err := load(t, nil, []string{"OTEL_RESOURCE_ATTRIBUTES=service.name=a%0Ab", "OTEL_SDK_DISABLED=true"}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`OTEL_RESOURCE_ATTRIBUTES: service.name "a\nb": want a name; skipped`}
	if e := entry(t, l, "service-name"); !slices.Equal(l.Warnings, want) || len(e.Values) > 0 || e.Origin != "default" || l.Config.ServiceName != "" {
		t.Errorf("warnings %q, want %q; %v", l.Warnings, want, e)
	}
}
