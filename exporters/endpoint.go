package exporters

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// parseEndpoint parses the URL of the setting name. schemes lists what is allowed.
func parseEndpoint(name, value string, schemes ...string) (*url.URL, error) {
	allowed := "allowed: " + strings.Join(schemes, "://…, ") + "://…"
	u, err := url.Parse(value)
	if err == nil {
		err = canBeSentTo(u)
	}
	if err != nil {
		// The text of err repeats the value, which may hold a password.
		return nil, fmt.Errorf("%s %q: not a URL; %s", name, hideUser(value), allowed)
	}
	known := false
	for _, s := range schemes {
		known = known || u.Scheme == s
	}
	switch port := u.Port(); {
	case !known:
		return nil, fmt.Errorf("%s %q: unsupported scheme; %s", name, shown(u), allowed)
	case u.Hostname() == "":
		return nil, fmt.Errorf("%s %q: names no host; %s", name, shown(u), allowed)
	case strings.HasSuffix(u.Host, ":"), port != "" && !validPort(port):
		return nil, fmt.Errorf("%s %q: bad port; allowed: 1 to 65535", name, shown(u))
	}
	return u, nil
}

// canBeSentTo returns an error for what net/url takes and neither writes so that it reads it again, nor package net dials: odd zones of addresses,
// brackets in names.
func canBeSentTo(u *url.URL) error {
	if _, err := url.Parse(u.String()); err != nil {
		return err
	}
	_, _, err := net.SplitHostPort(hostPortOf(u, "80"))
	return err
}

// validPort reports whether s is a port.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// shown returns u without credentials and query.
func shown(u *url.URL) string {
	bare := *u
	bare.User, bare.RawQuery, bare.Fragment = nil, "", ""
	return bare.String()
}

// hideUser removes user-info from what is no URL.
func hideUser(value string) string {
	if at := strings.LastIndexByte(value, '@'); at >= 0 {
		return "…" + value[at:]
	}
	return value
}

// hostPort returns host:port of u, with def as the port where u has none.
func hostPortOf(u *url.URL, def string) string {
	port := u.Port()
	if port == "" {
		port = def
	}
	return net.JoinHostPort(u.Hostname(), port)
}
