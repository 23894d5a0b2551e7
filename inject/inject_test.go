package inject

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// options are those of the tests: settings and rules are checked by their names alone.
func options() Options {
	return Options{
		Image:     "example.org/spanwire:1",
		RuleNames: []string{"exclude-outbound-ports", "fail-open"},
		CheckRules: func(flags map[string]string) error {
			if v := flags["fail-open"]; v != "" && v != "true" {
				return fmt.Errorf("--fail-open %q: want true or false", v)
			}
			return nil
		},
		CheckSettings: func(environ []string) (Ports, error) {
			p := Ports{Transparent: 14956, Admin: 14957, Metrics: 14958}
			for _, kv := range environ {
				switch {
				case kv == "SPANWIRE_METRICS=off":
					p.Metrics = 0
				case kv == "SPANWIRE_LISTEN=off":
					p.Transparent = 0
				case strings.HasPrefix(kv, "SPANWIRE_SAMPLER=x"):
					return Ports{}, errors.New(`SPANWIRE_SAMPLER "x": want always`)
				}
			}
			return p, nil
		},
	}
}

// corpus returns the manifests of testdata, each also with Windows' line endings, without its last newline, and with a byte order
// mark.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("the corpus is gone: %d files, %v", len(files), err)
	}
	all := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(f)
		all[name] = b
		all[name+" with CRLF"] = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
		all[name+" without a last newline"] = bytes.TrimRight(b, "\n")
		all[name+" with a byte order mark"] = append([]byte("\ufeff"), b...)
	}
	return all
}

// forms are the ways to inject that write different text.
func forms() map[string]Options {
	legacy, bare := options(), options()
	legacy.Legacy = true
	bare.NoNetInit = true
	return map[string]Options{"native": options(), "legacy": legacy, "without net-init": bare}
}

func TestUninjectGivesBackTheOriginalBytes(t *testing.T) {
	for name, in := range corpus(t) {
		for form, opts := range forms() {
			out, err := Inject(in, opts)
			if err != nil {
				t.Errorf("%s, %s: %v", name, form, err)
				continue
			}
			if out.Injected == 0 && !strings.HasPrefix(name, "untouched") {
				t.Errorf("%s, %s: nothing was injected: %q", name, form, out.Notes)
			}
			if out.Injected == 0 != bytes.Equal(in, out.Text) {
				t.Errorf("%s, %s: %d injected, yet changed: %v", name, form, out.Injected, !bytes.Equal(in, out.Text))
			}
			back, found, err := Uninject(out.Text)
			if err != nil || !bytes.Equal(back, in) || found != (out.Injected > 0) {
				t.Errorf("%s, %s: taking it out: %v, found %v\n%s", name, form, err, found, back)
			}
			again, err := Inject(out.Text, opts)
			if err != nil || !bytes.Equal(again.Text, out.Text) {
				t.Errorf("%s, %s: twice is not once: %v", name, form, err)
			}
		}
	}
}

// TestEveryOtherByteStays: what is left when the regions between marks are cut out, without a look at what they keep of the
// original, is a subsequence of the input's lines, in order.
func TestEveryOtherByteStays(t *testing.T) {
	for name, in := range corpus(t) {
		out, err := Inject(in, options())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		rest := strings.SplitAfter(string(in), "\n")
		inside := false
		for _, l := range strings.SplitAfter(string(out.Text), "\n") {
			switch mark := strings.TrimSpace(l); {
			case mark == markBegin:
				inside = true
			case mark == markEnd:
				inside = false
			case !inside:
				for len(rest) > 0 && rest[0] != l {
					rest = rest[1:]
				}
				if len(rest) == 0 {
					t.Fatalf("%s: line %q is not of the input", name, l)
				}
				rest = rest[1:]
			}
		}
	}
}

func TestFormChangesWithTheOptions(t *testing.T) {
	in, err := os.ReadFile("testdata/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, err := Inject(in, forms()["legacy"])
	if err != nil {
		t.Fatal(err)
	}
	over, err := Inject(first.Text, options())
	if err != nil {
		t.Fatal(err)
	}
	once, err := Inject(in, options())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(over.Text, once.Text) {
		t.Errorf("injected over another form:\n%s\nwant\n%s", over.Text, once.Text)
	}
}

func TestGolden(t *testing.T) {
	for form, opts := range forms() {
		for _, name := range []string{"deployment", "cronjob", "flow"} {
			in, err := os.ReadFile("testdata/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			out, err := Inject(in, opts)
			if err != nil {
				t.Fatal(err)
			}
			file := "testdata/" + name + "." + strings.ReplaceAll(form, " ", "-") + ".golden"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, out.Text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Text, want) {
				t.Errorf("%s is not what inject writes now (UPDATE_GOLDEN=1 go test ./inject writes it anew):\n%s", file, out.Text)
			}
		}
	}
}
