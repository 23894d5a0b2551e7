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
// success: the status said so.
func otlpAccepted(body []byte) (rejected int, message string) {
	const (
		partialSuccess = 1
		rejectedSpans  = 1
		errorMessage   = 2
	)
	for len(body) > 0 {
		number, _, data, rest, ok := protoField(body)
		if !ok {
			return 0, ""
		}
		body = rest
		if number != partialSuccess {
			continue
		}
		for len(data) > 0 {
			number, value, text, rest, ok := protoField(data)
			if !ok {
				return 0, ""
			}
			data = rest
			switch number {
			case rejectedSpans:
				rejected = int(min(value, 1<<31-1))
			case errorMessage:
				message = printable(text)
			}
		}
	}
	return rejected, message
}

// protoField splits the first field off a protobuf message: its number, its value (a varint or a fixed) or its data (length-delimited),
// and what follows.
func protoField(b []byte) (number, value uint64, data, rest []byte, ok bool) {
	tag, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, 0, nil, nil, false
	}
	b = b[n:]
	switch tag & 7 {
	case 0:
		value, n = binary.Uvarint(b)
		if n <= 0 {
			return 0, 0, nil, nil, false
		}
		return tag >> 3, value, nil, b[n:], true
	case 1:
		if len(b) < 8 {
			return 0, 0, nil, nil, false
		}
		return tag >> 3, binary.LittleEndian.Uint64(b), nil, b[8:], true
	case 2:
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return 0, 0, nil, nil, false
		}
		b = b[n:]
		return tag >> 3, 0, b[:size], b[size:], true
	case 5:
		if len(b) < 4 {
			return 0, 0, nil, nil, false
		}
		return tag >> 3, uint64(binary.LittleEndian.Uint32(b)), nil, b[4:], true
	}
	return 0, 0, nil, nil, false
}
