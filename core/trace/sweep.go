package trace

import "runtime"

// joinPiece is how many entries are looked at while a shard's lock is held: a microsecond or two.
const joinPiece = 256

// joinLineBytes is the size of an entry and of a line of the index: each is a cache line.
const joinLineBytes = 64

// JoinStats describes the join table.
type JoinStats struct {
	IDs     int    // requests remembered: in flight, or ended and not expired
	Live    int    // of them, those in flight
	Evicted uint64 // requests forgotten before their time, since the table was full
}

// JoinStats counts what is in the join table at a monotonic time of the loops. It looks at every entry there is room for, a millisecond's
// work when that is the default of 65 536. Any goroutine but a loop's.
func (s *Shared) JoinStats(mono int64) (st JoinStats) {
	for i := range s.joins.shards {
		sh := &s.joins.shards[i]
		live, ended, _ := sh.inUse(joinTick(mono), s.joins.ttl)
		st.IDs += live + ended
		st.Live += live
		sh.mu.Lock()
		st.Evicted += sh.evicted
		sh.mu.Unlock()
		runtime.Gosched() // the loop may be waiting for this very processor
	}
	return st
}

// Sweep gives the memory of those parts of the join table back in which nothing is remembered any more, and returns how many bytes that
// was. A table that was full once would else stay as large for good. Any goroutine but a loop's.
func (s *Shared) Sweep(mono int64) (freed int) {
	for i := range s.joins.shards {
		freed += s.joins.shards[i].sweep(joinTick(mono), s.joins.ttl)
		runtime.Gosched()
	}
	return freed
}

// inUse counts the entries of requests in flight, and of those that ended and have not expired, under the lock for a piece at a time; next is the
// shard's when the count began.
func (s *joinShard) inUse(now, ttl uint32) (live, ended int, next uint32) {
	for from := 0; ; from += joinPiece {
		s.mu.Lock()
		if from == 0 {
			next = s.next
		}
		log := s.v.log
		for i := from; i < min(from+joinPiece, len(log)); i++ {
			switch e := &log[i]; {
			case e.state == joinLive:
				live++
			case e.state == joinEnded && joinAge(now, e.used) <= ttl:
				ended++
			}
		}
		s.mu.Unlock()
		if from+joinPiece >= len(log) {
			return live, ended, next
		}
	}
}

// sweep drops the shard's memory if nothing is remembered. An entry that has expired stays so, but for a loop whose turn began before it did, which
// may lose one late join; one that came while the others were counted shows in next.
func (s *joinShard) sweep(now, ttl uint32) (freed int) {
	live, ended, next := s.inUse(now, ttl)
	s.mu.Lock()
	defer s.mu.Unlock()
	if live+ended > 0 || s.next != next || s.v.log == nil {
		return 0
	}
	freed = (len(s.v.log) + len(s.v.index)) * joinLineBytes
	s.v = joinView{}
	s.seen.Store(nil)
	return freed
}
