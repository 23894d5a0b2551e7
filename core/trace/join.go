package trace

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/spanwire/spanwire/core/span"
)

// maxJoinID bounds the request ids that are joined by, in bytes.
const maxJoinID = 128

// joinable reports whether requests are joined by id: it is there, and not too long.
func joinable(id []byte) bool { return len(id) > 0 && len(id) <= maxJoinID }

// joinTable remembers inbound requests by their id, for the outbound requests that they cause. It is the one structure that
// loops share: sharded by the hash of the id, each shard with a lock that is held for some tens of nanoseconds.
//
// A shard is set-associative, as a processor's cache is: an id belongs to one set of eight places, whose bookkeeping is one cache
// line. With tens of thousands of ids nothing of the table is in a cache, and this costs two misses where lists and chains cost
// eight. Shards begin with one set and double while they would have to forget ids too early, so memory follows use.
//
// The table holds no ids, only seeded 128-bit hashes, so entries are of one size and nobody can choose colliding ids.
type joinTable struct {
	seeds  [2]maphash.Seed
	ttl    uint32 // ticks
	mask   uint64
	shards []joinShard
}

// joinKey is the hash of an id. hi chooses the shard, lo the set and the tag.
type joinKey struct{ hi, lo uint64 }

// joinRef names the entry of one request. The zero value names none.
type joinRef struct {
	key joinKey
	seq uint32 // of the shard, never 0
	way uint8  // where the entry was put; it stays there, also when the shard grows, unless it is evicted
}

// joinWays is the number of places of a set: as many as one cache line of bookkeeping holds.
const joinWays = 8

// joinState says what a place holds.
type joinState uint8

const (
	joinFree  joinState = iota
	joinLive            // a request in flight
	joinEnded           // one that had its response
)

// joinSet is eight places. The first 64 bytes say all that is needed to choose one.
type joinSet struct {
	tags   [joinWays]uint8 // some bits of the key
	states [joinWays]joinState
	used   [joinWays]uint32 // tick of the beginning of a live request, of the last use of an ended one
	_      [64 - 6*joinWays]byte
	places [joinWays]joinEntry
}

// joinSame is how many requests of one id have places of their own. A service that is called twenty times at once under one id would
// drive everybody else out of the set; which of the twenty a call belongs to is ambiguous anyway.
const joinSame = 4

// joinEntry is one inbound request, in one cache line.
type joinEntry struct {
	key joinKey
	ctx spanContext
	// shared: another request of the same id was in flight at the same time.
	shared bool
	// seq is the request's number; 0 when it has ended and the entry stands for hidden ones only.
	seq uint32
	// hidden counts requests in flight of the same id, begun earlier, that have no place of their own.
	hidden uint32
	_      [8]byte
}

// joinShard is one part of the table.
type joinShard struct {
	mu      sync.Mutex
	sets    []joinSet                 // a power of two of them
	seen    atomic.Pointer[[]joinSet] // sets, for those who read without the lock only where they are
	max     int                       // sets at most
	seq     uint32                    // the last request's
	evicted uint64                    // requests forgotten before their time
	_       [64]byte                  // keep the next shard's lock off this cache line
}

const (
	// maxJoinShards is enough that two loops seldom meet.
	maxJoinShards = 64
	// joinTickShift makes a tick of 2^20 ns, about a millisecond: 32 bits last for 52 days, and ages are differences.
	joinTickShift = 20
)

// joinTick converts monotonic ns.
func joinTick(mono int64) uint32 { return uint32(mono >> joinTickShift) }

// init sets the bounds: room for at least size ids. Nothing is allocated for entries yet.
func (j *joinTable) init(size int, ttl int64) {
	sets := 1
	for sets*joinWays < size {
		sets *= 2
	}
	n := min(sets, maxJoinShards)
	j.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	j.ttl, j.mask, j.shards = max(joinTick(ttl), 1), uint64(n-1), make([]joinShard, n)
	for i := range j.shards {
		j.shards[i].max = sets / n
	}
}

// key hashes an id.
func (j *joinTable) key(id []byte) joinKey {
	return joinKey{hi: maphash.Bytes(j.seeds[0], id), lo: maphash.Bytes(j.seeds[1], id)}
}

// tag is the part of the key that a set's first line holds; it is independent of the set's number.
func (k joinKey) tag() uint8 { return uint8(k.lo >> 56) }

// set returns the set that key belongs to; nil while the shard has none, which is until its first request.
func (s *joinShard) set(key joinKey) *joinSet {
	if len(s.sets) == 0 {
		return nil
	}
	return &s.sets[key.lo&uint64(len(s.sets)-1)]
}

// warm asks for the cache line that publish of key will need first, without waiting for it: with tens of thousands of ids it is in
// no near cache, and there is other work to do meanwhile.
func (j *joinTable) warm(key joinKey) {
	if sets := j.shards[key.hi&j.mask].seen.Load(); sets != nil {
		prefetchSet(&(*sets)[key.lo&uint64(len(*sets)-1)])
	}
}

// warmRef is warm for the lines that release of ref will need.
func (j *joinTable) warmRef(ref *joinRef) {
	if sets := j.shards[ref.key.hi&j.mask].seen.Load(); sets != nil {
		set := &(*sets)[ref.key.lo&uint64(len(*sets)-1)]
		prefetchSet(set)
		prefetchEntry(&set.places[ref.way])
	}
}

// publish enters an inbound request that is in flight from now on. The ref is given back by release. An id that is used again
// counts for the request that is in flight, not for the one that had its response.
func (j *joinTable) publish(key joinKey, ctx *spanContext, mono int64) joinRef {
	now := joinTick(mono)
	s := &j.shards[key.hi&j.mask]
	s.mu.Lock()
	if s.seq++; s.seq == 0 {
		s.seq = 1
	}
	hidden, shared := uint32(0), false
	set, i := s.set(key), -1
	if set != nil {
		same := set.find(key)
		switch {
		case same.ended >= 0:
			i = same.ended
		case same.live > 0:
			shared = true
			i, hidden = set.share(key, &same)
		}
	}
	if i < 0 {
		set, i = s.take(key, now, j.ttl)
	}
	set.tags[i], set.states[i], set.used[i] = key.tag(), joinLive, now
	set.places[i] = joinEntry{key: key, ctx: *ctx, shared: shared, seq: s.seq, hidden: hidden}
	ref := joinRef{key: key, seq: s.seq, way: uint8(i)}
	s.mu.Unlock()
	return ref
}

// share prepares for one more request of an id that is in flight already. Up to joinSame requests have places of their own: then it
// returns -1. Beyond, it returns the place of the oldest and how many requests its successor stands for besides itself.
func (set *joinSet) share(key joinKey, same *joinFound) (place int, hidden uint32) {
	for i := range joinWays {
		if set.states[i] == joinLive && set.places[i].key == key {
			set.places[i].shared = true
		}
	}
	if same.live < joinSame {
		return -1, 0
	}
	hidden = set.places[same.oldest].hidden
	if set.places[same.oldest].seq != 0 {
		hidden++
	}
	return same.oldest, hidden
}

// joinFound is what a set holds of one id; places are -1 when there is none.
type joinFound struct {
	live           int // places in flight
	requests       int // requests that they stand for
	hidden         int // the place among them that stands for more than its own
	oldest, newest int
	ended          int
}

// find looks for key in the set.
func (set *joinSet) find(key joinKey) joinFound {
	f := joinFound{hidden: -1, oldest: -1, newest: -1, ended: -1}
	tag := key.tag()
	for i := range joinWays {
		if set.tags[i] != tag || set.states[i] == joinFree || set.places[i].key != key {
			continue
		}
		if set.states[i] == joinEnded {
			f.ended = i
			continue
		}
		e := &set.places[i]
		f.live++
		f.requests += int(e.hidden)
		if e.seq != 0 {
			f.requests++
		}
		if e.hidden > 0 {
			f.hidden = i
		}
		if f.newest < 0 || e.after(&set.places[f.newest]) {
			f.newest = i
		}
		if f.oldest < 0 || set.places[f.oldest].after(e) {
			f.oldest = i
		}
	}
	return f
}

// after reports whether e began after o; one that has ended began before all others.
func (e *joinEntry) after(o *joinEntry) bool {
	if e.seq == 0 || o.seq == 0 {
		return o.seq == 0
	}
	return int32(e.seq-o.seq) > 0
}

// release says that the request has ended. Its entry stays for late calls, unless another request of the same id is in flight.
func (j *joinTable) release(ref joinRef, mono int64) {
	s := &j.shards[ref.key.hi&j.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.set(ref.key)
	mine := int(ref.way)
	if e := &set.places[mine]; e.seq != ref.seq || e.key != ref.key || set.states[mine] != joinLive {
		mine = -1
	} else if !e.shared {
		set.states[mine], set.used[mine] = joinEnded, joinTick(mono)
		return
	}
	f := set.find(ref.key)
	if mine < 0 {
		// Hidden, or evicted meanwhile.
		if f.hidden < 0 {
			return
		}
		mine = f.hidden
		set.places[mine].hidden--
		if set.places[mine].seq != 0 {
			return
		}
	} else {
		set.places[mine].seq = 0
	}
	switch {
	case set.places[mine].hidden > 0: // the entry goes on standing for them
	case f.live > 1:
		set.states[mine] = joinFree
	default:
		set.states[mine], set.used[mine] = joinEnded, joinTick(mono)
	}
}

// lookup finds the inbound request that an outbound request of the same id belongs to: the newest in flight, else the last one
// that ended, until it expires. A use keeps an ended entry for another lifetime.
func (j *joinTable) lookup(key joinKey, mono int64) (ctx spanContext, how span.Join, ok bool) {
	now := joinTick(mono)
	s := &j.shards[key.hi&j.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.set(key)
	if set == nil {
		return ctx, span.JoinRoot, false
	}
	switch f := set.find(key); {
	case f.requests > 1:
		return set.places[f.newest].ctx, span.JoinAmbiguous, true
	case f.requests == 1:
		return set.places[f.newest].ctx, span.JoinID, true
	case f.ended >= 0 && now-set.used[f.ended] <= j.ttl:
		set.used[f.ended] = now
		return set.places[f.ended].ctx, span.JoinLate, true
	case f.ended >= 0:
		set.states[f.ended] = joinFree
	}
	return ctx, span.JoinRoot, false
}

// take returns a place for a request of key: a free or expired one, or, when the shard may not grow, the one that will be
// missed least.
func (s *joinShard) take(key joinKey, now, ttl uint32) (*joinSet, int) {
	for {
		if len(s.sets) == 0 {
			s.resize(1)
		}
		set := s.set(key)
		best := set.choose(now)
		if set.states[best] == joinFree || set.states[best] == joinEnded && now-set.used[best] > ttl {
			return set, best
		}
		if len(s.sets) == s.max {
			s.evicted++
			return set, best
		}
		s.grow()
	}
}

// choose returns the place of the set to use next: a free one, else that of the ended request that was used longest ago, else of
// the one that began first.
func (set *joinSet) choose(now uint32) int {
	best, rank := 0, uint64(0)
	for i := range joinWays {
		var r uint64
		switch set.states[i] {
		case joinFree:
			r = 1 << 62
		case joinEnded:
			r = 1<<61 | uint64(now-set.used[i])
		case joinLive:
			r = uint64(now - set.used[i])
		}
		if r >= rank {
			best, rank = i, r
		}
	}
	return best
}

// grow doubles the sets. A shard has 128 at the default size, so this takes microseconds, and seldom happens.
func (s *joinShard) grow() {
	old := s.sets
	n := len(old)
	s.resize(2 * n)
	for i := range old {
		from := &old[i]
		for w := range joinWays {
			if from.states[w] == joinFree {
				continue
			}
			to := s.set(from.places[w].key)
			to.tags[w], to.states[w], to.used[w], to.places[w] = from.tags[w], from.states[w], from.used[w], from.places[w]
		}
	}
}

// resize makes room for n sets, empty.
func (s *joinShard) resize(n int) {
	sets := make([]joinSet, n)
	s.sets = sets
	s.seen.Store(&sets)
}

// JoinStats describes the join table.
type JoinStats struct {
	IDs     int    // requests remembered; expired ones count until their place is needed
	Evicted uint64 // requests forgotten before their time, since their part of the table was full
}

// JoinStats counts what is in the join table. Any goroutine.
func (s *Shared) JoinStats() (st JoinStats) {
	for i := range s.joins.shards {
		sh := &s.joins.shards[i]
		sh.mu.Lock()
		for k := range sh.sets {
			for _, state := range sh.sets[k].states {
				if state != joinFree {
					st.IDs++
				}
			}
		}
		st.Evicted += sh.evicted
		sh.mu.Unlock()
	}
	return st
}
