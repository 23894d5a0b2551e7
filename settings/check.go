package settings

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// check looks at what no setting can see alone, and fills in what follows from several.
func (l *loader) check() error {
	c := &l.config
	c.Resource = slices.DeleteFunc(c.Resource, func(p Pair) bool { return p.Key == serviceNameKey })
	if c.ServiceName == "" && !c.Disabled {
		return fmt.Errorf("--service-name \"\": want a name (also %s, OTEL_SERVICE_NAME, JAEGER_SERVICE_NAME)", "SPANWIRE_SERVICE_NAME")
	}
	if c.Listen == "" && len(c.Explicit) == 0 {
		return fmt.Errorf("--listen %q: want an address, or an --inbound or --outbound listener", off)
	}
	if c.Heartbeat && c.Listen == "" {
		return fmt.Errorf("--heartbeat %q: want the transparent listener, --listen, which redirected connections arrive at", "true")
	}
	if (c.ExportCert == "") != (c.ExportKey == "") {
		return fmt.Errorf("--export-cert %q, --export-key %q: want both or none", c.ExportCert, c.ExportKey)
	}
	if (c.XSourceHeader == "") != (c.XSourceValue == "") {
		return fmt.Errorf("--x-source-header %q, --x-source-value %q: want both or none", c.XSourceHeader, c.XSourceValue)
	}
	if err := l.checkPorts(); err != nil {
		return err
	}
	if err := l.checkProtocol(); err != nil {
		return err
	}
	l.setJaegerLogin()
	if l.originOf("export-header") != "" && strings.HasPrefix(l.originOf("export-header"), "OTEL_") {
		// Credentials for an OTLP collector are not for others.
		c.OTLPHeaders, c.ExportHeaders = c.ExportHeaders, nil
	}
	c.MetricsOperations = c.MetricsOperations || c.MetricsPeers
	c.MetricsAnyPath = c.Netramesh || l.originOf("metrics") == "NETRA_PROMETHEUS_PORT"
	l.warnUnsupported()
	l.warnRelaysOnly()
	return l.checkNetra()
}

// checkPorts finds two listeners that would ask for one port. The admin and the metrics listener may share one.
func (l *loader) checkPorts() error {
	c := &l.config
	type taken struct{ setting, addr string }
	var all []taken
	if c.Listen != "" {
		all = append(all, taken{"listen", c.Listen})
	}
	for _, x := range c.Explicit {
		name := "inbound"
		if x.Outbound {
			name = "outbound"
		}
		all = append(all, taken{name, x.Addr})
	}
	if c.Admin != "" {
		all = append(all, taken{"admin", c.Admin})
	}
	if c.Metrics != "" {
		all = append(all, taken{"metrics", c.Metrics})
	}
	for i, a := range all {
		for _, b := range all[:i] {
			if a.setting == "metrics" && b.setting == "admin" {
				continue
			}
			if overlap(a.addr, b.addr) {
				return fmt.Errorf("--%s %q: want another port than --%s %q", a.setting, a.addr, b.setting, b.addr)
			}
		}
	}
	return nil
}

// overlap reports whether two addresses to listen at cannot both be bound: they have the same port and the same IP address, or
// one is the wildcard.
func overlap(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || wildcard(hostA) || wildcard(hostB)
}

// wildcard reports whether a listener at host takes connections to every address.
func wildcard(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// parseHeaderFile reads a file of headers, one NAME: VALUE a line; empty lines and those that begin with # are left out. An
// error names the line, never its text.
func parseHeaderFile(path string) ([]Pair, error) {
	if _, err := parseFileName(path); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseHeaders(string(data))
}

// parseHeaders reads the lines of such a file.
func parseHeaders(lines string) (pairs []Pair, err error) {
	for i, text := range strings.Split(lines, "\n") {
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("line %d is no header", i+1)
		}
		p, err := headerOf(Pair{Key: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
		if err != nil {
			return nil, fmt.Errorf("line %d is no header", i+1)
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}
