package collector

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanwire/spanwire/demo/spans"
)

const oneSpan = `[{"traceId":"0af7651916cd43dd8448eb211c80319c","id":"b7ad6b7169203331","kind":"SERVER","name":"get /",
	"timestamp":1700000000000000,"duration":2000,"localEndpoint":{"serviceName":"cart"},"tags":{"http.response.status_code":"200"}}]`

// start returns a collector that ends with the test.
func start(t *testing.T) *Collector {
	t.Helper()
	c, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// post sends body and returns the status.
func post(t *testing.T, url, encoding string, body []byte) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// check compares the one span received, however it came.
func check(t *testing.T, c *Collector) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.Wait(ctx, 1); err != nil {
		t.Fatal(err)
	}
	want := []spans.Span{{
		TraceID: "0af7651916cd43dd8448eb211c80319c", ID: "b7ad6b7169203331", Kind: spans.Server, Service: "cart", Name: "get /",
		Start: time.Unix(1_700_000_000, 0), Duration: 2 * time.Millisecond, Tags: map[string]string{"http.response.status_code": "200"},
	}}
	if diff := spans.Diff(want, c.Spans()); len(diff) > 0 {
		t.Error(strings.Join(diff, "\n"))
	}
	if err := c.Problems(); err != nil {
		t.Error(err)
	}
}

func TestZipkin(t *testing.T) {
	c := start(t)
	if status := post(t, c.ZipkinEndpoint(), "", []byte(oneSpan)); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	check(t, c)
}

func TestZipkinPacked(t *testing.T) {
	c := start(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(oneSpan)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if status := post(t, c.ZipkinEndpoint(), "gzip", packed.Bytes()); status != http.StatusAccepted {
		t.Errorf("status %d", status)
	}
	check(t, c)
}

func TestOTLP(t *testing.T) {
	text := func(v string) *commonpb.AnyValue {
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: v}}
	}
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{
		Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: text("cart")}}},
		ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{
			TraceId: []byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c"), SpanId: []byte("\xb7\xad\x6b\x71\x69\x20\x33\x31"),
			Kind: tracepb.Span_SPAN_KIND_SERVER, Name: "get /", StartTimeUnixNano: 1_700_000_000_000_000_000, EndTimeUnixNano: 1_700_000_000_002_000_000,
			Attributes: []*commonpb.KeyValue{{Key: "http.response.status_code", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 200}}}},
		}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c := start(t)
	if status := post(t, c.OTLPEndpoint()+"/v1/traces", "", body); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	check(t, c)
}

func TestWhatDoesNotDecodeIsRefusedAndRemembered(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON":     `{`,
		"no trace id": `[{"id":"b7ad6b7169203331"}]`,
		"no span id":  `[{"traceId":"0af7651916cd43dd8448eb211c80319c"}]`,
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t)
			if status := post(t, c.ZipkinEndpoint(), "", []byte(body)); status != http.StatusBadRequest {
				t.Errorf("status %d, want 400", status)
			}
			if c.Problems() == nil || len(c.Spans()) != 0 {
				t.Errorf("problems %v, spans %v", c.Problems(), c.Spans())
			}
		})
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(ctx, 1); err == nil || !strings.Contains(err.Error(), "0 of 1") {
		t.Errorf("Wait = %v", err)
	}
}
