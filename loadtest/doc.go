// Package loadtest is the load generator behind spanload: one event loop that sends HTTP/1.1 requests (or TCP messages to be
// echoed) at a constant rate, checks every answer, and keeps the latencies in an HdrHistogram.
//
// Open loop is the default: request i is due at start + i/rate whatever became of the requests before it, and its latency
// counts from then, not from when a connection was free to carry it. So a server that stalls for a second shows a second in
// its percentiles ("no coordinated omission"). Closed loop sends the next request of a connection when the answer to the last
// one is in, as wrk does, and measures what a server can do rather than what its users see.
//
// The path of a request:
//
//	schedule → dispatch → send → receive → parse → check → record
//
// One goroutine owns everything on that path: poller, connections, schedule and histograms. It allocates nothing per request.
// Others see copies only: Progress values while it runs, the Result at the end.
package loadtest
