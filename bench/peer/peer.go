// Package peer declares what is measured: this project's sidecar in its modes, and Envoy, HAProxy and nginx doing the same work.
// A peer is one entry in All and, where it reads one, a configuration template beside it.
package peer

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// The package's errors.
var (
	// ErrUnknown is wrapped by the error for a name that no peer has.
	ErrUnknown = errors.New("unknown peer")
	// ErrMissing is wrapped by the error for a tool that is not installed; the text says how to install it.
	ErrMissing = errors.New("not installed")
)

// Protocol is how a peer sends its spans.
type Protocol string

// The protocols; None = it makes no spans.
const (
	None   Protocol = ""
	OTLP   Protocol = "otlp"   // OTLP over HTTP, protobuf
	Zipkin Protocol = "zipkin" // Zipkin v2 JSON
	Jaeger Protocol = "jaeger" // Jaeger's Thrift over HTTP
)

// Peer is one thing to measure.
type Peer struct {
	// Name is what --peers, results and logs call it. Title is for people.
	Name, Title string
	// Tool is the executable; empty = nothing runs, the client talks to the upstream.
	Tool Tool
	// HTTP: it reads requests, rather than passing bytes.
	HTTP bool
	// Spans is how it sends spans, and Share of how many requests: 1 = every request.
	Spans Protocol
	Share float64
	// config is the name of its template in configs; empty = arguments do.
	config string
	// variant is passed to the template, where peers share one.
	variant string
	// batch is after how many spans it sends them, where its configuration says so; 0 = it makes none, or needs no telling.
	batch int
	// args returns its arguments; file is the path of its configuration.
	args func(w Wiring, file string) []string
}

// Ours reports whether the peer is this project's.
func (p Peer) Ours() bool { return p.Tool == Spanwire }

// SpansPerTraversal is how many spans one request makes at each traversal.
func (p Peer) SpansPerTraversal() float64 {
	if p.Spans == None {
		return 0
	}
	return p.Share
}

// Route is one listener of a proxy and where it leads.
type Route struct {
	Listen, Upstream string // host:port
	// Outbound: from the local application to others, rather than to it.
	Outbound bool
}

// Wiring is what a measurement gives a proxy to do.
type Wiring struct {
	Name    string // of the process, unique in its run
	Service string
	Dir     string // for files of its own: made, and kept beside the report
	Routes  []Route
	Sink    string // host:port of the span collector
	Admin   string // host:port for its metrics; empty = none
	// Workers is the number of event loops or worker threads.
	Workers int
	// Connections is how many client connections it must be able to hold.
	Connections int
}

// ListenHost is the host of Listen, for templates as all of these.
func (r Route) ListenHost() (string, error) { h, _, err := net.SplitHostPort(r.Listen); return h, err }

// ListenPort is the port of Listen.
func (r Route) ListenPort() (string, error) { _, p, err := net.SplitHostPort(r.Listen); return p, err }

// UpstreamHost is the host of Upstream.
func (r Route) UpstreamHost() (string, error) {
	h, _, err := net.SplitHostPort(r.Upstream)
	return h, err
}

// UpstreamPort is the port of Upstream.
func (r Route) UpstreamPort() (string, error) {
	_, p, err := net.SplitHostPort(r.Upstream)
	return p, err
}

// SinkHost is the host of Sink.
func (w Wiring) SinkHost() (string, error) { h, _, err := net.SplitHostPort(w.Sink); return h, err }

// SinkPort is the port of Sink.
func (w Wiring) SinkPort() (string, error) { _, p, err := net.SplitHostPort(w.Sink); return p, err }

// Names of peers that scenarios and figures name.
const (
	Direct           = "direct"
	SpanwireOpaque   = "spanwire-opaque"
	SpanwireUntraced = "spanwire-untraced"
	SpanwirePercent  = "spanwire-1pct"
	SpanwireOTLP     = "spanwire-otlp"
	SpanwireZipkin   = "spanwire-zipkin"
	SpanwireJaeger   = "spanwire-jaeger"
	SpanwireAll      = "spanwire-everything"
	EnvoyTCP         = "envoy-tcp"
	EnvoyHTTP        = "envoy-http"
	EnvoyOTLP        = "envoy-otlp"
	EnvoyZipkin      = "envoy-zipkin"
	EnvoyZipkin128   = "envoy-zipkin-128"
	HAProxyHTTP      = "haproxy-http"
	HAProxyTCP       = "haproxy-tcp"
	NginxHTTP        = "nginx-http"
	NginxStream      = "nginx-stream"
)

// All returns every peer, in the order of reports.
func All() []Peer {
	return []Peer{
		{Name: Direct, Title: "no proxy", HTTP: true},
		spanwire(SpanwireOpaque, "Spanwire, bytes only", None, 0, "--http-ports", "1", "--exporter", "none"),
		spanwire(SpanwireUntraced, "Spanwire, sampling nothing", None, 0, "--sampler", "never", "--exporter", "otlp"),
		spanwire(SpanwirePercent, "Spanwire, 1 % as OTLP", OTLP, 0.01, "--sampler", "ratio=0.01", "--exporter", "otlp"),
		spanwire(SpanwireOTLP, "Spanwire, 100 % as OTLP", OTLP, 1, "--exporter", "otlp"),
		spanwire(SpanwireZipkin, "Spanwire, 100 % as Zipkin", Zipkin, 1, "--exporter", "zipkin", "--propagators", "b3multi"), // as Envoy's tracer does
		spanwire(SpanwireJaeger, "Spanwire, 100 % as Jaeger Thrift", Jaeger, 1, "--exporter", "jaeger"),
		spanwire(SpanwireAll, "Spanwire, 100 % as OTLP, everything switched on", OTLP, 1, everything()...),
		envoy(EnvoyTCP, "Envoy, TCP", "tcp", None, 0),
		envoy(EnvoyHTTP, "Envoy, HTTP untraced", "http", None, 0),
		envoy(EnvoyOTLP, "Envoy, 100 % as OTLP", "otlp", OTLP, ownBatch),
		envoy(EnvoyZipkin, "Envoy, 100 % as Zipkin in batches of 512", "zipkin", Zipkin, ownBatch),
		envoy(EnvoyZipkin128, "Envoy, 100 % as Zipkin in batches of 128", "zipkin", Zipkin, gentleBatch),
		haproxy(HAProxyHTTP, "HAProxy, HTTP with a unique id", "http"),
		haproxy(HAProxyTCP, "HAProxy, TCP", "tcp"),
		nginx(NginxHTTP, "nginx, HTTP with a request id", "http"),
		nginx(NginxStream, "nginx, stream", "stream"),
	}
}

// ByName returns the named peer.
func ByName(name string) (Peer, error) {
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
	}
	return Peer{}, fmt.Errorf("%w %q (allowed: %v)", ErrUnknown, name, Names())
}

// Names lists all peers.
func Names() (names []string) {
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return names
}

// spanwire declares a mode of the sidecar: explicit listeners, settings as flags.
func spanwire(name, title string, spans Protocol, share float64, settings ...string) Peer {
	return Peer{
		Name: name, Title: title, Tool: Spanwire, HTTP: name != SpanwireOpaque, Spans: spans, Share: share,
		args: func(w Wiring, _ string) []string {
			args := []string{"run", "--service-name", w.Service, "--loops", fmt.Sprint(w.Workers)}
			for _, r := range w.Routes {
				flag := "--inbound"
				if r.Outbound {
					flag = "--outbound"
				}
				args = append(args, flag, r.Listen+"="+r.Upstream)
			}
			admin := w.Admin
			if admin == "" {
				admin = "off"
			}
			args = append(args, "--admin", admin, "--metrics", "off", "--drain-timeout", "8s")
			for _, s := range settings {
				args = append(args, strings.ReplaceAll(s, ownDirectory, w.Dir))
			}
			if i := slices.Index(settings, "--exporter"); i >= 0 && settings[i+1] != "none" {
				args = append(args, endpoint(settings[i+1], w.Sink)...)
			}
			return args
		},
	}
}

// AccessLog is the file in Wiring.Dir that SpanwireAll writes a line to for each request.
const AccessLog = "access.log"

// ownDirectory stands for Wiring.Dir in the settings of a mode.
const ownDirectory = "{dir}"

// everything is what can be switched on of names, tags, metrics and logs, at once: metrics by operation and peer, twenty expressions to fold by (of which
// none fits, so that all are tried on the first sight of a path), headers and a cookie as tags, an access log to a file.
func everything() []string {
	settings := []string{"--exporter", "otlp", "--metrics-peers", "--access-log", ownDirectory + "/" + AccessLog, "--tag-header", "Content-Type",
		"--tag-header", "X-Tenant:tenant", "--tag-cookie", "session:session", "--sampler-rule", "GET /health*=never"}
	for i := range 20 {
		settings = append(settings, "--fold-path", fmt.Sprintf("/v%d/items/[0-9a-f]{%d,}=>/v%d/items/{id}", i, i+8, i))
	}
	return settings
}

// endpoint returns the flag that tells an exporter where the sink is.
func endpoint(exporter, sink string) []string {
	switch exporter {
	case "otlp":
		return []string{"--otlp-endpoint", "http://" + sink}
	case "zipkin":
		return []string{"--zipkin-endpoint", "http://" + sink + "/api/v2/spans"}
	case "jaeger":
		return []string{"--jaeger-endpoint", "http://" + sink + "/api/traces"}
	}
	panic("BUG: exporter " + exporter + " has no endpoint")
}

// Sizes of Envoy's batches of spans. What Envoy needs to write a span as Zipkin's JSON grows with the batch, so that the sidecar's own size,
// which equal settings ask for, is not the one that Envoy does well with.
const (
	ownBatch    = 512 // the sidecar's, which is no setting there
	gentleBatch = 128
)

// envoy declares a mode of Envoy, that sends spans in batches of the given size.
func envoy(name, title, variant string, spans Protocol, batch int) Peer {
	p := Peer{
		Name: name, Title: title, Tool: Envoy, HTTP: variant != "tcp", Spans: spans, config: "envoy.yaml", variant: variant, batch: batch,
		args: func(w Wiring, file string) []string {
			return []string{"-c", file, "--concurrency", fmt.Sprint(w.Workers), "--disable-hot-restart", "-l", "warn"}
		},
	}
	if spans != None {
		p.Share = 1
	}
	return p
}

// haproxy declares a mode of HAProxy; -db keeps it in the foreground, one process.
func haproxy(name, title, variant string) Peer {
	return Peer{
		Name: name, Title: title, Tool: HAProxy, HTTP: variant == "http", config: "haproxy.cfg", variant: variant,
		args: func(_ Wiring, file string) []string { return []string{"-db", "-f", file} },
	}
}

// nginx declares a mode of nginx.
func nginx(name, title, variant string) Peer {
	return Peer{
		Name: name, Title: title, Tool: Nginx, HTTP: variant == "http", config: "nginx.conf", variant: variant,
		args: func(w Wiring, file string) []string { return nginxArgs(w.Dir, file) },
	}
}

// nginxArgs are the arguments of an nginx that keeps its files in dir.
func nginxArgs(dir, file string) []string { return []string{"-p", dir, "-c", file, "-e", "stderr"} }
