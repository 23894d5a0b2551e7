package settings

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// environment reads variables. An empty one counts as unset, as OpenTelemetry has it: a manifest can switch a variable off by
// emptying it.
type environment struct {
	vars     map[string]string
	warnings []string
	warned   map[string]bool // Kubernetes service links that were spoken of
}

// newEnvironment takes "NAME=value" strings, as os.Environ returns them.
func newEnvironment(environ []string) *environment {
	e := &environment{vars: make(map[string]string, len(environ)), warned: map[string]bool{}}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.TrimSpace(value) != "" {
			e.vars[name] = strings.TrimSpace(value)
		}
	}
	return e
}

// warn adds a line about something that is skipped.
func (e *environment) warn(format string, args ...any) {
	e.warnings = append(e.warnings, fmt.Sprintf(format, args...))
}

// get returns the value of the variable, "" when it is unset. A Kubernetes service link is unset, with one line.
func (e *environment) get(name string) string {
	v := e.vars[name]
	if serviceLink(name, v) {
		if !e.warned[name] {
			e.warned[name] = true
			e.warn("%s %q is a Kubernetes service link, ignored", name, v)
		}
		return ""
	}
	return v
}

// serviceLink reports whether Kubernetes made the variable for a Service whose name happens to fit: NETRA_PORT for one called
// "netra", JAEGER_AGENT_PORT for "jaeger-agent".
func serviceLink(name, value string) bool {
	return strings.HasSuffix(name, "_PORT") && (strings.HasPrefix(value, "tcp://") || strings.HasPrefix(value, "udp://"))
}

// linkShaped reports whether the name is one of those that Kubernetes makes for a Service, which are nobody's setting.
func linkShaped(name, value string) bool {
	return serviceLink(name, value) || strings.HasSuffix(name, "_SERVICE_HOST") || strings.HasSuffix(name, "_SERVICE_PORT") ||
		strings.Contains(name, "_SERVICE_PORT_") || strings.Contains(name, "_PORT_") && (strings.Contains(name, "_TCP") ||
		strings.Contains(name, "_UDP"))
}

// names returns the set variables that begin with one of the prefixes and are no service links, sorted.
func (e *environment) names(prefixes ...string) []string {
	var found []string
	for name, value := range e.vars {
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) && !linkShaped(name, value) {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	return found
}

// valueError is a variable whose value does not parse.
func valueError(name, value, want string) error {
	return fmt.Errorf("%s %q: want %s", name, value, want)
}

// port returns the variable as a port number, "" when it is unset.
func (e *environment) port(name string) (string, error) {
	v := e.get(name)
	if v == "" {
		return "", nil
	}
	if _, err := parsePort(v, 0); err != nil {
		return "", valueError(name, v, "a port, 0 to 65535")
	}
	return v, nil
}

// plain is a compatible variable whose value is written as the flag's is; a comma list where the flag is repeatable.
func plain(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v := e.get(name)
		if v == "" {
			return nil, name, nil
		}
		return []string{v}, name, nil
	}}
}

// commaList is a compatible variable with a comma list of values that are written as the flag's are.
func commaList(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		return splitList(e.get(name), ","), name, nil
	}}
}

// portOnly is a compatible variable that holds a port; the address is host:port.
func portOnly(name, host string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v, err := e.port(name)
		if v == "" || err != nil {
			return nil, name, err
		}
		return []string{host + ":" + v}, name, nil
	}}
}

// milliseconds is a compatible variable that holds a whole number of milliseconds, at least 1.
func milliseconds(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v := e.get(name)
		if v == "" {
			return nil, name, nil
		}
		if n, err := strconv.ParseUint(v, 10, 31); err != nil || n == 0 {
			return nil, name, valueError(name, v, "milliseconds, a whole number from 1")
		}
		return []string{v + "ms"}, name, nil
	}}
}

// otelBoolean is a boolean as OpenTelemetry has it: only "true", in any case, is true; what is neither is false, with a warning.
func otelBoolean(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v := e.get(name)
		switch {
		case v == "":
			return nil, name, nil
		case strings.EqualFold(v, "true"):
			return []string{"true"}, name, nil
		case !strings.EqualFold(v, "false"):
			e.warn("%s %q: want true or false, taken as false", name, v)
		}
		return []string{"false"}, name, nil
	}}
}

// otelPairs is a comma list of key=value with percent-encoding (W3C Baggage, as OpenTelemetry's lists of attributes and headers);
// an entry that is no such pair is warned about and skipped. Values of secret variables stay out of the warning.
func otelPairs(secret bool, names ...string) compatible {
	return compatible{names: names, read: func(e *environment) ([]string, string, error) {
		for _, name := range names {
			v := e.get(name)
			if v == "" {
				continue
			}
			var values []string
			for i, entry := range splitList(v, ",") {
				key, value, ok := strings.Cut(entry, "=")
				key = strings.TrimSpace(key)
				decoded, err := url.PathUnescape(strings.TrimSpace(value))
				if !ok || key == "" || err != nil {
					if secret {
						entry = masked
					}
					e.warn("%s: entry %d, %q, skipped: want key=value, percent-encoded", name, i+1, entry)
					continue
				}
				values = append(values, key+"="+decoded)
			}
			return values, name, nil
		}
		return nil, "", nil
	}}
}

// firstOf is several variables with the same meaning: the first that is set counts.
func firstOf(names ...string) compatible {
	return compatible{names: names, read: func(e *environment) ([]string, string, error) {
		for _, name := range names {
			if v := e.get(name); v != "" {
				return []string{v}, name, nil
			}
		}
		return nil, "", nil
	}}
}

// splitList splits s and trims its elements; empty ones are left out.
func splitList(s, separator string) []string {
	var out []string
	for _, v := range strings.Split(s, separator) {
		if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	return out
}
