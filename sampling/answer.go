package sampling

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/spanwire/spanwire/core/trace"
)

// errAnswer is wrapped by every error about an answer that does not make sense.
var errAnswer = errors.New("sampling strategy")

// answer is Jaeger's SamplingStrategyResponse (jaeger-idl, sampling.proto) in its JSON form, which leaves zeros out.
type answer struct {
	Type          kind `json:"strategyType"`
	Probabilistic *struct {
		Rate float64 `json:"samplingRate"`
	} `json:"probabilisticSampling"`
	RateLimiting *struct {
		PerSecond float64 `json:"maxTracesPerSecond"`
	} `json:"rateLimitingSampling"`
	Operations *struct {
		Default    float64 `json:"defaultSamplingProbability"`
		LowerBound float64 `json:"defaultLowerBoundTracesPerSecond"`
		Strategies []struct {
			Operation     string `json:"operation"`
			Probabilistic struct {
				Rate float64 `json:"samplingRate"`
			} `json:"probabilisticSampling"`
		} `json:"perOperationStrategies"`
	} `json:"operationSampling"`
}

// kind is strategyType: a word from the endpoints of today, a number from those that speak Thrift's JSON.
type kind string

const (
	probabilistic kind = "PROBABILISTIC"
	rateLimiting  kind = "RATE_LIMITING"
)

// UnmarshalJSON implements json.Unmarshaler.
func (k *kind) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"PROBABILISTIC"`, `0`, `""`, `null`:
		*k = probabilistic
	case `"RATE_LIMITING"`, `1`:
		*k = rateLimiting
	default:
		return fmt.Errorf("%w: strategyType is neither PROBABILISTIC nor RATE_LIMITING", errAnswer)
	}
	return nil
}

// parse reads an answer. What is out of range, or says nothing at all, is an error, and then nothing of it holds.
func parse(body []byte) (*trace.Strategy, error) {
	a := answer{Type: probabilistic}
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	switch {
	case a.Operations != nil && a.Type == probabilistic:
		return a.byOperation()
	case a.Type == rateLimiting && a.RateLimiting != nil:
		n := a.RateLimiting.PerSecond
		if !isNumber(n, math.MaxFloat64) {
			return nil, fmt.Errorf("%w: maxTracesPerSecond %v", errAnswer, n)
		}
		return &trace.Strategy{Default: trace.Rate(n)}, nil
	case a.Type == probabilistic && a.Probabilistic != nil:
		p := a.Probabilistic.Rate
		if !isNumber(p, 1) {
			return nil, fmt.Errorf("%w: samplingRate %v", errAnswer, p)
		}
		return &trace.Strategy{Default: trace.Ratio(p)}, nil
	}
	return nil, fmt.Errorf("%w: nothing of what its type stands for", errAnswer)
}

// byOperation is parse for strategies by operation.
func (a *answer) byOperation() (*trace.Strategy, error) {
	o := a.Operations
	if !isNumber(o.Default, 1) || !isNumber(o.LowerBound, math.MaxFloat64) {
		return nil, fmt.Errorf("%w: defaultSamplingProbability %v, defaultLowerBoundTracesPerSecond %v", errAnswer, o.Default, o.LowerBound)
	}
	st := &trace.Strategy{ByOperation: true, Default: trace.Ratio(o.Default), DefaultRatio: o.Default, LowerBound: o.LowerBound,
		Ratios: make(map[string]float64, len(o.Strategies))}
	for _, s := range o.Strategies {
		if !isNumber(s.Probabilistic.Rate, 1) {
			return nil, fmt.Errorf("%w: samplingRate %v of operation %q", errAnswer, s.Probabilistic.Rate, s.Operation)
		}
		st.Ratios[s.Operation] = s.Probabilistic.Rate
	}
	return st, nil
}

// isNumber reports whether n is from 0 to limit.
func isNumber(n, limit float64) bool { return n >= 0 && n <= limit }
