package intercept

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Option is one setting of the rules: its flag, its variables, its default, and how a value of it is read.
type Option struct {
	// Name is the flag's name without dashes.
	Name string
	// Value stands for the value in the help text; "" for a switch.
	Value string
	// Help is one sentence, without a full stop.
	Help string
	// Allowed ends the error line.
	Allowed string
	// Compatible are variables beside SPANWIRE_INTERCEPT_<NAME>, in the order in which they count.
	Compatible []string
	// List: the flag may be repeated, and values are separated by commas.
	List bool

	set func(c *Config, value string) error
	get func(c *Config) string
}

// Variable returns the name of the option's own environment variable.
func (o *Option) Variable() string {
	return "SPANWIRE_INTERCEPT_" + strings.ToUpper(strings.ReplaceAll(o.Name, "-", "_"))
}

// Default returns the default as a user would write it; "" for none.
func (o *Option) Default() string {
	c := DefaultConfig()
	return o.get(&c)
}

// errNot: a value is not what Allowed says.
var errNot = errors.New("not allowed")

const (
	allowedPorts       = "ports or ranges from 1 to 65535 separated by commas, such as 80,8000-8100, or * for all, or none"
	allowedCIDRs       = "addresses or networks separated by commas, such as 10.0.0.0/8,fd00::/8"
	allowedID          = "a number from 0 to 4294967294"
	allowedProbability = "a number from 0 to 1"
)

// Options returns the table. It is built anew each time, so that nobody can change it.
func Options() []Option {
	return []Option{
		{Name: "redirect-port", Value: "PORT", Help: "port of the sidecar's transparent listener", Allowed: "a port from 1 to 65535",
			Compatible: []string{"NETRA_SIDECAR_PORT"},
			set:        func(c *Config, v string) (err error) { c.RedirectPort, err = parsePort(v); return err },
			get:        func(c *Config) string { return strconv.Itoa(int(c.RedirectPort)) }},
		{Name: "uid", Value: "UID", Help: "user that the sidecar runs as; its connections are not redirected", Allowed: allowedID,
			Compatible: []string{"NETRA_SIDECAR_USER_ID"},
			set:        func(c *Config, v string) (err error) { c.UID, err = parseID(v); return err },
			get:        func(c *Config) string { return formatID(c.UID) }},
		{Name: "gid", Value: "GID", Help: "group that the sidecar runs as; its connections are not redirected", Allowed: allowedID,
			Compatible: []string{"NETRA_SIDECAR_GROUP_ID"},
			set:        func(c *Config, v string) (err error) { c.GID, err = parseID(v); return err },
			get:        func(c *Config) string { return formatID(c.GID) }},
		portsOption("inbound-ports", "local ports to redirect connections to", func(c *Config) *Ports { return &c.InboundPorts }, "INBOUND_INTERCEPT_PORTS"),
		portsOption("outbound-ports", "remote ports to redirect connections to", func(c *Config) *Ports { return &c.OutboundPorts }, "OUTBOUND_INTERCEPT_PORTS"),
		portsOption("exclude-inbound-ports", "local ports to leave alone", func(c *Config) *Ports { return &c.ExcludeInbound }),
		portsOption("exclude-outbound-ports", "remote ports to leave alone", func(c *Config) *Ports { return &c.ExcludeOutbound }),
		cidrOption("exclude-cidr", "destinations of outbound connections to leave alone", func(c *Config) *[]netip.Prefix { return &c.ExcludeCIDRs }),
		cidrOption("include-cidr", "redirect outbound connections to these destinations only", func(c *Config) *[]netip.Prefix { return &c.IncludeCIDRs }),
		{Name: "exclude-uid", Value: "UIDS", Help: "users whose outbound connections are left alone", List: true,
			Allowed: "numbers from 0 to 4294967294 separated by commas",
			set:     func(c *Config, v string) (err error) { c.ExcludeUIDs, err = list(v, parseID); return err },
			get:     func(c *Config) string { return joined(c.ExcludeUIDs, formatID) }},
		partsOption("inbound-probability", "share of inbound connections to redirect", func(c *Config) *uint32 { return &c.InboundParts }, "NETRA_INBOUND_PROBABILITY"),
		partsOption("outbound-probability", "share of outbound connections to redirect", func(c *Config) *uint32 { return &c.OutboundParts }, "NETRA_OUTBOUND_PROBABILITY"),
		portsOption("sidecar-ports", "the sidecar's other listeners, never redirected (by default those of --admin and --metrics)", func(c *Config) *Ports { return &c.OwnPorts }),
		{Name: "fail-open", Help: "redirect only while the sidecar is alive (it runs with --heartbeat); else connections go directly",
			Allowed: "true or false",
			set:     func(c *Config, v string) (err error) { c.FailOpen, err = strconv.ParseBool(v); return err },
			get:     func(c *Config) string { return map[bool]string{true: "true"}[c.FailOpen] }},
	}
}

func portsOption(name, help string, at func(*Config) *Ports, compatible ...string) Option {
	return Option{Name: name, Value: "PORTS", Help: help, Allowed: allowedPorts, Compatible: compatible, List: true,
		set: func(c *Config, v string) (err error) { *at(c), err = parsePorts(v); return err },
		get: func(c *Config) string {
			if p := *at(c); p.All || len(p.Ranges) > 0 {
				return p.String()
			}
			return ""
		}}
}

func cidrOption(name, help string, at func(*Config) *[]netip.Prefix) Option {
	return Option{Name: name, Value: "CIDRS", Help: help, Allowed: allowedCIDRs, List: true,
		set: func(c *Config, v string) (err error) { *at(c), err = list(v, parseCIDR); return err },
		get: func(c *Config) string { return joined(*at(c), netip.Prefix.String) }}
}

func partsOption(name, help string, at func(*Config) *uint32, compatible string) Option {
	return Option{Name: name, Value: "P", Help: help, Allowed: allowedProbability, Compatible: []string{compatible},
		set: func(c *Config, v string) (err error) { *at(c), err = parseParts(v); return err },
		get: func(c *Config) string { return strconv.FormatFloat(float64(*at(c))/Million, 'f', -1, 64) }}
}

func formatID(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

func joined[T any](values []T, format func(T) string) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = format(v)
	}
	return strings.Join(parts, ",")
}

// list reads a comma list; empty elements are an error.
func list[T any](s string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for _, part := range strings.Split(s, ",") {
		v, err := parse(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, errNot
	}
	return uint16(n), nil
}

// parseID reads a user or group; 4294967295 is no user but (uid_t)-1.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return 0, errNot
	}
	return uint32(n), nil
}

// parseParts reads a probability as parts of a million.
func parseParts(s string) (uint32, error) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !(f >= 0 && f <= 1) { // NaN is neither
		return 0, errNot
	}
	return uint32(f*Million + 0.5), nil
}

func parseRange(s string) (PortRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	a, err := parsePort(low)
	if err != nil {
		return PortRange{}, err
	}
	if !isRange {
		return PortRange{a, a}, nil
	}
	b, err := parsePort(high)
	if err != nil || b < a {
		return PortRange{}, errNot
	}
	return PortRange{a, b}, nil
}

// parsePorts reads a set of ports.
func parsePorts(s string) (Ports, error) {
	switch s {
	case "*":
		return Ports{All: true}, nil
	case "none":
		return Ports{}, nil
	}
	ranges, err := list(s, parseRange)
	return Ports{Ranges: merge(ranges)}, err
}

// parseCIDR reads an address or a network; the bits of the host are dropped, and a v4 network in v6 form becomes one of v4.
func parseCIDR(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, errNot
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, errNot
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// Given is a value of an option and where it came from.
type Given struct {
	Value  string
	Origin string // "--flag" or a variable's name, for errors
}

// Load makes a Config from the flags that were given (by name, each with its values) and the environment ("NAME=value" strings). A flag
// beats SPANWIRE_INTERCEPT_<NAME>, which beats the compatible variables. An empty variable counts as unset, and one that Kubernetes made
// for a Service (tcp://…) is skipped with a line among the warnings. The error names the flag or variable, its value and what is allowed.
func Load(base Config, flags map[string][]string, environ []string) (c Config, warnings []string, err error) {
	c = base
	variables := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.TrimSpace(value) != "" {
			variables[name] = strings.TrimSpace(value)
		}
	}
	for _, o := range Options() {
		given, found := Given{}, false
		if values := flags[o.Name]; len(values) > 0 {
			given, found = Given{strings.Join(values, ","), "--" + o.Name}, true
			if !o.List {
				given.Value = values[len(values)-1]
			}
		}
		for _, name := range append([]string{o.Variable()}, o.Compatible...) {
			v := variables[name]
			if found || v == "" {
				continue
			}
			if strings.HasPrefix(v, "tcp://") || strings.HasPrefix(v, "udp://") {
				warnings = append(warnings, fmt.Sprintf("%s %q is a Kubernetes service link, ignored", name, v))
				continue
			}
			given, found = Given{v, name}, true
		}
		if !found {
			continue
		}
		if err := o.set(&c, given.Value); err != nil {
			return c, warnings, fmt.Errorf("%s %q: want %s", given.Origin, given.Value, o.Allowed)
		}
	}
	return c, warnings, nil
}

// Args returns the settings as flags that give c: "--redirect-port=14956" and so on.
func (c *Config) Args() []string {
	var args []string
	for _, o := range Options() {
		v := o.get(c)
		if v == "" && o.Default() != "" {
			v = "none" // a set of ports without any
		}
		if v != "" {
			args = append(args, "--"+o.Name+"="+v)
		}
	}
	return args
}

// parseArgs is the inverse of Args.
func parseArgs(args []string) (Config, error) {
	flags := map[string][]string{}
	for _, a := range args {
		name, value, ok := strings.Cut(strings.TrimPrefix(a, "--"), "=")
		if !ok || !slices.ContainsFunc(Options(), func(o Option) bool { return o.Name == name }) {
			return Config{}, fmt.Errorf("%q: %w", a, errNot)
		}
		flags[name] = append(flags[name], value)
	}
	c, _, err := Load(DefaultConfig(), flags, nil)
	return c, err
}
