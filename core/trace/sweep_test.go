package trace

import (
	"testing"
	"unsafe"

	"github.com/spanwire/spanwire/core/span"
)

// TestSweepGivesBackWhatHasExpired: the memory of a table that was full goes once all its ids have expired; one id in use keeps its own part
// only, and the table goes on as a new one would.
func TestSweepGivesBackWhatHasExpired(t *testing.T) {
	s := new(Shared)
	s.joins.init(16*minJoinLog, 50*tick)
	j := &s.joins
	key := func(n uint64) joinKey { return joinKey{n, n<<56 | n} }
	var refs []joinRef
	for n := range uint64(16 * minJoinLog) {
		refs = append(refs, j.publish(key(n), spanOf(n), tick))
	}
	for _, r := range refs[1:] {
		j.release(r, 2*tick)
	}
	if st := s.JoinStats(3 * tick); st.IDs != len(refs) {
		t.Fatalf("%d ids, want %d", st.IDs, len(refs))
	}
	if freed := s.Sweep(50 * tick); freed != 0 {
		t.Fatalf("freed %d bytes of ids that may still be asked for", freed)
	}
	if st := s.JoinStats(60 * tick); st.IDs != 1 {
		t.Fatalf("%d ids, want the one in flight", st.IDs)
	}
	const part = minJoinLog*int(unsafe.Sizeof(joinEntry{})) + minJoinLog/joinPerLine*int(unsafe.Sizeof(joinLine{}))
	if freed := s.Sweep(60 * tick); freed != 15*part {
		t.Fatalf("freed %d bytes, want %d", freed, 15*part)
	}
	if _, how, _ := j.lookup(key(0), 60*tick); how != span.JoinID {
		t.Fatalf("the request in flight is %v", how)
	}
	if _, _, ok := j.lookup(key(1), 60*tick); ok {
		t.Fatal("found what was swept")
	}
	j.release(refs[0], 61*tick)
	if freed := s.Sweep(200 * tick); freed != part {
		t.Fatalf("freed %d bytes, want %d", freed, part)
	}
	ref := j.publish(key(1), spanOf(1), 200*tick)
	if ctx, how, _ := j.lookup(key(1), 200*tick); how != span.JoinID || ctx != *spanOf(1) {
		t.Fatalf("after the sweep: %v", how)
	}
	checkShards(t, j)
	j.release(ref, 201*tick)
}

// TestSweepForgetsEvictedRequests: a request that was evicted while in flight ends after its part of the table has gone.
func TestSweepForgetsEvictedRequests(t *testing.T) {
	s := new(Shared)
	s.joins.init(minJoinLog, 50*tick)
	var refs []joinRef
	for n := range uint64(2 * minJoinLog) {
		refs = append(refs, s.joins.publish(joinKey{1, n<<56 | n}, spanOf(n), tick))
	}
	for _, r := range refs[minJoinLog:] {
		s.joins.release(r, 2*tick)
	}
	if s.Sweep(100*tick) == 0 {
		t.Skip("what was evicted is still there")
	}
	for _, r := range refs[:minJoinLog] {
		if !s.joins.release(r, 101*tick) {
			t.Fatal("an evicted request is said to have had no call")
		}
	}
}
