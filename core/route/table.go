package route

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	// DefaultTTL is how long a value is remembered after its last use, Netramesh's default.
	DefaultTTL = 5 * time.Second
	// DefaultSize is how many values are remembered. A value may be of some KiB when it is parsed, so this bounds what strangers can make the
	// process hold; in ordinary use few values differ, and the loops share them.
	DefaultSize = 8192
	// tableWays is how many ids fall into one set: enough that none is pushed out early while the table is half full.
	tableWays = 8
	// tableShards is how many locks there are.
	tableShards = 16
)

// Table remembers values under request ids, for the outbound requests that an inbound one causes. It is bounded: a new id takes the place of
// the one in its set that was not used for longest, those whose request is in flight last. Each shard has a lock that is held for some tens of
// nanoseconds.
type Table struct {
	seeds  [2]maphash.Seed
	ttl    int64
	shards [tableShards]shard
	sets   int // of each shard
}

// shard is a part of the table; its sets are allocated with the first value.
type shard struct {
	mu   sync.Mutex
	sets []set
}

type set [tableWays]entry

// entry is one id. The zero value is free.
type entry struct {
	key  key
	v    *Value
	used int64 // monotonic ns
	live int32 // inbound requests of that id in flight
}

// key is the seeded hash of an id, so that nobody can choose colliding ones.
type key struct{ hi, lo uint64 }

// Ref is what Remember leaves to be given back. The zero value is none.
type Ref struct {
	key  key
	held bool
}

// init sets the bounds.
func (t *Table) init(ttl time.Duration, size int) {
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if size == 0 {
		size = DefaultSize
	}
	t.ttl = int64(ttl)
	t.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	t.sets = max(size/(tableShards*tableWays), 1)
}

// at returns the key of id, its shard, and the number of its set there.
func (t *Table) at(id []byte) (key, *shard, int) {
	k := key{hi: maphash.Bytes(t.seeds[0], id), lo: maphash.Bytes(t.seeds[1], id)}
	return k, t.shardOf(k), t.setOf(k)
}

func (t *Table) shardOf(k key) *shard { return &t.shards[k.hi%tableShards] }
func (t *Table) setOf(k key) int      { return int(k.lo % uint64(t.sets)) }

// Remember stores v under id at the monotonic time mono (ns), in place of what was there. It stays while the request is in flight, until
// Release, and for the table's lifetime after its last use.
func (t *Table) Remember(id []byte, v *Value, mono int64) Ref {
	k, s, n := t.at(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		s.sets = make([]set, t.sets)
	}
	e := s.sets[n].place(k)
	if e.key != k || e.v == nil {
		*e = entry{key: k}
	}
	e.v, e.used = v, mono
	e.live++
	return Ref{key: k, held: true}
}

// place returns the entry of k, or the one that it may take.
func (s *set) place(k key) *entry {
	best := &s[0]
	for i := range s {
		e := &s[i]
		if e.v != nil && e.key == k {
			return e
		}
		if e.before(best) {
			best = e
		}
	}
	return best
}

// before reports whether e is to make room rather than b.
func (e *entry) before(b *entry) bool {
	switch {
	case e.v == nil || b.v == nil:
		return e.v == nil && b.v != nil
	case (e.live > 0) != (b.live > 0):
		return e.live == 0
	}
	return e.used < b.used
}

// Release says that the request that remembered has ended.
func (t *Table) Release(r Ref, mono int64) {
	if !r.held {
		return
	}
	s := t.shardOf(r.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.sets[t.setOf(r.key)] {
		if e := &s.sets[t.setOf(r.key)][i]; e.key == r.key && e.v != nil && e.live > 0 {
			e.live--
			e.used = max(e.used, mono)
		}
	}
}

// Recall returns what is remembered under id; nil when nothing is, or no longer.
func (t *Table) Recall(id []byte, mono int64) *Value {
	k, s, n := t.at(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sets == nil {
		return nil
	}
	for i := range s.sets[n] {
		e := &s.sets[n][i]
		if e.v == nil || e.key != k {
			continue
		}
		if e.live == 0 && mono-e.used > t.ttl {
			*e = entry{}
			return nil
		}
		e.used = max(e.used, mono)
		return e.v
	}
	return nil
}
