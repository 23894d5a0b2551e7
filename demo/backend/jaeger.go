package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/demo/spans"
	"github.com/spanwire/spanwire/internal/port"
)

// jaegerConfig is the server's configuration; the addresses stand in for %s in the order of jaegerPorts. It is the all-in-one's with
// its store in memory, less what the demo does not use, with a short batch timeout, so that a trace can be read back at once, and without
// traces of itself: it would try for some 20 s of its shutdown to send them to port 4317, where nobody is.
const jaegerConfig = `
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines:
    traces: {receivers: [otlp, jaeger], processors: [batch], exporters: [jaeger_storage_exporter]}
  telemetry:
    metrics: {level: none}
extensions:
  jaeger_storage:
    backends: {memory: {memory: {max_traces: 100000}}}
  jaeger_query:
    storage: {traces: memory}
    enable_tracing: false
    http: {endpoint: "%s"}
    grpc: {endpoint: "%s"}
receivers:
  otlp:
    protocols: {http: {endpoint: "%s"}}
  jaeger:
    protocols:
      thrift_http: {endpoint: "%s"}
      thrift_compact: {endpoint: "%s"}
processors:
  batch: {timeout: 100ms}
exporters:
  jaeger_storage_exporter: {trace_storage: memory}
`

// jaegerPorts is the number of addresses in jaegerConfig.
const jaegerPorts = 5

// jaegerStarts is how often the start is tried. Jaeger does not tell which port it got when it may choose, so free ones are picked
// beforehand, and another process may take one meanwhile.
const jaegerStarts = 3

// Jaeger is a running Jaeger.
type Jaeger struct {
	Server
	otlp, thrift, compact string // addresses
}

// StartJaeger starts the server with its store in memory on free ports and returns once it is ready.
func StartJaeger(ctx context.Context, binary string) (*Jaeger, error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for try := 1; ; try++ {
		j, err := startJaeger(ctx, binary)
		if err == nil || try == jaegerStarts || ctx.Err() != nil {
			return j, err
		}
	}
}

// startJaeger tries once.
func startJaeger(ctx context.Context, binary string) (*Jaeger, error) {
	addrs, err := freeAddresses(jaegerPorts)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "spanwire-jaeger-")
	if err != nil {
		return nil, err
	}
	cleanup := func() { _ = os.RemoveAll(dir) } // a directory of ours under the system's temporary one
	values := make([]any, len(addrs))
	for i, a := range addrs {
		values[i] = a
	}
	config := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, jaegerConfig, values...), 0o600); err != nil {
		cleanup()
		return nil, err
	}
	p, err := mesh.StartProcess("Jaeger", binary, []string{"--config", config}, nil)
	if err != nil {
		cleanup()
		return nil, err
	}
	err = p.Await(ctx, func(output string) bool { return strings.Contains(output, "Everything is ready.") })
	if err != nil {
		p.Kill()
		cleanup()
		return nil, err
	}
	return &Jaeger{
		Server: Server{Name: "Jaeger", process: p, base: "http://" + addrs[0], uiPath: "/trace/", apiPath: "/api/traces/",
			decode: decodeJaeger, cleanup: cleanup},
		otlp: addrs[2], thrift: addrs[3], compact: addrs[4],
	}, nil
}

// freeAddresses returns n loopback addresses whose ports are free for TCP and UDP.
func freeAddresses(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		var err error
		if addrs[i], err = port.Free("127.0.0.1"); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

// Endpoint is a way into Jaeger.
type Endpoint struct {
	Format string // what travels there
	URL    string
}

// Endpoints returns the ways in, one for each wire format.
func (j *Jaeger) Endpoints() []Endpoint {
	return []Endpoint{
		{Format: "OTLP over HTTP", URL: "http://" + j.otlp + "/v1/traces"},
		{Format: "Thrift over HTTP", URL: "http://" + j.thrift + "/api/traces"},
		{Format: "compact Thrift over UDP", URL: "udp://" + j.compact},
	}
}

// jaegerAnswer is the answer of /api/traces, as far as it is used.
type jaegerAnswer struct {
	Data []struct {
		Spans []struct {
			TraceID       string      `json:"traceID"`
			SpanID        string      `json:"spanID"`
			OperationName string      `json:"operationName"`
			References    []jaegerRef `json:"references"`
			StartTime     int64       `json:"startTime"` // µs since the Unix epoch
			Duration      int64       `json:"duration"`  // µs
			Tags          []jaegerTag `json:"tags"`
			ProcessID     string      `json:"processID"`
		} `json:"spans"`
		Processes map[string]struct {
			ServiceName string `json:"serviceName"`
		} `json:"processes"`
	} `json:"data"`
}

// jaegerRef is a reference of a span to another.
type jaegerRef struct {
	RefType string `json:"refType"`
	SpanID  string `json:"spanID"`
}

// jaegerTag is a typed tag; its value is kept as it stands, so that numbers lose no digit.
type jaegerTag struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// decodeJaeger decodes a trace as Jaeger's query API answers it.
func decodeJaeger(answer []byte) ([]spans.Span, error) {
	var decoded jaegerAnswer
	if err := decodeJSON(answer, &decoded); err != nil {
		return nil, err
	}
	var out []spans.Span
	for _, trace := range decoded.Data {
		for _, s := range trace.Spans {
			span := spans.Span{
				TraceID:  spans.PadID(s.TraceID, 32),
				ID:       spans.PadID(s.SpanID, 16),
				Service:  trace.Processes[s.ProcessID].ServiceName,
				Name:     s.OperationName,
				Start:    time.UnixMicro(s.StartTime),
				Duration: time.Duration(s.Duration) * time.Microsecond,
				Tags:     make(map[string]string, len(s.Tags)),
			}
			for _, ref := range s.References {
				if ref.RefType == "CHILD_OF" {
					span.ParentID = spans.PadID(ref.SpanID, 16)
				}
			}
			for _, tag := range s.Tags {
				span.Tags[tag.Key] = tag.text()
			}
			span.Kind = span.Tags["span.kind"]
			out = append(out, span)
		}
	}
	return out, nil
}

// text returns the value without the quotes of a string.
func (t jaegerTag) text() string {
	var s string
	if json.Unmarshal(t.Value, &s) == nil {
		return s
	}
	return string(t.Value)
}
