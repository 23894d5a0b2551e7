package trace

import (
	"fmt"
	"strings"
)

// samplerRule replaces the sampler for the operations whose name it matches.
type samplerRule struct {
	operations glob
	sampler    Sampler
}

// samplerRuleHelp says what a rule is.
const samplerRuleHelp = "OPERATION=SAMPLER, where * stands for anything and SAMPLER is always, never, ratio=F or rate=N"

// ParseSamplerRule reports what is wrong with a rule OPERATION=SAMPLER; nil if nothing is.
func ParseSamplerRule(text string) error {
	_, err := parseSamplerRule(text)
	return err
}

// parseSamplerRule reads OPERATION=SAMPLER. Both may bear equals signs: the sampler is the shortest end that is one.
func parseSamplerRule(text string) (samplerRule, error) {
	for end := len(text); ; {
		i := strings.LastIndexByte(text[:end], '=')
		if i <= 0 {
			return samplerRule{}, fmt.Errorf("%w: sampler rule %q: want %s", ErrConfig, text, samplerRuleHelp)
		}
		end = i
		s, err := ParseSampler(strings.TrimSpace(text[i+1:]))
		if err != nil || RemoteOf(s) != nil {
			continue
		}
		pattern := strings.TrimSpace(text[:i])
		if pattern == "" {
			continue
		}
		return samplerRule{operations: parseGlobs([]string{pattern})[0], sampler: s}, nil
	}
}

// setRules parses the rules, and finds out whether the sampler depends on the operation.
func (s *Shared) setRules(c *Config) error {
	for _, text := range c.SamplerRules {
		r, err := parseSamplerRule(text)
		if err != nil {
			return err
		}
		s.samplerRules = append(s.samplerRules, r)
	}
	s.remote = RemoteOf(s.sampler)
	s.byOperation = len(s.samplerRules) > 0 || s.remote != nil
	return nil
}

// samplerFor returns the sampler of the request's operation. What was found is kept beside the name in the loop's cache; only a name that the
// loop has not met, or a new answer of a remote sampler, costs a search. Without rules and remote nothing is named for it.
func (t *Tracer) samplerFor(r *Request) Sampler {
	if !t.s.byOperation || r.Head == nil {
		return t.s.sampler
	}
	var now *Strategy
	if t.s.remote != nil {
		now = t.s.remote.now.Load()
		if len(t.s.samplerRules) == 0 && !now.ByOperation {
			return now.Default
		}
	}
	h := r.Head
	slot := t.operation(r, h.Method.In(r.Data), stripUserInfo(h.Authority.In(r.Data)), h.Path.In(r.Data))
	if slot.sampler == nil || slot.strategy != now {
		slot.sampler, slot.strategy = t.s.findSampler(slot.name, now), now
	}
	return slot.sampler
}

// findSampler returns the sampler of an operation: that of the first rule which matches, else the one in force.
func (s *Shared) findSampler(operation []byte, now *Strategy) Sampler {
	for i := range s.samplerRules {
		if r := &s.samplerRules[i]; r.operations.match(operation) {
			return r.sampler
		}
	}
	if now != nil {
		return now.of(operation)
	}
	return s.sampler
}
