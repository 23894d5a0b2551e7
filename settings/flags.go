package settings

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// Flags collects what the command line says. The flags of several commands may collect into one.
type Flags struct {
	given  map[string]*flagValue
	config flagValue
}

// flagValue collects the occurrences of one flag; parsing them is Load's business, so that all places have the same error lines.
type flagValue struct{ occurrences []string }

// Set implements cli.Generic.
func (v *flagValue) Set(s string) error {
	v.occurrences = append(v.occurrences, s)
	return nil
}

// String implements cli.Generic; the help text does not come from it.
func (v *flagValue) String() string {
	if v == nil {
		return ""
	}
	return strings.Join(v.occurrences, ",")
}

// switchValue is a flagValue that needs no argument: "--name" is "--name=true".
type switchValue struct{ *flagValue }

// IsBoolFlag tells package flag that an argument is not needed.
func (switchValue) IsBoolFlag() bool { return true }

// NewFlags returns an empty collection.
func NewFlags() *Flags {
	f := &Flags{given: map[string]*flagValue{}}
	for _, s := range Table() {
		f.given[s.Name] = &flagValue{}
	}
	return f
}

// CLI returns the flags for a command: one for each row of Table, and --config.
func (f *Flags) CLI() []cli.Flag {
	flags := []cli.Flag{&cli.GenericFlag{Name: "config", Usage: configHelp, Value: &f.config}}
	for _, s := range Table() {
		var value cli.Generic = f.given[s.Name]
		if s.form == boolean {
			value = switchValue{f.given[s.Name]}
		}
		flags = append(flags, &cli.GenericFlag{Name: s.Name, Usage: s.Help, Value: value})
	}
	return flags
}

// Any returns the name of a flag that was given, "" when none was.
func (f *Flags) Any() string {
	for _, s := range Table() {
		if len(f.given[s.Name].occurrences) > 0 {
			return s.Name
		}
	}
	if len(f.config.occurrences) > 0 {
		return "config"
	}
	return ""
}

// values returns the occurrences of the flag.
func (f *Flags) values(name string) []string { return f.given[name].occurrences }

// configFile returns the file named on the command line, "" without one.
func (f *Flags) configFile() string {
	if n := len(f.config.occurrences); n > 0 {
		return f.config.occurrences[n-1]
	}
	return ""
}

// parseBool reads a boolean: what strconv takes, and yes, no, on, off.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "yes", "on":
		return true, true
	case "no", "off":
		return false, true
	}
	b, err := strconv.ParseBool(strings.ToLower(s))
	return b, err == nil
}
