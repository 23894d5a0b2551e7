package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	program "github.com/spanwire/spanwire/internal/sidecar"
	"github.com/spanwire/spanwire/settings"
)

func goVersion(t *testing.T) string {
	t.Helper()
	out, _, code := once(t, nil, "version")
	lines := strings.Split(out, "\n")
	if code != 0 || len(lines) != 5 {
		t.Fatalf("version: %d %q", code, out)
	}
	return lines[2]
}

func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

func TestVersion(t *testing.T) {
	out, stderr, code := once(t, nil, "version")
	if want := "spanwire 1.2.3\ncommit abc\n" + runtime.Version() + "\n" + platform() + "\n"; out != want || stderr != "" ||
		code != 0 {
		t.Errorf("%q %q %d, want %q", out, stderr, code, want)
	}
}

func TestUsageErrorsAreOneLineAndCodeTwo(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("lops: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	named := []string{"--service-name", "x"}
	for _, c := range []struct {
		name      string
		env, args []string
		want      string // begins the line
	}{
		{"no service name", nil, nil, `spanwire: --service-name "": want a name`},
		{"unknown flag", nil, []string{"--bogus"}, "spanwire: flag provided but not defined: -bogus"},
		{"flag without value", nil, []string{"run", "--loops"}, "spanwire: flag needs an argument: -loops"},
		{"unknown command", nil, []string{"walk"}, `spanwire: "walk" is no command`},
		{"argument of run", nil, []string{"run", "fast"}, `spanwire: "fast" is no command`},
		{"flags before another command", nil, []string{"--loops", "1", "wait"},
			"spanwire: --loops stands before a command that does not take it"},
		{"value", nil, append(named, "--loops", "0"), `spanwire: --loops "0": want a whole number from 1 to 256`},
		{"variable", []string{"SPANWIRE_LOOPS=x"}, named, `spanwire: SPANWIRE_LOOPS "x": want a whole number from 1 to 256`},
		{"compatible variable", []string{"NETRA_PORT=x"}, named, `spanwire: NETRA_PORT "x": want a port, 0 to 65535`},
		{"file", nil, append(named, "--config", bad), "spanwire: " + bad + ` line 1: unknown key "lops": want one of`},
		{"gRPC", []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, named,
			`spanwire: OTEL_EXPORTER_OTLP_PROTOCOL "grpc": want http/protobuf (port 4318)`},
		{"what only tracing knows", nil, append(named, "--request-id-header", "Host"),
			"spanwire: --request-id-header \"Host\": must not be a framing"},
		{"no certificate", nil, append(named, "--listen", "127.0.0.1:0", "--zipkin-endpoint", "https://z", "--export-ca", "/dev/null"),
			`spanwire: --zipkin-endpoint: --export-ca "/dev/null"`},
		{"wait: time", nil, []string{"wait", "--timeout", "soon"}, `spanwire: invalid value "soon" for flag -timeout`},
		{"wait: address", nil, []string{"wait", "--address", "here"}, `spanwire: --address "here": want HOST:PORT`},
		{"wait: nowhere to ask", []string{"SPANWIRE_ADMIN=off", "SPANWIRE_METRICS=off"}, []string{"wait"},
			`spanwire: --address "": want HOST:PORT`},
		{"version with argument", nil, []string{"version", "please"}, `spanwire: "please" is no command`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, stderr, code := once(t, c.env, c.args...)
			if code != 2 || out != "" || !strings.HasPrefix(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("code %d, stdout %q, stderr %q; want 2 and a line that begins %q", code, out, stderr, c.want)
			}
		})
	}
}

func TestPortInUseIsCodeOne(t *testing.T) {
	p := beside(t, application(t), "--exporter", "none")
	for _, args := range [][]string{{"--listen", p.Inbound}, {"--listen", "127.0.0.1:0", "--admin", p.Inbound}, {"--listen",
		"127.0.0.1:0", "--admin", "off", "--metrics", p.Inbound}} {
		_, stderr, code := once(t, nil, append([]string{"--service-name", "x", "--admin", "off", "--metrics", "off"}, args...)...)
		if code != 1 || !strings.HasPrefix(stderr, "spanwire: start: ") || !strings.Contains(stderr, p.Inbound) ||
			!strings.Contains(stderr, "in use") {
			t.Errorf("%q: code %d, %q", args, code, stderr)
		}
	}
}

func TestWait(t *testing.T) {
	p := beside(t, application(t), "--exporter", "none")
	if _, stderr, code := once(t, nil, "wait", "--address", p.Admin); code != 0 || stderr != "" {
		t.Errorf("ready sidecar: %d %q", code, stderr)
	}
	if _, stderr, code := once(t, []string{"SPANWIRE_ADMIN=" + p.Admin}, "wait", "--timeout", "1s"); code != 0 || stderr != "" {
		t.Errorf("address by variable: %d %q", code, stderr)
	}
	p.request("POST", p.Admin, "/drain", "")
	if _, stderr, code := once(t, nil, "wait", "--address", p.Admin, "--timeout", "100ms"); code != 1 || !strings.Contains(stderr,
		"not ready") {
		t.Errorf("draining sidecar: %d %q", code, stderr)
	}
	if _, stderr, code := once(t, nil, "wait", "--address", program.Refusing(t), "--timeout", "100ms"); code != 1 ||
		!strings.Contains(stderr, "no sidecar was ready") {
		t.Errorf("no sidecar: %d %q", code, stderr)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"run", "-h"}} {
		out, stderr, code := once(t, nil, args...)
		if code != 0 || stderr != "" || !strings.Contains(out, settings.Help()) {
			t.Errorf("%q: %d %q, and the settings are not in what it wrote", args, code, stderr)
		}
	}
	if out, _, code := once(t, nil, "wait", "--help"); code != 0 || !strings.Contains(out, "--timeout DURATION") {
		t.Errorf("wait --help: %d %q", code, out)
	}
}

func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00903000 r-xp 00000000 fe:00 9 /usr/bin/spanwire
Size:               5132 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00903000-00e55000 r--p 00503000 fe:00 9 /usr/bin/spanwire
Anonymous:             4 kB
00e55000-00f13000 rw-p 00a55000 fe:00 9 /usr/bin/spanwire
Anonymous:             0 kB
00f13000-00f14000 r--p 00a55000 fe:00 9 /lib/other.so
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
00f15000-00f16000 r--p 00b00000 fe:00 9 /usr/bin/spanwire
Anonymous:             0 kB
`
	got := cleanMappings(strings.NewReader(smaps), "/usr/bin/spanwire")
	want := []mapping{{0x400000, 0x503000}, {0xf15000, 0x1000}}
	if !slices.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
}

// FuzzCleanMappings: what the program gives back of itself are whole mappings of its own file that nobody may write.
func FuzzCleanMappings(f *testing.F) {
	const self = "/usr/bin/spanwire"
	f.Add("00400000-00903000 r-xp 00000000 fe:00 9 /usr/bin/spanwire\nAnonymous:             0 kB\n")
	f.Add("00400000-00903000 r--p 00000000 fe:00 9 /usr/bin/spanwire\nAnonymous: 0 kB\n00e55000-00f13000 rw-p 0 fe:00 9 /usr/bin/spanwire\nAnonymous: 0 kB\n")
	f.Add("ffffffff-00903000 r--p 0 fe:00 9 /usr/bin/spanwire (deleted)\nAnonymous: 0 kB\nAnonymous: 0 kB\n")
	line := regexp.MustCompile(`(?m)^[\t\r ]*([0-9a-fA-F]+)-([0-9a-fA-F]+)[\t\r ]+r-.p(?:[\t\r ]+\S+){3}[\t\r ]+` + self + `[\t\r ]*$`)
	f.Fuzz(func(t *testing.T, smaps string) {
		if strings.ContainsFunc(smaps, func(r rune) bool { return r == '\v' || r == '\f' || r >= 0x80 }) {
			return // more kinds of space than the kernel writes
		}
		allowed := map[mapping]bool{}
		for _, m := range line.FindAllStringSubmatch(smaps, -1) {
			from, errFrom := strconv.ParseUint(m[1], 16, 64)
			to, errTo := strconv.ParseUint(m[2], 16, 64)
			if errFrom == nil && errTo == nil && from < to {
				allowed[mapping{uintptr(from), uintptr(to - from)}] = true
			}
		}
		for _, m := range cleanMappings(strings.NewReader(smaps), self) {
			if !allowed[m] {
				t.Errorf("%x", m)
			}
		}
	})
}
