package settings

import (
	"slices"
	"strings"
	"testing"
)

// FuzzSetting gives one setting a value, as a flag or by a variable of ours or of another program, with or without a service's name beside it:
// there is one line that names the setting, or the settings as they are shown are taken again and shown the same.
func FuzzSetting(f *testing.F) {
	table := Table()
	some := []string{"a", "1", "-1", "1s", "a=b", "a:b", "http://u:p@h:1/x?y", "off", ":80", "10.0.0.0/8,*.a", "ratio=0.5", "a,b;c", "[::1]:2=h:3"}
	for i, s := range table {
		for _, v := range append(slices.Clone(s.fixed), some[i%len(some)]) {
			f.Add(uint8(i), uint8(i%4), v)
		}
	}
	f.Fuzz(func(t *testing.T, index, where uint8, value string) {
		s := &table[int(index)%len(table)]
		if strings.Contains(s.Name, "file") || strings.Contains(value, "\x00") || len(value) > 1024 {
			return // no value of ours is the name of a file to be read; the system allows no NUL
		}
		flags := NewFlags()
		var environ []string
		if where < 128 {
			environ = append(environ, "SPANWIRE_SERVICE_NAME=svc")
		}
		label := s.Name
		switch names := s.CompatibleVariables(); {
		case where%4 == 0 || where%4 > 1 && len(names) == 0:
			_ = flags.given[s.Name].Set(value)
		case where%4 == 1:
			environ = append(environ, s.Variable()+"="+value)
			label = s.Variable()
		default:
			label = names[int(where)/4%len(names)]
			environ = append(environ, label+"="+value)
		}
		l, err := Load(flags, environ)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || !strings.Contains(err.Error(), "--") && !strings.Contains(err.Error(), label) {
				t.Fatalf("%s=%q: %q", label, value, err)
			}
			return
		}
		again, masked := NewFlags(), false
		for i := range l.Entries {
			e := &l.Entries[i]
			if n := len(e.Values) - 1; e.Name == "sampler" && e.Origin == otelSamplerName && n > 0 && e.Values[n] == whateverTheParent {
				e.Values = e.Values[:n] // a note, which no flag can say
			}
			if len(e.Values) == 0 && e.Origin != "default" {
				_ = again.given[e.Name].Set("") // none, where the default is some
			}
			for _, v := range e.Values {
				masked = masked || table[i].secret || table[i].url && maskURL(v) != v || strings.Contains(v, "***")
				_ = again.given[e.Name].Set(v)
			}
		}
		if masked {
			return
		}
		back, err := Load(again, nil)
		if err != nil {
			t.Fatalf("%s=%q is shown as what is not allowed: %v", label, value, err)
		}
		for i, e := range back.Entries {
			if !slices.Equal(e.Values, l.Entries[i].Values) {
				t.Fatalf("%s=%q: %s is shown as %q, and that as %q", label, value, e.Name, l.Entries[i].Values, e.Values)
			}
		}
	})
}
