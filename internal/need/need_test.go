package need

import (
	"fmt"
	"strings"
	"testing"
)

// verdict records how a test ended; its embedded TB is never called.
type verdict struct {
	testing.TB
	skipped, failed string
}

// stop ends a recorded test as Skipf and Fatalf end a real one.
type stop struct{}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) {
	v.skipped = fmt.Sprintf(format, args...)
	panic(stop{})
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.failed = fmt.Sprintf(format, args...)
	panic(stop{})
}

func record(f func(t testing.TB)) (v verdict) {
	defer func() {
		if r := recover(); r != nil && r != (stop{}) {
			panic(r)
		}
	}()
	f(&v)
	return v
}

func TestToolMissing(t *testing.T) {
	const tool = "no-such-tool-anywhere"
	for _, c := range []struct {
		require       string
		skipped, fail bool
	}{
		{require: "", skipped: true},
		{require: "0", skipped: true},
		{require: "1", fail: true},
	} {
		t.Setenv(RequireVariable, c.require)
		v := record(func(t testing.TB) { Tool(t, tool) })
		if (v.skipped != "") != c.skipped || (v.failed != "") != c.fail {
			t.Errorf("%s=%q: skipped %q, failed %q", RequireVariable, c.require, v.skipped, v.failed)
		}
		if said := v.skipped + v.failed; !strings.Contains(said, "apt-get install "+tool) {
			t.Errorf("%s=%q: %q does not say what to install", RequireVariable, c.require, said)
		}
	}
}

func TestToolPresent(t *testing.T) {
	t.Setenv(RequireVariable, "1")
	v := record(func(tb testing.TB) {
		if path := Tool(tb, "sh"); !strings.HasSuffix(path, "/sh") {
			t.Errorf("Tool(sh) = %q", path)
		}
	})
	if v.skipped+v.failed != "" {
		t.Errorf("a tool that is there: %+v", v)
	}
}

func TestInstallNamesThePackage(t *testing.T) {
	if got := Install("nft"); got != "apt-get install nftables" {
		t.Errorf("Install(nft) = %q", got)
	}
}
