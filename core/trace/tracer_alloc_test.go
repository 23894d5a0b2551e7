//go:build !race

package trace

import (
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// TestBeginAndEndAllocateNothing: not once the loop has seen the path and its buffers have grown. The race detector allocates on
// its own account.
func TestBeginAndEndAllocateNothing(t *testing.T) {
	c := Config{
		NoInject: []string{"pay.example", "10.0.0.0/8"}, IgnorePaths: []string{"/health*"},
		IgnoreAgents:  []string{"kube-probe/*"},
		XSourceHeader: "X-Source", XSourceValue: "v", TagHeaders: []string{"X-Tenant"}, TagCookies: []string{"exp"},
		FoldPaths:   []string{"/shop/[a-z]+=>/shop/{shop}"},
		RedactQuery: []string{"email", "a"},
		Templates:   []string{"/api/orders", "/x/{y}"}, BareTemplates: []string{"/orders"}, TraceResponseHeader: "X-Trace-Id",
		Sampler:      mustRemote(t),
		SamplerRules: []string{"GET /health*=never", "GET /slow=rate=1"},
	}
	RemoteOf(c.Sampler).Use(&Strategy{ByOperation: true, Default: always{}, DefaultRatio: 1, LowerBound: 1})
	all := w3cLine + b3Line + multi + uberLine +
		"tracestate: a=1\ntracestate: b=2\nX-Tenant: x\nCookie: a=b; exp=c\njaeger-debug-id: x\n"
	for name, head := range map[string]string{
		"typical":        typical,
		"no id":          get,
		"all formats":    get + all,
		"all, invalid":   get + strings.ReplaceAll(all, spanHex, "x"),
		"redacted":       "GET /shop/berlin/;sessionid=1/12?token=x&a=b HTTP/1.1\nHost: u:p@h\n",
		"ignored":        "GET /healthz HTTP/1.1\n" + w3cLine,
		"no inject":      "GET /x HTTP/1.1\nHost: 10.1.1.1:80\n",
		"signed":         get + "Authorization: AWS4-HMAC-SHA256 Credential=A, SignedHeaders=host;b3, Signature=0\n",
		"no room":        "GET /" + strings.Repeat("a", 300) + "?a=" + strings.Repeat("b", 300) + " HTTP/1.1\nHost: 10.1.1.1\nUser-Agent: " + strings.Repeat("c", 300) + "\n",
		"unsampled":      get + "b3: 0\n",
		"escaped":        get + "uber-trace-id: " + traceHex + "%3A" + spanHex + "%3A0%3A1\n",
		"unknown method": "foo / HTTP/1.1\n",
	} {
		for _, kind := range []span.Kind{span.Server, span.Client} {
			tr := newShared(t, c).NewTracer()
			r, a, e := request(kind, head), new(Active), new(Edit)
			mono := int64(0)
			once := func() {
				mono += int64(DefaultJoinTTL) + 1 // ids made here expire, so that the join table stays as it is
				r.Mono = mono
				e.Reset()
				tr.Begin(a, r, e)
				tr.End(a, mono+1)
			}
			for range 3000 { // every shard of the join table gets its first entry
				once()
			}
			if n := testing.AllocsPerRun(1000, once); n != 0 {
				t.Errorf("%s, %v: %v allocations", name, kind, n)
			}
		}
	}
}

// TestUnsampledSpansHaveNoTexts: no text is put together for a span that nobody sees.
func TestUnsampledSpansHaveNoTexts(t *testing.T) {
	f := newFixture(t, Config{Sampler: never{}})
	a, _ := f.begin(request(span.Server, typical))
	for x := range span.NumFields {
		if len(a.Rec.Text(x)) != 0 {
			t.Errorf("text %v: %q", x, a.Rec.Text(x))
		}
	}
	if f.t.names.slots != nil {
		t.Error("an operation was named")
	}
}
