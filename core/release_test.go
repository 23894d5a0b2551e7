package core

import "testing"

// TestReleasedSpareIsMadeAgain: what a loop kept for reuse is gone, and sessions that stand and new ones go on as before.
func TestReleasedSpareIsMadeAgain(t *testing.T) {
	e, addr := inboundTo(t, answering(t), Config{})
	c := dial(t, addr)
	exchange := func() {
		t.Helper()
		before := e.Stats().Bytes[0]
		mustWrite(t, c, request[:10]) // an incomplete head takes a buffer
		eventually(t, "the head to be held", func() bool { return e.Stats().Bytes[0] > before })
		mustWrite(t, c, request[10:])
		if got := mustRead(t, c, len(response)); got != response {
			t.Fatalf("got %q", got)
		}
	}
	exchange()
	e.ReleaseSpare()
	w := e.workers[0]
	if !e.ask(w, func() {
		if w.buffers != nil || w.exchanges != nil || w.closed != nil || w.nFree != 0 || w.nClosed != 0 {
			t.Error("something was kept")
		}
	}) {
		t.Fatal("the loop does not answer")
	}
	exchange()
	e.ReleaseIDs()
	exchange()
}
