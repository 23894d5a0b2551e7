package settings

import (
	"strings"
	"testing"
)

// FuzzConfigurationFile: no file makes the reader panic, and an error is one line.
func FuzzConfigurationFile(f *testing.F) {
	for _, seed := range []string{"", "loops: 1\n", "resource: {a: b}\n", "ignore-path: [a, *b]\n", "a: &x b\nc: *x\n", "loops: !!int 1\n", "<<: {loops: 1}\n",
		"fold-path:\n  - |\n    a\n  - >-\n    b\n", "---\n...\n---\n", "? loops\n: 1\n", "\"lo\\u006fps\": 1\n", "loops:\n  - - 1\n", "\ufeffloops: 1\n", "loops: 1\n\tx"} {
		f.Add([]byte(seed))
	}
	table := Table()
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parseFile("c.yaml", data, table)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		for name := range parsed.values {
			if !strings.Contains(namesOf(table), name) {
				t.Errorf("%q is no setting", name)
			}
		}
	})
}

// FuzzMaskURL: whatever surrounds it, a password does not show.
func FuzzMaskURL(f *testing.F) {
	for _, seed := range [][2]string{{"http://user:", "@host:1/x"}, {"https://u:", "@[::1]:1/?a=b@c"}, {"", "@host"}, {"udp://u:", "/x@host#y"}, {"u:", "@"},
		{"http://[:", "#@"}, {"http://[:", "]#@"}, {"http://[::1]:", "/@h"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "hunter2secret"
		user, isUser := strings.CutPrefix(before, "http://")
		if user, isColon := strings.CutSuffix(user, ":"); !isUser || !isColon || strings.ContainsAny(user, ":/?#@") || !strings.Contains(after, "@") {
			return // no password stands there
		}
		if shown := maskURL(before + secret + after); strings.Contains(shown, secret) {
			t.Errorf("%q shows the password", shown)
		}
	})
}
