package settings

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spanwire/spanwire/core/trace"
)

const netramesh = "netramesh"

// Defaults of Netramesh for the header that names the source of an outbound request.
const (
	netraSourceHeader = "X-Source"
	netraSourceValue  = "netra"
)

func compatRows() []Setting {
	return []Setting{
		{
			Name: "compat", Section: SectionCompat, Value: "WHOM",
			Help:        "defaults of netramesh: its schema, names, context first, agent on udp://localhost:6831, X-Source",
			Allowed:     "netramesh or none",
			defaultNote: "`none`; `netramesh` when a `NETRA_*` or `HTTP_*_TAG_MAP` variable is set, or `JAEGER_*` without `OTEL_*`",
			computed:    impliedCompat,
			set:         one(oneOf(netramesh, "none"), func(c *Config, v string) { c.Netramesh = v == netramesh }),
		},
		{
			Name: "x-source-header", Section: SectionCompat, Value: "NAME",
			Help:        "header to set on every outbound request, replacing what is there",
			Allowed:     "the name of a header",
			compatible:  []compatible{plain("NETRA_HTTP_X_SOURCE_HEADER_NAME")},
			defaultNote: "none; `X-Source` with `--compat netramesh`",
			computed:    func(l *loader) ([]string, string) { return l.byCompat(nil, netraSourceHeader) },
			set:         one(parseToken, func(c *Config, v string) { c.XSourceHeader = v }),
		},
		{
			Name: "x-source-value", Section: SectionCompat, Value: "TEXT",
			Help:        "its value",
			Allowed:     "text",
			compatible:  []compatible{plain("NETRA_HTTP_X_SOURCE_VALUE")},
			defaultNote: "none; `netra` with `--compat netramesh`",
			computed:    func(l *loader) ([]string, string) { return l.byCompat(nil, netraSourceValue) },
			set:         one(parseText, func(c *Config, v string) { c.XSourceValue = v }),
		},
	}
}

// byCompat returns the default of a setting, or the one that --compat netramesh gives it.
func (l *loader) byCompat(normal []string, netra ...string) (values []string, origin string) {
	if l.netramesh() {
		return netra, "--compat " + netramesh
	}
	return normal, ""
}

// netramesh reports whether its defaults hold; given must have run for --compat.
func (l *loader) netramesh() bool {
	if l.rankOf("compat") != rankDefault {
		return l.config.Netramesh
	}
	values, _ := impliedCompat(l)
	return values[0] == netramesh
}

// impliedCompat is the default of --compat: variables that only a deployment of Netramesh has speak for it, and Jaeger's do where
// no OpenTelemetry variable says that the pod has moved on. Service links of Kubernetes say nothing.
func impliedCompat(l *loader) (values []string, origin string) {
	telling := l.env.names("NETRA_")
	for _, name := range []string{"HTTP_HEADER_TAG_MAP", "HTTP_COOKIE_TAG_MAP"} {
		if l.env.get(name) != "" {
			telling = append(telling, name)
		}
	}
	if len(telling) > 0 {
		return []string{netramesh}, "implied by " + telling[0]
	}
	if len(l.env.names("OTEL_")) == 0 {
		for _, name := range l.env.names("JAEGER_") {
			if slices.Contains(jaegerVariables[:], name) {
				return []string{netramesh}, "implied by " + name
			}
		}
	}
	return []string{"none"}, ""
}

// jaegerVariables are those of jaeger-client-go.
var jaegerVariables = [...]string{
	"JAEGER_SERVICE_NAME", "JAEGER_DISABLED", "JAEGER_RPC_METRICS", "JAEGER_TAGS", "JAEGER_SAMPLER_TYPE", "JAEGER_SAMPLER_PARAM",
	"JAEGER_SAMPLER_MANAGER_HOST_PORT", "JAEGER_SAMPLING_ENDPOINT", "JAEGER_SAMPLER_MAX_OPERATIONS",
	"JAEGER_SAMPLER_REFRESH_INTERVAL",
	"JAEGER_REPORTER_MAX_QUEUE_SIZE", "JAEGER_REPORTER_FLUSH_INTERVAL", "JAEGER_REPORTER_LOG_SPANS", "JAEGER_ENDPOINT",
	"JAEGER_USER",
	"JAEGER_PASSWORD", "JAEGER_AGENT_HOST", "JAEGER_AGENT_PORT",
}

// unsupported are compatible variables whose effect is not there; each is warned about once, when it asks for something.
var unsupported = [...]struct{ name, unless string }{
	{"JAEGER_REPORTER_LOG_SPANS", "false"},
}

// warnRelaysOnly says what relaying only leaves out of what somebody asked for: a Netramesh without its tracer goes on with these.
func (l *loader) warnRelaysOnly() {
	if !l.config.Disabled {
		return
	}
	for _, s := range []struct {
		name string
		on   bool
	}{{"route", l.config.Route}, {"statsd", l.config.Statsd != ""}} {
		if s.on {
			l.env.warn("%s has no effect: %s relays only, nothing is parsed; --sampler never keeps the rest", l.label(s.name), l.label("disabled"))
		}
	}
}

// warnUnsupported says which variables ask for what is not there.
func (l *loader) warnUnsupported() {
	for _, u := range unsupported {
		if v := l.env.get(u.name); v != "" && !strings.EqualFold(v, u.unless) {
			l.env.warn("%s %q: not supported, ignored", u.name, v)
		}
	}
}

// withoutEffect are variables of Netramesh and of its Jaeger client that have nothing to act on here, with what their values must be all
// the same: an entry of the join table is found expired when it is looked for, so that nothing has to go through the table at intervals.
func withoutEffect() []compatible {
	return []compatible{
		netraMilliseconds("NETRA_TRACING_CONTEXT_CLEANUP_INTERVAL"),
		netraMilliseconds("NETRA_ROUTING_CONTEXT_CLEANUP_INTERVAL"),
		trueOrFalse("JAEGER_RPC_METRICS"), trueOrFalse("JAEGER_REPORTER_LOG_SPANS"),
	}
}

// readElsewhere are Netramesh's variables that are read together with another, or by spanwire intercept: one pod may give those to both.
var readElsewhere = [...]string{
	"NETRA_SIDECAR_PORT", "NETRA_SIDECAR_USER_ID", "NETRA_SIDECAR_GROUP_ID", "NETRA_INBOUND_PROBABILITY",
	"NETRA_OUTBOUND_PROBABILITY", "NETRA_STATSD_ENABLED", "NETRA_STATSD_ADDRESS", "NETRA_STATSD_PREFIX",
}

// trueOrFalse is a compatible variable that is true or false, in one of the ways of a flag.
func trueOrFalse(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v := e.get(name)
		if v == "" {
			return nil, name, nil
		}
		if _, err := parseSwitch(v); err != nil {
			return nil, name, valueError(name, v, "true or false")
		}
		return []string{v}, name, nil
	}}
}

// checkNetra looks at the NETRA_* variables that no setting reads: a value of one that is known must parse; one that is not known
// is warned about, being most likely mistyped.
func (l *loader) checkNetra() error {
	known := slices.Clone(readElsewhere[:])
	for _, c := range withoutEffect() {
		if _, _, err := c.read(l.env); err != nil {
			return err
		}
		known = append(known, c.names...)
	}
	for i := range l.table {
		for _, c := range l.table[i].compatible {
			known = append(known, c.names...)
		}
	}
	for _, name := range l.env.names("NETRA_") {
		if !slices.Contains(known, name) {
			l.env.warn("%s is no variable of Netramesh, ignored", name)
		}
	}
	return nil
}

// otelWords is a comma list of words of which only some are known here; others are warned about and skipped.
func otelWords(name string, known ...string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		var values []string
		for _, v := range splitList(e.get(name), ",") {
			if slices.Contains(known, v) {
				values = append(values, v)
			} else {
				e.warn("%s: %q is not known here, skipped", name, v)
			}
		}
		return values, name, nil
	}}
}

// otelSampler reads OpenTelemetry's sampler. Those without parentbased_ decide whatever the parent decided.
func otelSampler() compatible {
	const name, argName = otelSamplerName, otelSamplerArg
	return compatible{
		names: []string{name, argName},
		read: func(e *environment) ([]string, string, error) {
			kind := e.get(name)
			if kind == "" {
				return nil, name, nil
			}
			base, parentBased := strings.CutPrefix(kind, "parentbased_")
			var text string
			switch base {
			case "always_on":
				text = "always"
			case "always_off":
				text = "never"
			case "traceidratio":
				text = "ratio=" + otelRatio(e, argName)
			case "jaeger_remote":
				text = otelRemoteText(e)
			default:
				e.warn("%s %q: not known here, skipped", name, kind)
				return nil, name, nil
			}
			if parentBased {
				return []string{text}, name, nil
			}
			return []string{text, whateverTheParent}, name, nil
		},
		set: func(c *Config, values []string) error {
			sampler, err := parseSampler(values[0])
			if err != nil {
				return bad(values[0], err)
			}
			if c.Sampler = sampler; len(values) > 1 {
				c.Sampler = trace.IgnoreParent(sampler)
			}
			return nil
		},
	}
}

// whateverTheParent is shown beside a sampler that goes before the parent's decision.
const whateverTheParent = "whatever the parent"

// otelRatio reads the ratio; what is none is taken as 1, the specification's default, with a warning.
func otelRatio(e *environment, name string) string {
	v := e.get(name)
	if f, err := strconv.ParseFloat(v, 64); err == nil && f >= 0 && f <= 1 {
		return v
	}
	if v != "" {
		e.warn("%s %q: want a number from 0 to 1, taken as 1", name, v)
	}
	return "1"
}

// jaegerSampler reads the sampler of jaeger-client-go. There a missing parameter is 0, and a missing type is remote; here it is so where an
// endpoint is named.
func jaegerSampler() compatible {
	const name, paramName = jaegerSamplerType, jaegerSamplerParam
	names := []string{name, paramName, jaegerSamplerEndpoint, jaegerSamplerManager}
	return compatible{names: names, read: func(e *environment) ([]string, string, error) {
		kind, param := e.get(name), e.get(paramName)
		n := 0.0
		if param != "" {
			var err error
			n, err = strconv.ParseFloat(param, 64)
			if err != nil || !(n >= 0) || math.IsInf(n, 0) || (kind == "probabilistic" || kind == "remote") && n > 1 { // !: NaN
				return nil, paramName, valueError(paramName, param, "a number from 0, to 1 for probabilistic and remote")
			}
		}
		switch kind {
		case "":
			if e.get(jaegerSamplerEndpoint) == "" && e.get(jaegerSamplerManager) == "" {
				return nil, name, nil
			}
			kind = "remote"
		case "const":
			if n != 0 {
				return []string{"always"}, name, nil
			}
			return []string{"never"}, name, nil
		case "probabilistic":
			return []string{"ratio=" + strconv.FormatFloat(n, 'g', -1, 64)}, name, nil
		case "ratelimiting":
			return []string{"rate=" + strconv.FormatFloat(n, 'g', -1, 64)}, name, nil
		}
		if kind == "remote" {
			text, from, err := jaegerRemote(e)
			if err != nil {
				return nil, from, err
			}
			return []string{text}, from, nil
		}
		return nil, name, valueError(name, kind, "const, probabilistic, ratelimiting or remote")
	}}
}

// jaegerTags reads the tags of jaeger-client-go: key=value, where ${VARIABLE:default} stands for a variable.
func jaegerTags() compatible {
	const name = "JAEGER_TAGS"
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		var values []string
		for _, tag := range splitList(e.get(name), ",") {
			key, value, ok := strings.Cut(tag, "=")
			key, value = strings.TrimSpace(key), strings.TrimSpace(value)
			if !ok || key == "" {
				return nil, name, valueError(name, tag, "key=value, separated by commas")
			}
			if strings.HasPrefix(value, "${") && strings.HasSuffix(value, "}") {
				variable, otherwise, _ := strings.Cut(value[2:len(value)-1], ":")
				if value = e.vars[variable]; value == "" {
					value = otherwise
				}
			}
			values = append(values, key+"="+value)
		}
		return values, name, nil
	}}
}

// netraLevel reads Netramesh's log level; fatal, of which there is none here, is error.
func netraLevel() compatible {
	const name = "NETRA_LOGGER_LEVEL"
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		switch v := strings.ToLower(e.get(name)); v {
		case "":
			return nil, name, nil
		case "fatal":
			return []string{"error"}, name, nil
		case "warning":
			return []string{"warn"}, name, nil
		case "debug", "info", "warn", "error":
			return []string{v}, name, nil
		}
		return nil, name, valueError(name, e.get(name), "debug, info, warning, error or fatal")
	}}
}
