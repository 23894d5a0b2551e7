package exporters

// zipkinDefault is where a Zipkin on this host listens.
const zipkinDefault = "http://localhost:9411/api/v2/spans"

// newZipkin makes the exporter zipkin: POST of v2 JSON.
func newZipkin(cfg *Config) (*Exporter, error) {
	const setting = "--zipkin-endpoint"
	endpoint := cfg.ZipkinEndpoint
	if endpoint == "" {
		endpoint = zipkinDefault
	}
	u, err := parseEndpoint(setting, endpoint, "http", "https")
	if err != nil {
		return nil, err
	}
	// b3: 0 says "do not trace this", so that a traced path to the collector makes no spans about spans.
	s, err := newHTTPSender(cfg, setting, u, "application/json", nil, KV{"b3", "0"})
	if err != nil {
		return nil, err
	}
	return &Exporter{Encoder: newZipkinEncoder(cfg), Sender: s, Endpoint: shown(u)}, nil
}
