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
// A shard is a circular log of entries, oldest first, with an index of four bytes an entry. With tens of thousands of ids nothing of a
// table is in a near cache, nor in the processor's table of pages. But a log is written in order, what it overwrites needs no
// taking out of lists, and the index is an eighth of it: a new id costs one cache line from afar, where hash chains and lists cost eight.
// Shards begin small and double while they would have to forget ids too early, so memory follows use.
//
// The table holds no ids, only seeded 128-bit hashes, so entries are of one size and nobody can choose colliding ids.
type joinTable struct {
	seeds  [2]maphash.Seed
	ttl    uint32 // ticks
	mask   uint64
	shards []joinShard
}

// joinKey is the hash of an id. hi chooses the shard, lo the line of the index and the tag.
type joinKey struct{ hi, lo uint64 }

// joinRef names the entry of one request. The zero value names none.
type joinRef struct {
	key joinKey
	seq uint32 // under which it was entered, never 0
}

// joinState says what an entry is.
type joinState uint8

const (
	joinFree  joinState = iota
	joinLive            // a request in flight
	joinEnded           // one that had its response
)

// joinMark says what became of an entry so far, in bits.
type joinMark uint8

const (
	joinHit   joinMark = 1 << iota // an outbound request of its id came
	joinLate                       // one came after its end
	joinNewer                      // its id was used again while it was in flight
)

// joinEntry is one inbound request, in one cache line.
type joinEntry struct {
	key   joinKey
	ctx   spanContext
	state joinState
	marks joinMark
	seq   uint32 // its number in the log; its place is seq & (len−1). It gets a new one when the log comes round while it is in use
	first uint32 // the number it was entered under, which its ref bears
	older uint32 // place of the entry of the same id before it, plus one; 0 = none
	used  uint32 // tick of the end, or of the last use after it
	end   uint32 // the shard's count of ends when it ended: ticks are too coarse to tell which was last
}

// joinLine is a cache line of the index: tag and number of up to sixteen entries, tag<<24 | number&(1<<24−1); 0 = none. A number further
// back than the log is long is void, so what the log overwrites needs no taking out here either.
type joinLine [16]uint32

const (
	joinSeqBits = 24
	joinSeqMask = 1<<joinSeqBits - 1
	// joinPerLine is how many entries the log has for each line of the index: half of what fits, so that few lines overflow.
	joinPerLine = 8
	// minJoinLog is the length of a log that holds its first entry, 1 KiB.
	minJoinLog = 2 * joinPerLine
	// maxJoinShards is enough that two loops seldom meet, and few enough that the ends of the logs are in the cache.
	maxJoinShards = 16
	// joinWalk bounds how many requests of one id one call looks at. Those that have ended are unlinked on the way.
	joinWalk = 64
	// joinMoves is how many entries in use each new one may carry along when the log comes round. What it does not need is kept for others, up to
	// joinMovesMost, since requests that began together stand together: some ten microseconds' work.
	joinMoves     = 8
	joinMovesMost = 1024
	// joinMovesLive is how many of what is kept are for requests in flight alone. Else a table of which more than half is in flight would spend all
	// on those that ended lately.
	joinMovesLive = joinMovesMost / 2
	// joinTickShift makes a tick of 2^20 ns, about a millisecond: 32 bits last for 52 days, and ages are differences.
	joinTickShift = 20
)

// joinTick converts monotonic ns.
func joinTick(mono int64) uint32 { return uint32(mono >> joinTickShift) }

// joinAhead is by how many ticks, a minute, an entry may have been used after now: each loop has the time of the beginning of its turn, and
// another may have gone on meanwhile.
const joinAhead = 1 << 16

// joinAge returns how many ticks ago an entry was used.
func joinAge(now, used uint32) uint32 {
	if used-now < joinAhead {
		return 0
	}
	return now - used
}

// joinView is a shard's memory. It is replaced as a whole when the shard grows.
type joinView struct {
	log   []joinEntry // a power of two of them
	index []joinLine  // likewise
}

// joinShard is one part of the table.
type joinShard struct {
	mu      sync.Mutex
	v       joinView
	next    uint32                   // number of the next entry
	ends    uint32                   // requests that ended so far
	moves   int                      // entries that may be carried along, joinMovesMost at most
	max     int                      // longest log
	evicted uint64                   // requests forgotten before their time
	seen    atomic.Pointer[joinView] // v, for those who ask without the lock only where things are
	_       [64]byte                 // keep the next shard's lock off this cache line
}

// init sets the bounds: room for at least size ids. Nothing is allocated for entries yet.
func (j *joinTable) init(size int, ttl int64) {
	total := minJoinLog
	for total < size {
		total *= 2
	}
	n := min(total/minJoinLog, maxJoinShards)
	j.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	j.ttl, j.mask, j.shards = max(joinTick(ttl), 1), uint64(n-1), make([]joinShard, n)
	for i := range j.shards {
		j.shards[i].max, j.shards[i].next, j.shards[i].moves = total/n, 1, joinMovesMost
	}
}

// key hashes an id.
func (j *joinTable) key(id []byte) joinKey {
	return joinKey{hi: maphash.Bytes(j.seeds[0], id), lo: maphash.Bytes(j.seeds[1], id)}
}

// tag is the part of the key that the index holds; it is independent of the line's number.
func (k joinKey) tag() uint32 { return uint32(k.lo>>56) << joinSeqBits }

// warm asks for the cache line that publish of key will need first, without waiting for it: there is other work to do meanwhile.
func (j *joinTable) warm(key joinKey) {
	if v := j.shards[key.hi&j.mask].seen.Load(); v != nil {
		prefetchLine(v.line(key))
	}
}

// warmRef is warm for what release of ref will need.
func (j *joinTable) warmRef(ref *joinRef) {
	if v := j.shards[ref.key.hi&j.mask].seen.Load(); v != nil {
		prefetchEntry(v.at(ref.seq))
	}
}

// line returns the line of the index that key belongs to.
func (v *joinView) line(key joinKey) *joinLine { return &v.index[key.lo&uint64(len(v.index)-1)] }

// at returns the place of the entry with that number.
func (v *joinView) at(seq uint32) *joinEntry { return &v.log[seq&uint32(len(v.log)-1)] }

// publish enters an inbound request that is in flight from now on. The ref is given back by release.
func (j *joinTable) publish(key joinKey, ctx *spanContext, mono int64) joinRef {
	s := &j.shards[key.hi&j.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := s.advance(joinTick(mono), j.ttl)
	older := uint32(0)
	slot, last := s.find(key)
	if last != nil {
		// An id that is used again counts for the request in flight, not for one that had its response.
		if live := s.newestLive(last); live != nil {
			older = live.seq&uint32(len(s.v.log)-1) + 1
			live.marks |= joinNewer
		}
		if last.state == joinEnded {
			last.state = joinFree
		}
	} else {
		slot = s.vacant(key)
	}
	*s.v.at(seq) = joinEntry{key: key, ctx: *ctx, state: joinLive, seq: seq, first: seq, older: older}
	*slot = key.tag() | seq&joinSeqMask
	return joinRef{key: key, seq: seq}
}

// find returns the newest entry of key and its slot in the index; nil when there is none.
func (s *joinShard) find(key joinKey) (*uint32, *joinEntry) {
	if s.v.index == nil {
		return nil, nil
	}
	line, tag := s.v.line(key), key.tag()
	for i, slot := range line {
		if slot&^joinSeqMask != tag || slot == 0 {
			continue
		}
		if e := s.v.at(slot); e.seq&joinSeqMask == slot&joinSeqMask && e.state != joinFree && e.key == key {
			return &line[i], e
		}
	}
	return nil, nil
}

// vacant returns a slot of the index for a new id: an empty or void one, or that of the oldest entry, which is forgotten.
func (s *joinShard) vacant(key joinKey) *uint32 {
	line := s.v.line(key)
	best, most := 0, uint32(0)
	for i, slot := range line {
		age := (s.next - slot) & joinSeqMask
		if slot == 0 || age > uint32(len(s.v.log)) {
			return &line[i]
		}
		if age > most {
			best, most = i, age
		}
	}
	s.evicted++
	return &line[best]
}

// older returns the entry of the same id before e, nil when there is none any more.
func (s *joinShard) older(e *joinEntry) *joinEntry {
	if e.older == 0 {
		return nil
	}
	if o := &s.v.log[e.older-1]; o.key == e.key && o.state != joinFree && int32(e.first-o.first) > 0 {
		return o
	}
	return nil // overwritten since
}

// newestLive returns the newest request in flight of e's id, e included, and takes those before it that have ended out of the chain;
// an e that has ended stays, and stands for the one that ended last. nil when none is in flight.
func (s *joinShard) newestLive(e *joinEntry) *joinEntry {
	if e.state == joinLive {
		return e
	}
	for range joinWalk {
		o := s.older(e)
		if o == nil || o.state == joinLive {
			return o
		}
		e.older = o.older
		if int32(o.end-e.end) > 0 {
			e.ctx, e.used, e.end = o.ctx, o.used, o.end
		}
		o.state = joinFree
	}
	return nil
}

// advance returns the number of the entry to write next: its place is free, or expired, or the log may not grow and nothing there is worth
// keeping. A log that comes round at its full length need not be full of use: what is in use there stays where it is.
func (s *joinShard) advance(now, ttl uint32) uint32 {
	if s.v.log == nil {
		s.resize(min(minJoinLog, s.max))
	}
	s.moves = min(s.moves+joinMoves, joinMovesMost)
	for carried := 0; ; {
		seq := s.next
		if seq&joinSeqMask == 0 { // would look like an empty slot
			s.next++
			continue
		}
		e := s.v.at(seq)
		switch {
		case e.state == joinFree, e.state == joinEnded && joinAge(now, e.used) > ttl:
		case len(s.v.log) < s.max:
			s.resize(2 * len(s.v.log))
			continue
		case s.moves > 0 && s.worth(e, carried):
			s.move(e, seq)
			s.next++
			s.moves--
			carried++
			continue
		default:
			s.evicted++
		}
		s.next++
		return seq
	}
}

// worth reports whether an entry in use is to be carried along, when as many others have been for the same new one. Requests in flight are, and as
// long as that leaves enough for them, those that were used after their end, and those that ended lately, however long ago they began: more calls
// of theirs may come. In a small log that has come round once for the same new one, and found nothing else, one that only ended lately goes, and when
// it has come round twice this one, whatever it is.
func (s *joinShard) worth(e *joinEntry, carried int) bool {
	n := len(s.v.log)
	switch {
	case e.state == joinLive:
		return carried < 2*n
	case s.moves <= joinMovesLive:
		return false
	case e.marks&joinLate != 0:
		return carried < 2*n
	}
	return carried < n && s.ends-e.end < uint32(n/2)
}

// move gives an entry that is in use, at whose place the log has come round, the next number: it stays where it is.
func (s *joinShard) move(e *joinEntry, seq uint32) {
	line := s.v.line(e.key)
	for i, slot := range line {
		if slot == e.key.tag()|e.seq&joinSeqMask {
			line[i] = e.key.tag() | seq&joinSeqMask
		}
	}
	e.seq = seq
}

// resize makes the log n entries long and moves what is in it. A shard has 4096 entries at the default size, so this takes some ten
// microseconds, and seldom happens.
func (s *joinShard) resize(n int) {
	old := s.v
	s.v = joinView{log: make([]joinEntry, n), index: make([]joinLine, max(n/joinPerLine, 1))}
	for i := range old.log {
		e := &old.log[i]
		if e.state == joinFree {
			continue
		}
		if e.older != 0 {
			e.older = old.log[e.older-1].seq&uint32(n-1) + 1
		}
		*s.v.at(e.seq) = *e
	}
	for i := range old.index {
		for _, slot := range old.index[i] {
			if slot == 0 {
				continue
			}
			e := old.at(slot)
			if e.state != joinFree && e.seq&joinSeqMask == slot&joinSeqMask {
				*s.vacant(e.key) = slot
			}
		}
	}
	v := s.v
	s.seen.Store(&v)
}

// release says that the request has ended. Its entry stays for late calls. It reports whether an outbound request of its id came, and true
// when the entry is gone and nobody knows.
func (j *joinTable) release(ref joinRef, mono int64) (hit bool) {
	s := &j.shards[ref.key.hi&j.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.v.log == nil {
		return true // evicted, and the rest has been swept since
	}
	e := s.v.at(ref.seq)
	if e.first != ref.seq || e.key != ref.key {
		// It was carried along when the log came round, and the log has grown since; or it was evicted.
		_, e = s.find(ref.key)
		for range joinWalk {
			if e == nil || e.first == ref.seq {
				break
			}
			e = s.older(e)
		}
		if e == nil || e.first != ref.seq {
			return true
		}
	}
	if e.state == joinLive {
		s.ends++
		e.state, e.used, e.end = joinEnded, joinTick(mono), s.ends
		if e.older != 0 || e.marks&joinNewer != 0 {
			s.unlink(e)
		}
	}
	return e.marks&joinHit != 0
}

// unlink frees an entry that has just ended if another request of its id is in flight, which is the one that late calls will find. Were it
// left in the chain until its place is used again, then the chain would break there, and hide who is in flight behind it.
func (s *joinShard) unlink(e *joinEntry) {
	slot, n := s.find(e.key)
	if n == e {
		if o := s.older(e); o != nil && o.state == joinLive {
			*slot = e.key.tag() | o.seq&joinSeqMask
			e.state = joinFree
		}
		return
	}
	for range joinWalk {
		if n == nil {
			return
		}
		o := s.older(n)
		if o == e {
			n.older, e.state = e.older, joinFree
			return
		}
		n = o
	}
}

// lookup finds the inbound request that an outbound request of the same id belongs to: the newest in flight, else the last one
// that ended, until it expires. A use keeps an ended entry for another lifetime.
func (j *joinTable) lookup(key joinKey, mono int64) (ctx spanContext, how span.Join, ok bool) {
	now := joinTick(mono)
	s := &j.shards[key.hi&j.mask]
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e := s.find(key)
	if e == nil {
		return ctx, span.JoinRoot, false
	}
	if live := s.newestLive(e); live != nil {
		live.marks |= joinHit
		if o := s.older(live); o != nil && s.anyLive(live) {
			return live.ctx, span.JoinAmbiguous, true
		}
		return live.ctx, span.JoinID, true
	}
	age := joinAge(now, e.used)
	if age > j.ttl {
		e.state = joinFree
		return ctx, span.JoinRoot, false
	}
	if age > 0 {
		e.used = now
	}
	e.marks |= joinLate
	return e.ctx, span.JoinLate, true
}

// anyLive reports whether a request of e's id before e is in flight, and takes those that have ended out of the chain on the way.
func (s *joinShard) anyLive(e *joinEntry) bool {
	for range joinWalk {
		o := s.older(e)
		if o == nil || o.state == joinLive {
			return o != nil
		}
		e.older = o.older
		o.state = joinFree
	}
	return false
}
