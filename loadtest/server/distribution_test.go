package server

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

func TestDistribution_SamplesHaveTheirShape(t *testing.T) {
	const n = 20_000
	for _, c := range []struct {
		form              string
		min, max          time.Duration // no sample outside
		meanLow, meanHigh time.Duration
	}{
		{"10ms", 10 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond, 10 * time.Millisecond},
		{"uniform:5ms,15ms", 5 * time.Millisecond, 15 * time.Millisecond, 9900 * time.Microsecond, 10100 * time.Microsecond},
		{"normal:10ms,2ms", 0, 30 * time.Millisecond, 9900 * time.Microsecond, 10100 * time.Microsecond},
		{"normal:0s,10ms", 0, 100 * time.Millisecond, 3800 * time.Microsecond, 4200 * time.Microsecond},
		{"exponential:10ms", 0, time.Second, 9600 * time.Microsecond, 10400 * time.Microsecond},
	} {
		t.Run(c.form, func(t *testing.T) {
			d, err := ParseDistribution(c.form)
			if err != nil || d.String() != c.form {
				t.Fatalf("%v, %v", d, err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			var sum time.Duration
			for range n {
				v := d.sample(rng)
				if v < c.min || v > c.max {
					t.Fatalf("sample %v", v)
				}
				sum += v
			}
			if mean := sum / n; mean < c.meanLow || mean > c.meanHigh {
				t.Errorf("mean %v", mean)
			}
		})
	}
}

func TestParseDistribution_Refuses(t *testing.T) {
	for _, s := range []string{"", "10", "-1ms", "uniform:5ms", "uniform:5ms,1ms", "gauss:1ms,1ms", "normal:1ms,2ms,3ms", "exponential:", ":1ms"} {
		if _, err := ParseDistribution(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestParseSize_Forms(t *testing.T) {
	for s, want := range map[string]Size{"0": {0, 0}, "1024": {1024, 1024}, "100..2000": {100, 2000}} {
		if got, err := ParseSize(s); err != nil || got != want || got.String() != s {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1k", "5..1", "1..", "..5", "1..2..3", "999999999999"} {
		if _, err := ParseSize(s); !errors.Is(err, ErrSpec) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
