package trace

import (
	"errors"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

func TestSamplerRulesAreSplitAtTheSampler(t *testing.T) {
	for text, want := range map[string]string{
		"GET /health*=never":  "GET /health*|never",
		"GET /a=b=ratio=0.5":  "GET /a=b|ratio=0.5",
		"GET /a?x=1=rate=2":   "GET /a?x=1|rate=2",
		" GET /a = always ":   "GET /a|always",
		"GET /always=never":   "GET /always|never",
		"*=ratio=0":           "*|ratio=0",
		"GET /x=never=always": "GET /x=never|always",
	} {
		r, err := parseSamplerRule(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		pattern := ""
		for i, p := range r.operations.parts {
			if i > 0 {
				pattern += "*"
			}
			pattern += string(p)
		}
		if got := pattern + "|" + r.sampler.String(); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "=", "never", "=never", "  =never", "GET /x", "GET /x=", "GET /x=sometimes", "GET /x=ratio=2", "GET /x=remote=http://h"} {
		if err := ParseSamplerRule(text); !errors.Is(err, ErrConfig) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := NewShared(Config{SamplerRules: []string{"x"}}); !errors.Is(err, ErrConfig) {
		t.Errorf("NewShared: %v", err)
	}
}

// sampled reports whether the request is sampled.
func (f *fixture) sampled(r *Request) bool {
	a, _ := f.begin(r)
	f.end(a)
	return a.Rec.IsSampled()
}

func TestTheFirstRuleThatMatchesDecides(t *testing.T) {
	f := newFixture(t, Config{Sampler: never{}, SamplerRules: []string{"GET /health/deep=always", "GET /health*=never", "GET /users/{id}=always",
		"POST *=always"}})
	for range 2 { // the second time from the cache
		for head, want := range map[string]bool{
			"GET /health/deep HTTP/1.1\n":                 true,
			"GET /healthz HTTP/1.1\n":                     false,
			"GET /users/17 HTTP/1.1\n":                    true, // as named, that is folded
			"POST /x HTTP/1.1\n":                          true,
			"GET /x HTTP/1.1\n":                           false, // no rule: the sampler
			"GET /users/17 HTTP/1.1\nb3: 0\n":             false, // the parent's decision wins
			"GET /healthz HTTP/1.1\n" + w3cLine:           true,
			"GET /healthz HTTP/1.1\njaeger-debug-id: x\n": true, // so does a forced sample
			"GET /healthz HTTP/1.1\nx-b3-flags: 1\n":      true,
		} {
			if got := f.sampled(request(span.Server, head)); got != want {
				t.Errorf("%q: sampled %v", head, got)
			}
		}
	}
}

// TestUnsampledRequestsCarryContext: whatever left them out, the next hop must know that it was decided, and by which trace.
func TestUnsampledRequestsCarryContext(t *testing.T) {
	remote := mustRemote(t)
	remote.Use(&Strategy{Default: never{}})
	for name, c := range map[string]Config{
		"sampler": {Sampler: never{}}, "rule": {SamplerRules: []string{"*=never"}}, "remote": {Sampler: remote},
	} {
		f := newFixture(t, c)
		a, out := f.begin(request(span.Server, get))
		f.end(a)
		if a.Rec.IsSampled() {
			t.Errorf("%s: sampled", name)
		}
		want := "00-" + hexOf(a.Rec.TraceID[:]) + "-" + hexOf(a.Rec.SpanID[:]) + "-02"
		if got := values(out, "traceparent"); len(got) != 1 || got[0] != want {
			t.Errorf("%s: traceparent %q, want %s", name, got, want)
		}
	}
}

func mustRemote(tb testing.TB) *Remote {
	tb.Helper()
	s, err := ParseSampler("remote=http://127.0.0.1:1/sampling")
	if err != nil {
		tb.Fatal(err)
	}
	return RemoteOf(s)
}

func TestARemoteSamplerFollowsItsAnswers(t *testing.T) {
	remote := mustRemote(t)
	if got := remote.String(); got != "remote=http://127.0.0.1:1/sampling, always until it answers" {
		t.Errorf("String: %s", got)
	}
	f := newFixture(t, Config{Sampler: remote, SamplerRules: []string{"GET /rule=never"}})
	a, b, ruled := request(span.Server, "GET /a HTTP/1.1\n"), request(span.Server, "GET /b HTTP/1.1\n"), request(span.Server, "GET /rule HTTP/1.1\n")
	check := func(when string, wantA, wantB bool) {
		t.Helper()
		if gotA, gotB := f.sampled(a), f.sampled(b); gotA != wantA || gotB != wantB {
			t.Errorf("%s: a %v, b %v", when, gotA, gotB)
		}
		if f.sampled(ruled) {
			t.Errorf("%s: the rule does not hold", when)
		}
	}
	check("before the first answer", true, true)
	remote.Use(&Strategy{Default: never{}})
	check("never", false, false)
	remote.Use(&Strategy{ByOperation: true, Default: never{}, Ratios: map[string]float64{"GET /b": 1}})
	check("by operation", false, true)
	remote.Use(&Strategy{ByOperation: true, Default: always{}, DefaultRatio: 1, Ratios: map[string]float64{"GET /b": 0}})
	check("by operation, the other way round", true, false)
	remote.SetInitial(never{})
	check("initial", false, false)
}

// TestALowerBoundIsOfTheProcess: each operation has its own traces a second, however many loops there are.
func TestALowerBoundIsOfTheProcess(t *testing.T) {
	remote := mustRemote(t)
	s := newShared(t, Config{Sampler: remote})
	remote.Use(&Strategy{ByOperation: true, Default: never{}, LowerBound: 2})
	loops := []*fixture{{tb: t, t: s.NewTracer()}, {tb: t, t: s.NewTracer()}}
	count := map[string]int{}
	for i := range 20 {
		for _, path := range []string{"/a", "/b"} {
			if loops[i%2].sampled(request(span.Server, "GET "+path+" HTTP/1.1\n")) {
				count[path]++
			}
		}
	}
	if count["/a"] != 2 || count["/b"] != 2 {
		t.Errorf("%v, want 2 of each", count)
	}
}
