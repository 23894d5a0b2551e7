package main

import (
	"context"
	"crypto/x509"
	"math/rand/v2"
	"sync"
	"time"
)

// targets are the addresses of the sidecar's listeners.
type targets struct {
	plain, secure [sides]string // in front of the application, and of the upstream
	dead          [sides]string // in front of a port where nobody listens
	roots         *x509.CertPool
	// limit bounds a visit: nothing takes nearly as long, and what hangs is to be noticed.
	limit time.Duration
}

// kind is one sort of traffic.
type kind struct {
	name string
	// share of the rate, in requests; those of all kinds sum up to 1.
	share float64
	// workers send it, each in its own time, so that as many may be on the way at once. Half of them use each side.
	workers int
	// requests that one visit makes.
	requests int
	visit    func(ctx context.Context, c *client)
}

// kinds is the mix. Its shares are those of a service that others call often and briefly, with some of everything else: what matters here
// is that each path through the relay is taken all the time, in all combinations.
var kinds = []kind{
	{name: "keep-alive", share: 0.40, workers: 12, requests: 1, visit: keepAlive},
	{name: "call", share: 0.16, workers: 8, requests: 1, visit: call},
	{name: "churn", share: 0.16, workers: 8, requests: 1, visit: churn},
	{name: "tls", share: 0.08, workers: 4, requests: 1, visit: overTLS},
	{name: "http2", share: 0.06, workers: 4, requests: 3, visit: overHTTP2},
	{name: "h2c", share: 0.04, workers: 4, requests: 3, visit: overH2C},
	{name: "grpc-stream", share: 0.01, workers: 4, requests: 1, visit: stream},
	{name: "websocket", share: 0.01, workers: 24, requests: 1, visit: websocket},
	{name: "bulk", share: 0.01, workers: 4, requests: 1, visit: bulk},
	{name: "status", share: 0.03, workers: 2, requests: 1, visit: errorStatus},
	{name: "reset", share: 0.01, workers: 2, requests: 1, visit: resetByServer},
	{name: "cut", share: 0.01, workers: 2, requests: 1, visit: cutByServer},
	{name: "abandoned", share: 0.01, workers: 4, requests: 1, visit: abandon},
	{name: "refused", share: 0.005, workers: 2, requests: 1, visit: refused},
	{name: "not-http", share: 0.005, workers: 2, requests: 1, visit: notHTTP},
}

// client is one worker's: its random numbers and its connections. One goroutine uses it.
type client struct {
	kind    string
	side    side
	targets *targets
	tally   *tally
	random  *rand.Rand
	visits  int
	links   links
}

// visitLimit is the limit of a visit; under the race detector, which may be on a machine with much else to do, it is raceLimit.
const (
	visitLimit = 30 * time.Second
	raceLimit  = 2 * time.Minute
)

// run sends the mix at rate requests a second until ctx is done, and returns once all that was begun has ended.
func run(ctx context.Context, t *targets, tally *tally, rate float64, seed uint64) {
	var all sync.WaitGroup
	for i := range kinds {
		k := &kinds[i]
		interval := time.Duration(float64(time.Second) * float64(k.workers*k.requests) / (k.share * rate))
		for worker := range k.workers {
			c := &client{
				kind: k.name, side: side(worker) % sides, targets: t, tally: tally,
				random: seeded(seed, i*1000+worker),
			}
			all.Add(1)
			go func() {
				defer all.Done()
				defer c.links.close()
				c.work(ctx, k, interval)
			}()
		}
	}
	all.Wait()
}

// seeded returns the random numbers of one worker; a seed makes a run repeatable.
func seeded(seed uint64, worker int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(worker))) //nolint:gosec // nothing is secret here
}

// work makes a visit at each interval, open-loop but for this: what a visit that lasted longer made late is left out and counted.
func (c *client) work(ctx context.Context, k *kind, interval time.Duration) {
	next := time.Now().Add(time.Duration(c.random.Float64() * float64(interval)))
	for pause(ctx, time.Until(next)) {
		// What was begun is ended: a request cut off by the end of the run would be one of unknown outcome.
		visit, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.targets.limit)
		k.visit(visit, c)
		cancel()
		c.visits++
		next = next.Add(interval)
		if late := time.Since(next); late > time.Second {
			c.tally.skipped(k.name, int(late/interval)*k.requests)
			next = next.Add(late.Truncate(interval))
		}
	}
}
