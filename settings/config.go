package settings

import (
	"log/slog"
	"time"

	"github.com/spanwire/spanwire/core/trace"
)

// Config is what the settings say, parsed and checked.
type Config struct {
	ServiceName string
	Resource    []Pair // without service.name

	Listen      string // the transparent listener; "" = off
	Explicit    []Listener
	Loops       int
	DialTimeout time.Duration
	BusyPoll    time.Duration
	HTTPPorts   []uint16 // empty = detect HTTP on every port

	Exporters       []string // of ExporterKinds
	JaegerEndpoint  string
	JaegerUser      string
	JaegerPassword  string
	ZipkinEndpoint  string
	OTLPEndpoint    string // complete: what spans are posted to
	ExportHeaders   []Pair // for every exporter that speaks HTTP
	OTLPHeaders     []Pair // for the OTLP exporter alone: from OTEL_EXPORTER_OTLP_HEADERS
	FileHeaders     []Pair // from --export-header-file
	ExportCA        string // file
	ExportCert      string // file
	ExportKey       string // file
	ExportQueue     int    // spans
	ExportTimeout   time.Duration
	ExportInterval  time.Duration // age at which an incomplete batch is sent
	ExportGzip      bool
	Propagators     []string
	NoInject        []string
	Sampler         trace.Sampler
	SamplerRules    []string      // OPERATION=SAMPLER
	SamplerInitial  trace.Sampler // of a remote sampler, until its first answer
	SamplerInterval time.Duration // how often a remote sampler asks
	Disabled        bool
	RequestIDHeader string
	JoinTTL         time.Duration
	JoinSize        int

	Naming        string // "otel", "netra"
	IgnorePaths   []string
	IgnoreAgents  []string
	FoldPaths     []string // REGEXP[=>REPLACEMENT]
	Fold          string   // "auto", "off"
	OpenAPI       string   // file; "" = none
	MaxOperations int
	TagSchema     string   // "otel", "zipkin", "netra"
	TagHeaders    []string // NAME[:tag]
	TagCookies    []string
	RedactQuery   []string // names, "all", "none"; empty = names that look like secrets

	TraceResponseHeader string // "" = none

	Route       bool
	RouteHeader string
	RouteCookie string // "" = none
	RouteTTL    time.Duration
	RouteAllow  []string // CIDR, address, host, *.DOMAIN

	Netramesh     bool   // compatible with Netramesh
	XSourceHeader string // "" = none
	XSourceValue  string

	MetricsOperations bool // MetricsPeers includes it
	MetricsPeers      bool
	MaxPeers          int
	MaxSeries         int
	Statsd            string // HOST:PORT; "" = none
	StatsdPrefix      string
	AccessLog         AccessLog

	Admin          string // "" = off
	Metrics        string // "" = off
	MetricsAnyPath bool   // the metrics listener answers metrics on any path, as Netramesh's does
	ProbePorts     []uint16
	Heartbeat      bool
	Verify         bool // what is sent is compared with what was received
	DrainTimeout   time.Duration
	LogLevel       slog.Level
	LogJSON        bool
}

// Pair is a key with its value.
type Pair struct{ Key, Value string }

// Listener is an explicit listener.
type Listener struct {
	Addr     string
	Upstream string
	Outbound bool // requests from the local application; else to it
}
