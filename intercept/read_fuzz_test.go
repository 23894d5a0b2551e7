package intercept

import (
	"reflect"
	"strings"
	"testing"
)

func FuzzLoad(f *testing.F) {
	f.Add("inbound-ports", "80,8000-8100")
	f.Add("exclude-cidr", "10.0.0.0/8,fd00::/8")
	f.Add("uid", "1337")
	f.Add("outbound-probability", "1e-6")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, _, err := Load(DefaultConfig(), map[string][]string{name: {value}}, nil)
		if err != nil {
			return
		}
		back, err := parseArgs(c.Args())
		if err != nil || !reflect.DeepEqual(normal(back), normal(c)) {
			t.Errorf("%s %q: %v, %v read back as %v", name, value, err, c, back)
		}
	})
}

// normal makes empty lists nil.
func normal(c Config) Config {
	if len(c.ExcludeUIDs) == 0 {
		c.ExcludeUIDs = nil
	}
	return c
}

// FuzzEnvironment: a variable gives what the flag of that value gives, or the same error but for its name; the flag beats it, and it beats the
// compatible ones. A Kubernetes service link is as if it were not there, and said.
func FuzzEnvironment(f *testing.F) {
	options := Options()
	for i, s := range []string{"14956", " 1337 ", "0", "80,8000-8100", "none", "*", "80,", "10.0.0.0/8,fd00::/8", "1", "1e-6", "tcp://10.0.0.1:80", "udp://", "true", "a=b", "\t", ""} {
		f.Add(uint(i), s, "1", "1")
	}
	f.Fuzz(func(t *testing.T, which uint, value, flag, compatible string) {
		o := options[which%uint(len(options))]
		text := strings.TrimSpace(value)
		link := strings.HasPrefix(text, "tcp://") || strings.HasPrefix(text, "udp://")
		names := append([]string{o.Variable()}, o.Compatible...)
		for _, name := range names {
			got, warnings, err := Load(DefaultConfig(), nil, []string{"PATH=/bin", name, name + "=" + value})
			want, _, wantErr := DefaultConfig(), []string(nil), error(nil)
			if text != "" && !link {
				want, _, wantErr = Load(DefaultConfig(), map[string][]string{o.Name: {text}}, nil)
			}
			if (len(warnings) > 0) != link || link && !strings.Contains(warnings[0], name) {
				t.Errorf("%s=%q: warnings %q", name, value, warnings)
			}
			if (err == nil) != (wantErr == nil) || err != nil && strings.Replace(err.Error(), name, "--"+o.Name, 1) != wantErr.Error() {
				t.Fatalf("%s=%q: %v, the flag gives %v", name, value, err, wantErr)
			}
			if err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s=%q: %+v, the flag gives %+v", name, value, got, want)
			}
		}
		var environ []string
		for _, name := range names {
			environ = append(environ, name+"="+compatible)
		}
		environ[0] = names[0] + "=" + value
		same := func(what string, flags map[string][]string, wantFlags map[string][]string, wantEnviron []string) {
			got, _, err := Load(DefaultConfig(), flags, environ)
			want, _, wantErr := Load(DefaultConfig(), wantFlags, wantEnviron)
			if (err == nil) != (wantErr == nil) || err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %q: %+v, %v; alone %+v, %v", what, environ, got, err, want, wantErr)
			}
		}
		given := map[string][]string{o.Name: {flag}}
		same("the flag does not come first", given, given, nil)
		if text != "" && !link {
			same("the variable does not come first", nil, nil, environ[:1])
		}
	})
}

// FuzzNotes: notes from which settings are read give rules whose notes give the same settings, each short enough for nft; no others panic.
func FuzzNotes(f *testing.F) {
	f.Add("--redirect-port=14956 --uid=1337 --gid=1337\n--inbound-ports=* --exclude-cidr=10.0.0.0/8")
	f.Add("--exclude-cidr=10.0.0.0/8\n--exclude-cidr=fd00::/8,::/0\n--fail-open=true")
	f.Add("--uid=1 --uid=2")
	f.Add("--uid")
	f.Add("--sidecar-ports=none --outbound-probability=0.5")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := fromNotes(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		var notes []string
		for _, r := range c.keptRules() {
			if len(r.note) > noteMax {
				t.Errorf("%q: a note of %d bytes", text, len(r.note))
			}
			notes = append(notes, r.note)
		}
		if back, err := fromNotes(notes); err != nil || !reflect.DeepEqual(normal(back), normal(c)) {
			t.Errorf("%q: %+v, %v read back as %+v from %q", text, c, err, back, notes)
		}
	})
}

// FuzzReadRules: what iptables lists of rules that were installed gives their settings back without a complaint, whatever rules of others stand between
// them; what lacks one of ours gives one.
func FuzzReadRules(f *testing.F) {
	f.Add("inbound-ports", "80,8000-8100", false, "-P INPUT ACCEPT\n-N DOCKER\n-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER", uint(3))
	f.Add("fail-open", "true", true, "-A OUTPUT -m comment --comment \"SPANWIRE_X\" -j ACCEPT", uint(7))
	f.Add("exclude-cidr", strings.Repeat("10.0.0.0/8,", 40)+"fd00::/8", false, "-A", uint(0))
	f.Add("outbound-probability", "0.25", true, "", uint(99))
	f.Fuzz(func(t *testing.T, name, value string, v6 bool, others string, without uint) {
		readRules(map[string][]string{"nat": strings.Split(others, "\n")}, v6)
		c, _, err := Load(DefaultConfig(), map[string][]string{name: {value}}, nil)
		if err != nil {
			return
		}
		present, ours := map[string][]string{"nat": nil, "filter": nil}, 0
		table := ""
		for line := range strings.Lines(NewPlan(c).IPTables(v6)) {
			line = strings.TrimSuffix(line, "\n")
			switch {
			case line[0] == '*':
				table = line[1:]
				continue
			case line == "COMMIT":
				continue
			case line[0] == ':':
				line = "-N " + strings.Fields(line[1:])[0]
			case strings.HasPrefix(line, "-I "):
				line = "-A" + line[2:]
			}
			present[table] = append(present[table], line)
			ours++
		}
		if !strings.Contains(others, chainPrefix) {
			present["nat"] = append(strings.Split(others, "\n"), present["nat"]...)
		}
		in := readRules(present, v6)
		if in == nil || !in.Active || len(in.Problems) > 0 || !reflect.DeepEqual(normal(in.Config), normal(c)) {
			t.Fatalf("%s=%q: %+v, want %+v", name, value, in, c)
		}
		// One rule less, from the end: the chains' names come first. One that bears a note takes along what it says, also of networks of the other
		// family, for which this one has no rules that could be too many: nothing that redirects is missing then.
		lines := present["nat"]
		if i := len(lines) - 1 - int(without%uint(ours)); i >= 0 && strings.HasPrefix(lines[i], "-A") && strings.Contains(lines[i], chainPrefix) &&
			!strings.Contains(lines[i], "--comment") {
			lacking := append(append([]string(nil), lines[:i]...), lines[i+1:]...)
			if in := readRules(map[string][]string{"nat": lacking, "filter": present["filter"]}, v6); in == nil || len(in.Problems) == 0 && in.Active {
				t.Errorf("%s=%q without %q: %+v", name, value, lines[i], in)
			}
		}
	})
}
