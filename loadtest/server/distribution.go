package server

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// ErrSpec is wrapped by the errors of ParseDistribution and ParseSize.
var ErrSpec = errors.New("malformed")

// DistributionForms is what ParseDistribution takes, for help texts and error messages.
const DistributionForms = "10ms, uniform:5ms,15ms, normal:10ms,2ms (mean, deviation) or exponential:10ms (mean)"

// shape is a kind of distribution.
type shape uint8

const (
	constant shape = iota
	uniform
	normal
	exponential
)

// Distribution is a distribution of delays. The zero value is always 0. Samples are never negative.
type Distribution struct {
	shape shape
	a, b  time.Duration // constant: a; uniform: from a to b; normal: mean and deviation; exponential: mean
}

// Constant returns the distribution of one value.
func Constant(d time.Duration) Distribution { return Distribution{a: d} }

// ParseDistribution reads one of DistributionForms.
func ParseDistribution(s string) (Distribution, error) {
	fail := fmt.Errorf("%w latency %q (allowed: %s)", ErrSpec, s, DistributionForms)
	name, rest, named := strings.Cut(s, ":")
	if !named {
		name, rest = "constant", s
	}
	known := map[string]struct {
		shape shape
		args  int
	}{"constant": {constant, 1}, "uniform": {uniform, 2}, "normal": {normal, 2}, "exponential": {exponential, 1}}
	kind, ok := known[name]
	args := strings.Split(rest, ",")
	if !ok || len(args) != kind.args {
		return Distribution{}, fail
	}
	d := Distribution{shape: kind.shape}
	for i, arg := range args {
		v, err := time.ParseDuration(strings.TrimSpace(arg))
		if err != nil || v < 0 {
			return Distribution{}, fail
		}
		if i == 0 {
			d.a = v
		} else {
			d.b = v
		}
	}
	if d.shape == uniform && d.b < d.a {
		return Distribution{}, fail
	}
	return d, nil
}

// String returns a form that ParseDistribution reads.
func (d Distribution) String() string {
	switch d.shape {
	case uniform:
		return fmt.Sprintf("uniform:%v,%v", d.a, d.b)
	case normal:
		return fmt.Sprintf("normal:%v,%v", d.a, d.b)
	case exponential:
		return fmt.Sprintf("exponential:%v", d.a)
	}
	return d.a.String()
}

// sample draws a delay.
func (d Distribution) sample(rng *rand.Rand) time.Duration {
	switch d.shape {
	case uniform:
		return d.a + time.Duration(rng.Float64()*float64(d.b-d.a))
	case normal:
		return max(0, d.a+time.Duration(rng.NormFloat64()*float64(d.b)))
	case exponential:
		return time.Duration(math.Min(rng.ExpFloat64()*float64(d.a), float64(time.Hour)))
	}
	return d.a
}

// Size is a size in bytes, or a range of sizes of which each is as likely.
type Size struct{ Min, Max int }

// MaxSize bounds a body.
const MaxSize = 64 << 20

// ParseSize reads "1024" or "100..2000".
func ParseSize(s string) (Size, error) {
	low, high, isRange := strings.Cut(s, "..")
	if !isRange {
		high = low
	}
	a, err1 := strconv.Atoi(low)
	b, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || a < 0 || b < a || b > MaxSize {
		return Size{}, fmt.Errorf("%w size %q (allowed: a number of bytes, or a range such as 100..2000, up to %d)", ErrSpec, s, MaxSize)
	}
	return Size{a, b}, nil
}

// String returns a form that ParseSize reads.
func (s Size) String() string {
	if s.Min == s.Max {
		return strconv.Itoa(s.Min)
	}
	return fmt.Sprintf("%d..%d", s.Min, s.Max)
}

// sample draws a size.
func (s Size) sample(rng *rand.Rand) int {
	if s.Max <= s.Min {
		return s.Min
	}
	return s.Min + rng.IntN(s.Max-s.Min+1)
}
