// Package exporters carries spans from the rings of the loops to where people look at them. One goroutine empties the rings and
// encodes each record straight into the current batch of every exporter; each exporter has a bounded queue of encoded batches and
// senders of its own, so that a dead collector stalls nobody. Whatever is not delivered is counted, by reason.
//
// A new exporter is one file and one line in Table.
package exporters

import (
	"io"
	"log/slog"
	"strings"
	"time"
)

// Kind is one row of the table of exporters.
type Kind struct {
	// Name is what --exporter takes and the label `exporter` of the metrics.
	Name string
	// New makes the exporter from cfg. Its error names the setting, its value and what is allowed.
	New func(cfg *Config) (*Exporter, error)
}

// Table returns the exporters in the order of the help text. The caller owns the slice.
func Table() []Kind {
	return []Kind{
		{Name: "jaeger", New: newJaeger},
		{Name: "zipkin", New: newZipkin},
		{Name: "otlp", New: newOTLP},
		{Name: "log", New: newLog},
		{Name: "none", New: newNone},
	}
}

// Names returns the names of Table, as an error message lists them.
func Names() string {
	var names []string
	for _, k := range Table() {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// Exporter is a wire format and a way to send it.
type Exporter struct {
	// Encoder makes batches; nil: spans are discarded, and counted as exported.
	Encoder Encoder
	// Sender delivers them. Nil if and only if Encoder is.
	Sender Sender
	// Endpoint is where spans go, without credentials, for the start line and the log.
	Endpoint string
	// MaxBatchBytes bounds a batch; 0 = Config.BatchBytes.
	MaxBatchBytes int
	// Datagram: MaxBatchBytes holds for a single span too; one that is larger is dropped (ReasonEncode).
	Datagram bool
}

// Encoder appends spans to batches. It is used by one goroutine and allocates nothing once dst is large enough. It keeps no
// reference to what it is given.
type Encoder interface {
	// Begin starts a batch: it appends to dst, which is empty, what stands before the first span, or space for it.
	Begin(dst []byte) []byte
	// Append appends one span. v is valid during the call.
	Append(dst []byte, v *View) []byte
	// Finish completes a batch of spans ≥ 1 spans and returns its payload, which is dst or a part of it. It adds at most
	// maxFinishBytes to dst.
	Finish(dst []byte, spans int) []byte
}

// maxFinishBytes is what Finish may add: closing brackets or stop bytes.
const maxFinishBytes = 8

// Sender delivers batches. Send is called by up to maxInFlight goroutines at once.
type Sender interface {
	// Send delivers the payload of a batch of that many spans, or says why not. It returns within Config.Timeout, or soon after
	// Abort, and keeps no reference to payload.
	Send(payload []byte, spans int) Result
	// Abort ends what Send is doing and makes it fail from now on. It may be called more than once.
	Abort()
}

// Outcome is what became of a batch.
type Outcome uint8

// The outcomes of Send.
const (
	// Delivered: the receiver has it (but for Result.Rejected spans of it).
	Delivered Outcome = iota
	// Retry: not delivered, and worth another attempt later.
	Retry
	// RetryFew: not delivered, for a reason that people must mend; a few more attempts, then drop.
	RetryFew
	// Refused: not delivered, and never will be.
	Refused
)

// Result is the answer of Send.
type Result struct {
	Outcome Outcome
	// Rejected is how many spans of a delivered batch the receiver did not take.
	Rejected int
	// RetryAfter is how long the receiver asked to be left alone; 0 = it did not ask.
	RetryAfter time.Duration
	// Failure names what went wrong, for the log; FailNone = nothing. Err has the details.
	Failure Fail
	Err     error
	// Reason is under what the spans are counted if they are dropped because of this result.
	Reason Reason
}

// Reason is why a span was dropped; the label `reason` of spanwire_spans_dropped_total.
type Reason uint8

// The reasons.
const (
	// ReasonRingFull: the loop's ring was full. Counted under every exporter.
	ReasonRingFull Reason = iota
	// ReasonQueueFull: the exporter's queue was full; the oldest went.
	ReasonQueueFull
	// ReasonRejected: the receiver refused it for good, by its status or by a partial success.
	ReasonRejected
	// ReasonTLS: no trusted connection could be made.
	ReasonTLS
	// ReasonEncode: the encoded span exceeds what the transport carries.
	ReasonEncode
	// ReasonShutdown: not delivered before the deadline of the last flush.
	ReasonShutdown
	// NumReasons is the number of values of Reason.
	NumReasons
)

// String returns the value of the label.
func (r Reason) String() string {
	switch r {
	case ReasonRingFull:
		return "ring_full"
	case ReasonQueueFull:
		return "queue_full"
	case ReasonRejected:
		return "rejected"
	case ReasonTLS:
		return "tls"
	case ReasonEncode:
		return "encode"
	case ReasonShutdown:
		return "shutdown"
	}
	return "unknown"
}

// KV is a key and a value.
type KV struct{ Key, Value string }

// Config is what New needs. The zero value of a field means its default, where one is named.
type Config struct {
	Kinds       []string // names of Table; at least one
	ServiceName string   // required
	Resource    []KV     // further resource attributes; service.instance.id is made unless given
	TagSchema   string   // otel, zipkin or netra; default otel
	Version     string   // of this program: scope version, user agent

	JaegerEndpoint string // scheme and path choose the wire format; default http://localhost:4318/v1/traces
	ZipkinEndpoint string // default http://localhost:9411/api/v2/spans
	OTLPEndpoint   string // base, /v1/traces is appended; default http://localhost:4318
	// OTLPTracesEndpoint is used as it is and beats OTLPEndpoint.
	OTLPTracesEndpoint         string
	JaegerUser, JaegerPassword string        // basic authentication of the exporter jaeger; user-info in an endpoint beats it
	Headers                    []KV          // sent with every HTTP request
	CAFile, CertFile, KeyFile  string        // PEM; own authorities instead of the system's; client certificate and key
	Gzip                       bool          // compress OTLP and Zipkin
	Timeout                    time.Duration // of one attempt, connecting included; default 10 s
	QueueSpans                 int           // spans held per exporter; default 32768
	QueueBytes                 int           // bytes held per exporter; default 8 MiB
	BatchSpans                 int           // default 512
	BatchBytes                 int           // default 256 KiB
	FlushEvery                 time.Duration // age at which an incomplete batch is sent; default 1 s
	Output                     io.Writer     // of the exporter log; default os.Stdout
	Log                        *slog.Logger  // default: discard

	instanceID string // service.instance.id, made by New

	// Back-off: first pause and upper limit; 0 = 200 ms and 10 s. Tests shorten them.
	backoffMin, backoffMax time.Duration
}

// Defaults of Config. A request costs some 50 µs here and as much at the collector: 512 spans (OpenTelemetry's default too) make that
// 0.1 µs a span; with 128 it was 0.4.
const (
	defaultTimeout    = 10 * time.Second
	defaultQueueSpans = 32768
	defaultQueueBytes = 8 << 20
	defaultBatchSpans = 512
	defaultBatchBytes = 256 << 10
	defaultFlushEvery = time.Second
	defaultBackoffMin = 200 * time.Millisecond
	defaultBackoffMax = 10 * time.Second
)

// maxInFlight bounds the requests in flight per exporter. Where the loops take all processors an answer is noticed only every 10 ms
// (the Go runtime's own poll): two would bound Zipkin JSON to 60 000 spans a second.
const maxInFlight = 4

// orDefault returns v, or def for zero and below.
func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// withDefaults returns cfg with every default filled in.
func withDefaults(cfg Config) Config {
	cfg.Timeout = orDefault(cfg.Timeout, defaultTimeout)
	cfg.QueueSpans = orDefault(cfg.QueueSpans, defaultQueueSpans)
	cfg.QueueBytes = orDefault(cfg.QueueBytes, defaultQueueBytes)
	// A batch is dropped as a whole, so that several must fit into the queue.
	cfg.BatchSpans = min(orDefault(cfg.BatchSpans, defaultBatchSpans), max(1, cfg.QueueSpans/4))
	cfg.BatchBytes = min(orDefault(cfg.BatchBytes, defaultBatchBytes), max(1, cfg.QueueBytes/4))
	cfg.FlushEvery = orDefault(cfg.FlushEvery, defaultFlushEvery)
	cfg.backoffMin = orDefault(cfg.backoffMin, defaultBackoffMin)
	cfg.backoffMax = orDefault(cfg.backoffMax, defaultBackoffMax)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.TagSchema == "" {
		cfg.TagSchema = "otel"
	}
	return cfg
}
