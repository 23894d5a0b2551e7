package core

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// SeriesPerOperation is how many series a scraper sees of one OperationStats at most: six status classes, a histogram (its buckets, sum and
// count), bytes each way, and two kinds of dropped ids.
const SeriesPerOperation = NumStatusClasses + len(DurationBuckets) + 1 + 2 + 2 + 2

// OperationStats are the counters of one operation on one side, towards one peer where peers are told apart.
type OperationStats struct {
	Side      span.Kind
	Operation string // "{other}" stands for those beyond the bounds
	Peer      string // the host that outbound requests named; "" = inbound, or peers are not told apart

	OperationCounts
}

// OperationCounts are what is counted of finished requests.
type OperationCounts struct {
	Requests                    [NumStatusClasses]uint64 // by status / 100; 0 = no status
	Durations                   Histogram
	RequestBytes, ResponseBytes uint64
	// Dropped counts the inbound requests whose id the application seems to have dropped; DropNone stays 0.
	Dropped [trace.NumDrops]uint64
}

// operationKey is what tells counters apart: the side in the lowest bit, the operation's number above, the peer's in the upper half. 0 is none,
// since an operation has a number.
type operationKey uint64

func newOperationKey(kind span.Kind, operation, peer uint32) operationKey {
	return operationKey(uint64(peer)<<32 | uint64(operation)<<1 | uint64(kind&1))
}

func (k operationKey) kind() span.Kind   { return span.Kind(k & 1) }
func (k operationKey) operation() uint32 { return uint32(k) >> 1 }
func (k operationKey) peer() uint32      { return uint32(k >> 32) }

// operationRow is a key's counters on one loop.
type operationRow struct {
	key operationKey
	OperationCounts
}

// operationTable holds the counters of a loop: rows in the order of their first request, found by an index that is open-addressed and at most half
// full. What is counted beyond the bound stands under {other}. Loop goroutine only.
type operationTable struct {
	keys  *operationKeys
	rows  []operationRow
	index []uint32 // number of a row plus one; 0 = free
	shift uint8    // 64 − log2 of the index's length
}

// minOperationIndex is the length of the first index: a small service fits.
const minOperationIndex = 64

func newOperationTable(keys *operationKeys) *operationTable {
	t := &operationTable{keys: keys}
	t.resize(minOperationIndex)
	return t
}

// observe counts a finished request; one without an operation (a connection that was refused before any came) is left out. It allocates on the first
// sight of an operation alone.
func (t *operationTable) observe(a *trace.Active) {
	if a.Operation == 0 {
		return
	}
	r := &a.Rec
	c := &t.row(newOperationKey(r.Kind, a.Operation, a.Peer)).OperationCounts
	c.Requests[min(r.Status/100, NumStatusClasses-1)]++
	c.Durations.observe(r.Duration)
	c.RequestBytes += uint64(max(r.RequestBytes, 0))
	c.ResponseBytes += uint64(max(r.ResponseBytes, 0))
	if a.Drop != trace.DropNone {
		c.Dropped[a.Drop]++
	}
}

// row returns the row that key is counted in, valid until the next call.
func (t *operationTable) row(key operationKey) *operationRow {
	slot := t.slot(key)
	if *slot != 0 {
		return &t.rows[*slot-1]
	}
	if !t.keys.admit(key) {
		key = otherKey(key)
		if slot = t.slot(key); *slot != 0 {
			return &t.rows[*slot-1]
		}
	}
	t.rows = append(t.rows, operationRow{key: key})
	*slot = uint32(len(t.rows))
	if 2*len(t.rows) > len(t.index) {
		t.resize(2 * len(t.index))
	}
	return &t.rows[len(t.rows)-1]
}

// otherKey is what a key beyond the bound is counted under.
func otherKey(key operationKey) operationKey {
	peer := key.peer()
	if peer != 0 {
		peer = trace.OtherName
	}
	return newOperationKey(key.kind(), trace.OtherName, peer)
}

// slot returns the place of key in the index: that which bears it, or the free one where it belongs. Fibonacci hashing spreads numbers that are
// given in turn.
func (t *operationTable) slot(key operationKey) *uint32 {
	const golden = 0x9E3779B97F4A7C15
	mask := len(t.index) - 1
	for i := int(uint64(key) * golden >> t.shift); ; i = (i + 1) & mask {
		s := &t.index[i]
		if *s == 0 || t.rows[*s-1].key == key {
			return s
		}
	}
}

// resize makes the index n long, a power of two.
func (t *operationTable) resize(n int) {
	t.index = make([]uint32, n)
	t.shift = uint8(64 - bits.TrailingZeros(uint(n)))
	for i := range t.rows {
		*t.slot(t.rows[i].key) = uint32(i + 1)
	}
}

// operationKeys bounds the keys of the whole process, so that all loops agree on who is {other}.
type operationKeys struct {
	max  int
	mu   sync.Mutex
	keys map[operationKey]struct{}
	// full is keys from when it is full on; it does not change any more, so that loops need no lock for the requests beyond the bound.
	full atomic.Pointer[map[operationKey]struct{}]
}

// newOperationKeys makes room for so many series as a scraper counts them. Two keys, {other} on each side, stand beside what is admitted.
func newOperationKeys(series int) *operationKeys {
	return &operationKeys{max: max(series/SeriesPerOperation-2, 1), keys: make(map[operationKey]struct{})}
}

// admit reports whether key is counted by itself. Any loop.
func (s *operationKeys) admit(key operationKey) bool {
	if key == otherKey(key) {
		return true
	}
	if full := s.full.Load(); full != nil {
		_, ok := (*full)[key]
		return ok
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keys[key]; ok {
		return true
	}
	if len(s.keys) == s.max {
		return false
	}
	s.keys[key] = struct{}{}
	if len(s.keys) == s.max {
		s.full.Store(&s.keys)
	}
	return true
}
