package settings

import (
	"log/slog"
	"slices"
	"strconv"
	"time"
)

// Table returns the settings in the order of their documentation. It is built anew each time, so that nobody can change it.
func Table() []Setting {
	return slices.Concat(serviceRows(), listenerRows(), exportRows(), contextRows(), samplerRows(), spanRows(), routeRows(), compatRows(),
		metricRows(), operationRows())
}

func serviceRows() []Setting {
	return []Setting{
		{
			Name: "service-name", Section: SectionService, Value: "NAME",
			Help:        "name of the service on every span",
			Allowed:     "a name",
			compatible:  []compatible{plain("OTEL_SERVICE_NAME"), plain("JAEGER_SERVICE_NAME")},
			defaultNote: "required (or `service.name` in `--resource`)",
			computed:    serviceNameByResource,
			source:      func(l *loader) string { return l.label("resource") + ": " + serviceNameKey },
			set:         one(parseText, func(c *Config, v string) { c.ServiceName = v }),
		},
		{
			Name: "resource", Section: SectionService, Value: "K=V", form: repeated,
			Help:        "attribute of the service itself, such as deployment.environment.name=prod",
			Allowed:     "KEY=VALUE",
			compatible:  []compatible{otelPairs(false, "OTEL_RESOURCE_ATTRIBUTES"), jaegerTags()},
			defaultNote: "none; `service.instance.id` is made",
			set:         each(parsePair, func(c *Config, v []Pair) { c.Resource = v }),
		},
	}
}

// serviceNameKey is the resource attribute that bears the service's name.
const serviceNameKey = "service.name"

// serviceNameByResource takes the name from the resource attributes, as OpenTelemetry does when OTEL_SERVICE_NAME is unset.
func serviceNameByResource(l *loader) (values []string, origin string) {
	for _, p := range l.config.Resource {
		if p.Key == serviceNameKey && p.Value != "" {
			return []string{p.Value}, l.originOf("resource")
		}
	}
	return nil, ""
}

const allowedListen = "an address to listen at, [IP]:PORT (port 0 for any free one), or off"

func listenerRows() []Setting {
	return []Setting{
		{
			Name: "listen", Section: SectionListeners, Value: "ADDR",
			Help:        "transparent listener, where redirected connections arrive; off for none",
			Allowed:     allowedListen,
			compatible:  []compatible{portOnly("NETRA_PORT", "")},
			defaultNote: "`:14956`; off when `--inbound` or `--outbound` is given",
			computed:    func(l *loader) ([]string, string) { return l.offBesideExplicit(":14956") },
			set:         one(parseListenOrOff, func(c *Config, v string) { c.Listen = v }),
		},
		{
			Name: "inbound", Section: SectionListeners, Value: "ADDR=UPSTREAM", form: repeated,
			Help:    "explicit listener for requests to the local application",
			Allowed: allowedExplicit,
			set:     each(parseExplicit, func(c *Config, v []Listener) { c.Explicit = append(c.Explicit, v...) }),
		},
		{
			Name: "outbound", Section: SectionListeners, Value: "ADDR=UPSTREAM", form: repeated,
			Help:    "explicit listener for requests from the local application",
			Allowed: allowedExplicit,
			set: each(parseExplicit, func(c *Config, v []Listener) {
				for _, x := range v {
					x.Outbound = true
					c.Explicit = append(c.Explicit, x)
				}
			}),
		},
		{
			Name: "loops", Section: SectionListeners, Value: "N",
			Help:        "event loops, each a thread that relays",
			Allowed:     "a whole number from 1 to 256",
			defaultNote: "min(2, CPU quota, affinity)",
			computed:    func(*loader) ([]string, string) { return []string{strconv.Itoa(DefaultLoops())}, "" },
			set:         one(number(1, 256), func(c *Config, v int) { c.Loops = v }),
		},
		{
			Name: "dial-timeout", Section: SectionListeners, Value: "DURATION",
			Help:    "how long connecting to the destination may take",
			Allowed: "a duration from 1ms to 1h, such as 10s",
			fixed:   []string{"10s"},
			set:     one(duration(time.Millisecond, time.Hour), func(c *Config, v time.Duration) { c.DialTimeout = v }),
		},
		{
			Name: "busy-poll", Section: SectionListeners, Value: "DURATION",
			Help:    "how long a loop with little to do looks for the answer to a request before it sleeps, where answers come as fast: latency for CPU; 0 for not at all",
			Allowed: "a duration up to 1ms, such as 100us",
			fixed:   []string{"0s"},
			set:     one(duration(0, time.Millisecond), func(c *Config, v time.Duration) { c.BusyPoll = v }),
		},
		{
			Name: "http-ports", Section: SectionListeners, Value: "LIST", form: list,
			Help:        "parse HTTP towards these destination ports only",
			Allowed:     "ports from 1 to 65535, separated by commas",
			compatible:  []compatible{commaList("NETRA_HTTP_PORTS")},
			defaultNote: "none: HTTP is detected on every port",
			set:         each(parseRealPort, func(c *Config, v []uint16) { c.HTTPPorts = v }),
		},
	}
}

const allowedExplicit = "[IP]:PORT=HOST:PORT (the first port may be 0)"

// offBesideExplicit is the default of a listener that an explicit one makes superfluous.
func (l *loader) offBesideExplicit(addr string) (values []string, origin string) {
	if len(l.config.Explicit) > 0 {
		return []string{off}, "off beside an explicit listener"
	}
	return []string{addr}, ""
}

func operationRows() []Setting {
	return []Setting{
		{
			Name: "admin", Section: SectionOperation, Value: "ADDR",
			Help:       "listener for control, configuration, profiles, metrics and health; off for none",
			Allowed:    allowedListen,
			compatible: []compatible{portOnly("NETRA_PPROF_PORT", "127.0.0.1")},
			fixed:      []string{"127.0.0.1:14957"},
			set:        one(parseListenOrOff, func(c *Config, v string) { c.Admin = v }),
		},
		{
			Name: "metrics", Section: SectionOperation, Value: "ADDR",
			Help:        "listener for /metrics, /healthz, /readyz and the probes of --probe-ports alone; off for none",
			Allowed:     allowedListen,
			compatible:  []compatible{portOnly("NETRA_PROMETHEUS_PORT", "")},
			defaultNote: "`:14958`; off when `--inbound` or `--outbound` is given",
			computed:    func(l *loader) ([]string, string) { return l.offBesideExplicit(":14958") },
			set:         one(parseListenOrOff, func(c *Config, v string) { c.Metrics = v }),
		},
		{
			Name: "probe-ports", Section: SectionOperation, Value: "LIST", form: list,
			Help:        "ports of the application that GET /probe/tcp/PORT may dial, on either listener",
			Allowed:     "ports from 1 to 65535, separated by commas",
			defaultNote: "none; the upstreams of `--inbound` always may",
			set:         each(parseRealPort, func(c *Config, v []uint16) { c.ProbePorts = v }),
		},
		{
			Name: "heartbeat", Section: SectionOperation, form: boolean,
			Help:    "keep a redirect of `spanwire intercept add --fail-open` alive",
			Allowed: "true or false",
			set:     one(parseSwitch, func(c *Config, v bool) { c.Heartbeat = v }),
		},
		{
			Name: "verify", Section: SectionOperation, form: boolean,
			Help:    "compare every byte that is sent with what was received, and count and log what was altered",
			Allowed: "true or false",
			set:     one(parseSwitch, func(c *Config, v bool) { c.Verify = v }),
		},
		{
			Name: "drain-timeout", Section: SectionOperation, Value: "DURATION",
			Help:    "how long sessions may go on after SIGTERM, the last flush included",
			Allowed: "a duration from 0s to 24h, such as 20s",
			fixed:   []string{"20s"},
			set:     one(duration(0, 24*time.Hour), func(c *Config, v time.Duration) { c.DrainTimeout = v }),
		},
		{
			Name: "log-level", Section: SectionOperation, Value: "LEVEL",
			Help:       "what is logged to standard error",
			Allowed:    "debug, info, warn or error",
			compatible: []compatible{netraLevel()},
			fixed:      []string{"info"},
			set:        one(ParseLevel, func(c *Config, v slog.Level) { c.LogLevel = v }),
		},
		{
			Name: "log-format", Section: SectionOperation, Value: "FORMAT",
			Help:    "how it is logged",
			Allowed: "text or json",
			fixed:   []string{"text"},
			set:     one(oneOf("text", "json"), func(c *Config, v string) { c.LogJSON = v == "json" }),
		},
	}
}

// ParseLevel reads a level of the log: debug, info, warn or warning, error.
func ParseLevel(s string) (slog.Level, error) {
	switch s {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn", "warning":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, errNot
}
