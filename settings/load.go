package settings

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Entry says what a setting is and where it came from.
type Entry struct {
	Name   string   `json:"name"`
	Values []string `json:"values"` // as a user would write them; secrets masked
	Origin string   `json:"origin"` // "flag", a variable, a file, "default", or what a default follows from
}

// Loaded is what Load returns.
type Loaded struct {
	Config  Config
	Entries []Entry // one for each row of Table, in its order
	// Warnings are lines about what was skipped or will not work as its writer may have meant.
	Warnings []string

	places map[string]string // by setting: how an error names where its value is from
}

// Place names where the value of a setting is from, as an error about it does: "--loops", a variable, a file with its key.
func (l *Loaded) Place(setting string) string {
	if place := l.places[setting]; place != "" {
		return place
	}
	return "--" + setting
}

// rank is where a value came from, the strongest first.
type rank uint8

const (
	rankFlag rank = iota
	rankVariable
	rankFile
	rankCompatible
	rankDefault
)

// loader is one run of Load.
type loader struct {
	config  Config
	env     *environment
	flags   *Flags
	file    *file
	entries []Entry
	ranks   []rank // by row of the table
	table   []Setting
}

// Load collects the settings from flags, the environment ("NAME=value" strings) and the configuration file that either names. The
// error of a value that is not allowed is one line that names the setting, the value and what is allowed.
func Load(flags *Flags, environ []string) (*Loaded, error) {
	l := &loader{env: newEnvironment(environ), flags: flags, table: Table()}
	l.entries = make([]Entry, len(l.table))
	l.ranks = make([]rank, len(l.table))
	if err := l.openFile(); err != nil {
		return nil, err
	}
	for i := range l.table {
		if err := l.given(i); err != nil {
			return nil, err
		}
	}
	for i := range l.table {
		if err := l.byDefault(i); err != nil {
			return nil, err
		}
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	l.unknownVariables()
	loaded := &Loaded{Config: l.config, Entries: l.entries, Warnings: l.env.warnings, places: map[string]string{}}
	for i := range l.table {
		loaded.places[l.table[i].Name] = l.label(l.table[i].Name)
	}
	return loaded, nil
}

// configVariable names the configuration file where the flag does not.
const configVariable = "SPANWIRE_CONFIG"

// interceptPrefix is what the variables of `spanwire intercept` begin with. Both may run with one environment.
const interceptPrefix = "SPANWIRE_INTERCEPT_"

// openFile reads the configuration file, if there is one.
func (l *loader) openFile() error {
	path, label := l.flags.configFile(), "--config"
	if path == "" {
		path, label = l.env.get(configVariable), configVariable
	}
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		var cause *os.PathError
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return fmt.Errorf("%s %q: want a readable file: %w", label, path, err)
	}
	l.file, err = parseFile(path, data, l.table)
	return err
}

// given sets the i-th setting from the first place that has it; without one it stays for byDefault.
func (l *loader) given(i int) error {
	s := &l.table[i]
	if values := l.flags.values(s.Name); len(values) > 0 {
		return l.set(i, values, rankFlag, "flag", "--"+s.Name)
	}
	if v := l.env.get(s.Variable()); v != "" {
		return l.set(i, []string{v}, rankVariable, s.Variable(), s.Variable())
	}
	if values, ok := l.file.get(s.Name); ok {
		return l.set(i, values, rankFile, l.file.path, l.file.path+": "+s.Name)
	}
	for _, c := range s.compatible {
		values, name, err := c.read(l.env)
		if err == nil && len(values) == 0 {
			continue
		}
		if err == nil {
			err = l.setCompatible(i, c, values, name)
		}
		if err == nil || !strings.HasPrefix(name, "OTEL_") {
			return err
		}
		// OpenTelemetry: a value that is not understood is warned about and ignored.
		l.env.warn("%v; skipped", err)
	}
	l.ranks[i] = rankDefault
	return nil
}

// setCompatible gives the i-th setting what the variable name of c says.
func (l *loader) setCompatible(i int, c compatible, values []string, name string) error {
	label := fmt.Sprintf("%s (--%s)", name, l.table[i].Name)
	if c.set == nil {
		return l.set(i, values, rankCompatible, name, label)
	}
	if err := c.set(&l.config, values); err != nil {
		return l.table[i].wrong(label, err)
	}
	l.ranks[i] = rankCompatible
	l.entry(i, values, name)
	return nil
}

// set gives the i-th setting its values; label names their place in the error.
func (l *loader) set(i int, values []string, r rank, origin, label string) error {
	s := &l.table[i]
	values = s.split(values, r)
	if len(values) == 0 && !s.form.many() {
		return fmt.Errorf("%s \"\": want %s", label, s.Allowed)
	}
	if err := s.set(&l.config, values); err != nil {
		return s.wrong(label, err)
	}
	l.ranks[i] = r
	l.entry(i, values, origin)
	return nil
}

// split returns the single values, trimmed, none empty; of a setting that takes one, the last.
func (s *Setting) split(values []string, r rank) []string {
	var out []string
	for _, v := range values {
		if s.form == list || s.form.many() && r == rankVariable {
			out = append(out, splitList(v, s.form.separator())...)
		} else if v = strings.TrimSpace(v); v != "" {
			out = append(out, v)
		}
	}
	if !s.form.many() && len(out) > 1 {
		out = out[len(out)-1:]
	}
	return out
}

// badValue is one value of several that a parser did not like; why may be "".
type badValue struct{ value, why string }

// Error is for Setting.wrong, which alone sees it.
func (b *badValue) Error() string { return fmt.Sprintf("%q %s", b.value, b.why) }

// wrong makes the line of an error that set returned.
func (s *Setting) wrong(label string, err error) error {
	var bad *badValue
	if !errors.As(err, &bad) {
		return fmt.Errorf("%s: %w; want %s", label, err, s.Allowed)
	}
	if bad.why != "" {
		return fmt.Errorf("%s %q: %s; want %s", label, s.mask(bad.value), bad.why, s.Allowed)
	}
	return fmt.Errorf("%s %q: want %s", label, s.mask(bad.value), s.Allowed)
}

// byDefault sets the i-th setting if nothing else did.
func (l *loader) byDefault(i int) error {
	if l.ranks[i] != rankDefault {
		return nil
	}
	s := &l.table[i]
	values, origin := s.fixed, "default"
	if s.computed != nil {
		var from string
		if values, from = s.computed(l); from != "" {
			origin = from
		}
	}
	if len(values) > 0 {
		if err := s.set(&l.config, values); err != nil {
			if s.source == nil {
				panic("BUG: the default of --" + s.Name + " is not allowed: " + err.Error())
			}
			label := s.source(l)
			err = s.wrong(label, err)
			if !strings.HasPrefix(label, "OTEL_") || !l.config.Disabled {
				return err
			}
			// As in given; what relays only can do without.
			l.env.warn("%v; skipped", err)
			values, origin = nil, "default"
		}
	}
	l.entry(i, values, origin)
	return nil
}

// entry notes what the i-th setting is now.
func (l *loader) entry(i int, values []string, origin string) {
	s := &l.table[i]
	shown := make([]string, len(values))
	for j, v := range values {
		shown[j] = s.mask(v)
	}
	if s.form == boolean && len(shown) == 0 {
		shown = []string{"false"}
	}
	l.entries[i] = Entry{Name: s.Name, Values: shown, Origin: origin}
}

// rankOf returns where the setting came from; given must have run for all.
func (l *loader) rankOf(name string) rank { return l.ranks[l.index(name)] }

// originOf returns the origin of a setting that was set.
func (l *loader) originOf(name string) string { return l.entries[l.index(name)].Origin }

// label names the place of a setting that was set, as the error of a value of it would.
func (l *loader) label(name string) string {
	switch l.rankOf(name) {
	case rankFlag, rankDefault:
		return "--" + name
	case rankFile:
		return l.originOf(name) + ": " + name
	}
	return l.originOf(name)
}

func (l *loader) index(name string) int {
	i := slices.IndexFunc(l.table, func(s Setting) bool { return s.Name == name })
	if i < 0 {
		panic("BUG: no setting is called " + name)
	}
	return i
}

// unknownVariables warns of SPANWIRE_* variables that are no setting: most likely a name mistyped. It is no error, since one
// pod's variables may serve several programs.
func (l *loader) unknownVariables() {
	for _, name := range l.env.names("SPANWIRE_") {
		known := name == configVariable || strings.HasPrefix(name, interceptPrefix) || slices.ContainsFunc(l.table, func(s Setting) bool { return s.Variable() == name })
		if !known {
			l.env.warn("%s is no setting, ignored", name)
		}
	}
}
