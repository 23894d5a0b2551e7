package main

import (
	"testing"
	"time"
)

// TestReleaserGivesBackAtRest: after a burst memory is given back once the process is at rest, not while it is busy, not for a trifle, and
// more and more seldom when that brings nothing; when it does again, at once.
func TestReleaserGivesBackAtRest(t *testing.T) {
	const mib = 1 << 20
	held, needed, used, released := int64(10*mib), int64(10*mib), time.Duration(0), 0
	r := releaser{memoryReader: memoryReader{held: func() int64 { return held }, used: func() time.Duration { return used },
		expire: func() {}, release: func() { released++; held = needed }}, least: held}
	now := time.Duration(0)
	looks := func(n int, load time.Duration) (releases int) {
		before := released
		for range n {
			now += lookEvery
			used += load
			r.look(now)
		}
		return released - before
	}
	const busy, quiet = time.Second, 10 * time.Millisecond
	if n := looks(100, quiet); n != 0 {
		t.Fatalf("%d releases of nothing", n)
	}
	held = 11 * mib
	if n := looks(100, quiet); n != 0 {
		t.Fatalf("%d releases for a trifle", n)
	}
	held = 30 * mib
	if n := looks(100, busy); n != 0 {
		t.Fatalf("%d releases under load", n)
	}
	if n := looks(1, quiet); n != 1 || held != needed {
		t.Fatalf("%d releases at rest, want 1 at once", n)
	}
	held, needed = 30*mib, 30*mib // sessions that stay
	if n := looks(int(time.Hour/lookEvery), quiet); n < 20 || n > 40 {
		t.Fatalf("%d releases in an hour that bring nothing, want one every two minutes", n)
	}
	needed = 10 * mib
	if n := looks(int(rarely/lookEvery)+1, quiet); n != 1 || held != needed {
		t.Fatalf("%d releases when the sessions have ended, want 1", n)
	}
}
