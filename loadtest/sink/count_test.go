package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// The payloads below are made by the formats' own libraries, which share no code with the counting.

// otlpPayload returns an export request of resources × scopes × spans spans. TracesData has the wire format of the request.
func otlpPayload(t testing.TB, resources, scopes, spans int) []byte {
	t.Helper()
	text := func(s string) *common.AnyValue {
		return &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: s}}
	}
	span := &trace.Span{
		TraceId: bytes.Repeat([]byte{1}, 16), SpanId: bytes.Repeat([]byte{2}, 8), Name: "GET /", Kind: trace.Span_SPAN_KIND_CLIENT,
		StartTimeUnixNano: 1 << 60, EndTimeUnixNano: 1<<60 + 5, Flags: 3,
		Attributes: []*common.KeyValue{{Key: "url.path", Value: text("/")}, {Key: "a", Value: text(strings.Repeat("x", 300))}},
		Events:     []*trace.Span_Event{{Name: "e"}}, Status: &trace.Status{Code: 2},
	}
	data := &trace.TracesData{}
	for range resources {
		r := &trace.ResourceSpans{SchemaUrl: "u"}
		for range scopes {
			s := &trace.ScopeSpans{Scope: &common.InstrumentationScope{Name: "spanwire"}}
			for range spans {
				s.Spans = append(s.Spans, span)
			}
			r.ScopeSpans = append(r.ScopeSpans, s)
		}
		data.ResourceSpans = append(data.ResourceSpans, r)
	}
	return must(proto.Marshal(data))(t)
}

// must ends the test on an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// zipkinSpans returns spans with hostile names and tags.
func zipkinSpans(n int) []*model.SpanModel {
	spans := make([]*model.SpanModel, n)
	for i := range spans {
		spans[i] = &model.SpanModel{
			SpanContext: model.SpanContext{TraceID: model.TraceID{Low: 1}, ID: 2}, Name: `}]"\`, Kind: model.Server,
			LocalEndpoint: &model.Endpoint{ServiceName: "[{"},
			Tags:          map[string]string{`"quoted\"`: `\`, "a": `\\"`, "{": "}", "]": "[{\n"},
		}
	}
	return spans
}

// jaegerPayload returns a batch in Thrift's binary protocol.
func jaegerPayload(t testing.TB, n int) []byte {
	t.Helper()
	text, yes, number, real := "x", true, int64(5), 1.5
	batch := jaeger.NewBatch()
	batch.Process = &jaeger.Process{ServiceName: "s", Tags: []*jaeger.Tag{{Key: "k", VType: jaeger.TagType_STRING, VStr: &text}}}
	for range n {
		batch.Spans = append(batch.Spans, &jaeger.Span{
			TraceIdLow: 1, SpanId: 2, OperationName: "op", Flags: 1, StartTime: 3, Duration: 4,
			References: []*jaeger.SpanRef{{RefType: jaeger.SpanRefType_CHILD_OF, TraceIdLow: 1, SpanId: 9}},
			Tags: []*jaeger.Tag{
				{Key: "b", VType: jaeger.TagType_BOOL, VBool: &yes}, {Key: "n", VType: jaeger.TagType_LONG, VLong: &number},
				{Key: "d", VType: jaeger.TagType_DOUBLE, VDouble: &real}, {Key: "y", VType: jaeger.TagType_BINARY, VBinary: []byte{0, 1}},
			},
			Logs: []*jaeger.Log{{Timestamp: 3, Fields: []*jaeger.Tag{{Key: "k", VStr: &text}}}},
		})
	}
	buffer := thrift.NewTMemoryBuffer()
	if err := batch.Write(context.Background(), thrift.NewTBinaryProtocolConf(buffer, nil)); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func TestCount_SpansOfTheFormatsOwnLibraries(t *testing.T) {
	zipkinProto := must(zipkin_proto3.SpanSerializer{}.Serialize(zipkinSpans(7)))(t)
	indented := must(json.MarshalIndent(zipkinSpans(7), " ", "\t"))(t)
	for _, c := range []struct {
		name    string
		count   func([]byte) (int, error)
		payload []byte
		want    int
	}{
		{"otlp", CountOTLP, otlpPayload(t, 1, 1, 128), 128},
		{"otlp, many resources and scopes", CountOTLP, otlpPayload(t, 3, 2, 5), 30},
		{"otlp, none", CountOTLP, nil, 0},
		{"zipkin json", CountZipkinJSON, must(json.Marshal(zipkinSpans(7)))(t), 7},
		{"zipkin json, indented", CountZipkinJSON, indented, 7},
		{"zipkin json, none", CountZipkinJSON, []byte(" [ ]\n"), 0},
		{"zipkin protobuf", CountZipkinProto, zipkinProto, 7},
		{"jaeger", CountJaegerThrift, jaegerPayload(t, 9), 9},
		{"jaeger, none", CountJaegerThrift, jaegerPayload(t, 0), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := c.count(c.payload); err != nil || got != c.want {
				t.Errorf("%d, %v; want %d", got, err, c.want)
			}
		})
	}
}

func TestCount_CutShortIsMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		count   func([]byte) (int, error)
		payload []byte
	}{
		"otlp":        {CountOTLP, otlpPayload(t, 1, 1, 3)},
		"zipkin json": {CountZipkinJSON, must(json.Marshal(zipkinSpans(3)))(t)},
		"jaeger":      {CountJaegerThrift, jaegerPayload(t, 3)},
	} {
		for cut := 1; cut < len(c.payload); cut++ {
			if _, err := c.count(c.payload[:cut]); !errors.Is(err, ErrPayload) {
				t.Fatalf("%s: %d bytes of %d: %v", name, cut, len(c.payload), err)
			}
		}
	}
	for _, s := range []string{"", "{}", "[", "[}", "[{}]]", "[{}] x", `["`, "null"} {
		if _, err := CountZipkinJSON([]byte(s)); !errors.Is(err, ErrPayload) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestCount_AllocatesNothing(t *testing.T) {
	otlp, thriftBatch, zipkin := otlpPayload(t, 1, 1, 50), jaegerPayload(t, 50), must(json.Marshal(zipkinSpans(50)))(t)
	count := func() {
		for _, err := range []error{second(CountOTLP(otlp)), second(CountJaegerThrift(thriftBatch)), second(CountZipkinJSON(zipkin))} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := testing.AllocsPerRun(10, count); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// second returns the second of two.
func second(_ int, err error) error { return err }
