package trace

import (
	"fmt"
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

// Each loop has the time of its turn's beginning: a call may be read in a turn that began before the request ended in another loop's. That is no
// age of 52 days.
func TestLateCallOfAnEarlierTurn(t *testing.T) {
	f := newFixture(t, Config{})
	f.mono = 10 * tick
	in, _ := f.begin(inbound("r1"))
	f.mono += 2 * tick
	f.end(in)
	for _, earlier := range []int64{tick, 2 * tick, 1} {
		f.mono -= earlier
		call, _ := f.begin(outbound("r1"))
		wantJoin(t, call, span.JoinLate, in)
		if freed := f.t.s.Sweep(f.mono); freed != 0 {
			t.Fatalf("the table is swept while an id is remembered: %d bytes", freed)
		}
		f.mono += earlier
	}
	f.mono += int64(DefaultJoinTTL) - tick // the earlier uses did not make it older than its last one
	call, _ := f.begin(outbound("r1"))
	wantJoin(t, call, span.JoinLate, in)
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
	if n := f.t.s.JoinStats(f.mono); n.IDs != 0 || n.Evicted != 0 {
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
