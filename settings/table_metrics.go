package settings

import (
	"fmt"
	"net"
	"strings"
)

// AccessLog says where the access log goes.
type AccessLog struct {
	Stdout bool   // standard output
	File   string // else this file; "" with Stdout false = there is none
	JSON   bool   // lines of JSON; else of key=value
}

// On reports whether there is an access log.
func (a AccessLog) On() bool { return a.Stdout || a.File != "" }

func metricRows() []Setting {
	return []Setting{
		{
			Name: "metrics-operations", Section: SectionMetrics, form: boolean,
			Help: "count requests, durations, bytes and dropped ids by operation",
			set:  one(parseSwitch, func(c *Config, v bool) { c.MetricsOperations = v }), Allowed: "true or false",
		},
		{
			Name: "metrics-peers", Section: SectionMetrics, form: boolean,
			Help:    "tell outbound requests apart by the host that they name; includes --metrics-operations",
			Allowed: "true or false",
			set:     one(parseSwitch, func(c *Config, v bool) { c.MetricsPeers = v }),
		},
		{
			Name: "max-peers", Section: SectionMetrics, Value: "N",
			Help:    "distinct hosts; those beyond are {other}",
			Allowed: "a whole number from 1 to 100000",
			fixed:   []string{"100"},
			set:     one(number(1, 1e5), func(c *Config, v int) { c.MaxPeers = v }),
		},
		{
			Name: "max-series", Section: SectionMetrics, Value: "N",
			Help:    "series by operation that a scraper sees; requests of further operations are counted as {other}",
			Allowed: "a whole number from 100 to 1000000",
			fixed:   []string{"10000"},
			set:     one(number(100, 1e6), func(c *Config, v int) { c.MaxSeries = v }),
		},
		{
			Name: "statsd", Section: SectionMetrics, Value: "ADDR",
			Help:       "statsd daemon that gets a counter inbound.<status> once a second, over UDP; off for none",
			Allowed:    "[HOST]:PORT, or off",
			compatible: []compatible{netraStatsd()},
			set:        one(parseStatsd, func(c *Config, v string) { c.Statsd = v }),
		},
		{
			Name: "statsd-prefix", Section: SectionMetrics, Value: "TEXT",
			Help:       "what stands before the names of counters, with a dot",
			Allowed:    "letters, digits, dots, dashes and underscores",
			compatible: []compatible{plain("NETRA_STATSD_PREFIX")},
			set:        one(parseStatsdPrefix, func(c *Config, v string) { c.StatsdPrefix = v }),
		},
		{
			Name: "access-log", Section: SectionMetrics, Value: "text|json|FILE",
			Help:    "a line for each request, sampled or not, to standard output or appended to a file",
			Allowed: allowedAccessLog,
			set:     one(parseAccessLog, func(c *Config, v AccessLog) { c.AccessLog = v }),
		},
		{
			Name: "access-log-format", Section: SectionMetrics, Value: "FORMAT",
			Help:        "how its lines are written",
			Allowed:     "text or json, and what --access-log says where that is one of them",
			defaultNote: "`json` where `--access-log` is `json` or a file named `*.json`, else `text`",
			computed: func(l *loader) ([]string, string) {
				if l.config.AccessLog.JSON {
					return []string{"json"}, ""
				}
				return []string{"text"}, ""
			},
			set: func(c *Config, values []string) error {
				json := values[0] == "json"
				if !json && values[0] != "text" || c.AccessLog.Stdout && c.AccessLog.JSON != json {
					return &badValue{value: values[0]}
				}
				c.AccessLog.JSON = json
				return nil
			},
		},
	}
}

const allowedAccessLog = "text, json, off, or a file named with a slash, such as ./access.log"

// parseAccessLog reads where the access log goes. A bare word is no file, so that a misspelt format does not become one.
func parseAccessLog(s string) (AccessLog, error) {
	switch {
	case s == off:
		return AccessLog{}, nil
	case s == "text", s == "json":
		return AccessLog{Stdout: true, JSON: s == "json"}, nil
	case !strings.Contains(s, "/") || strings.HasSuffix(s, "/"):
		return AccessLog{}, errNot
	}
	return AccessLog{File: s, JSON: strings.HasSuffix(s, ".json")}, nil
}

// parseStatsd reads [HOST]:PORT; without a host it is this one.
func parseStatsd(s string) (string, error) {
	if s == off {
		return "", nil
	}
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = parsePort(port, 1)
	}
	if err != nil || host != "" && !hostLike(host) {
		return "", errNot
	}
	if host == "" {
		host = "localhost"
	}
	return net.JoinHostPort(host, port), nil
}

// maxStatsdPrefix keeps a counter well below what a datagram holds.
const maxStatsdPrefix = 256

// parseStatsdPrefix reads a prefix; what separates the parts of a counter (":", "|", line feeds) must not be in it.
func parseStatsdPrefix(s string) (string, error) {
	if len(s) > maxStatsdPrefix {
		return "", fmt.Errorf("longer than %d characters", maxStatsdPrefix)
	}
	for _, r := range s {
		if !(r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return "", errNot
		}
	}
	return s, nil
}
