package exporters

import (
	"encoding/binary"
	"net/url"
	"strings"
)

// otlpDefault is where a collector on this host listens.
const otlpDefault = "http://localhost:4318"

// otlpPath is the path of traces below a base URL.
const otlpPath = "/v1/traces"

// newOTLP makes the exporter otlp: POST of protobuf.
func newOTLP(cfg *Config) (*Exporter, error) {
	const setting = "--otlp-endpoint"
	if cfg.OTLPTracesEndpoint != "" {
		u, err := parseEndpoint("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", cfg.OTLPTracesEndpoint, "http", "https")
		if err != nil {
			return nil, err
		}
		return otlpTo(cfg, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", u)
	}
	endpoint := cfg.OTLPEndpoint
	if endpoint == "" {
		endpoint = otlpDefault
	}
	u, err := parseEndpoint(setting, endpoint, "http", "https")
	if err != nil {
		return nil, err
	}
	// A base that already ends in the path was meant as the whole.
	if !strings.HasSuffix(u.Path, otlpPath) {
		u = u.JoinPath(otlpPath)
	}
	return otlpTo(cfg, setting, u)
}

// otlpTo makes an exporter of OTLP to u, which came from that setting.
func otlpTo(cfg *Config, setting string, u *url.URL) (*Exporter, error) {
	s, err := newHTTPSender(cfg, setting, u, "application/x-protobuf", otlpAccepted)
	if err != nil {
		return nil, err
	}
	return &Exporter{Encoder: newOTLPEncoder(cfg), Sender: s, Endpoint: shown(u)}, nil
}

// otlpAccepted reads ExportTraceServiceResponse.partial_success: rejected_spans and error_message. What cannot be read counts as full
// success: the status said so. Fields of another type than theirs are passed over, as protobuf has it.
func otlpAccepted(body []byte) (rejected int, message string) {
	const (
		partialSuccess = 1
		rejectedSpans  = 1
		errorMessage   = 2
	)
	for len(body) > 0 {
		f, rest, ok := protoField(body)
		if !ok {
			return 0, ""
		}
		body = rest
		if f.number != partialSuccess || f.kind != protoBytes {
			continue
		}
		for data := f.data; len(data) > 0; {
			f, rest, ok := protoField(data)
			if !ok {
				return 0, ""
			}
			data = rest
			switch {
			case f.number == rejectedSpans && f.kind == protoVarint:
				rejected = int(max(0, min(int64(f.value), 1<<31-1))) // a negative number of spans is none
			case f.number == errorMessage && f.kind == protoBytes:
				message = printable(f.data)
			}
		}
	}
	return rejected, message
}

// The kinds of fields on the wire that are read; what they are called is in protobuf's encoding.
const (
	protoVarint  = 0
	protoFixed64 = 1
	protoBytes   = 2
	protoFixed32 = 5
)

// field is a field of a protobuf message: its value if it is a varint, its data if its length is given. data is a part of the message.
type field struct {
	number, kind, value uint64
	data                []byte
}

// protoField splits the first field off a protobuf message. ok is false for what is no field, and for the groups of old.
func protoField(b []byte) (f field, rest []byte, ok bool) {
	const maxNumber = 1<<29 - 1
	tag, n := binary.Uvarint(b)
	f.number, f.kind = tag>>3, tag&7
	if n <= 0 || f.number < 1 || f.number > maxNumber {
		return f, nil, false
	}
	b = b[n:]
	size := uint64(0)
	switch f.kind {
	case protoVarint:
		f.value, n = binary.Uvarint(b)
		return f, b[max(n, 0):], n > 0
	case protoFixed64:
		size = 8
	case protoBytes:
		if size, n = binary.Uvarint(b); n <= 0 {
			return f, nil, false
		}
		b = b[n:]
	case protoFixed32:
		size = 4
	default:
		return f, nil, false
	}
	if size > uint64(len(b)) {
		return f, nil, false
	}
	f.data = b[:size]
	return f, b[size:], true
}
