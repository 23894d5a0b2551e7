package settings

import (
	"bufio"
	"fmt"
	"net/textproto"
	"strings"
	"testing"
)

// FuzzConfigurationFile: no file makes the reader panic, and an error is one line.
func FuzzConfigurationFile(f *testing.F) {
	for _, seed := range []string{"", "loops: 1\n", "resource: {a: b}\n", "ignore-path: [a, *b]\n", "a: &x b\nc: *x\n", "loops: !!int 1\n", "<<: {loops: 1}\n",
		"fold-path:\n  - |\n    a\n  - >-\n    b\n", "---\n...\n---\n", "? loops\n: 1\n", "\"lo\\u006fps\": 1\n", "loops:\n  - - 1\n", "\ufeffloops: 1\n", "loops: 1\n\tx",
		strings.Repeat("[", 1200), strings.Repeat("- ", 1200), "resource: " + strings.Repeat("{a: ", 1200), "loops:\n? - a\n: - b\n"} {
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

// FuzzHeaderFile: each line of a file of headers is one that net/http reads as it was given, or the error names the line and says nothing
// of its text.
func FuzzHeaderFile(f *testing.F) {
	for _, seed := range []string{"", "# comment\n\nAuthorization: Bearer a=b:c\r\nX-Scope:t\n", "a=b: c", ": c", "a:", "a: b\x00", "a\u00a0: b", "a : \tb"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, lines string) {
		pairs, err := parseHeaders(lines)
		if err != nil {
			var line int
			if n, _ := fmt.Sscanf(err.Error(), "line %d is no header", &line); n != 1 || line < 1 || line > strings.Count(lines, "\n")+1 ||
				err.Error() != fmt.Sprintf("line %d is no header", line) {
				t.Errorf("%q", err)
			}
			return
		}
		for _, p := range pairs {
			read, err := textproto.NewReader(bufio.NewReader(strings.NewReader(p.Key + ": " + p.Value + "\r\n\r\n"))).ReadMIMEHeader()
			if err != nil || len(read) != 1 || read.Get(p.Key) != p.Value {
				t.Errorf("%q is read as %q, %v", p, read, err)
			}
		}
	})
}

// FuzzCgroups: whatever the kernel's tables of mounts and groups hold, what is taken from them stands in them, and the walk from a group to its
// mount ends.
func FuzzCgroups(f *testing.F) {
	f.Add("0::/a/b\n", "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Add("4:cpu,cpuacct:/a\n3:cpuset:/\n", "31 30 0:27 /a /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n32 30 0:28 / /c rw - cgroup x rw,cpuset\n")
	f.Add("0::/../../x\n", "1 1 0:1 /../y relative rw - cgroup2 n rw\n1 2 3 4 5 -\n")
	f.Fuzz(func(t *testing.T, cgroups, mountinfo string) {
		for _, m := range cgroupMounts([]byte(mountinfo)) {
			if m.root == "" || !strings.Contains(mountinfo, m.root) || m.point == "" || !strings.Contains(mountinfo, m.point) {
				t.Errorf("%+v", m)
			}
			group := cgroupOf([]byte(cgroups), m.v2)
			if !strings.Contains(cgroups, ":"+group) && group != "" {
				t.Errorf("%q", group)
			}
			steps := 0
			for range m.dirs(group) {
				if steps++; steps > len(m.point)+len(group)+2 {
					t.Fatalf("%+v, %q: no end", m, group)
				}
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
		if strings.Contains(before+after, secret) {
			return // it is shown where it is no password
		}
		if shown := maskURL(before + secret + after); strings.Contains(shown, secret) {
			t.Errorf("%q shows the password", shown)
		}
	})
}
