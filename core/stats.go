package core

import (
	"time"

	"github.com/spanwire/spanwire/core/loop"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/parsers"
)

// Refusal is a reason why a connection did not become a session that reaches its destination.
type Refusal uint8

// The reasons.
const (
	// RefusedSelf: the destination is this sidecar's own listener.
	RefusedSelf Refusal = iota
	// RefusedDescriptors: no descriptor was free (EMFILE, ENFILE), or no memory for a socket.
	RefusedDescriptors
	// RefusedPorts: no local port was free towards the destination for as long as the dial timeout.
	RefusedPorts
	// RefusedDial: the destination refused, or could not be reached.
	RefusedDial
	// RefusedDialTimeout: the destination did not answer within the dial timeout.
	RefusedDialTimeout
	// RefusedUnresolved: the upstream's name has no address.
	RefusedUnresolved
	// NumRefusals is the number of values of Refusal.
	NumRefusals
)

// String returns the value of the label `reason` of spanwire_refused_total.
func (r Refusal) String() string {
	return [NumRefusals]string{"self", "descriptors", "ports", "dial", "dial_timeout", "unresolved"}[r]
}

// DurationBuckets are the upper bounds of Histogram's buckets in seconds; one more bucket takes what is beyond.
var DurationBuckets = [...]float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

// Histogram counts durations.
type Histogram struct {
	Counts [len(DurationBuckets) + 1]uint64 // by bucket, not cumulative
	SumNs  uint64
}

// bucketNs is DurationBuckets in ns.
var bucketNs = func() (ns [len(DurationBuckets)]int64) {
	for i, s := range DurationBuckets {
		ns[i] = int64(s * 1e9)
	}
	return ns
}()

// observe counts one duration in ns.
func (h *Histogram) observe(ns int64) {
	i := 0
	for i < len(bucketNs) && ns > bucketNs[i] {
		i++
	}
	h.Counts[i]++
	h.SumNs += uint64(max(ns, 0))
}

// NumStatusClasses is the number of values of the label status_class: none, 1xx to 5xx.
const NumStatusClasses = 6

// Stats are the counters of the relay. Arrays over sides are indexed by span.Kind: Server = inbound, Client = outbound. A loop's
// own copy is written by that loop only.
type Stats struct {
	Sessions      [2]int64                    // open now
	SessionsTotal [2]uint64                   // ever opened
	Requests      [2][NumStatusClasses]uint64 // finished, by status / 100; 0 = no status
	Durations     [2]Histogram                // of finished requests
	Bytes         [2]uint64                   // received, by parsers.Direction
	Opaque        [parsers.NumReasons]uint64  // sessions that became opaque
	Unedited      [parsers.NumReasons]uint64  // request heads that were not edited
	UneditedBack  [parsers.NumReasons]uint64  // response heads that the trace id could not be written into
	Refused       [NumRefusals]uint64         // connections refused
	Backoffs      uint64                      // pauses for want of descriptors or ports
	Ignored       uint64                      // requests without a span by --ignore-path or --ignore-agent
	OtherNames    uint64                      // requests named {other}, the names being used up
	IDsTooLong    uint64                      // request ids too long to join by
	TagsLost      uint64                      // tags of headers and cookies that a span had no room for
	BadContexts   [trace.NumFormats]uint64    // contexts that were invalid, by format
	StatesDropped uint64                      // requests whose tracestate was deleted, the trace having restarted
	Joins         [span.NumJoins]uint64       // spans by how they found their parent
	RingDropped   uint64                      // spans lost to a full ring
	Failures      [span.NumFailures]uint64    // finished requests by failure; 0 = none
	ConnectSpans  uint64                      // spans for dials that failed before a request came
	Routes        [NumRouteHows]uint64        // outbound requests with a route value, by what became of them
	RouteValues   trace.RouteStats            // route values read
	RouteMoves    uint64                      // upstream connections replaced for a route
	Verified      [2]verify.Counts            // with Config.Verify, by parsers.Direction
	BusyPolls     loop.BusyPolls              // waits for an answer awake
	PendingBytes  int64                       // bytes held for slow receivers now
	JoinIDs       int                         // ids remembered in the join table now
	JoinEvicted   uint64                      // ids forgotten before their time, the join table being full
	LoopDelay     time.Duration               // how long the slowest loop took to answer this very question
}

// statsTimeout bounds how long Stats waits for a loop.
const statsTimeout = time.Second

// Stats sums the loops' counters. It asks each loop; for one that does not answer within a second what it said last counts, so that no
// counter ever goes back. Any goroutine but the loops' may call it.
func (e *Engine) Stats() Stats {
	if s := e.state.Load(); s == stateNew || s == stateClosed {
		for i, w := range e.workers {
			e.answered(i, w.snapshot()) // no loop is running
		}
		return e.lastStats()
	}
	answers := make(chan func(), len(e.workers))
	asked, start := 0, time.Now()
	for i, w := range e.workers {
		if w.loop.Post(func() {
			delay := time.Since(start)
			st := w.snapshot()
			st.LoopDelay = delay
			answers <- func() { e.answered(i, st) }
		}) == nil {
			asked++
		}
	}
	timeout := time.NewTimer(statsTimeout)
	defer timeout.Stop()
	for range asked {
		select {
		case store := <-answers:
			store()
		case <-timeout.C:
			return e.lastStats()
		}
	}
	return e.lastStats()
}

// answered keeps what loop i counted.
func (e *Engine) answered(i int, st Stats) {
	e.last.Lock()
	defer e.last.Unlock()
	e.last.stats[i] = st
}

// lastStats sums what the loops said last, and asks the join table, which is nobody's.
func (e *Engine) lastStats() (sum Stats) {
	e.last.Lock()
	for i := range e.last.stats {
		sum.add(&e.last.stats[i])
	}
	e.last.Unlock()
	if !e.cfg.Disabled {
		st := e.cfg.Trace.JoinStats(int64(time.Since(e.base)))
		sum.JoinIDs, sum.JoinEvicted = st.IDs, st.Evicted
	}
	return sum
}

// add adds o to s.
func (s *Stats) add(o *Stats) {
	for k := range s.Sessions {
		s.Sessions[k] += o.Sessions[k]
		s.SessionsTotal[k] += o.SessionsTotal[k]
		addTo(s.Requests[k][:], o.Requests[k][:])
		addTo(s.Durations[k].Counts[:], o.Durations[k].Counts[:])
		s.Durations[k].SumNs += o.Durations[k].SumNs
		s.Bytes[k] += o.Bytes[k]
	}
	addTo(s.Opaque[:], o.Opaque[:])
	addTo(s.Unedited[:], o.Unedited[:])
	addTo(s.UneditedBack[:], o.UneditedBack[:])
	addTo(s.Refused[:], o.Refused[:])
	addTo(s.Joins[:], o.Joins[:])
	addTo(s.BadContexts[:], o.BadContexts[:])
	s.Ignored += o.Ignored
	s.OtherNames += o.OtherNames
	s.IDsTooLong += o.IDsTooLong
	s.TagsLost += o.TagsLost
	s.StatesDropped += o.StatesDropped
	addTo(s.Failures[:], o.Failures[:])
	addTo(s.Routes[:], o.Routes[:])
	s.RouteMoves += o.RouteMoves
	s.RouteValues.Remembered += o.RouteValues.Remembered
	s.RouteValues.Recalled += o.RouteValues.Recalled
	s.RouteValues.Malformed += o.RouteValues.Malformed
	s.Backoffs += o.Backoffs
	for d := range s.Verified {
		s.Verified[d].Add(&o.Verified[d])
	}
	s.RingDropped += o.RingDropped
	s.ConnectSpans += o.ConnectSpans
	s.BusyPolls.Found += o.BusyPolls.Found
	s.BusyPolls.Vain += o.BusyPolls.Vain
	s.PendingBytes += o.PendingBytes
	s.LoopDelay = max(s.LoopDelay, o.LoopDelay)
}

// addTo adds src to dst, element by element.
func addTo(dst, src []uint64) {
	for i, v := range src {
		dst[i] += v
	}
}
