package settings

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/core/trace"
)

// The names of the variables that samplers are read from.
const (
	otelSamplerName       = "OTEL_TRACES_SAMPLER"
	otelSamplerArg        = "OTEL_TRACES_SAMPLER_ARG"
	jaegerSamplerType     = "JAEGER_SAMPLER_TYPE"
	jaegerSamplerParam    = "JAEGER_SAMPLER_PARAM"
	jaegerSamplerManager  = "JAEGER_SAMPLER_MANAGER_HOST_PORT"
	jaegerSamplerEndpoint = "JAEGER_SAMPLING_ENDPOINT"
	jaegerAgentHost       = "JAEGER_AGENT_HOST"
)

// samplingPort and samplingPath are where Jaeger's agents and collectors answer.
const (
	samplingPort = "5778"
	samplingPath = "/sampling"
)

const (
	allowedSampler = "always, never, ratio=F with F from 0 to 1, rate=N with N new traces a second, or remote=URL"
	allowedLocal   = "always, never, ratio=F with F from 0 to 1, or rate=N with N new traces a second"
)

func samplerRows() []Setting {
	return []Setting{
		{
			Name: "sampler", Section: SectionContext, Value: "SAMPLER",
			Help:       "which new traces are recorded: always, never, ratio=F, rate=N a second, remote=URL; the parent's decision wins",
			Allowed:    allowedSampler,
			compatible: []compatible{otelSampler(), jaegerSampler()},
			fixed:      []string{"always"},
			set:        one(parseSampler, func(c *Config, v trace.Sampler) { c.Sampler = v }),
		},
		{
			Name: "sampler-rule", Section: SectionContext, Value: "OPERATION=SAMPLER", form: repeated,
			Help:    "sampler of the operations of that name, * for anything, such as 'GET /health*=never'; the first that matches",
			Allowed: "the name of an operation, or a pattern with *, then = and always, never, ratio=F or rate=N",
			set:     each(parseSamplerRule, func(c *Config, v []string) { c.SamplerRules = v }),
		},
		{
			Name: "sampler-initial", Section: SectionContext, Value: "SAMPLER",
			Help:    "what a remote sampler does until its endpoint first answers",
			Allowed: allowedLocal,
			compatible: []compatible{{names: []string{otelSamplerArg}, read: otelInitial},
				{names: []string{jaegerSamplerParam}, read: jaegerInitial}},
			fixed: []string{"always"},
			set:   one(parseLocalSampler, func(c *Config, v trace.Sampler) { c.SamplerInitial = v }),
		},
		{
			Name: "sampler-interval", Section: SectionContext, Value: "DURATION",
			Help:       "how often a remote sampler asks its endpoint",
			Allowed:    "a duration from 1s to 24h, such as 60s",
			compatible: []compatible{{names: []string{otelSamplerArg}, read: otelInterval}, plain("JAEGER_SAMPLER_REFRESH_INTERVAL")},
			fixed:      []string{trace.DefaultPollInterval.String()},
			set:        one(duration(time.Second, 24*time.Hour), func(c *Config, v time.Duration) { c.SamplerInterval = v }),
		},
	}
}

// parseSampler reads a sampler.
func parseSampler(s string) (trace.Sampler, error) {
	sampler, err := trace.ParseSampler(s)
	if err != nil {
		return nil, errNot
	}
	return sampler, nil
}

// parseLocalSampler is parseSampler for those that ask nobody.
func parseLocalSampler(s string) (trace.Sampler, error) {
	sampler, err := parseSampler(s)
	if err != nil || trace.RemoteOf(sampler) != nil {
		return nil, errNot
	}
	return sampler, nil
}

// parseSamplerRule reads OPERATION=SAMPLER and returns it as it came.
func parseSamplerRule(s string) (string, error) {
	if trace.ParseSamplerRule(s) != nil {
		return "", errNot
	}
	return parseText(s)
}

// otelRemote is the argument of OpenTelemetry's jaeger_remote: endpoint=URL,pollingIntervalMs=N,initialSamplingRate=F.
type otelRemote struct{ endpoint, interval, initial string }

// readOtelRemote reads the argument. warn hears of what is not understood, which is skipped; nil = nobody needs to (another row of the table
// says it).
func readOtelRemote(e *environment, warn func(format string, args ...any)) (r otelRemote) {
	if warn == nil {
		warn = func(string, ...any) {}
	}
	for _, part := range splitList(e.get(otelSamplerArg), ",") {
		key, value, _ := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch key {
		case "endpoint":
			if u, ok := samplingURL(value); ok {
				r.endpoint = u
				if strings.Contains(u, ":14250") {
					warn("%s: %q is Jaeger's gRPC port; the endpoint is asked over HTTP, which is port %s", otelSamplerArg, value, samplingPort)
				}
				continue
			}
		case "pollingIntervalMs":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil && ms >= 1000 {
				r.interval = (time.Duration(ms) * time.Millisecond).String()
				continue
			}
		case "initialSamplingRate":
			if f, err := strconv.ParseFloat(value, 64); err == nil && f >= 0 && f <= 1 {
				r.initial = "ratio=" + value
				continue
			}
		}
		warn("%s: %q skipped: want endpoint=URL, pollingIntervalMs=N from 1000 or initialSamplingRate=F from 0 to 1", otelSamplerArg, part)
	}
	return r
}

// isOtelRemote reports whether OpenTelemetry's variables ask for the remote sampler.
func isOtelRemote(e *environment) bool {
	return strings.TrimPrefix(e.get(otelSamplerName), "parentbased_") == "jaeger_remote"
}

// otelInitial reads the sampler until the first answer from the argument of jaeger_remote.
func otelInitial(e *environment) ([]string, string, error) {
	if !isOtelRemote(e) {
		return nil, otelSamplerArg, nil
	}
	return ifAny(readOtelRemote(e, nil).initial), otelSamplerArg, nil
}

// otelInterval reads the interval from the argument of jaeger_remote.
func otelInterval(e *environment) ([]string, string, error) {
	if !isOtelRemote(e) {
		return nil, otelSamplerArg, nil
	}
	return ifAny(readOtelRemote(e, nil).interval), otelSamplerArg, nil
}

// otelRemoteText is the sampler that jaeger_remote stands for.
func otelRemoteText(e *environment) string {
	r := readOtelRemote(e, e.warn)
	if r.endpoint == "" {
		r.endpoint = "http://localhost:" + samplingPort + samplingPath
	}
	return "remote=" + r.endpoint
}

// jaegerInitial: the parameter of jaeger-client-go's remote sampler is the ratio until the first answer. Unlike there, all is sampled
// without one.
func jaegerInitial(e *environment) ([]string, string, error) {
	v, kind := e.get(jaegerSamplerParam), e.get(jaegerSamplerType)
	if kind == "" && (e.get(jaegerSamplerEndpoint) != "" || e.get(jaegerSamplerManager) != "") {
		kind = "remote" // as jaegerSampler has it
	}
	if v == "" || kind != "remote" {
		return nil, jaegerSamplerParam, nil
	}
	return []string{"ratio=" + v}, jaegerSamplerParam, nil
}

// jaegerRemote returns where jaeger-client-go would ask, and the variable that says so: an address of its own, else the agent's host, else
// this one.
func jaegerRemote(e *environment) (text, name string, err error) {
	for _, name := range []string{jaegerSamplerEndpoint, jaegerSamplerManager} {
		v := e.get(name)
		if v == "" {
			continue
		}
		u, ok := samplingURL(v)
		if !ok {
			return "", name, valueError(name, v, "HOST:PORT, or a URL with http or https")
		}
		return "remote=" + u, name, nil
	}
	host := e.get(jaegerAgentHost)
	if host == "" {
		host = "localhost"
	}
	u, ok := samplingURL(bracketed(host) + ":" + samplingPort)
	if !ok {
		return "", jaegerAgentHost, valueError(jaegerAgentHost, host, "a host")
	}
	return "remote=" + u, jaegerSamplerType, nil
}

// bracketed is host as it stands before a port.
func bracketed(host string) string {
	if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "[" + host + "]"
	}
	return host
}

// samplingURL completes the address of a sampling endpoint: HOST:PORT gets http://, an address without a path gets /sampling.
func samplingURL(s string) (string, bool) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := parseURL(s, "http", "https")
	if err != nil || u.User != nil {
		return "", false
	}
	if u.Path == "" || u.Path == "/" {
		u = u.ResolveReference(&url.URL{Path: samplingPath, RawQuery: u.RawQuery})
	}
	return u.String(), true
}

// ifAny is a list of s, empty when s is.
func ifAny(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
