// Package settings holds the settings of `spanwire run`: each is declared once, in Table, and that row yields its flag, its
// variables, its key in the configuration file, its default, its help text, its row in docs/settings.md and its entry in GET
// /config.
//
// A value comes from the first of: the flag, SPANWIRE_<FLAG_NAME>, the configuration file, the compatible variables in the order
// of the row, the default. Load does that once, at the start.
package settings

import (
	"strings"
)

// Section is a heading of the documentation; settings stand under it in the order of Table.
type Section string

// The sections, in the order of Table.
const (
	SectionService   Section = "Service"
	SectionListeners Section = "Listeners"
	SectionExport    Section = "Export"
	SectionContext   Section = "Trace context and sampling"
	SectionSpans     Section = "What a span says"
	SectionRouting   Section = "Routing"
	SectionCompat    Section = "Compatibility"
	SectionMetrics   Section = "Metrics and access log"
	SectionOperation Section = "Operation"
)

// form is how many values a setting takes and how they are separated.
type form uint8

const (
	// The zero form: one value; the last flag wins.
	_ form = iota
	// boolean: true or false; the flag alone means true.
	boolean
	// list: a comma list everywhere; repeating the flag adds to it.
	list
	// repeated: each flag is one value, commas and all; a comma list in a variable.
	repeated
	// repeatedSemicolon: the same, but a variable separates with semicolons (values such as expressions bear commas).
	repeatedSemicolon
)

// separator returns what separates the values of a variable.
func (f form) separator() string {
	if f == repeatedSemicolon {
		return ";"
	}
	return ","
}

// many reports whether a setting of this form takes several values.
func (f form) many() bool { return f == list || f == repeated || f == repeatedSemicolon }

// Setting is one row of the table.
type Setting struct {
	// Name is the flag's name without dashes, and the key in the configuration file.
	Name string
	// Section is where the row stands in the documentation.
	Section Section
	// Value stands for the value in the help text; it says the unit where there is one. "" for a boolean.
	Value string
	// Help is one sentence, without a full stop.
	Help string
	// Allowed ends the error line "--name "value": want …".
	Allowed string

	form form
	// fixed is the default as a user would write it; nil where computed says it.
	fixed []string
	// computed returns a default that depends on other settings, and, when that is not "default", where it came from.
	computed func(*loader) (values []string, origin string)
	// source names the place of a computed default that is what somebody wrote for another setting, and so may not be allowed; nil for all
	// others.
	source func(*loader) (label string)
	// defaultNote is the default in words, for one that is computed.
	defaultNote string
	// compatible are the variables of other programs, in the order in which they count.
	compatible []compatible
	// set parses values into c, all of them or, with an error, none. Values are trimmed and not empty; a single setting gets exactly
	// one.
	set func(c *Config, values []string) error
	// secret: values are masked wherever they are shown.
	secret bool
	// url: passwords within values are masked.
	url bool
}

// compatible reads a value from another program's variables.
type compatible struct {
	// names are the variables, the one that switches it on first; for the documentation.
	names []string
	// read returns the values as a user of the flag would write them and the variable they came from; no values = not set.
	read func(e *environment) (values []string, name string, err error)
	// set is used in place of the setting's own when the variable means something that the flag cannot say; nil otherwise.
	set func(c *Config, values []string) error
}

// Variable returns the name of the setting's own environment variable.
func (s *Setting) Variable() string {
	return "SPANWIRE_" + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// DefaultText returns the default in words, as it stands in the help text and the documentation.
func (s *Setting) DefaultText() string {
	switch {
	case s.defaultNote != "":
		return s.defaultNote
	case s.form == boolean && len(s.fixed) == 0:
		return "false"
	case len(s.fixed) == 0:
		return "none"
	}
	return strings.Join(s.fixed, ",")
}

// Usage returns the flag as it stands in the help text: "--name VALUE".
func (s *Setting) Usage() string {
	if s.Value == "" {
		return "--" + s.Name
	}
	return "--" + s.Name + " " + s.Value
}

// Repeatable reports whether the flag may be given several times.
func (s *Setting) Repeatable() bool { return s.form.many() }

// CompatibleVariables returns the variables of other programs that the setting honours, in the order in which they count.
func (s *Setting) CompatibleVariables() []string {
	var names []string
	for _, c := range s.compatible {
		names = append(names, c.names...)
	}
	return names
}
