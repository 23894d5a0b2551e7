package settings

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// readSwitch reads a switch of Netramesh, which is on when its variable is "true", and off whatever else that says. What says no is off here too;
// what says yes in another way was off there, and is an error, so that nothing comes to life with another image.
func readSwitch(e *environment, name string) (on, set bool, err error) {
	v := e.get(name)
	if v == "true" {
		return true, true, nil
	}
	if on, ok := parseBool(v); v != "" && (!ok || on) {
		return false, true, valueError(name, v, "true or false")
	}
	return false, v != "", nil
}

// netraSwitch is such a switch that stands for a boolean setting.
func netraSwitch(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		on, set, err := readSwitch(e, name)
		if !set || err != nil {
			return nil, name, err
		}
		return []string{strconv.FormatBool(on)}, name, nil
	}}
}

// netraRouteCookie reads the two variables of Netramesh's cookie: a switch, and a name that has a default. The name is looked at in any case.
func netraRouteCookie() compatible {
	const enabled, name = "NETRA_HTTP_ROUTING_COOKIE_ENABLED", "NETRA_HTTP_ROUTING_COOKIE_NAME"
	return compatible{names: []string{enabled, name}, read: func(e *environment) ([]string, string, error) {
		cookie := e.get(name)
		if cookie != "" && !token(cookie) {
			return nil, name, valueError(name, cookie, "the name of a cookie")
		}
		on, _, err := readSwitch(e, enabled)
		switch {
		case !on || err != nil:
			return nil, enabled, err
		case cookie != "":
			return []string{cookie}, enabled, nil
		}
		return []string{trace.DefaultRouteHeader}, enabled, nil
	}}
}

// defaultStatsd is where Netramesh sends to.
const defaultStatsd = ":8125"

// netraStatsd reads the variables of Netramesh: the first switches statsd on, the second says where it is, and is looked at in any case.
func netraStatsd() compatible {
	const enabledName, addressName = "NETRA_STATSD_ENABLED", "NETRA_STATSD_ADDRESS"
	return compatible{names: []string{enabledName, addressName}, read: func(e *environment) ([]string, string, error) {
		address := e.get(addressName)
		if address == "" {
			address = defaultStatsd
		}
		if _, err := parseStatsd(address); err != nil || address == off {
			return nil, addressName, valueError(addressName, address, "[HOST]:PORT")
		}
		on, set, err := readSwitch(e, enabledName)
		switch {
		case !set || err != nil:
			return nil, enabledName, err
		case !on:
			return []string{off}, enabledName, nil
		}
		return []string{address}, enabledName, nil
	}}
}

// netraMilliseconds is a variable of Netramesh that holds a whole number of milliseconds.
func netraMilliseconds(name string) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v := e.get(name)
		if v == "" {
			return nil, name, nil
		}
		if _, err := strconv.ParseInt(v, 10, 32); err != nil {
			return nil, name, valueError(name, v, "milliseconds, a whole number")
		}
		return []string{v + "ms"}, name, nil
	}}
}

// longest is the lifetime that stands for "never expires".
const longest = 24 * time.Hour

// netraExpiration is a lifetime in milliseconds. 0 and less mean in Netramesh's cache that nothing expires; here it is the longest there is, and so
// is what is longer.
func netraExpiration(name string) compatible {
	c := netraMilliseconds(name)
	read := c.read
	c.read = func(e *environment) ([]string, string, error) {
		values, name, err := read(e)
		if len(values) > 0 {
			if d, err := time.ParseDuration(values[0]); err == nil && (d <= 0 || d > longest) {
				values = []string{longest.String()}
			}
		}
		return values, name, err
	}
	return c
}

// jaegerUnlessZero is a variable of jaeger-client-go in which 0 stands for the default; isZero reports whether a value is 0 there.
func jaegerUnlessZero(name string, isZero func(v string) bool) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		v := e.get(name)
		if v == "" || isZero(v) {
			return nil, name, nil
		}
		return []string{v}, name, nil
	}}
}

func zeroNumber(v string) bool {
	n, err := strconv.Atoi(v)
	return err == nil && n == 0
}

func zeroDuration(v string) bool {
	d, err := time.ParseDuration(v)
	return err == nil && d == 0
}

// netraTags reads NAME:tag,NAME:tag of headers, or of cookies, whose names know case. What Netramesh takes and cannot be here is left out with a line: it is
// no reason not to start. As there, an element without a colon says nothing, and of two for one name the last counts.
func netraTags(name string, headers bool) compatible {
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		var values, keys []string
		for _, element := range splitList(e.get(name), ",") {
			key, tag, ok := strings.Cut(element, ":")
			key, tag = strings.TrimSpace(key), strings.TrimSpace(tag)
			v, why := key+":"+tag, ""
			if headers {
				key = strings.ToLower(key)
			}
			switch {
			case !ok, !token(key), !trace.IsTag(tag):
				why = "want NAME:tag, without blanks and in ASCII"
			case headers:
				why = trace.RefusesTag(key)
			}
			switch i := slices.Index(keys, key); {
			case why != "":
			case i >= 0:
				e.warn("%s: %q skipped: another one follows for that name", name, values[i])
				values[i] = v
				continue
			case len(values) == span.MaxTags:
				why = "there may be " + strconv.Itoa(span.MaxTags) + " at most"
			}
			if why != "" {
				e.warn("%s: %q skipped: %s", name, element, why)
				continue
			}
			values, keys = append(values, v), append(keys, key)
		}
		return values, name, nil
	}}
}
