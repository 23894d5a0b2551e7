package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// errUsage is wrapped by every error about the command line.
var errUsage = errors.New("usage")

// helpError asks for the help text; it is no failure.
type helpError struct{ settings []setting }

func (helpError) Error() string { return "help" }

// setting declares one flag: everything that is said about it anywhere comes from here.
type setting struct {
	name string
	form string // of the value; empty for a switch, which takes none
	def  string // the default, for the help text
	help string
	// set takes the value; "true" for a switch. Its error says what is allowed.
	set func(value string) error
}

// usage returns an error for the command line.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// parse applies args to settings. Flags and other arguments may be mixed; those others are returned. `--` ends the flags.
func parse(settings []setting, args []string) (rest []string, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(rest, args...), nil
		}
		if len(arg) < 2 || arg[0] != '-' {
			rest = append(rest, arg)
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if name == "help" || name == "h" {
			return nil, helpError{settings}
		}
		s, ok := find(settings, name)
		if !ok {
			return nil, usage("unknown flag --%s", name)
		}
		switch {
		case s.form == "" && hasValue && value != "true":
			return nil, usage("--%s %s (allowed: no value)", name, value)
		case s.form == "":
			value = "true"
		case !hasValue && len(args) == 0:
			return nil, usage("--%s needs a value: %s", name, s.form)
		case !hasValue:
			value, args = args[0], args[1:]
		}
		if err = s.set(value); err != nil {
			return nil, usage("--%s %s (allowed: %v)", name, value, err)
		}
	}
	return rest, nil
}

// find returns the setting of a name.
func find(settings []setting, name string) (setting, bool) {
	for _, s := range settings {
		if s.name == name {
			return s, true
		}
	}
	return setting{}, false
}

// The functions below make the set functions of settings for values of a type. What a number or duration may be is checked
// by the package that it is for; here it only has to be one.

func setString(to *string) func(string) error {
	return func(v string) error { *to = v; return nil }
}

func setSwitch(to *bool) func(string) error {
	return func(string) error { *to = true; return nil }
}

func setInt[T int | int64 | uint64](to *T, allowed string) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return errors.New(allowed)
		}
		*to = T(n)
		return nil
	}
}

func setFloat(to *float64, allowed string) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || n != n {
			return errors.New(allowed)
		}
		*to = n
		return nil
	}
}

func setDuration(to *time.Duration) func(string) error {
	return func(v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < 0 {
			return errors.New("a duration such as 500ms, 10s or 2m")
		}
		*to = d
		return nil
	}
}

// setParsed is for values with a parser of their own, whose error already says what is allowed.
func setParsed[T any](to *T, parseValue func(string) (T, error)) func(string) error {
	return func(v string) error {
		parsed, err := parseValue(v)
		if err == nil {
			*to = parsed
		}
		return err
	}
}
