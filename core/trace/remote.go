package trace

import (
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

// DefaultPollInterval is how often a sampling endpoint is asked, as in Jaeger's clients.
const DefaultPollInterval = time.Minute

// Remote is a sampler that does what a sampling endpoint last said. Whoever asks the endpoint calls Use with each new answer; the
// loops read the newest one. Until the first it is the sampler that SetInitial was given, else always.
type Remote struct {
	url     string
	initial string
	now     atomic.Pointer[Strategy]

	// Polls counts the answers that could be used, Failures the rest: no answer, or none that makes sense.
	Polls, Failures atomic.Uint64
}

// Strategy is what a sampling endpoint says. It must not be changed once it is used.
type Strategy struct {
	// Default decides for operations that no other field is about. Invariant: not nil.
	Default Sampler
	// ByOperation: operations are told apart. Each that Ratios names has its ratio, each other one DefaultRatio; each has LowerBound traces a
	// second in any case, its own.
	ByOperation  bool
	Ratios       map[string]float64
	DefaultRatio float64
	LowerBound   float64

	mu   sync.Mutex
	made map[string]Sampler // by operation: each has one sampler for the process
}

// newRemote makes a Remote from the address of an endpoint: http or https, with a host, without credentials; nil when it is none.
func newRemote(endpoint string) *Remote {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" || u.User != nil {
		return nil
	}
	r := &Remote{url: endpoint}
	r.SetInitial(always{})
	return r
}

// RemoteOf returns the Remote that s is, perhaps within IgnoreParent; nil when it is none.
func RemoteOf(s Sampler) *Remote {
	if w, ok := s.(ignoreParent); ok {
		s = w.Sampler
	}
	r, _ := s.(*Remote)
	return r
}

// URL is the endpoint's address, without the query that asks.
func (r *Remote) URL() string { return r.url }

// SetInitial says what decides until the first answer. To be called before the loops start.
func (r *Remote) SetInitial(s Sampler) {
	r.initial = s.String()
	r.now.Store(&Strategy{Default: s})
}

// Use makes st what decides from now on. Any goroutine.
func (r *Remote) Use(st *Strategy) { r.now.Store(st) }

// Sample implements Sampler for what has no operation.
func (r *Remote) Sample(id span.TraceID, mono int64) bool {
	return r.now.Load().Default.Sample(id, mono)
}

// String implements Sampler.
func (r *Remote) String() string {
	return "remote=" + r.url + ", " + r.initial + " until it answers"
}

// Ratio returns the sampler ratio=f for f from 0 to 1.
func Ratio(f float64) Sampler {
	return ratio{bound: uint64(f * (1 << 63)), text: fmt.Sprintf("ratio=%g", f)}
}

// Rate returns the sampler rate=n, n new traces a second for the process.
func Rate(n float64) Sampler { return newRate(n, fmt.Sprintf("rate=%g", n)) }

// of returns the sampler for an operation, the same for all loops, so that its lower bound is one for the process. It is called when a loop
// meets the operation, not for each request; names are bounded by the cap on operations.
func (st *Strategy) of(operation []byte) Sampler {
	if !st.ByOperation {
		return st.Default
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := st.made[string(operation)]; s != nil {
		return s
	}
	p, ok := st.Ratios[string(operation)]
	if !ok {
		p = st.DefaultRatio
	}
	s := Ratio(p)
	if st.LowerBound > 0 {
		s = &guaranteed{ratio: s, atLeast: newRate(st.LowerBound, "")}
	}
	if st.made == nil {
		st.made = make(map[string]Sampler)
	}
	st.made[string(operation)] = s
	return s
}

// guaranteed samples by a ratio, and what the ratio leaves out while there were fewer than a number a second, as Jaeger's clients do: what
// the ratio takes counts towards that number.
type guaranteed struct {
	ratio   Sampler
	atLeast *rate
}

func (g *guaranteed) Sample(id span.TraceID, mono int64) bool {
	return g.atLeast.Sample(id, mono) || g.ratio.Sample(id, mono)
}

func (g *guaranteed) String() string { return g.ratio.String() }
