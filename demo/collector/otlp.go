package collector

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanwire/spanwire/demo/spans"
)

// decodeOTLP decodes a batch. Of the resource it keeps the service name; the tags are the spans' attributes. TracesData is by
// definition the same on the wire as ExportTraceServiceRequest, whose package would bring gRPC with it.
func decodeOTLP(body []byte) ([]spans.Span, error) {
	var request tracepb.TracesData
	if err := proto.Unmarshal(body, &request); err != nil {
		return nil, err
	}
	var out []spans.Span
	for _, resource := range request.GetResourceSpans() {
		service := attributes(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				if len(s.GetTraceId()) != 16 || len(s.GetSpanId()) != 8 {
					return nil, fmt.Errorf("trace id of %d bytes, span id of %d", len(s.GetTraceId()), len(s.GetSpanId()))
				}
				out = append(out, fromOTLP(s, service))
			}
		}
	}
	return out, nil
}

// fromOTLP converts one span.
func fromOTLP(s *tracepb.Span, service string) spans.Span {
	span := spans.Span{
		TraceID:  hex.EncodeToString(s.GetTraceId()),
		ID:       hex.EncodeToString(s.GetSpanId()),
		ParentID: hex.EncodeToString(s.GetParentSpanId()),
		Service:  service,
		Name:     s.GetName(),
		Start:    time.Unix(0, int64(s.GetStartTimeUnixNano())),
		Duration: time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
		Tags:     attributes(s.GetAttributes()),
	}
	switch s.GetKind() {
	case tracepb.Span_SPAN_KIND_SERVER:
		span.Kind = spans.Server
	case tracepb.Span_SPAN_KIND_CLIENT:
		span.Kind = spans.Client
	}
	if s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR {
		span.Tags["otel.status_code"] = "ERROR" // the name that collectors give it where a format has no status
	}
	return span
}

// attributes returns the values as text.
func attributes(list []*commonpb.KeyValue) map[string]string {
	out := make(map[string]string, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			out[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			out[kv.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_BoolValue:
			out[kv.GetKey()] = strconv.FormatBool(v.BoolValue)
		case *commonpb.AnyValue_DoubleValue:
			out[kv.GetKey()] = strconv.FormatFloat(v.DoubleValue, 'g', -1, 64)
		default:
			out[kv.GetKey()] = kv.GetValue().String()
		}
	}
	return out
}
