package exporters

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/apache/thrift/lib/go/thrift"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/agent"
	"github.com/jaegertracing/jaeger-idl/thrift-gen/jaeger"
	"github.com/openzipkin/zipkin-go/model"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/spanwire/spanwire/core/span"
)

// encode returns the payload of a batch of records.
func encode(e Encoder, schemaName string, records ...*span.Record) []byte {
	var v View
	buf := e.Begin(nil)
	for _, r := range records {
		v.set(r, schemaOf(schemaName))
		buf = e.Append(buf, &v)
	}
	return e.Finish(buf, len(records))
}

// oracle is a wire format with the library that decodes it. check compares every field of the payload of records with what the
// records say; the libraries are the judges, the expectations are written anew here.
type oracle struct {
	name  string
	make  func(cfg *Config) Encoder
	check func(payload []byte, schemaName string, records []*span.Record) error
}

func oracles() []oracle {
	return []oracle{
		{"zipkin", func(c *Config) Encoder { return newZipkinEncoder(c) }, checkZipkin},
		{"otlp", func(c *Config) Encoder { return newOTLPEncoder(c) }, checkOTLP},
		{"jaeger binary", func(c *Config) Encoder { return newJaegerEncoder(c, false) }, checkJaegerBinary},
		{"jaeger compact", func(c *Config) Encoder { return newJaegerEncoder(c, true) }, checkJaegerCompact},
	}
}

// oracleConfig is the configuration that the checks expect.
func oracleConfig() *Config {
	return &Config{
		ServiceName: "Cart\xff", Version: "1.2.3", instanceID: "11112222-3333-4444-8555-666677778888",
		Resource: []KV{{"deployment.environment.name", "test \"q\""}, {"bad", "\xfe"}},
	}
}

// wantAttrs returns what schema must make of r, by decoding the view: its keys and values as text. The schemas themselves are checked
// against literal tables in schema_test.go; here it is the encoders' turn.
func wantAttrs(r *span.Record, schemaName string) (v View, all map[string]string) {
	v.set(r, schemaOf(schemaName))
	all = map[string]string{}
	for _, a := range v.list() {
		all[a.key] = attrText(&a)
	}
	return v, all
}

// attrText returns the value of a as text.
func attrText(a *attr) string {
	switch a.kind {
	case attrInt:
		return fmt.Sprint(a.num)
	case attrBool:
		return fmt.Sprint(a.num == 1)
	}
	return strings.Clone(a.str)
}

// differ compares two maps.
func differ(got, want map[string]string) error {
	for k, w := range want {
		if g, ok := got[k]; !ok || g != w {
			return fmt.Errorf("%s = %q (present: %v), want %q", k, g, ok, w)
		}
	}
	for k, g := range got {
		if _, ok := want[k]; !ok {
			return fmt.Errorf("%s = %q is not expected", k, g)
		}
	}
	return nil
}

// same returns an error when a value is not what it must be.
func same[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s = %v, want %v", what, got, want)
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func checkZipkin(payload []byte, schemaName string, records []*span.Record) error {
	if !utf8.Valid(payload) {
		return fmt.Errorf("not UTF-8")
	}
	var raw []map[string]any
	if err := json.Unmarshal(payload, &raw); err != nil {
		return err
	}
	if len(raw) != len(records) {
		return fmt.Errorf("%d spans, want %d", len(raw), len(records))
	}
	for i, r := range records {
		v, want := wantAttrs(r, schemaName)
		if v.failed && !v.errorTag {
			want["error"] = v.errorType
		}
		want["deployment.environment.name"], want["bad"] = "test \"q\"", "\uFFFD"
		got := map[string]string{}
		if tags, ok := raw[i]["tags"].(map[string]any); ok {
			for k, value := range tags {
				text, ok := value.(string)
				if !ok {
					return fmt.Errorf("tag %s is no text", k)
				}
				got[k] = text
			}
		}
		kind := "SERVER"
		if r.Kind == span.Client {
			kind = "CLIENT"
		}
		parent, hasParent := raw[i]["parentId"]
		debug, _ := raw[i]["debug"].(bool)
		if err := first(differ(got, want),
			same("traceId", raw[i]["traceId"], any(fmt.Sprintf("%x", r.TraceID[:]))),
			same("id", raw[i]["id"], any(fmt.Sprintf("%x", r.SpanID[:]))),
			same("has parentId", hasParent, !r.ParentID.IsZero()),
			same("kind", raw[i]["kind"], any(kind)),
			same("name", raw[i]["name"], any(strings.ToLower(v.name))),
			same("debug", debug, r.Flags&span.Debug != 0),
		); err != nil {
			return err
		}
		if hasParent && parent != fmt.Sprintf("%x", r.ParentID[:]) {
			return fmt.Errorf("parentId %v", parent)
		}
	}
	return checkZipkinModel(payload, records)
}

// checkZipkinModel compares what zipkin-go reads; it refuses ids of zero, so that it is asked for spans with ids only.
func checkZipkinModel(payload []byte, records []*span.Record) error {
	for _, r := range records {
		if r.TraceID.IsZero() || r.SpanID.IsZero() || r.Start < 1000 || r.Duration < 0 {
			return nil
		}
	}
	var spans []model.SpanModel
	if err := json.Unmarshal(payload, &spans); err != nil {
		return err
	}
	for i, r := range records {
		s := &spans[i]
		if err := first(
			same("trace id high", s.TraceID.High, binary.BigEndian.Uint64(r.TraceID[:8])),
			same("trace id low", s.TraceID.Low, binary.BigEndian.Uint64(r.TraceID[8:])),
			same("timestamp", s.Timestamp.UnixMicro(), r.Start/1000),
			same("duration", s.Duration.Microseconds(), max(r.Duration/1000, 1)),
			same("shared", s.Shared, false),
			same("service", s.LocalEndpoint.ServiceName, "cart\uFFFD"),
			sameEndpoint("local", s.LocalEndpoint, local(r)), sameEndpoint("remote", s.RemoteEndpoint, remote(r)),
		); err != nil {
			return err
		}
	}
	return nil
}

func sameEndpoint(what string, got *model.Endpoint, want span.Endpoint) error {
	if want.V == 0 {
		if got != nil && (got.IPv4 != nil || got.IPv6 != nil || got.Port != 0) {
			return fmt.Errorf("%s endpoint %+v, want none", what, got)
		}
		return nil
	}
	if got == nil {
		return fmt.Errorf("%s endpoint is missing", what)
	}
	ip := got.IPv4
	if want.V == 6 {
		ip = got.IPv6
	}
	addr, _ := netip.AddrFromSlice(ip)
	// net.IP does not tell IPv4 from the same mapped into IPv6; the member it came in does.
	if want.V == 4 {
		addr = addr.Unmap()
	}
	return first(same(what+" address", addr, want.AddrPort().Addr()), same(what+" port", got.Port, want.Port))
}

func checkOTLP(payload []byte, schemaName string, records []*span.Record) error {
	var m tracepb.TracesData // field for field ExportTraceServiceRequest, without its gRPC stubs
	if err := (proto.UnmarshalOptions{}).Unmarshal(payload, &m); err != nil {
		return err
	}
	if canonical, err := (proto.MarshalOptions{}).Marshal(&m); err != nil || len(canonical) != len(payload) && allPositive(records) {
		return fmt.Errorf("%d bytes, the library needs %d (%w)", len(payload), len(canonical), err)
	}
	if len(m.ResourceSpans) != 1 || len(m.ResourceSpans[0].ScopeSpans) != 1 {
		return fmt.Errorf("not one resource and scope")
	}
	resource, err := otlpAttrs(m.ResourceSpans[0].Resource.Attributes)
	if err != nil {
		return err
	}
	scope := m.ResourceSpans[0].ScopeSpans[0]
	if err := first(differ(resource, map[string]string{
		"service.name": "Cart\uFFFD", "deployment.environment.name": "test \"q\"", "bad": "\uFFFD",
		"service.instance.id": "11112222-3333-4444-8555-666677778888",
	}), same("scope", scope.Scope.Name, "spanwire"), same("version", scope.Scope.Version, "1.2.3"), same("spans", len(scope.Spans), len(records))); err != nil {
		return err
	}
	for i, r := range records {
		if err := checkOTLPSpan(scope.Spans[i], schemaName, r); err != nil {
			return err
		}
	}
	return nil
}

// allPositive reports whether no field that proto3 leaves out at its default is at it: those we write all the same.
func allPositive(records []*span.Record) bool {
	for _, r := range records {
		if r.Start == 0 || r.Start+r.Duration == 0 || len(r.Text(span.Name)) == 0 {
			return false
		}
	}
	return true
}

func checkOTLPSpan(s *tracepb.Span, schemaName string, r *span.Record) error {
	v, want := wantAttrs(r, schemaName)
	got, err := otlpAttrs(s.Attributes)
	if err != nil {
		return err
	}
	parent := ""
	if !r.ParentID.IsZero() {
		parent = string(r.ParentID[:])
	}
	kind := tracepb.Span_SPAN_KIND_SERVER
	if r.Kind == span.Client {
		kind = tracepb.Span_SPAN_KIND_CLIENT
	}
	code := tracepb.Status_STATUS_CODE_UNSET
	if v.failed {
		code = tracepb.Status_STATUS_CODE_ERROR
	}
	flags := uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	for bit, value := range map[span.Flags]uint32{span.Sampled: 1, span.Random: 2, span.RemoteParent: uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)} {
		if r.Flags&bit != 0 {
			flags |= value
		}
	}
	return first(differ(got, want),
		same("trace id", string(s.TraceId), string(r.TraceID[:])), same("span id", string(s.SpanId), string(r.SpanID[:])),
		same("parent id", string(s.ParentSpanId), parent), same("name", s.Name, v.name), same("trace state", s.TraceState, v.traceState),
		same("kind", s.Kind, kind), same("start", s.StartTimeUnixNano, uint64(r.Start)), same("end", s.EndTimeUnixNano, uint64(r.Start+r.Duration)),
		same("status", s.GetStatus().GetCode(), code), same("flags", s.Flags, flags),
	)
}

// otlpAttrs returns attributes as texts, having checked that none comes twice.
func otlpAttrs(list []*commonpb.KeyValue) (map[string]string, error) {
	all := map[string]string{}
	for _, kv := range list {
		if _, twice := all[kv.Key]; twice && !strings.HasPrefix(kv.Key, "x") {
			return nil, fmt.Errorf("%s comes twice", kv.Key)
		}
		switch value := kv.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[kv.Key] = value.StringValue
		case *commonpb.AnyValue_IntValue:
			all[kv.Key] = fmt.Sprint(value.IntValue)
		case *commonpb.AnyValue_BoolValue:
			all[kv.Key] = fmt.Sprint(value.BoolValue)
		default:
			return nil, fmt.Errorf("%s has type %T", kv.Key, value)
		}
	}
	return all, nil
}

func checkJaegerBinary(payload []byte, schemaName string, records []*span.Record) error {
	transport := thrift.NewTMemoryBufferLen(len(payload))
	transport.Write(payload)
	batch := jaeger.NewBatch()
	if err := batch.Read(context.Background(), thrift.NewTBinaryProtocolConf(transport, nil)); err != nil {
		return err
	}
	if transport.Len() != 0 {
		return fmt.Errorf("%d bytes behind the batch", transport.Len())
	}
	return checkJaegerBatch(batch, schemaName, records)
}

func checkJaegerCompact(payload []byte, schemaName string, records []*span.Record) error {
	transport := thrift.NewTMemoryBufferLen(len(payload))
	transport.Write(payload)
	protocol := thrift.NewTCompactProtocolConf(transport, nil)
	name, kind, _, err := protocol.ReadMessageBegin(context.Background())
	if err := first(err, same("message", name, "emitBatch"), same("type", kind, thrift.ONEWAY)); err != nil {
		return err
	}
	args := agent.NewAgentEmitBatchArgs()
	if err := args.Read(context.Background(), protocol); err != nil {
		return err
	}
	if transport.Len() != 0 {
		return fmt.Errorf("%d bytes behind the message", transport.Len())
	}
	return checkJaegerBatch(args.Batch, schemaName, records)
}

func checkJaegerBatch(b *jaeger.Batch, schemaName string, records []*span.Record) error {
	process, err := jaegerTags(b.Process.Tags)
	if err := first(err, same("service", b.Process.ServiceName, "Cart\uFFFD"), differ(process, map[string]string{
		"deployment.environment.name": "test \"q\"", "bad": "\uFFFD", "service.instance.id": "11112222-3333-4444-8555-666677778888",
	}), same("spans", len(b.Spans), len(records))); err != nil {
		return err
	}
	for i, r := range records {
		s := b.Spans[i]
		v, want := wantAttrs(r, schemaName)
		want["span.kind"] = r.Kind.String()
		if v.failed && !v.errorTag {
			want["error"] = "true"
		}
		if v.traceState != "" {
			want["w3c.tracestate"] = v.traceState
		}
		got, err := jaegerTags(s.Tags)
		flags := int32(r.Flags & (span.Sampled | span.Debug))
		if err := first(err, differ(got, want),
			same("trace id low", uint64(s.TraceIdLow), binary.BigEndian.Uint64(r.TraceID[8:])),
			same("trace id high", uint64(s.TraceIdHigh), binary.BigEndian.Uint64(r.TraceID[:8])),
			same("span id", uint64(s.SpanId), r.SpanID.Uint64()), same("parent id", uint64(s.ParentSpanId), r.ParentID.Uint64()),
			same("name", s.OperationName, v.name), same("flags", s.Flags, flags), same("start", s.StartTime, r.Start/1000),
			same("duration", s.Duration, max(r.Duration/1000, 1)),
		); err != nil {
			return err
		}
	}
	return nil
}

// jaegerTags returns tags as texts.
func jaegerTags(list []*jaeger.Tag) (map[string]string, error) {
	all := map[string]string{}
	for _, tag := range list {
		switch {
		case tag.VType == jaeger.TagType_STRING && tag.VStr != nil:
			all[tag.Key] = *tag.VStr
		case tag.VType == jaeger.TagType_LONG && tag.VLong != nil:
			all[tag.Key] = fmt.Sprint(*tag.VLong)
		case tag.VType == jaeger.TagType_BOOL && tag.VBool != nil:
			all[tag.Key] = fmt.Sprint(*tag.VBool)
		default:
			return nil, fmt.Errorf("tag %s: %v", tag.Key, tag)
		}
		if !utf8.ValidString(all[tag.Key]) || !utf8.ValidString(tag.Key) {
			return nil, fmt.Errorf("tag %q is not UTF-8: %q", tag.Key, all[tag.Key])
		}
	}
	return all, nil
}

// hostile returns records that try the encoders.
func hostile() []*span.Record {
	var all []*span.Record
	add := func(change func(r *span.Record)) {
		r := record(span.Kind(len(all)%2), len(all))
		change(r)
		all = append(all, r)
	}
	add(func(*span.Record) {})
	add(func(*span.Record) {})
	add(func(r *span.Record) { *r = span.Record{} })
	add(func(r *span.Record) { r.ParentID = span.ID{}; r.Flags = span.Sampled | span.Debug; r.Duration = 0 })
	add(func(r *span.Record) {
		r.SetText(span.Path, []byte("/\xff\xfe\x80\xc3(\xed\xa0\x80\x00\x01\x1f\x7f\"\\\b\n\r\t</script>\u2028"))
	})
	add(func(r *span.Record) { r.SetText(span.Name, []byte("GET /ÄÖ\xffÉ\"\\\x00İ")) })
	add(func(r *span.Record) { r.SetText(span.Host, []byte("[2001:db8::1]:8443")) })
	add(func(r *span.Record) { r.SetText(span.Host, nil); r.Client, r.Server = span.Endpoint{}, span.Endpoint{} })
	add(func(r *span.Record) {
		r.Client, r.Server = span.EndpointFrom(netip.MustParseAddrPort("[2001:db8::1]:1")), span.EndpointFrom(netip.MustParseAddrPort("[::1]:65535"))
	})
	add(func(r *span.Record) { r.SetText(span.TraceState, []byte("vendor=a\xffb,other=\"c\"")) })
	add(func(r *span.Record) { r.Status = 503 })
	add(func(r *span.Record) { r.Status = 404 })
	add(func(r *span.Record) { r.SetText(span.Method, []byte("BREW\xff")) })
	add(func(r *span.Record) { r.AddTag("spanwire.unedited", []byte("duplicate_host")) })
	for f := range span.NumFailures {
		add(func(r *span.Record) { r.Failure, r.Status, r.ResponseBytes = f, 0, 0 })
	}
	for j := range span.NumJoins {
		add(func(r *span.Record) { r.Join = j })
	}
	add(func(r *span.Record) {
		for i := range span.MaxTags {
			r.AddTag(strings.Repeat("x", i)+"\xffkey", []byte("value \xff\"\\\x00"))
		}
	})
	add(func(r *span.Record) {
		for f := range span.NumFields {
			r.SetText(f, []byte(strings.Repeat("\"\x01\xff", 200)))
		}
	})
	add(func(r *span.Record) { r.Start, r.Duration, r.RequestBytes, r.FirstByte = -1, -5_000_000, -7, -9 })
	add(func(r *span.Record) { r.SetText(span.Protocol, []byte("lines")) })
	add(func(r *span.Record) { r.SetText(span.Protocol, nil); r.SetText(span.Name, nil) })
	return all
}

func TestOraclesReadEveryField(t *testing.T) {
	for _, o := range oracles() {
		for _, schemaName := range []string{"otel", "zipkin", "netra"} {
			t.Run(o.name+"/"+schemaName, func(t *testing.T) {
				e := o.make(oracleConfig())
				all := hostile()
				for i, r := range all {
					if err := o.check(encode(e, schemaName, r), schemaName, []*span.Record{r}); err != nil {
						t.Errorf("record %d: %v", i, err)
					}
				}
				for _, n := range []int{2, 14, 15, 16, 128, 300} {
					many := make([]*span.Record, n)
					for i := range many {
						many[i] = all[i%2]
					}
					if err := o.check(encode(e, schemaName, many...), schemaName, many); err != nil {
						t.Errorf("%d records: %v", n, err)
					}
				}
			})
		}
	}
}

func TestOTLPSpanOfAnyLength(t *testing.T) {
	e := newOTLPEncoder(oracleConfig())
	for _, n := range []int{0, 1, 100, 127, 128, 129, 16383, 16384, 16385, 70000} {
		dst := append(make([]byte, 0, 8), otlpSpan, 0, 0)
		body := strings.Repeat("b", n)
		dst = moveOTLPSpan(append(dst, body...), 3, n)
		f, rest, ok := protoField(dst)
		if !ok || f.number != 2 || string(f.data) != body || len(rest) != 0 {
			t.Errorf("%d bytes: field %d with %d bytes, %d behind", n, f.number, len(f.data), len(rest))
		}
	}
	// A span of less than 128 bytes exists only without any text.
	r := &span.Record{TraceID: span.TraceID{1}, SpanID: span.ID{1}, Start: 1}
	r.SetTextString(span.Name, "x")
	if err := checkOTLP(encode(e, "netra", r), "netra", []*span.Record{r}); err != nil {
		t.Error(err)
	}
}
