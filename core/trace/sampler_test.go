package trace

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

func mustSampler(tb testing.TB, text string) Sampler {
	tb.Helper()
	s, err := ParseSampler(text)
	if err != nil {
		tb.Fatal(err)
	}
	if s.String() != text {
		tb.Fatalf("%q calls itself %q", text, s)
	}
	return s
}

func TestSamplersThatAreNone(t *testing.T) {
	for _, text := range []string{"", "Always", "always=1", "never=0", "ratio", "ratio=", "ratio=1.1", "ratio=-0.1", "ratio=x",
		"ratio=NaN", "ratio=Inf",
		"rate", "rate=-1", "rate=x", "rate=Inf", "rate=NaN", "remote", "remote=", "remote=ftp://x", "remote=http://", "remote=http://u:p@x", "0.5"} {
		s, err := ParseSampler(text)
		if s != nil || !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), `"`+text+`"`) ||
			!strings.Contains(err.Error(), "ratio=F") {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

func TestRatioHoldsAndIsTheSameOnEachHop(t *testing.T) {
	ids := newIDSource()
	for _, c := range []struct {
		text string
		p    float64
	}{{"ratio=0", 0}, {"ratio=0.001", 0.001}, {"ratio=0.1", 0.1}, {"ratio=0.5", 0.5}, {"ratio=1", 1}} {
		a, b := mustSampler(t, c.text), mustSampler(t, c.text)
		const n = 100000
		got := 0
		for i := range n {
			id := ids.trace()
			yes := a.Sample(id, 1)
			if yes != b.Sample(id, int64(i)) {
				t.Fatalf("%s: two hops disagree on %x", c.text, id)
			}
			if yes {
				got++
			}
		}
		// Six standard deviations: one false alarm in a billion runs.
		if d := math.Abs(float64(got) - n*c.p); d > 6*math.Sqrt(n*c.p*(1-c.p)) {
			t.Errorf("%s: %d of %d", c.text, got, n)
		}
	}
}

// TestRatioRule pins the rule of OTel's Go SDK, so that hops with other software decide alike.
func TestRatioRule(t *testing.T) {
	half := mustSampler(t, "ratio=0.5")
	for low, want := range map[uint64]bool{0: true, 1: true, 1<<63 - 1: true, 1 << 63: false, math.MaxUint64: false} {
		var id span.TraceID
		binary.BigEndian.PutUint64(id[:8], ^low) // the left half plays no part
		binary.BigEndian.PutUint64(id[8:], low)
		if half.Sample(id, 0) != want {
			t.Errorf("%x: %v", low, !want)
		}
	}
	all := mustSampler(t, "ratio=1")
	if !all.Sample(span.TraceID{8: 0xff, 15: 0xff}, 0) {
		t.Error("ratio=1 leaves some out")
	}
}

func TestRateIsOfTheWholeProcess(t *testing.T) {
	sampler := mustSampler(t, "rate=10")
	s := newShared(t, Config{Sampler: sampler})
	a, b := &fixture{tb: t, t: s.NewTracer()}, &fixture{tb: t, t: s.NewTracer()}
	got := 0
	const seconds = 20
	for ms := range int64(seconds * 1000) {
		for _, f := range []*fixture{a, b} {
			f.mono = 5e9 + ms*1e6
			if x, _ := f.begin(request(span.Server, get)); x.Rec.IsSampled() {
				got++
			}
		}
	}
	if got < 10*seconds || got > 10*seconds+10 { // a full bucket to begin with
		t.Errorf("%d in %d s", got, seconds)
	}
}

func TestSlowRatesAndNone(t *testing.T) {
	r := mustSampler(t, "rate=0.5")
	got := 0
	for s := range int64(100) {
		if r.Sample(span.TraceID{}, s*1e9) {
			got++
		}
	}
	if got != 50 {
		t.Errorf("%d in 100 s", got)
	}
	if mustSampler(t, "rate=0").Sample(span.TraceID{}, 1e18) {
		t.Error("rate=0 samples")
	}
	if !mustSampler(t, "rate=1e-300").Sample(span.TraceID{}, 1e18) {
		t.Error("the first one is not sampled")
	}
}

func TestWhoDecides(t *testing.T) {
	ids := traceHex + "-" + spanHex
	for _, c := range []struct {
		sampler string
		ignore  bool
		head    string
		want    bool
	}{
		{"never", false, "", false},
		{"never", false, "traceparent: 00-" + ids + "-01\n", true},
		{"always", false, "traceparent: 00-" + ids + "-00\n", false},
		{"always", false, "b3: " + ids + "\n", true},
		{"never", false, "b3: " + ids + "\n", false},
		{"never", false, "b3: 1\n", true},
		{"always", false, "b3: 0\n", false},
		{"never", false, "jaeger-debug-id: x\n", true},
		{"never", true, "traceparent: 00-" + ids + "-01\n", false},
		{"always", true, "traceparent: 00-" + ids + "-00\n", true},
		{"ratio=0", true, "traceparent: 00-" + ids + "-01\n", false},
		{"never", true, "b3: " + ids + "-d\n", true},
	} {
		s := mustSampler(t, c.sampler)
		if c.ignore {
			s = IgnoreParent(s)
		}
		f := newFixture(t, Config{Sampler: s})
		a, head := f.begin(request(span.Server, get+c.head))
		if a.Rec.IsSampled() != c.want {
			t.Errorf("%v, %q: sampled %v", s, c.head, !c.want)
		}
		v := values(head, "traceparent")[0]
		if flag := v[len(v)-1]&1 == 1; flag != c.want {
			t.Errorf("%v, %q: carries on %q", s, c.head, v)
		}
	}
}
