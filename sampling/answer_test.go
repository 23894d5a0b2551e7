package sampling

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanwire/spanwire/core/trace"
)

func TestAnswersOfJaeger(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want string // the default sampler
		full *trace.Strategy
	}{
		"probabilistic":        {body: `{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.25}}`, want: "ratio=0.25"},
		"zeros are left out":   {body: `{"probabilisticSampling":{}}`, want: "ratio=0"},
		"rate limiting":        {body: `{"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":7}}`, want: "rate=7"},
		"numbers, as Thrift's": {body: `{"strategyType":1,"rateLimitingSampling":{"maxTracesPerSecond":7}}`, want: "rate=7"},
		"unknown fields":       {body: `{"strategyType":0,"probabilisticSampling":{"samplingRate":1,"x":2},"y":[1]}`, want: "ratio=1"},
		"by operation": {
			body: `{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":1},"operationSampling":{` +
				`"defaultSamplingProbability":0.5,"defaultLowerBoundTracesPerSecond":0.1,"perOperationStrategies":[` +
				`{"operation":"GET /a","probabilisticSampling":{"samplingRate":1}},{"operation":"GET /b","probabilisticSampling":{}}]}}`,
			want: "ratio=0.5",
			full: &trace.Strategy{ByOperation: true, DefaultRatio: 0.5, LowerBound: 0.1, Ratios: map[string]float64{"GET /a": 1, "GET /b": 0}},
		},
	} {
		st, err := parse([]byte(c.body))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if st.Default.String() != c.want {
			t.Errorf("%s: %s, want %s", name, st.Default, c.want)
		}
		if c.full == nil {
			c.full = &trace.Strategy{}
		}
		if st.ByOperation != c.full.ByOperation || st.DefaultRatio != c.full.DefaultRatio || st.LowerBound != c.full.LowerBound ||
			!cmp.Equal(st.Ratios, c.full.Ratios) {
			t.Errorf("%s: by operation %v %v %v %v", name, st.ByOperation, st.DefaultRatio, st.LowerBound, st.Ratios)
		}
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, body := range []string{
		"", "null", "{}", "[]", `"x"`, "<html>", `{"strategyType":"LOTTERY","probabilisticSampling":{"samplingRate":1}}`, `{"strategyType":2}`,
		`{"strategyType":"RATE_LIMITING"}`, `{"strategyType":"RATE_LIMITING","probabilisticSampling":{"samplingRate":1}}`,
		`{"probabilisticSampling":{"samplingRate":1.5}}`, `{"probabilisticSampling":{"samplingRate":-1}}`,
		`{"probabilisticSampling":{"samplingRate":"1"}}`, `{"strategyType":1,"rateLimitingSampling":{"maxTracesPerSecond":-1}}`,
		`{"operationSampling":{"defaultSamplingProbability":2}}`, `{"operationSampling":{"defaultLowerBoundTracesPerSecond":-1}}`,
		`{"operationSampling":{"perOperationStrategies":[{"operation":"a","probabilisticSampling":{"samplingRate":9}}]}}`,
	} {
		if st, err := parse([]byte(body)); err == nil || st != nil || !errors.Is(err, errAnswer) {
			t.Errorf("%s: %v, %v", body, st, err)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.25}}`))
	f.Add([]byte(`{"strategyType":1,"rateLimitingSampling":{"maxTracesPerSecond":7e300}}`))
	f.Add([]byte(`{"operationSampling":{"defaultSamplingProbability":1,"perOperationStrategies":[{"operation":"a"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		st, err := parse(body)
		if (st == nil) != (err != nil) {
			t.Fatalf("%v, %v", st, err)
		}
		if st == nil {
			return
		}
		if st.Default == nil || st.LowerBound < 0 || st.DefaultRatio < 0 || st.DefaultRatio > 1 {
			t.Fatalf("%+v", st)
		}
		for op, p := range st.Ratios {
			if p < 0 || p > 1 {
				t.Fatalf("%q: %v", op, p)
			}
		}
	})
}
