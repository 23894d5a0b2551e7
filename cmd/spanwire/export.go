package main

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/exporters"
	"github.com/spanwire/spanwire/settings"
)

// exports is the pipeline from the rings to the collectors; there is none when tracing is disabled.
type exports struct {
	pipeline *exporters.Pipeline
	started  bool
}

// build makes the pipeline from the settings.
func (x *exports) build(c *settings.Config, rings []*ring.Ring[span.Record], log *slog.Logger) error {
	if c.Disabled {
		return nil
	}
	headers := slices.Concat(c.ExportHeaders, c.FileHeaders)
	if speaksOTLP(c) {
		headers = append(headers, c.OTLPHeaders...)
		if len(c.OTLPHeaders) > 0 && !slices.Equal(c.Exporters, []string{"otlp"}) {
			log.Warn("OTEL_EXPORTER_OTLP_HEADERS go to every exporter over HTTP")
		}
	}
	var err error
	x.pipeline, err = exporters.New(exporters.Config{
		Kinds: c.Exporters, ServiceName: c.ServiceName, Resource: pairs(c.Resource), TagSchema: c.TagSchema, Version: build().Version,
		JaegerEndpoint: c.JaegerEndpoint, JaegerUser: c.JaegerUser, JaegerPassword: c.JaegerPassword,
		ZipkinEndpoint: c.ZipkinEndpoint, OTLPTracesEndpoint: c.OTLPEndpoint,
		Headers: pairs(headers), CAFile: c.ExportCA, CertFile: c.ExportCert, KeyFile: c.ExportKey,
		Gzip: c.ExportGzip, Timeout: c.ExportTimeout, FlushEvery: c.ExportInterval,
		QueueSpans: c.ExportQueue, Log: log,
	}, rings)
	return err
}

// speaksOTLP reports whether an exporter speaks OTLP, to whose collector OTEL_EXPORTER_OTLP_HEADERS belong.
func speaksOTLP(c *settings.Config) bool {
	path, _, _ := strings.Cut(c.JaegerEndpoint, "?")
	return slices.Contains(c.Exporters, "otlp") || slices.Contains(c.Exporters, "jaeger") && strings.HasSuffix(path, "/v1/traces")
}

// start lets spans flow.
func (x *exports) start() {
	if x.pipeline != nil {
		x.pipeline.Start()
		x.started = true
	}
}

// shutdown sends what is left until ctx ends. What is not sent by then is counted, and so in the last line of the log.
func (x *exports) shutdown(ctx context.Context) {
	if x.started {
		_ = x.pipeline.Shutdown(ctx)
	}
}

// stats returns the accounts; none without exporters.
func (x *exports) stats() exporters.Stats {
	if x.pipeline == nil {
		return exporters.Stats{}
	}
	return x.pipeline.Stats()
}

// endpoints says who gets the spans, without credentials.
func (x *exports) endpoints() string { return x.pipeline.Endpoints() }

func pairs(list []settings.Pair) []exporters.KV {
	var out []exporters.KV
	for _, p := range list {
		out = append(out, exporters.KV(p))
	}
	return out
}
