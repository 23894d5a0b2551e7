package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans at one address, and can be ended, started again there, and made slow.
type collector struct {
	name, addr string
	// read returns the ids of the spans in a body; false: it is none.
	read func(body []byte) (ids [][8]byte, ok bool)

	mu       sync.Mutex
	server   *http.Server // nil while it is ended
	delay    time.Duration
	starts   int
	distinct uint64 // spans, each counted once however often it was sent
	repeated uint64
	bad      uint64 // bodies that are not spans
	// An id is looked for among those of this generation and the one before, so that memory stays bounded in a run of days. Whatever is
	// sent twice is sent twice within one: what is tried again waits ten seconds at most.
	recent, earlier map[[8]byte]struct{}
	turned          time.Time
}

// generation is how long ids are kept at least.
const generation = 5 * time.Minute

func newCollector(name string, read func([]byte) ([][8]byte, bool)) (*collector, error) {
	c := &collector{name: name, read: read, recent: map[[8]byte]struct{}{}, turned: time.Now()}
	// No client's connection has this address, so none takes the port while the collector is away.
	l, err := listen("127.0.0.2:0")
	if err != nil {
		return nil, err
	}
	c.addr = l.Addr().String()
	_ = l.Close()
	return c, c.start()
}

// start begins to answer; it fails when somebody else has taken the address meanwhile.
func (c *collector) start() error {
	l, err := listen(c.addr)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: c, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	c.mu.Lock()
	c.server, c.starts = s, c.starts+1
	c.mu.Unlock()
	go func() { _ = s.Serve(l) }()
	return nil
}

// stop ends it as the end of its process would: nobody listens, and each connection is closed wherever it stands.
func (c *collector) stop() {
	c.mu.Lock()
	s := c.server
	c.server = nil
	c.mu.Unlock()
	if s != nil {
		_ = s.Close()
	}
}

func (c *collector) slow(delay time.Duration) {
	c.mu.Lock()
	c.delay = delay
	c.mu.Unlock()
}

// ServeHTTP takes a batch.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	ids, ok := c.read(body)
	c.count(ids, ok)
	c.mu.Lock()
	delay := c.delay
	c.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
	}
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
	}
}

// count counts the spans of one batch.
func (c *collector) count(ids [][8]byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok {
		c.bad++
	}
	if time.Since(c.turned) > generation {
		c.earlier, c.recent, c.turned = c.recent, make(map[[8]byte]struct{}, len(c.recent)), time.Now()
	}
	for _, id := range ids {
		_, seen := c.recent[id]
		_, before := c.earlier[id]
		if seen || before {
			c.repeated++
			continue
		}
		c.recent[id] = struct{}{}
		c.distinct++
	}
}

// taken is what a collector was given.
type taken struct {
	Spans    uint64 `json:"spans"`    // each once
	Repeated uint64 `json:"repeated"` // sent again after the answer was lost
	Starts   int    `json:"starts"`
	Bad      uint64 `json:"bad_batches"`
}

func (c *collector) taken() taken {
	c.mu.Lock()
	defer c.mu.Unlock()
	return taken{Spans: c.distinct, Repeated: c.repeated, Starts: c.starts, Bad: c.bad}
}

// disturb ends and starts the collector and makes it slow, in turns of the length cycle, until ctx is done; then it answers promptly. The
// first turn begins after offset. In every fifth turn, the first included, it stays away for most of it, so that queues fill and drop.
func (c *collector) disturb(ctx context.Context, offset, cycle time.Duration) (err error) {
	defer func() {
		c.slow(0)
		c.mu.Lock()
		ended := c.server == nil
		c.mu.Unlock()
		if ended {
			err = c.start()
		}
	}()
	part := func(share float64) bool { return pause(ctx, time.Duration(share*float64(cycle))) }
	if !pause(ctx, offset) {
		return nil
	}
	for turn := 0; ; turn++ {
		away := 0.15
		if turn%5 == 0 {
			away = 0.75
		}
		c.stop()
		if !part(away) {
			return nil
		}
		if err := c.start(); err != nil {
			return err
		}
		if !part(0.1) {
			return nil
		}
		c.slow(slowAnswer)
		if !part(0.1) {
			return nil
		}
		c.slow(0)
		if !part(0.8 - away) {
			return nil
		}
	}
}

// slowAnswer is how long a slow collector takes for a batch: below the exporters' timeout of ten seconds, above their interval of one.
const slowAnswer = 1500 * time.Millisecond

// pause waits; false: ctx is done.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// readOTLP reads an ExportTraceServiceRequest, which is on the wire what TracesData is.
func readOTLP(body []byte) (ids [][8]byte, ok bool) {
	var request tracepb.TracesData
	if err := proto.Unmarshal(body, &request); err != nil {
		return nil, false
	}
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := span.GetSpanId()
				if len(id) != 8 {
					return nil, false
				}
				ids = append(ids, [8]byte(id))
			}
		}
	}
	return ids, true
}

// readZipkin reads a list of Zipkin's spans.
func readZipkin(body []byte) (ids [][8]byte, ok bool) {
	var spans []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(body, &spans); err != nil {
		return nil, false
	}
	for _, span := range spans {
		id, err := strconv.ParseUint(span.ID, 16, 64)
		if err != nil {
			return nil, false
		}
		ids = append(ids, [8]byte(binary.BigEndian.AppendUint64(nil, id)))
	}
	return ids, true
}
