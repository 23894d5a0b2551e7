package trace

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// TestEvictionOrder: expired entries go first, then the oldest that ended; requests in flight are carried along while others can go.
func TestEvictionOrder(t *testing.T) {
	j := func() *joinTable { j := new(joinTable); j.init(minJoinLog, 100*tick); return j }
	key := func(n uint64) joinKey { return joinKey{n, n << 56} }
	has := func(t *testing.T, j *joinTable, from, to uint64, but ...uint64) {
		t.Helper()
		for n := uint64(1); n <= 60; n++ {
			_, e := j.shards[0].find(key(n))
			want := n >= from && n <= to && !slices.Contains(but, n)
			if want != (e != nil) {
				t.Fatalf("key %d is there: %v", n, e != nil)
			}
			if e != nil && e.ctx != *spanOf(n) {
				t.Fatalf("key %d has another's context", n)
			}
		}
		checkShards(t, j)
	}
	fill := func(j *joinTable, from, to uint64) (refs []joinRef) {
		for n := from; n <= to; n++ {
			refs = append(refs, j.publish(key(n), spanOf(n), 0))
		}
		return refs
	}
	t.Run("expired", func(t *testing.T) {
		j := j()
		refs := fill(j, 1, minJoinLog)
		j.release(refs[0], 10*tick)
		j.publish(key(17), spanOf(17), 111*tick)
		has(t, j, 2, 17)
		if j.shards[0].evicted != 0 {
			t.Fatal("an expired entry counts as evicted")
		}
	})
	t.Run("ended, oldest first, those in flight stay", func(t *testing.T) {
		j := j()
		refs := fill(j, 1, minJoinLog)
		j.release(refs[1], 10*tick)
		j.release(refs[2], 20*tick)
		j.publish(key(17), spanOf(17), 40*tick)
		has(t, j, 1, 17, 2)
		j.publish(key(18), spanOf(18), 41*tick)
		has(t, j, 1, 18, 2, 3)
		if j.shards[0].evicted != 2 {
			t.Fatalf("counted %d", j.shards[0].evicted)
		}
		j.release(refs[0], 42*tick) // carried along: it is told all the same
		if _, how, _ := j.lookup(key(1), 43*tick); how != span.JoinLate {
			t.Fatalf("a request that was carried along and ended is %v", how)
		}
	})
	t.Run("all in flight", func(t *testing.T) {
		j := j()
		refs := fill(j, 1, minJoinLog+1)
		if n := j.shards[0].evicted; n != 1 {
			t.Fatalf("counted %d", n)
		}
		checkShards(t, j)
		left := 0
		for n := range uint64(minJoinLog + 1) {
			if _, how, ok := j.lookup(key(n+1), tick); ok && how == span.JoinID {
				left++
			}
			j.release(refs[n], 2*tick) // that of the evicted one must end no other
		}
		if left != minJoinLog {
			t.Fatalf("%d requests are known, one was to go", left)
		}
	})
}

// TestCarriedAlongWhileGrowing: refs hold when the log has come round, and grown, since.
func TestCarriedAlongWhileGrowing(t *testing.T) {
	j := new(joinTable)
	j.init(16*minJoinLog*maxJoinShards, 10*tick)
	first := j.publish(roundKey(200), spanOf(200), 0)
	for round := range uint64(4) {
		for n := range uint64(minJoinLog) { // each expired before the next: the log comes round without growing
			mono := int64(round*1000+n*20) * tick
			j.release(j.publish(roundKey(n), spanOf(n), mono), mono)
		}
	}
	var refs []joinRef
	for n := range uint64(3 * minJoinLog) { // in flight together: it grows
		refs = append(refs, j.publish(roundKey(n), spanOf(n), 9000*tick))
	}
	if len(j.shards[0].v.log) <= minJoinLog {
		t.Fatal("it has not grown")
	}
	checkShards(t, j)
	if c, how, _ := j.lookup(roundKey(200), 9000*tick); how != span.JoinID || c != *spanOf(200) {
		t.Fatalf("the first request is %v", how)
	}
	j.release(first, 9001*tick)
	if _, how, _ := j.lookup(roundKey(200), 9002*tick); how != span.JoinLate {
		t.Fatalf("after its end the first request is %v", how)
	}
	for n, r := range refs {
		if c, how, _ := j.lookup(roundKey(uint64(n)), 9003*tick); how != span.JoinID || c != *spanOf(uint64(n)) {
			t.Fatalf("request %d is %v", n, how)
		}
		j.release(r, 9003*tick)
	}
}

// TestOneIDManyTimesInFlight: an id counts as in flight until its last request has ended, in whatever order they end, and the newest
// in flight is the parent.
func TestOneIDManyTimesInFlight(t *testing.T) {
	const n = 40
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		j := new(joinTable)
		j.init(1024, 100*tick)
		key := joinKey{1, 7}
		var refs []joinRef
		live := map[int]bool{}
		for i := range n {
			refs = append(refs, j.publish(key, spanOf(uint64(i)), int64(i)))
			live[i] = true
		}
		for _, i := range rnd.Perm(n) {
			newest := 0
			for l := range live {
				newest = max(newest, l)
			}
			c, how, _ := j.lookup(key, n)
			if want := map[bool]span.Join{true: span.JoinAmbiguous, false: span.JoinID}[len(live) > 1]; how != want || c != *spanOf(uint64(newest)) {
				t.Fatalf("seed %d: %v with %d in flight", seed, how, len(live))
			}
			j.release(refs[i], n)
			delete(live, i)
			checkShards(t, j)
		}
		if _, how, _ := j.lookup(key, n); how != span.JoinLate {
			t.Fatalf("seed %d: %v with none in flight", seed, how)
		}
	}
}

// tick is one tick of the table's clock in ns.
const tick = int64(1) << joinTickShift

// spanOf makes a context that is told by a number.
func spanOf(n uint64) *spanContext {
	c := &spanContext{decision: sample}
	binary.BigEndian.PutUint64(c.span[:], n)
	return c
}

// checkShards checks the invariants of the table: bounds, every entry at the place of its number, every valid slot of the index in the
// line and with the tag of its entry, and no id twice in the index.
func checkShards(t *testing.T, j *joinTable) {
	t.Helper()
	for i := range j.shards {
		s := &j.shards[i]
		if n := len(s.v.log); n > s.max || n&(n-1) != 0 || len(s.v.index) > max(n/joinPerLine, 1) {
			t.Fatalf("a log of %d, at most %d, with %d lines", n, s.max, len(s.v.index))
		}
		for k := range s.v.log {
			e := &s.v.log[k]
			if e.state != joinFree && (s.v.at(e.seq) != e || s.next-e.seq > uint32(len(s.v.log))) {
				t.Fatalf("entry %d stands at place %d of %d, the next is %d", e.seq, k, len(s.v.log), s.next)
			}
		}
		seen := map[joinKey]bool{}
		for k := range s.v.index {
			for _, slot := range s.v.index[k] {
				if slot == 0 {
					continue
				}
				e := s.v.at(slot)
				if e.state == joinFree || e.seq&joinSeqMask != slot&joinSeqMask {
					continue // void
				}
				if s.v.line(e.key) != &s.v.index[k] || slot&^joinSeqMask != e.key.tag() || seen[e.key] {
					t.Fatalf("a slot of %v is in a wrong line, or doubled", e.key)
				}
				seen[e.key] = true
			}
		}
	}
}

// TestWhatIsInUseStaysWhileThereIsRoom: the log is at its full length and comes round, and what is in use is a small part of it: nothing is
// forgotten, neither of many requests that began together, nor one that began long before it ended.
func TestWhatIsInUseStaysWhileThereIsRoom(t *testing.T) {
	const size = 4096
	full := func() (j *joinTable, mono int64) { // it is as long as it may get, and nothing in it is in use
		j = new(joinTable)
		j.init(size*maxJoinShards, 50*tick)
		var refs []joinRef
		for n := range uint64(size) {
			refs = append(refs, j.publish(roundKey(n), spanOf(n), 0))
		}
		for _, r := range refs {
			j.release(r, 0)
		}
		if n := len(j.shards[0].v.log); n != size {
			t.Fatalf("a log of %d", n)
		}
		return j, 100 * tick
	}
	// others has n requests come and go, each expired before the next.
	others := func(j *joinTable, mono int64, n int) int64 {
		for i := range uint64(n) {
			j.release(j.publish(roundKey(i+1<<20), spanOf(0), mono), mono)
			mono += 100 * tick
		}
		return mono
	}
	t.Run("many that began together", func(t *testing.T) {
		const together = 1000
		j, mono := full()
		var refs []joinRef
		for n := range uint64(together) {
			refs = append(refs, j.publish(roundKey(n), spanOf(n), mono))
		}
		mono = others(j, mono, 3*size)
		checkShards(t, j)
		for n, ref := range refs {
			if c, how, _ := j.lookup(roundKey(uint64(n)), mono); how != span.JoinID || c != *spanOf(uint64(n)) {
				t.Fatalf("request %d is %v", n, how)
			}
			j.release(ref, mono)
			if c, how, _ := j.lookup(roundKey(uint64(n)), mono); how != span.JoinLate || c != *spanOf(uint64(n)) {
				t.Fatalf("after its end request %d is %v", n, how)
			}
		}
		if n := j.shards[0].evicted; n != 0 {
			t.Fatalf("%d were evicted", n)
		}
	})
	t.Run("one that took long", func(t *testing.T) {
		j, mono := full()
		ref := j.publish(roundKey(7), spanOf(7), mono)
		mono = others(j, mono, size-1) // the log has come round to it
		j.release(ref, mono)
		for n := range uint64(20) {
			j.release(j.publish(roundKey(n+1<<20), spanOf(0), mono), mono)
		}
		if c, how, _ := j.lookup(roundKey(7), mono); how != span.JoinLate || c != *spanOf(7) {
			t.Fatalf("after its end it is %v", how)
		}
		if n := j.shards[0].evicted; n != 0 {
			t.Fatalf("%d were evicted", n)
		}
		checkShards(t, j)
	})
}

// roundKey makes keys of one shard that spread over the lines of the index.
func roundKey(n uint64) joinKey { return joinKey{0, n<<56 | n} }

// TestCarryingAlongIsBounded: in a table that is full of requests in flight, a new one does little work.
func TestCarryingAlongIsBounded(t *testing.T) {
	const size = 4096
	j := new(joinTable)
	j.init(size*maxJoinShards, 50*tick)
	s := &j.shards[0]
	before := uint32(1)
	for n := range uint64(4 * size) {
		j.publish(roundKey(n), spanOf(n), 0)
		if n > size && s.next-before > joinMovesMost+1 {
			t.Fatalf("request %d carried %d along", n, s.next-before-1)
		}
		before = s.next
	}
	if most := uint32(4*size + (4*size+1)*joinMoves + joinMovesMost); s.next > most {
		t.Fatalf("%d places were passed, at most %d are allowed", s.next, most)
	}
	if s.evicted != 3*size {
		t.Fatalf("counted %d", s.evicted)
	}
	checkShards(t, j)
}

// TestJoinTableModel drives a small table at random beside a plain model of what it promises while nothing is evicted, which with so few
// requests in use nothing is.
func TestJoinTableModel(t *testing.T) {
	for seed := range uint64(400) {
		modelRun(t, seed, 3000)
	}
}

// modelRun drives a table by random numbers from seed.
func modelRun(t *testing.T, seed uint64, steps int) {
	type flight struct {
		ref joinRef
		n   uint64
	}
	type late struct {
		n    uint64
		used int64
	}
	rnd := rand.New(rand.NewPCG(seed, 2))
	j := new(joinTable)
	j.init(64*maxJoinShards, 50*tick)
	open, ended := map[joinKey][]flight{}, map[joinKey]late{}
	var last, evicted uint64
	mono := int64(0)
	for step := range steps {
		mono += rnd.Int64N(8) * tick
		n := rnd.Uint64N(4)
		k := joinKey{n, n<<56 | rnd.Uint64N(2)} // few keys, never more of them in a set than it holds
		switch rnd.IntN(3) {
		case 0:
			if len(open[k]) == 6 {
				break
			}
			last++
			open[k] = append(open[k], flight{j.publish(k, spanOf(last), mono), last})
			delete(ended, k)
		case 1:
			fs := open[k]
			if len(fs) == 0 {
				break
			}
			i := rnd.IntN(len(fs))
			j.release(fs[i].ref, mono)
			if len(fs) == 1 {
				ended[k] = late{fs[i].n, mono}
			}
			open[k] = slices.Delete(fs, i, i+1)
		default:
			c, how, ok := j.lookup(k, mono)
			want, wantSpan := span.JoinRoot, span.ID{}
			if fs := open[k]; len(fs) > 0 {
				want, wantSpan = span.JoinID, spanOf(fs[len(fs)-1].n).span
				if len(fs) > 1 {
					want = span.JoinAmbiguous
				}
			} else if l, is := ended[k]; is && mono-l.used <= 50*tick {
				want, wantSpan = span.JoinLate, spanOf(l.n).span
				ended[k] = late{l.n, mono}
			}
			if how != want || c.span != wantSpan || ok != (want != span.JoinRoot) {
				t.Fatalf("seed %d, step %d: got %v %x, want %v %x", seed, step, how, c.span, want, wantSpan)
			}
		}
		if step%16 == 0 {
			checkShards(t, j)
		}
	}
	for i := range j.shards {
		evicted += j.shards[i].evicted
	}
	if evicted != 0 {
		t.Fatalf("seed %d: %d were evicted from a table that was never full", seed, evicted)
	}
}

// TestJoinTableFull drives a table that is always full: its invariants hold, and it never grows beyond its bound.
func TestJoinTableFull(t *testing.T) {
	for _, size := range []int{1, 2, 7, 64, 1500} {
		j := new(joinTable)
		j.init(size, 20*tick)
		ids := newIDSource()
		var refs []joinRef
		bound := 0
		for i := range j.shards {
			bound += j.shards[i].max
		}
		if bound < size || bound >= 2*max(size, minJoinLog) {
			t.Fatalf("size %d: the shards hold %d", size, bound)
		}
		for n := range int64(3000) {
			mono := n * tick
			id := ids.r.Uint64() % uint64(2*bound)
			refs = append(refs, j.publish(joinKey{id, id<<56 | id}, &spanContext{}, mono))
			if n%3 != 0 {
				i := ids.r.Uint64() % uint64(len(refs))
				j.release(refs[i], mono)
				refs = append(refs[:i], refs[i+1:]...)
			}
			j.lookup(joinKey{id / 2, id/2<<56 | id/2}, mono)
			if n%100 == 0 {
				checkShards(t, j)
			}
		}
		checkShards(t, j)
	}
}

// TestJoinTableKeepsWhatIsInFlightBehindTheEnded: of several requests of one id one ends, and its place is used again in time; those
// that stay in flight are still found.
func TestJoinTableKeepsWhatIsInFlightBehindTheEnded(t *testing.T) {
	for _, c := range []struct {
		name string
		ends []int // of the requests 0, 1, 2
		want uint64
		how  span.Join
	}{
		{"the middle one", []int{1}, 2, span.JoinAmbiguous},
		{"the newest", []int{2}, 1, span.JoinAmbiguous},
		{"the oldest", []int{0}, 2, span.JoinAmbiguous},
		{"all but the oldest", []int{2, 1}, 0, span.JoinID},
		{"all but the oldest, in order", []int{1, 2}, 0, span.JoinID},
		{"all but the middle one", []int{2, 0}, 1, span.JoinID},
	} {
		j := new(joinTable)
		j.init(minJoinLog, 50*tick)
		k := joinKey{1, 1}
		var refs []joinRef
		for n := range uint64(3) {
			refs = append(refs, j.publish(k, spanOf(n), tick))
		}
		for _, i := range c.ends {
			j.release(refs[i], 2*tick)
		}
		for n := range uint64(3 * minJoinLog) { // long after, the log comes round
			mono := (100 + int64(n)) * tick
			other := joinKey{1, n<<56 | n + 2}
			j.release(j.publish(other, spanOf(99), mono), mono)
			checkShards(t, j)
		}
		got, how, ok := j.lookup(k, 1000*tick)
		if !ok || how != c.how || got.span != spanOf(c.want).span {
			t.Errorf("%s ended: got %v %x, want %v %d", c.name, how, got.span, c.how, c.want)
		}
	}
}

// TestInFlightGoLast: in a full table what has ended goes before what is in flight, also when that is the greater part.
func TestInFlightGoLast(t *testing.T) {
	const size = 4096
	for _, flying := range []int{size * 45 / 100, size * 60 / 100, size * 80 / 100} {
		j := new(joinTable)
		j.init(size*maxJoinShards, 1<<50)
		var refs []joinRef
		lost, total := 0, 0
		for n := range 16 * size {
			refs = append(refs, j.publish(joinKey{0, uint64(n) * 0x9e3779b97f4a7c15}, spanOf(uint64(n)), 0))
			last := n - flying
			if last < 0 {
				continue
			}
			if total++; n > 4*size {
				if _, how, _ := j.lookup(refs[last].key, 0); how != span.JoinID {
					lost++
				}
			}
			j.release(refs[last], 0)
		}
		if lost > total/1000 { // a line of the index may be full
			t.Errorf("%d in flight of %d places: %d of %d were forgotten before they ended", flying, size, lost, total)
		}
	}
}
