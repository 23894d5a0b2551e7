package settings

import (
	"errors"
	"net"
	"slices"
	"strings"
	"time"
)

// exporterKinds are the values of --exporter; none goes with no other.
var exporterKinds = [...]string{"jaeger", "zipkin", "otlp", "log", "none"}

func exportRows() []Setting {
	return []Setting{
		{
			Name: "exporter", Section: SectionExport, Value: "KIND[,KIND…]", form: list,
			Help:        "where spans go",
			Allowed:     "jaeger, zipkin, otlp, log, separated by commas, or none",
			compatible:  []compatible{otelWords("OTEL_TRACES_EXPORTER", exporterKinds[:]...)},
			defaultNote: "`jaeger`; a set OTLP, Zipkin or Jaeger endpoint chooses",
			computed:    exporterByEndpoint,
			set:         setExporters,
		},
		{
			Name: "jaeger-endpoint", Section: SectionExport, Value: "URL", url: true,
			Help:        "Jaeger: http(s)://…/v1/traces OTLP, http(s)://…/api/traces Thrift over HTTP, udp://HOST:6831 agent",
			Allowed:     "http(s)://HOST:PORT/v1/traces, http(s)://HOST:PORT/api/traces or udp://HOST:PORT",
			compatible:  []compatible{jaegerCollector(), jaegerAgent()},
			defaultNote: "`http://localhost:4318/v1/traces`; `udp://localhost:6831` with `--compat netramesh`",
			computed: func(l *loader) ([]string, string) {
				return l.byCompat([]string{"http://localhost:4318/v1/traces"}, "udp://localhost:6831")
			},
			set: one(parseJaegerURL, func(c *Config, v string) { c.JaegerEndpoint = v }),
		},
		{
			Name: "zipkin-endpoint", Section: SectionExport, Value: "URL", url: true,
			Help:       "Zipkin, what spans are posted to",
			Allowed:    allowedHTTP,
			compatible: []compatible{plain("OTEL_EXPORTER_ZIPKIN_ENDPOINT")},
			fixed:      []string{"http://localhost:9411/api/v2/spans"},
			set:        one(parseHTTPURL, func(c *Config, v string) { c.ZipkinEndpoint = v }),
		},
		{
			Name: "otlp-endpoint", Section: SectionExport, Value: "URL", url: true,
			Help:       "OTLP over HTTP; /v1/traces is appended",
			Allowed:    allowedHTTP,
			compatible: []compatible{otlpLiteral(), plain("OTEL_EXPORTER_OTLP_ENDPOINT")},
			fixed:      []string{"http://localhost:4318"},
			set:        one(parseOTLPBase, func(c *Config, v string) { c.OTLPEndpoint = v }),
		},
		{
			Name: "export-header", Section: SectionExport, Value: "K=V", form: repeated, secret: true,
			Help:       "header to send with every export over HTTP",
			Allowed:    "NAME=VALUE with the name of a header",
			compatible: []compatible{otelPairs(true, "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")},
			set:        each(parseHeader, func(c *Config, v []Pair) { c.ExportHeaders = v }),
		},
		{
			Name: "export-header-file", Section: SectionExport, Value: "FILE",
			Help:    "file with such headers, a line NAME: VALUE each",
			Allowed: "a readable file of lines NAME: VALUE",
			set:     one(parseHeaderFile, func(c *Config, v []Pair) { c.FileHeaders = v }),
		},
		{
			Name: "export-ca", Section: SectionExport, Value: "FILE",
			Help:       "certificates (PEM) that a collector's must be signed by, instead of the system's",
			Allowed:    allowedFile,
			compatible: []compatible{firstOf("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE")},
			set:        one(parseFileName, func(c *Config, v string) { c.ExportCA = v }),
		},
		{
			Name: "export-cert", Section: SectionExport, Value: "FILE",
			Help:       "client certificate (PEM) to show to a collector",
			Allowed:    allowedFile,
			compatible: []compatible{firstOf("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")},
			set:        one(parseFileName, func(c *Config, v string) { c.ExportCert = v }),
		},
		{
			Name: "export-key", Section: SectionExport, Value: "FILE",
			Help:       "its private key (PEM)",
			Allowed:    allowedFile,
			compatible: []compatible{firstOf("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY")},
			set:        one(parseFileName, func(c *Config, v string) { c.ExportKey = v }),
		},
		{
			Name: "export-timeout", Section: SectionExport, Value: "DURATION",
			Help:       "how long one export over HTTP may take",
			Allowed:    "a duration from 1ms to 10m, such as 10s",
			compatible: []compatible{milliseconds("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"), milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT")},
			fixed:      []string{"10s"},
			set:        one(duration(time.Millisecond, 10*time.Minute), func(c *Config, v time.Duration) { c.ExportTimeout = v }),
		},
		{
			Name: "export-compression", Section: SectionExport, Value: "KIND",
			Help:       "compression of exports over HTTP",
			Allowed:    "gzip or none",
			compatible: []compatible{firstOf("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")},
			fixed:      []string{"none"},
			set:        one(oneOf("gzip", "none"), func(c *Config, v string) { c.ExportGzip = v == "gzip" }),
		},
		{
			Name: "export-interval", Section: SectionExport, Value: "DURATION",
			Help:       "how long a span may wait for others to be sent with",
			Allowed:    "a duration from 1ms to 10m, such as 1s",
			compatible: []compatible{jaegerUnlessZero("JAEGER_REPORTER_FLUSH_INTERVAL", zeroDuration)},
			fixed:      []string{"1s"},
			set:        one(duration(time.Millisecond, 10*time.Minute), func(c *Config, v time.Duration) { c.ExportInterval = v }),
		},
		{
			Name: "export-queue", Section: SectionExport, Value: "N",
			Help:        "spans that each exporter holds while its collector is away",
			Allowed:     "a whole number of spans from 1 to 10000000",
			compatible:  []compatible{jaegerUnlessZero("JAEGER_REPORTER_MAX_QUEUE_SIZE", zeroNumber)},
			fixed:       []string{"32768"},
			defaultNote: "32768, and at most 8 MiB",
			set:         one(number(1, 1e7), func(c *Config, v int) { c.ExportQueue = v }),
		},
	}
}

const (
	allowedHTTP = "http(s)://HOST[:PORT][/PATH]"
	allowedFile = "a readable file"
)

// errNone: none is among the kinds of several exporters.
var errNone = errors.New("none goes with no other exporter")

func setExporters(c *Config, values []string) error {
	values = unique(values)
	if len(values) == 0 {
		return &badValue{}
	}
	if len(values) > 1 && slices.Contains(values, "none") {
		return bad(strings.Join(values, ","), errNone)
	}
	return each(oneOf(exporterKinds[:]...), func(c *Config, v []string) { c.Exporters = v })(c, values)
}

// endpointSettings are the settings that choose an exporter when nothing names one, in the order in which they count.
var endpointSettings = [...]string{"otlp", "zipkin", "jaeger"}

// exporterByEndpoint is the default of --exporter. Endpoints from the strongest place count: there all of them, since somebody
// wrote them for this program; of other programs' variables the first, which may be left from a time before.
func exporterByEndpoint(l *loader) (values []string, origin string) {
	strongest := rankDefault
	for _, kind := range endpointSettings {
		r := l.rankOf(kind + "-endpoint")
		if r < strongest {
			strongest, values = r, nil
		}
		if r == strongest && r != rankDefault && (r != rankCompatible || len(values) == 0) {
			values = append(values, kind)
			origin = "chosen by " + kind + "-endpoint"
		}
	}
	if len(values) == 0 {
		return []string{"jaeger"}, ""
	}
	if len(values) > 1 {
		origin = "chosen by endpoints"
	}
	return values, origin
}

// jaegerCollector reads the address of a collector that takes Thrift over HTTP. User and password are read by setJaegerLogin.
func jaegerCollector() compatible {
	c := plain("JAEGER_ENDPOINT")
	c.names = append(c.names, jaegerUser, jaegerPassword)
	return c
}

const (
	jaegerUser     = "JAEGER_USER"
	jaegerPassword = "JAEGER_PASSWORD"
)

// setJaegerLogin takes the login that belongs to JAEGER_ENDPOINT; one within the URL wins.
func (l *loader) setJaegerLogin() {
	if l.originOf("jaeger-endpoint") == "JAEGER_ENDPOINT" {
		l.config.JaegerUser, l.config.JaegerPassword = l.env.get(jaegerUser), l.env.get(jaegerPassword)
	}
}

// jaegerAgent reads the address of an agent; either variable switches it on.
func jaegerAgent() compatible {
	const hostName, portName = "JAEGER_AGENT_HOST", "JAEGER_AGENT_PORT"
	return compatible{names: []string{hostName, portName}, read: func(e *environment) ([]string, string, error) {
		host := e.get(hostName)
		port, err := e.port(portName)
		switch {
		case err != nil:
			return nil, portName, err
		case host == "" && port == "":
			return nil, hostName, nil
		case host != "" && !hostLike(host):
			return nil, hostName, valueError(hostName, host, "a host name or an IP address")
		}
		name := hostName
		if host == "" {
			host, name = "localhost", portName
		}
		if port == "" {
			port = "6831" // compact Thrift
		}
		return []string{"udp://" + net.JoinHostPort(host, port)}, name, nil
	}}
}

// otlpLiteral reads the address that spans are posted to as it is (OpenTelemetry's OTLP exporter specification).
func otlpLiteral() compatible {
	c := plain("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
	c.set = one(parseHTTPURL, func(c *Config, v string) { c.OTLPEndpoint = v })
	return c
}

// wantProtocol ends the line about OTEL_EXPORTER_OTLP_PROTOCOL=grpc.
const wantProtocol = "http/protobuf (port 4318)"

// checkProtocol looks at the protocol that OpenTelemetry's variables ask for, unless an exporter other than OTLP was named.
func (l *loader) checkProtocol() error {
	if l.rankOf("exporter") != rankDefault && !slices.Contains(l.config.Exporters, "otlp") {
		return nil
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch v := l.env.get(name); v {
		case "":
			continue
		case "grpc":
			return valueError(name, v, wantProtocol)
		case "http/protobuf":
		default:
			l.env.warn("%s %q: not spoken here, http/protobuf is used", name, v)
		}
		return nil
	}
	return nil
}
