package server

import (
	"math/rand/v2"
	"testing"
	"time"
)

// FuzzSpecs: what is taken is written so that it reads the same again, and what is drawn from it is within what it says.
func FuzzSpecs(f *testing.F) {
	for _, s := range []string{"10ms", "uniform:5ms,15ms", "normal:10ms,2ms", "exponential:10ms", "constant:1h", "1024", "100..2000", "0..0", "-1", "uniform:2s,1s",
		"exponential:2540400h", "normal:2540400h,2540400h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := ParseDistribution(text); err == nil {
			if again, err := ParseDistribution(d.String()); err != nil || again != d {
				t.Fatalf("%q is written %q: %v, %v", text, d.String(), again, err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			for range 20 {
				v := d.sample(rng)
				if v < 0 || d.shape == constant && v != d.a || d.shape == uniform && (v < d.a || v > d.b) || d.shape == exponential && v > time.Hour {
					t.Fatalf("%q: drew %v", text, v)
				}
			}
		}
		if s, err := ParseSize(text); err == nil {
			if again, err := ParseSize(s.String()); err != nil || again != s || s.Min < 0 || s.Max < s.Min || s.Max > MaxSize {
				t.Fatalf("%q is written %q: %v, %v", text, s.String(), again, err)
			}
		}
	})
}
