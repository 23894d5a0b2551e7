package trace

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

func inbound(id string) *Request {
	return request(span.Server, "GET /in HTTP/1.1\nHost: a\nX-Request-Id: "+id+"\n")
}

func outbound(id string) *Request {
	return request(span.Client, "GET /out HTTP/1.1\nHost: b\nX-Request-Id: "+id+"\n")
}

// wantJoin checks how a call found its parent and which it is (nil: none).
func wantJoin(t *testing.T, a *Active, how span.Join, parent *Active) {
	t.Helper()
	if a.Rec.Join != how {
		t.Fatalf("join %v, want %v", a.Rec.Join, how)
	}
	if parent == nil {
		if !a.Rec.ParentID.IsZero() {
			t.Fatalf("parent %x, want none", a.Rec.ParentID)
		}
		return
	}
	if a.Rec.TraceID != parent.Rec.TraceID || a.Rec.ParentID != parent.Rec.SpanID {
		t.Fatalf("trace %x parent %x, want %x and %x", a.Rec.TraceID, a.Rec.ParentID, parent.Rec.TraceID, parent.Rec.SpanID)
	}
	if a.Rec.Flags&span.RemoteParent != 0 {
		t.Fatal("a parent from the join table is called remote")
	}
}

func TestFanOut(t *testing.T) {
	f := newFixture(t, Config{})
	in, _ := f.begin(inbound("r1"))
	var calls []*Active
	for range 5 {
		call, head := f.begin(outbound("r1"))
		wantJoin(t, call, span.JoinID, in)
		if got := values(head, "traceparent"); len(got) != 1 || !strings.Contains(got[0], hexOf(call.Rec.SpanID[:])) {
			t.Fatalf("the call carries %q", got)
		}
		calls = append(calls, call)
	}
	for _, c := range calls {
		f.end(c)
	}
	f.end(in)
	if f.t.Stats.Joins != [span.NumJoins]uint64{span.JoinRoot: 1, span.JoinID: 5} {
		t.Fatalf("counted %v", f.t.Stats.Joins)
	}
}

func TestIDMadeHereJoins(t *testing.T) {
	f := newFixture(t, Config{})
	in, head := f.begin(request(span.Server, get))
	call, _ := f.begin(outbound(values(head, "X-Request-Id")[0]))
	wantJoin(t, call, span.JoinID, in)
}

func TestOneIDTwiceInFlight(t *testing.T) {
	f := newFixture(t, Config{})
	first, _ := f.begin(inbound("r1"))
	second, head := f.begin(inbound("r1"))
	third, _ := f.begin(inbound("r1"))
	call, _ := f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinAmbiguous, third)
	if f.t.Stats.Joins[span.JoinAmbiguous] != 1 {
		t.Fatal("not counted")
	}

	// A header that the application forwarded decides.
	forwarded := request(span.Client, "GET /out HTTP/1.1\nX-Request-Id: r1\ntraceparent: "+values(head, "traceparent")[0]+"\n")
	call, _ = f.begin(forwarded)
	if call.Rec.Join != span.JoinHeader || call.Rec.ParentID != second.Rec.SpanID || call.Rec.TraceID != second.Rec.TraceID {
		t.Fatalf("join %v, parent %x", call.Rec.Join, call.Rec.ParentID)
	}

	// They end in any order; whoever is in flight goes before those that are not.
	f.end(second)
	call, _ = f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinAmbiguous, third)
	f.end(third)
	call, _ = f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinID, first)
	f.end(first)
	call, _ = f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinLate, first)
	again, _ := f.begin(inbound("r1"))
	call, _ = f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinID, again)
}

func TestInvalidHeaderFallsBackToTheID(t *testing.T) {
	f := newFixture(t, Config{})
	in, _ := f.begin(inbound("r1"))
	r := request(span.Client, "GET /out HTTP/1.1\nX-Request-Id: r1\ntraceparent: 00-bad\n")
	call, _ := f.begin(r)
	wantJoin(t, call, span.JoinID, in)
	if f.t.Stats.Invalid[FormatW3C] != 1 {
		t.Fatal("the invalid header is not counted")
	}
}

func TestLateCallsUntilExpiry(t *testing.T) {
	f := newFixture(t, Config{JoinTTL: 5 * time.Second})
	in, _ := f.begin(inbound("r1"))
	f.mono += 3600e9 // however long it takes, a request in flight does not expire
	call, _ := f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinID, in)
	f.end(in)
	for range 3 {
		f.mono += 4999e6 // each use keeps it
		call, _ = f.begin(outbound("r1"))
		wantJoin(t, call, span.JoinLate, in)
	}
	f.mono += 5001e6
	call, _ = f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinRoot, nil)
	if n := f.t.s.JoinStats(); n.IDs != 0 || n.Evicted != 0 {
		t.Fatalf("after expiry: %+v", n)
	}
}

func TestJoinsFollowTheDecision(t *testing.T) {
	for flags, sampled := range map[string]bool{"00": false, "01": true} {
		f := newFixture(t, Config{})
		f.begin(request(span.Server, "GET / HTTP/1.1\nX-Request-Id: r1\ntraceparent: 00-"+traceHex+"-"+spanHex+"-"+flags+"\n"))
		call, head := f.begin(outbound("r1"))
		if call.Rec.IsSampled() != sampled || call.Rec.Join != span.JoinID || !strings.HasSuffix(values(head,
			"traceparent")[0], "-"+flags) {
			t.Errorf("flags %s: sampled %v, join %v", flags, call.Rec.IsSampled(), call.Rec.Join)
		}
	}
}

func TestIDsThatAreNotJoined(t *testing.T) {
	f := newFixture(t, Config{})
	long := strings.Repeat("x", maxJoinID+1)
	f.begin(inbound(long))
	call, _ := f.begin(outbound(long))
	wantJoin(t, call, span.JoinRoot, nil)
	if f.t.Stats.IDsTooLong != 2 {
		t.Fatalf("counted %d", f.t.Stats.IDsTooLong)
	}
	in, _ := f.begin(inbound(long[1:]))
	call, _ = f.begin(outbound(long[1:]))
	wantJoin(t, call, span.JoinID, in)
	call, _ = f.begin(outbound(long[2:]))
	wantJoin(t, call, span.JoinRoot, nil)
	f.begin(inbound(""))
	call, _ = f.begin(outbound(""))
	wantJoin(t, call, span.JoinRoot, nil)
}

func TestIDsAreComparedByteForByte(t *testing.T) {
	f := newFixture(t, Config{})
	f.begin(inbound("AbC"))
	call, _ := f.begin(outbound("abc"))
	wantJoin(t, call, span.JoinRoot, nil)
}

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
	key := func(n uint64) joinKey { return joinKey{0, n<<56 | n} }
	first := j.publish(key(200), spanOf(200), 0)
	for round := range uint64(4) {
		for n := range uint64(minJoinLog) { // each expired before the next: the log comes round without growing
			mono := int64(round*1000+n*20) * tick
			j.release(j.publish(key(n), spanOf(n), mono), mono)
		}
	}
	var refs []joinRef
	for n := range uint64(3 * minJoinLog) { // in flight together: it grows
		refs = append(refs, j.publish(key(n), spanOf(n), 9000*tick))
	}
	if len(j.shards[0].v.log) <= minJoinLog {
		t.Fatal("it has not grown")
	}
	checkShards(t, j)
	if c, how, _ := j.lookup(key(200), 9000*tick); how != span.JoinID || c != *spanOf(200) {
		t.Fatalf("the first request is %v", how)
	}
	j.release(first, 9001*tick)
	if _, how, _ := j.lookup(key(200), 9002*tick); how != span.JoinLate {
		t.Fatalf("after its end the first request is %v", how)
	}
	for n, r := range refs {
		if c, how, _ := j.lookup(key(uint64(n)), 9003*tick); how != span.JoinID || c != *spanOf(uint64(n)) {
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

// TestJoinTableModel drives a small table at random beside a plain model of what it promises while nothing is evicted.
func TestJoinTableModel(t *testing.T) {
	type flight struct {
		ref joinRef
		id  span.ID
	}
	for seed := range uint64(50) {
		ids := newIDSource()
		rnd := func(n uint64) uint64 { return (ids.r.Uint64() >> 8) % n }
		j := new(joinTable)
		size := 64 * maxJoinShards // more than there are steps between two expiries
		j.init(size, 50*tick)
		open := map[joinKey][]flight{}
		type late struct {
			id   span.ID
			used int64
		}
		ended := map[joinKey]late{}
		mono := int64(0)
		for range 3000 {
			mono += int64(rnd(8)) * tick
			n := rnd(4)
			k := joinKey{n, n<<56 | rnd(2)} // few keys, never more of them in a set than it holds
			switch rnd(3) {
			case 0:
				if len(open[k]) == 6 {
					break
				}
				id := ids.span()
				ref := j.publish(k, &spanContext{span: id}, mono)
				open[k] = append(open[k], flight{ref, id})
				delete(ended, k)
			case 1:
				fs := open[k]
				if len(fs) == 0 {
					break
				}
				i := rnd(uint64(len(fs)))
				j.release(fs[i].ref, mono)
				if len(fs) == 1 {
					ended[k] = late{fs[i].id, mono}
				}
				open[k] = append(fs[:i:i], fs[i+1:]...)
			default:
				c, how, ok := j.lookup(k, mono)
				want, wantID := span.JoinRoot, span.ID{}
				if fs := open[k]; len(fs) > 0 {
					want, wantID = span.JoinID, fs[len(fs)-1].id
					if len(fs) > 1 {
						want = span.JoinAmbiguous
					}
				} else if l, is := ended[k]; is && mono-l.used <= 50*tick {
					want, wantID = span.JoinLate, l.id
					ended[k] = late{l.id, mono}
				}
				if how != want || c.span != wantID || ok != (want != span.JoinRoot) {
					t.Fatalf("seed %d: got %v %x, want %v %x", seed, how, c.span, want, wantID)
				}
			}
			checkShards(t, j)
		}
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

// TestJoinsAcrossLoops: four loops of inbound and four of outbound requests at the same time; every call finds its own parent.
func TestJoinsAcrossLoops(t *testing.T) {
	const loops, each = 4, 2000
	s := newShared(t, Config{})
	type pair struct {
		id     string
		parent span.ID
		trace  span.TraceID
		done   chan struct{}
	}
	var all sync.WaitGroup
	ch := make([]chan pair, loops)
	for l := range loops {
		ch[l] = make(chan pair, 64)
		all.Go(func() { // inbound
			tr := s.NewTracer()
			var waiting []chan struct{}
			var open []*Active
			for n := range each {
				a, e := new(Active), new(Edit)
				r := inbound(fmt.Sprintf("%d-%d", l, n))
				r.Mono = int64(n)
				tr.Begin(a, r, e)
				p := pair{fmt.Sprintf("%d-%d", l, n), a.Rec.SpanID, a.Rec.TraceID, make(chan struct{})}
				waiting, open = append(waiting, p.done), append(open, a)
				ch[l] <- p
				if n%16 == 15 {
					for i := range open {
						<-waiting[i]
						tr.End(open[i], int64(n))
					}
					waiting, open = waiting[:0], open[:0]
				}
			}
			close(ch[l])
		})
		all.Go(func() { // outbound
			tr := s.NewTracer()
			for p := range ch[l] {
				for range 3 {
					a, e := new(Active), new(Edit)
					r := outbound(p.id)
					r.Mono = 1
					tr.Begin(a, r, e)
					if a.Rec.Join != span.JoinID || a.Rec.ParentID != p.parent || a.Rec.TraceID != p.trace {
						t.Errorf("%s: join %v, parent %x, want %x", p.id, a.Rec.Join, a.Rec.ParentID, p.parent)
					}
					tr.End(a, 2)
				}
				close(p.done)
			}
			if tr.Stats.Joins[span.JoinRoot] != 0 {
				t.Error("an orphan")
			}
		})
	}
	all.Wait()
	checkShards(t, &s.joins)
}

// TestJoinTableGrowsWithUse: the bound costs nothing until it is used.
func TestJoinTableGrowsWithUse(t *testing.T) {
	s := newShared(t, Config{})
	for i := range s.joins.shards {
		if s.joins.shards[i].v.log != nil {
			t.Fatal("the table takes memory at rest")
		}
	}
	f := &fixture{tb: t, t: s.NewTracer(), mono: 1}
	for n := range 5000 { // one at a time, each expired before the next
		a, _ := f.begin(inbound(fmt.Sprint(n)))
		f.end(a)
		f.mono += int64(DefaultJoinTTL) + 2*tick
	}
	for i := range s.joins.shards {
		if n := len(s.joins.shards[i].v.log); n > minJoinLog {
			t.Fatalf("a log of %d for one request at a time", n)
		}
	}
}
