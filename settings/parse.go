package settings

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// off switches a listener off.
const off = "off"

// one makes a set function from a parser of one value.
func one[T any](parse func(string) (T, error), store func(*Config, T)) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		v, err := parse(values[0])
		if err != nil {
			return bad(values[0], err)
		}
		store(c, v)
		return nil
	}
}

// each makes a set function from a parser that is applied to every value.
func each[T any](parse func(string) (T, error), store func(*Config, []T)) func(*Config, []string) error {
	return func(c *Config, values []string) error {
		var all []T
		for _, value := range values {
			v, err := parse(value)
			if err != nil {
				return bad(value, err)
			}
			all = append(all, v)
		}
		store(c, all)
		return nil
	}
}

// errNot: a value is not what is wanted, and the setting's Allowed says all there is to say.
var errNot = errors.New("not allowed")

// bad says which of several values err is about.
func bad(value string, err error) error {
	if errors.Is(err, errNot) {
		return &badValue{value: value}
	}
	return &badValue{value: value, why: err.Error()}
}

func parseText(s string) (string, error) {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", errNot
	}
	return s, nil
}

// parseSwitch reads a boolean setting.
func parseSwitch(s string) (bool, error) {
	v, ok := parseBool(s)
	if !ok {
		return false, errNot
	}
	return v, nil
}

// oneOf accepts one of the words.
func oneOf(words ...string) func(string) (string, error) {
	return func(s string) (string, error) {
		if !slices.Contains(words, s) {
			return "", errNot
		}
		return s, nil
	}
}

// number accepts a whole number from lo to hi.
func number(lo, hi int) func(string) (int, error) {
	return func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < lo || n > hi {
			return 0, errNot
		}
		return n, nil
	}
}

// duration accepts a Go duration from lo to hi.
func duration(lo, hi time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < lo || d > hi {
			return 0, errNot
		}
		return d, nil
	}
}

func parsePort(s string, lo uint16) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || uint16(n) < lo {
		return 0, errNot
	}
	return uint16(n), nil
}

// parseRealPort is a port that something listens at.
func parseRealPort(s string) (uint16, error) { return parsePort(s, 1) }

// parseListen reads the address of a listener: an IP address, localhost or nothing, and a port; 0 is any free one. It returns each address in
// one form, so that two texts of one address compare as equal.
func parseListen(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", errNot
	}
	n, err := parsePort(port, 0)
	if err != nil {
		return "", errNot
	}
	switch {
	case host == "localhost":
		host = "127.0.0.1"
	case host != "":
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return "", errNot
		}
		host = ip.Unmap().String() // as the relay binds it
	}
	return net.JoinHostPort(host, strconv.Itoa(int(n))), nil
}

// parseListenOrOff is parseListen, or "" for off.
func parseListenOrOff(s string) (string, error) {
	if s == off {
		return "", nil
	}
	return parseListen(s)
}

// parseExplicit reads ADDR=UPSTREAM.
func parseExplicit(s string) (Listener, error) {
	addr, upstream, ok := strings.Cut(s, "=")
	if !ok {
		return Listener{}, errNot
	}
	addr, err := parseListen(strings.TrimSpace(addr))
	if err != nil {
		return Listener{}, errors.New("the part before = is no address to listen at")
	}
	upstream = strings.TrimSpace(upstream)
	host, port, err := net.SplitHostPort(upstream)
	if err == nil {
		_, err = parsePort(port, 1)
	}
	if err != nil || !hostLike(host) {
		return Listener{}, errors.New("the part after = is no HOST:PORT")
	}
	return Listener{Addr: addr, Upstream: upstream}, nil
}

// hostLike reports whether s can be a host name or an IP address (RFC 1123 §2.1, underscores tolerated as resolvers do).
func hostLike(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

// parsePair reads KEY=VALUE; the value may be empty and hold any "=".
func parsePair(s string) (Pair, error) {
	key, value, ok := strings.Cut(s, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	if !ok || key == "" {
		return Pair{}, errNot
	}
	return Pair{Key: key, Value: value}, nil
}

// parseHeader reads NAME=VALUE of a header that is sent with exports.
func parseHeader(s string) (Pair, error) {
	p, err := parsePair(s)
	if err != nil {
		return Pair{}, err
	}
	return headerOf(p)
}

// headerOf checks that p is a field of a head.
func headerOf(p Pair) (Pair, error) {
	if !token(p.Key) {
		return Pair{}, errNot
	}
	if strings.ContainsFunc(p.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return Pair{}, errors.New("control characters within the value")
	}
	return p, nil
}

// token reports whether s is a token (RFC 9110 §5.6.2), as names of header fields and cookies are.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func parseToken(s string) (string, error) {
	if !token(s) {
		return "", errNot
	}
	return s, nil
}

// parseTag reads NAME[:tag].
func parseTag(s string) (string, error) {
	name, tag, ok := strings.Cut(s, ":")
	if !token(name) || ok && tag == "" {
		return "", errNot
	}
	return parseText(s)
}

// parseFold reads REGEXP[=>REPLACEMENT] and returns it as it came.
func parseFold(s string) (string, error) {
	expr, _, _ := strings.Cut(s, "=>")
	if expr == "" {
		return "", errNot
	}
	if _, err := regexp.Compile(expr); err != nil {
		var bad *syntax.Error
		if errors.As(err, &bad) {
			return "", fmt.Errorf("%s: %#q", bad.Code, bad.Expr) // on one line, whatever the expression holds
		}
		return "", err
	}
	return s, nil
}

// parseURL reads an absolute URL with a host and one of the schemes.
func parseURL(s string, schemes ...string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || !slices.Contains(schemes, u.Scheme) || u.Fragment != "" {
		return nil, errNot
	}
	// What net/url takes, and neither writes so that it reads it again nor package net dials.
	if _, err := url.Parse(u.String()); err != nil {
		return nil, errNot
	}
	if _, _, err := net.SplitHostPort(net.JoinHostPort(u.Hostname(), "80")); err != nil {
		return nil, errNot
	}
	if p := u.Port(); p != "" {
		if _, err := parsePort(p, 1); err != nil {
			return nil, errNot
		}
	} else if strings.HasSuffix(u.Host, ":") {
		return nil, errNot
	}
	return u, nil
}

func parseHTTPURL(s string) (string, error) {
	if _, err := parseURL(s, "http", "https"); err != nil {
		return "", err
	}
	return s, nil
}

// parseJaegerURL reads the address of a Jaeger, whose scheme and path choose the wire format.
func parseJaegerURL(s string) (string, error) {
	u, err := parseURL(s, "http", "https", "udp")
	switch {
	case err != nil:
		return "", err
	case u.Scheme == "udp" && (u.Path == "" || u.Path == "/"):
		return s, nil
	case u.Scheme != "udp" && (strings.HasSuffix(u.Path, "/v1/traces") || strings.HasSuffix(u.Path, "/api/traces")):
		return s, nil
	}
	return "", errNot
}

// parseOTLPBase reads the base address of an OTLP collector and appends what spans are posted to.
func parseOTLPBase(s string) (string, error) {
	u, err := parseURL(s, "http", "https")
	if err != nil {
		return "", err
	}
	if !strings.HasSuffix(u.Path, "/v1/traces") { // a base that ends so is a complete address mistaken for one
		u = u.JoinPath("v1", "traces")
	}
	return u.String(), nil
}

// parseFileName reads the name of a file that can be read now.
func parseFileName(s string) (string, error) {
	f, err := os.Open(s)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return "", err
	}
	return s, f.Close()
}

// parseNoInject reads a host, a pattern "*.domain", an address or a CIDR.
func parseNoInject(s string) (string, error) {
	if strings.Contains(s, "/") {
		if _, err := netip.ParsePrefix(s); err != nil {
			return "", errNot
		}
		return s, nil
	}
	if !hostLike(strings.TrimPrefix(strings.ToLower(s), "*.")) {
		return "", errNot
	}
	return strings.ToLower(s), nil
}
