package trace

import (
	"hash/maphash"
	"math/bits"
	"sync"

	"github.com/spanwire/spanwire/core/span"
)

// maxJoinID bounds the request ids that are joined by, in bytes.
const maxJoinID = 128

// joinable reports whether requests are joined by id: it is there, and not too long.
func joinable(id []byte) bool { return len(id) > 0 && len(id) <= maxJoinID }

// joinTable remembers inbound requests by their id, for the outbound requests that they cause. It is the one structure that
// loops share: sharded by the hash of the id, each shard with a lock that is held for some tens of nanoseconds.
//
// The table holds no ids, only seeded 128-bit hashes, so entries are of one size and nobody can choose colliding ids.
type joinTable struct {
	seeds  [2]maphash.Seed
	ttl    int64 // ns
	mask   uint64
	shards []joinShard
}

// joinKey is the hash of an id.
type joinKey struct{ hi, lo uint64 }

// joinRef names an entry. The zero value names none. An entry that was evicted and used again has another generation.
type joinRef struct{ shard, slot, gen uint32 }

// joinEntry is one inbound request. Slots are numbered from 1; 0 is none.
type joinEntry struct {
	key  joinKey
	ctx  spanContext
	used int64  // monotonic ns of the last use; counts once the request has ended
	gen  uint32 // grows each time the slot is given back
	// inFlight counts the requests in flight of this id; it is kept at the newest only. 0: the request has ended.
	inFlight uint32
	chain    uint32 // next in the bucket; only the newest of an id is in it. For a free slot: the next free one
	newer    uint32 // of the same id, in flight
	older    uint32
	before   uint32 // in the list of live or of ended entries
	after    uint32
	ended    bool
}

// joinList is a doubly linked list of entries, oldest first.
type joinList struct{ first, last uint32 }

// joinChunk is how entries are allocated: as they are needed, in one piece of some KiB, and never moved.
const joinChunk = 32

// joinShard is one part of the table. All slots are in exactly one of: live, ended, free.
type joinShard struct {
	mu      sync.Mutex
	buckets []uint32 // slots, by the low bits of key.lo; a power of two long
	chunks  [][]joinEntry
	size    uint32 // slots ever used
	max     uint32
	free    uint32
	live    joinList // in flight, oldest request first
	ended   joinList // had their response, least recently used first
	ids     int      // distinct ids: entries in buckets
	evicted uint64   // entries dropped before their time
	_       [64]byte // keep the next shard's lock off this cache line
}

// maxJoinShards and minShardSize bound the number of shards: enough that two loops seldom meet, not so many that the bound of a
// shard is far from the average.
const (
	maxJoinShards = 64
	minShardSize  = 256
)

// init sets the bounds. Nothing is allocated for entries yet.
func (j *joinTable) init(size int, ttl int64) {
	n := 1
	for n < maxJoinShards && size/(2*n) >= minShardSize {
		n *= 2
	}
	j.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	j.ttl, j.mask, j.shards = ttl, uint64(n-1), make([]joinShard, n)
	for i := range j.shards {
		j.shards[i].max = uint32(size / n)
		if i < size%n {
			j.shards[i].max++
		}
	}
}

// key hashes an id.
func (j *joinTable) key(id []byte) joinKey {
	return joinKey{hi: maphash.Bytes(j.seeds[0], id), lo: maphash.Bytes(j.seeds[1], id)}
}

// publish enters an inbound request that is in flight from now on. The ref is given back by release.
func (j *joinTable) publish(key joinKey, ctx *spanContext, mono int64) joinRef {
	i := key.hi & j.mask
	s := &j.shards[i]
	s.mu.Lock()
	slot := s.find(key)
	if slot != 0 && s.at(slot).ended {
		// An id that is used again: the request that is in flight counts, not the one that had its response.
		s.unlist(&s.ended, slot)
		s.list(&s.live, slot)
		s.at(slot).inFlight = 1
	} else {
		slot = s.take(mono, j.ttl)
		s.at(slot).key = key
		s.enter(slot)
	}
	e := s.at(slot)
	e.ctx, e.ended = *ctx, false
	ref := joinRef{shard: uint32(i), slot: slot, gen: e.gen}
	s.mu.Unlock()
	return ref
}

// release says that the request has ended. Its entry stays for late calls, unless another request of the same id is in flight.
func (j *joinTable) release(ref joinRef, mono int64) {
	s := &j.shards[ref.shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.at(ref.slot)
	if e.gen != ref.gen {
		return // evicted meanwhile
	}
	if e.newer != 0 || e.older != 0 {
		s.remove(ref.slot)
		return
	}
	e.ended, e.inFlight, e.used = true, 0, mono
	s.unlist(&s.live, ref.slot)
	s.list(&s.ended, ref.slot)
}

// lookup finds the inbound request that an outbound request of the same id belongs to: the newest in flight, else the last one
// that ended, until it expires. A use keeps an ended entry for another lifetime.
func (j *joinTable) lookup(key joinKey, mono int64) (ctx spanContext, how span.Join, ok bool) {
	s := &j.shards[key.hi&j.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.find(key)
	if slot == 0 {
		return ctx, span.JoinRoot, false
	}
	e := s.at(slot)
	if !e.ended {
		if e.inFlight > 1 {
			return e.ctx, span.JoinAmbiguous, true
		}
		return e.ctx, span.JoinID, true
	}
	if mono-e.used > j.ttl {
		s.remove(slot)
		return ctx, span.JoinRoot, false
	}
	e.used = max(e.used, mono)
	s.unlist(&s.ended, slot)
	s.list(&s.ended, slot)
	return e.ctx, span.JoinLate, true
}

// at returns the entry of a slot.
func (s *joinShard) at(slot uint32) *joinEntry {
	return &s.chunks[(slot-1)/joinChunk][(slot-1)%joinChunk]
}

// find returns the newest entry of key, 0 if there is none.
func (s *joinShard) find(key joinKey) uint32 {
	if len(s.buckets) == 0 {
		return 0
	}
	slot := s.buckets[key.lo&uint64(len(s.buckets)-1)]
	for slot != 0 {
		e := s.at(slot)
		if e.key == key {
			return slot
		}
		slot = e.chain
	}
	return 0
}

// take returns a slot that is in no list: a free one, an expired one, a new one, or the one that will be missed least.
func (s *joinShard) take(mono, ttl int64) uint32 {
	if s.free == 0 {
		switch old := s.ended.first; {
		case old != 0 && mono-s.at(old).used > ttl:
			s.remove(old)
		case s.size < s.max:
			return s.grow()
		case old != 0:
			s.evicted++
			s.remove(old)
		default:
			s.evicted++
			s.remove(s.live.first)
		}
	}
	slot := s.free
	s.free = s.at(slot).chain
	return slot
}

// grow returns a slot that was never used before.
func (s *joinShard) grow() uint32 {
	if s.size%joinChunk == 0 {
		s.chunks = append(s.chunks, make([]joinEntry, min(joinChunk, s.max-s.size)))
	}
	s.size++
	return s.size
}

// enter makes the slot the newest of its key and lists it as live.
func (s *joinShard) enter(slot uint32) {
	e := s.at(slot)
	e.newer, e.older, e.inFlight = 0, 0, 1
	if head := s.find(e.key); head != 0 {
		h := s.at(head)
		e.older, e.inFlight = head, h.inFlight+1
		h.newer = slot
		s.relink(head, slot)
		e.chain = h.chain
	} else {
		if s.ids == len(s.buckets) {
			s.rehash()
		}
		b := &s.buckets[e.key.lo&uint64(len(s.buckets)-1)]
		e.chain, *b = *b, slot
		s.ids++
	}
	s.list(&s.live, slot)
}

// remove takes a live or ended entry out of everything and frees its slot.
func (s *joinShard) remove(slot uint32) {
	e := s.at(slot)
	switch {
	case e.newer != 0: // not the newest of its id
		s.at(s.find(e.key)).inFlight--
		s.at(e.newer).older = e.older
		if e.older != 0 {
			s.at(e.older).newer = e.newer
		}
	case e.older != 0: // the newest of several: the next one takes its place
		o := s.at(e.older)
		o.newer, o.inFlight = 0, e.inFlight-1
		s.relink(slot, e.older)
		o.chain = e.chain
	default:
		s.relink(slot, e.chain)
		s.ids--
	}
	if e.ended {
		s.unlist(&s.ended, slot)
	} else {
		s.unlist(&s.live, slot)
	}
	e.gen++
	e.chain, s.free = s.free, slot
}

// relink makes the bucket's link to slot point to by instead.
func (s *joinShard) relink(slot, by uint32) {
	p := &s.buckets[s.at(slot).key.lo&uint64(len(s.buckets)-1)]
	for *p != slot {
		p = &s.at(*p).chain
	}
	*p = by
}

// rehash doubles the buckets. A shard has 1024 ids at the default size, so this takes microseconds, and seldom happens.
func (s *joinShard) rehash() {
	n := max(8, 1<<bits.Len(uint(len(s.buckets))))
	old := s.buckets
	s.buckets = make([]uint32, n)
	for _, slot := range old {
		for slot != 0 {
			e := s.at(slot)
			next := e.chain
			b := &s.buckets[e.key.lo&uint64(n-1)]
			e.chain, *b = *b, slot
			slot = next
		}
	}
}

// list appends the slot to l.
func (s *joinShard) list(l *joinList, slot uint32) {
	e := s.at(slot)
	e.before, e.after = l.last, 0
	if l.last != 0 {
		s.at(l.last).after = slot
	} else {
		l.first = slot
	}
	l.last = slot
}

// unlist takes the slot out of l.
func (s *joinShard) unlist(l *joinList, slot uint32) {
	e := s.at(slot)
	if e.before != 0 {
		s.at(e.before).after = e.after
	} else {
		l.first = e.after
	}
	if e.after != 0 {
		s.at(e.after).before = e.before
	} else {
		l.last = e.before
	}
}

// JoinStats describes the join table.
type JoinStats struct {
	IDs     int    // distinct ids remembered; expired ones count until their place is needed
	Evicted uint64 // requests forgotten before their time, since the table was full
}

// JoinStats counts what is in the join table. Any goroutine.
func (s *Shared) JoinStats() (st JoinStats) {
	for i := range s.joins.shards {
		sh := &s.joins.shards[i]
		sh.mu.Lock()
		st.IDs += sh.ids
		st.Evicted += sh.evicted
		sh.mu.Unlock()
	}
	return st
}
