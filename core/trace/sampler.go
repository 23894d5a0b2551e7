package trace

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

// Sampler decides whether a trace that nobody has decided on yet is sampled. It is shared by the loops and called on their hot
// path: it must not block, nor allocate.
type Sampler interface {
	// Sample decides for the trace id at the monotonic time mono (ns).
	Sample(id span.TraceID, mono int64) bool
	// String is the setting that the sampler was made from.
	String() string
}

// samplerHelp says what ParseSampler allows.
const samplerHelp = "always, never, ratio=F with F from 0 to 1, rate=N with N new traces a second, remote=URL"

// ParseSampler makes a sampler from always, never, ratio=F, rate=N or remote=URL. The parent's decision goes before it (see IgnoreParent).
func ParseSampler(text string) (Sampler, error) {
	kind, arg, hasArg := strings.Cut(text, "=")
	n, err := strconv.ParseFloat(arg, 64)
	isNumber := hasArg && err == nil && n >= 0 && !math.IsInf(n, 0)
	switch {
	case text == "always":
		return always{}, nil
	case text == "never":
		return never{}, nil
	case kind == "ratio" && isNumber && n <= 1:
		return ratio{bound: uint64(n * (1 << 63)), text: text}, nil
	case kind == "rate" && isNumber:
		return newRate(n, text), nil
	case kind == "remote":
		if r := newRemote(arg); r != nil {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: sampler %q: allowed are %s", ErrConfig, text, samplerHelp)
}

// IgnoreParent makes s decide for every span, whatever its parent decided; only a forced sample (debug) goes before it. So OTel
// defines always_on, always_off and traceidratio without parentbased_.
func IgnoreParent(s Sampler) Sampler { return ignoreParent{s} }

type ignoreParent struct{ Sampler }

func (s ignoreParent) String() string { return s.Sampler.String() + ", whatever the parent" }

type always struct{}

func (always) Sample(span.TraceID, int64) bool { return true }
func (always) String() string                  { return "always" }

type never struct{}

func (never) Sample(span.TraceID, int64) bool { return false }
func (never) String() string                  { return "never" }

// ratio samples by the trace id, so that every hop that has the same ratio decides alike. The rule is that of OTel's Go SDK: the
// right half of the id, without its lowest bit, against ratio × 2^63.
type ratio struct {
	bound uint64
	text  string
}

func (r ratio) Sample(id span.TraceID, _ int64) bool {
	return binary.BigEndian.Uint64(id[8:])>>1 < r.bound
}
func (r ratio) String() string { return r.text }

// rate is one token bucket for the process, kept as the time at which it would next be full (the generic cell rate algorithm): a
// single word that loops change by compare-and-swap. It holds a second's worth of tokens, at least one.
type rate struct {
	interval int64 // ns from one token to the next; 0 = there are none
	burst    int64 // ns: interval × tokens that a full bucket holds
	next     atomic.Int64
	text     string
}

func newRate(perSecond float64, text string) *rate {
	r := &rate{text: text}
	if perSecond > 0 {
		// Beyond a century between two tokens, or a token each nanosecond, the number makes no difference.
		r.interval = int64(min(max(float64(time.Second)/perSecond, 1), 1<<61))
		r.burst = max(int64(time.Second), r.interval)
	}
	r.next.Store(math.MinInt64)
	return r
}

func (r *rate) Sample(_ span.TraceID, mono int64) bool {
	if r.interval == 0 {
		return false
	}
	for {
		old := r.next.Load()
		from := max(old, mono-r.burst)
		if from+r.interval > mono {
			return false
		}
		if r.next.CompareAndSwap(old, from+r.interval) {
			return true
		}
	}
}
func (r *rate) String() string { return r.text }
