package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestSamplingAsRemotelyTold: a Jaeger says what to sample, by operation; the sidecar follows, and traffic carries context all the same.
func TestSamplingAsRemotelyTold(t *testing.T) {
	var asked atomic.Pointer[string]
	jaeger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		uri := r.URL.RequestURI()
		asked.Store(&uri)
		_, _ = io.WriteString(w, `{"strategyType":"PROBABILISTIC","operationSampling":{"defaultSamplingProbability":0,"perOperationStrategies":[`+
			`{"operation":"GET /told","probabilisticSampling":{"samplingRate":1}},{"operation":"GET /ruled","probabilisticSampling":{"samplingRate":1}}]}}`)
	}))
	defer jaeger.Close()
	endpoint, spans := collector(t)
	p := launch(t, []string{"JAEGER_SAMPLER_TYPE=remote", "JAEGER_SAMPLER_MANAGER_HOST_PORT=" + jaeger.Listener.Addr().String()},
		"--service-name", "svc", "--inbound", "127.0.0.1:0="+application(t), "--admin", "127.0.0.1:0", "--compat", "none", "--zipkin-endpoint", endpoint,
		"--sampler-rule", "GET /ruled=never")
	p.Await("the answer to be used", func() bool {
		_, metrics := p.get(p.Admin, "/metrics")
		return strings.Contains(metrics, `spanwire_sampler_polls_total{result="ok"} 1`)
	})
	if uri := *asked.Load(); uri != "/sampling?service=svc" {
		t.Errorf("asked %s", uri)
	}
	for path, flags := range map[string]string{"/told": "-03", "/other": "-02", "/ruled": "-02"} {
		if status, body := p.get(p.Inbound, path); status != 200 || !strings.HasSuffix(body, flags) {
			t.Errorf("%s: %d, traceparent %q, want flags %s", path, status, body, flags)
		}
	}
	p.Await("the span of the one operation", func() bool { return spans.Load() == 1 })
	if want := `sampler="remote=` + jaeger.URL + `/sampling, always until it answers (JAEGER_SAMPLER_MANAGER_HOST_PORT)"`; !strings.Contains(p.Log.String(), want) {
		t.Errorf("the start line lacks %s", want)
	}
}
