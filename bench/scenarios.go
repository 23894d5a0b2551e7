package bench

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/loadtest/server"
	"github.com/spanwire/spanwire/loadtest/sink"
)

// Names of the scenarios and phases that figures refer to.
const (
	ScenarioSmall      = "small"
	ScenarioSaturation = "saturation"
	ScenarioMesh       = "mesh"
	ScenarioRest       = "rest"
	ScenarioCollectors = "collectors"
	Phase1000          = "rate-1000"
	Phase5000          = "rate-5000"
	Phase32            = "closed-32"
	Phase256           = "closed-256"
	PhaseMesh          = "six-traversals"
	PhaseRest          = "idle"
)

// rest is how long a proxy without traffic is watched; restStarts is how often it is started in each run.
const (
	restWatch       = 5 * time.Second
	restStarts      = 4                      // 20 in the five runs of a full report
	restStartTime   = 600 * time.Millisecond // estimate for one start and stop
	restQuickStarts = 2
)

// DefaultIdle is how many connections idle beside the active ones in the scenario "many": what a limit of 20 000 descriptors leaves room for,
// with two for each connection in the proxy.
const DefaultIdle = 8000

// Scenarios returns what is measured; idle is the number of idle connections, 0 = DefaultIdle. A new scenario is one entry here.
func Scenarios(idle int) []Scenario {
	if idle == 0 {
		idle = DefaultIdle
	}
	const (
		direct, ours, envoy, haproxy = peer.Direct, peer.SpanwireOTLP, peer.EnvoyOTLP, peer.HAProxyHTTP
		second                       = time.Second
		ms                           = time.Millisecond
	)
	return []Scenario{
		{
			Name: ScenarioSmall, Title: "Small requests on 32 keep-alive connections, at fixed rates",
			Why:   "The usual traffic between services, far from any limit: what a user of the service feels.",
			Peers: peer.Names(), Quick: []string{direct, ours, envoy, haproxy},
			Phases: []Phase{
				{Name: Phase1000, Path: peer.PathSmall, Load: load("--rate", "1000"), Measure: 3600 * ms, Quick: 3400 * ms,
					Latency: true},
				{Name: Phase5000, Path: peer.PathSmall, Load: load("--rate", "5000"), Measure: 3600 * ms, Quick: 1600 * ms,
					Latency: true},
			},
		},
		{
			Name: ScenarioSaturation, Title: "Small requests as fast as answers come, on 32 and on 256 connections",
			Why:   "CPU per request when there is no idle time to hide in: what the sidecar adds to the bill.",
			Peers: peer.Names(), Quick: []string{ours, envoy, haproxy},
			Phases: []Phase{
				{Name: Phase32, Path: peer.PathSmall, Load: load("--closed", "--connections", "32"), Measure: 2600 * ms,
					Quick: 2500 * ms},
				{Name: Phase256, Path: peer.PathSmall, Load: load("--closed", "--connections", "256"), Measure: 2600 * ms,
					Quick: 2500 * ms},
			},
		},
		{
			Name: "bodies", Title: "Responses of 1 KB and 64 KB, requests of 16 KB, responses in chunks",
			Why:   "Bodies are most of the bytes; a proxy must not hold or copy them more than it has to.",
			Peers: []string{direct, ours, envoy},
			Upstreams: []Upstream{
				{Args: load("--body-size", "1024")}, {Args: load("--body-size", "65536")}, {Args: load("--body-size", "16")},
				{Args: load("--body-size", "16384", "--chunked", "--chunk-size", "1024")},
			},
			Phases: []Phase{
				{Name: "get-1k", Upstream: 0, Path: "/", Load: load("--rate", "1000"), Measure: 2 * second, Latency: true},
				{Name: "get-64k", Upstream: 1, Path: "/", Load: load("--rate", "1000"), Measure: 2 * second, Latency: true},
				{Name: "post-16k", Upstream: 2, Path: "/", Load: load("--rate", "1000", "--method", "POST", "--body-size", "16384"),
					Measure: 2 * second, Latency: true},
				{Name: "chunked-16k", Upstream: 3, Path: "/", Load: load("--rate", "1000"), Measure: 2 * second, Latency: true},
			},
		},
		{
			Name: "events", Title: "Server-sent events: 50 streams of an event every 20 ms",
			Why:       "A proxy that waits for more bytes delays every event; the delay is measured from sending to receiving each.",
			Peers:     []string{direct, ours, envoy},
			Upstreams: []Upstream{{Args: load("--events", "50", "--event-interval", "20ms")}},
			Phases: []Phase{{Name: "delay", Path: server.PathEvents, Load: load("--events", "--closed", "--connections", "50"),
				Measure: 5 * second, Latency: true}},
		},
		{
			Name: "connections", Title: "Eight requests in flight on a connection, and a connection for every request",
			Why:   "The two extremes of how clients use connections.",
			Peers: []string{ours, envoy, haproxy},
			Phases: []Phase{
				{Name: "pipelined", Path: peer.PathSmall, Load: load("--closed", "--connections", "8", "--pipeline", "8"),
					Measure: 2500 * ms},
				{Name: "one-per-connection", Path: peer.PathSmall, Load: load("--closed", "--connections", "32", "--no-keepalive"),
					Measure: 2500 * ms},
			},
		},
		{
			Name: "many", Title: fmt.Sprintf("%d idle connections, 100 active ones at 2 000 requests a second", idle),
			Why:   "Memory for each connection, and whether idle ones slow the others down.",
			Peers: []string{ours, envoy, haproxy},
			Phases: []Phase{{Name: "active-100", Path: peer.PathSmall,
				Load: load("--rate", "2000", "--connections", "100", "--idle-connections", strconv.Itoa(idle)), Measure: 5 * second, Latency: true}},
		},
		{
			Name: "tcp", Title: "Opaque TCP: 64 bytes to and fro, and 256 KiB messages in bulk",
			Why:       "Databases, queues and everything else that is not HTTP/1 passes too.",
			Peers:     []string{direct, peer.SpanwireOpaque, peer.EnvoyTCP, peer.HAProxyTCP, peer.NginxStream},
			Upstreams: []Upstream{{TCP: true, Args: load("--tcp")}},
			Phases: []Phase{
				{Name: "ping-pong", Load: load("--tcp", "--rate", "1000", "--body-size", "64"), Measure: 2500 * ms, Latency: true},
				{Name: "bulk", Load: load("--tcp", "--closed", "--connections", "4", "--body-size", "262144"),
					Measure: 2500 * ms, GiB: true},
			},
		},
		{
			Name: ScenarioMesh, Title: "A mesh: three services in a chain, a sidecar beside each, inbound and outbound",
			Why:   "The usual deployment: one request passes six times through a proxy, and every pass adds up.",
			Peers: []string{direct, ours, envoy}, Quick: []string{direct, ours, envoy},
			Topology: startMesh, Traversals: 2 * meshServices,
			// At 1 000 a second Envoy's six passes fill the one processor that all sidecars share, and latency is the queue in front of it; at
			// this rate they need half of it. Three quick runs have too few samples for a p99.
			Phases: []Phase{{Name: PhaseMesh, Path: peer.PathSmall, Load: load("--rate", "400"), Measure: 5200 * ms, Latency: true}},
		},
		{
			Name: ScenarioCollectors, Title: "2 000 requests a second while the collector is healthy, slow, dead, and back again",
			Why:   "Tracing must not harm traffic when its backend fails; spans should survive a short absence.",
			Peers: []string{ours, envoy}, Lossy: true,
			Phases: []Phase{
				{Name: "healthy", Path: peer.PathSmall, Load: load("--rate", "2000"), Measure: 2 * second, Latency: true},
				{Name: "slow", Path: peer.PathSmall, Load: load("--rate", "2000"), Measure: 2 * second, Latency: true, Collector: sink.Slow},
				{Name: "dead", Path: peer.PathSmall, Load: load("--rate", "2000"), Measure: 2 * second, Latency: true, Collector: sink.Dead},
				{Name: "back", Path: peer.PathSmall, Load: load("--rate", "2000"), Measure: 2 * second, Latency: true},
			},
		},
		{
			Name: ScenarioRest, Title: "At rest: memory, CPU, wake-ups, threads, descriptors; and the time from start to ready",
			Why:   "Most sidecars idle most of the time, in every pod; and a pod waits for its sidecar.",
			Peers: []string{ours, envoy, haproxy, peer.NginxHTTP}, Quick: []string{ours, envoy},
			measure: measureRest, fixed: restWatch + restSettle + restStarts*restStartTime,
		},
	}
}

// load is a list of arguments.
func load(args ...string) []string { return args }
