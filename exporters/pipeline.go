package exporters

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/core/ring"
	"github.com/spanwire/spanwire/core/span"
)

// ErrUndelivered is returned by Shutdown when spans had to be dropped at the deadline.
var ErrUndelivered = errors.New("spans were not delivered in time")

// Pipeline carries spans from the rings to the exporters. Its methods may be called by any goroutine; Start and Shutdown once.
type Pipeline struct {
	rings  []*ring.Ring[span.Record]
	lanes  []*lane
	pool   *pool
	schema schema
	view   View

	wake    chan struct{} // sent to by the rings when they fill up
	stop    chan struct{} // closed by Shutdown: one last drain
	drained chan struct{} // closed when the last drain is done
	started atomic.Bool
	once    sync.Once
}

// New makes a pipeline from cfg that reads rings. Nothing is sent, resolved or started yet. An error names the setting, its value
// and what is allowed.
func New(cfg Config, rings []*ring.Ring[span.Record]) (*Pipeline, error) {
	cfg = withDefaults(cfg)
	if cfg.ServiceName == "" {
		return nil, errors.New("--service-name: empty; a name is required")
	}
	p := &Pipeline{
		rings: rings, schema: schemaOf(cfg.TagSchema),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), drained: make(chan struct{}),
	}
	if p.schema == nil {
		return nil, fmt.Errorf("--tag-schema %q: unknown; allowed: otel, zipkin, netra", cfg.TagSchema)
	}
	if len(cfg.Kinds) == 0 {
		return nil, fmt.Errorf("--exporter: empty; allowed: %s", Names())
	}
	cfg.instanceID = newUUID()
	// A buffer holds a full batch and the span that made it full.
	p.pool = &pool{size: cfg.BatchBytes + 4096}
	for i, name := range cfg.Kinds {
		if slices.Contains(cfg.Kinds[:i], name) {
			continue // asked for twice is asked for
		}
		l, err := newLane(&cfg, name, p.pool)
		if err != nil {
			return nil, err
		}
		p.lanes = append(p.lanes, l)
	}
	for _, r := range rings {
		r.WakeOn(p.wake)
	}
	return p, nil
}

// newLane makes the exporter of that name and its queue.
func newLane(cfg *Config, name string, p *pool) (*lane, error) {
	table := Table()
	i := slices.IndexFunc(table, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("--exporter %q: unknown; allowed: %s", name, Names())
	}
	e, err := table[i].New(cfg)
	if err != nil {
		return nil, err
	}
	l := &lane{name: name, Exporter: e, batchSpans: cfg.BatchSpans, batchBytes: cfg.BatchBytes, flushEvery: cfg.FlushEvery, pool: p}
	if e.MaxBatchBytes > 0 {
		l.batchBytes = min(l.batchBytes, e.MaxBatchBytes)
	}
	l.queue = newQueue(cfg, p)
	l.fails.log = cfg.Log.With("exporter", name, "endpoint", e.Endpoint)
	return l, nil
}

// newUUID returns a random UUID (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Start starts the drain and the senders.
func (p *Pipeline) Start() {
	p.started.Store(true)
	for _, l := range p.lanes {
		if l.Sender == nil {
			continue
		}
		l.senders.Add(maxInFlight)
		for range maxInFlight {
			go l.send()
		}
	}
	go p.drain()
}

// flushLimit is how long Shutdown tries when ctx sets no deadline.
const flushLimit = 3 * time.Second

// abortLimit is how long Shutdown waits for senders that were told to give up.
const abortLimit = time.Second

// Shutdown drains the rings once more, sends what is queued until ctx is done, and drops the rest (ReasonShutdown), for which it
// returns ErrUndelivered. Producers should have stopped: what they push later stays in the rings and is counted as queued.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flushLimit)
		defer cancel()
	}
	p.once.Do(func() { close(p.stop) })
	if !p.started.Load() {
		return nil // nothing was taken out of the rings, nothing can be sent
	}
	<-p.drained
	sent := make(chan struct{})
	go p.finish(sent)
	select {
	case <-sent:
	case <-ctx.Done():
		for _, l := range p.lanes {
			l.abort()
		}
		// Senders return at once now, but for one that is stuck writing to a local output; its spans stay counted as queued.
		select {
		case <-sent:
		case <-time.After(abortLimit):
			return ErrUndelivered
		}
	}
	for _, l := range p.lanes {
		if l.dropped[ReasonShutdown].Load() > 0 {
			return ErrUndelivered
		}
	}
	return nil
}

// finish waits until every lane has sent what it holds, or was aborted.
func (p *Pipeline) finish(sent chan<- struct{}) {
	for _, l := range p.lanes {
		l.queue.finish()
	}
	for _, l := range p.lanes {
		l.senders.Wait()
		l.drop(ReasonShutdown, l.queue.close())
		if l.Sender != nil {
			l.Sender.Abort() // closes idle connections
		}
	}
	close(sent)
}

// abort drops what waits and ends what is being sent.
func (l *lane) abort() {
	l.drop(ReasonShutdown, l.queue.close())
	if l.Sender != nil {
		l.Sender.Abort()
	}
}

// Endpoints returns exporters and where they send to, for the start line: "zipkin http://localhost:9411/api/v2/spans, log".
func (p *Pipeline) Endpoints() string {
	var all []string
	for _, l := range p.lanes {
		all = append(all, l.String())
	}
	return strings.Join(all, ", ")
}

// Stats is what became of the spans so far.
type Stats struct {
	// Recorded is how many spans the loops finished, those that a full ring refused included.
	Recorded  uint64
	Exporters []ExporterStats
}

// ExporterStats is the account of one exporter: Recorded = Exported + the sum of Dropped + Queued whenever nothing moves. In between a
// span may be counted twice, by at most what the rings and a few batches hold.
type ExporterStats struct {
	Name     string
	Exported uint64
	Dropped  [NumReasons]uint64
	Queued   uint64 // in the rings, in the batch being filled, waiting, or being sent
}

// Stats returns the accounts.
func (p *Pipeline) Stats() Stats {
	var s Stats
	for _, l := range p.lanes {
		e := ExporterStats{Name: l.name, Exported: l.exported.Load(), Queued: uint64(l.queue.held()) + uint64(l.open.Load())}
		for i := range e.Dropped {
			e.Dropped[i] = l.dropped[i].Load()
		}
		s.Exporters = append(s.Exporters, e)
	}
	for _, r := range p.rings {
		full, waiting := r.Dropped(), uint64(r.Len())
		s.Recorded += full + r.Pushed()
		for i := range s.Exporters {
			s.Exporters[i].Dropped[ReasonRingFull] += full
			s.Exporters[i].Queued += waiting
		}
	}
	return s
}
