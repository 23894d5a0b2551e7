package exporters

import (
	"fmt"
	"net/url"
	"strings"
)

const (
	// jaegerDefault is Jaeger's preferred way in.
	jaegerDefault = "http://localhost:4318/v1/traces"
	// jaegerAgentPort is the agent's port for the compact protocol.
	jaegerAgentPort = "6831"
	// maxPacketBytes bounds a packet to the agent: what it reads at once (its default), and less than a UDP packet may carry.
	maxPacketBytes = 65000
)

// newJaeger makes the exporter jaeger. Scheme and path of the URL choose among its three ways in.
func newJaeger(cfg *Config) (*Exporter, error) {
	const setting = "--jaeger-endpoint"
	endpoint := cfg.JaegerEndpoint
	if endpoint == "" {
		endpoint = jaegerDefault
	}
	u, err := parseEndpoint(setting, endpoint, "http", "https", "udp")
	if err != nil {
		return nil, err
	}
	if u.User == nil && cfg.JaegerUser != "" {
		u.User = url.UserPassword(cfg.JaegerUser, cfg.JaegerPassword)
	}
	switch path := strings.TrimSuffix(u.Path, "/"); {
	case u.Scheme == "udp":
		return jaegerAgent(cfg, u)
	case strings.HasSuffix(path, otlpPath):
		return otlpTo(cfg, setting, u)
	case strings.HasSuffix(path, "/api/traces"):
		return jaegerCollector(cfg, setting, u)
	}
	const allowed = "http(s)://…/v1/traces (OTLP), http(s)://…/api/traces (Thrift), udp://host:port (agent)"
	return nil, fmt.Errorf("%s %q: unknown path; allowed: %s", setting, shown(u), allowed)
}

// jaegerCollector makes an exporter of Thrift over HTTP. There, compression is not understood by all versions, so it is never used.
func jaegerCollector(cfg *Config, setting string, u *url.URL) (*Exporter, error) {
	plain := *cfg
	plain.Gzip = false
	s, err := newHTTPSender(&plain, setting, u, "application/vnd.apache.thrift.binary", nil)
	if err != nil {
		return nil, err
	}
	return &Exporter{Encoder: newJaegerEncoder(cfg, false), Sender: s, Endpoint: shown(u)}, nil
}

// jaegerAgent makes an exporter to the agent.
func jaegerAgent(cfg *Config, u *url.URL) (*Exporter, error) {
	return &Exporter{
		Encoder: newJaegerEncoder(cfg, true), Sender: newUDPSender(hostPortOf(u, jaegerAgentPort), cfg.Timeout),
		Endpoint: shown(u), MaxBatchBytes: maxPacketBytes, Datagram: true,
	}, nil
}
