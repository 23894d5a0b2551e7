package loop

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// expire is an Expirer.
type expire func()

func (f expire) Expire() { f() }

func TestTimersEndInOrder(t *testing.T) {
	l := start(t)
	var got []int
	done := make(chan struct{})
	delays := []int{9, 3, 7, 1, 5, 8, 2, 6, 4, 0}
	timers := make([]Timer, len(delays))
	do(t, l, func() {
		for i, d := range delays {
			l.SetTimer(&timers[i], time.Duration(d)*time.Millisecond, expire(func() {
				if timers[i].Active() {
					t.Error("active while it ends")
				}
				if got = append(got, d); len(got) == len(delays) {
					close(done)
				}
			}))
		}
	})
	wait(t, done)
	if !slices.IsSorted(got) {
		t.Errorf("in the order %v", got)
	}
}

// A timer never ends early, and not much too late.
func TestTimerIsPunctual(t *testing.T) {
	l := start(t)
	const d = 30 * time.Millisecond
	took := make(chan time.Duration, 1)
	var timer Timer
	do(t, l, func() {
		begin := time.Now()
		l.SetTimer(&timer, d, expire(func() { took <- time.Since(begin) }))
	})
	if got := wait(t, took); got < d || got > d+2*time.Second {
		t.Errorf("%v for %v", got, d)
	}
}

func TestStoppedTimerStaysSilent(t *testing.T) {
	l := start(t)
	done := make(chan struct{})
	var stopped, last Timer
	do(t, l, func() {
		l.SetTimer(&stopped, time.Millisecond, expire(func() { t.Error("a stopped timer ended") }))
		l.SetTimer(&last, 10*time.Millisecond, expire(func() { close(done) }))
		if !stopped.Active() {
			t.Error("not active when set")
		}
		l.StopTimer(&stopped)
		l.StopTimer(&stopped)
		if stopped.Active() {
			t.Error("active when stopped")
		}
	})
	wait(t, done)
}

// Setting a timer again replaces what it was set to, be it earlier or later.
func TestTimerSetAgain(t *testing.T) {
	l := start(t)
	ended := make(chan string, 4)
	var sooner, later Timer
	do(t, l, func() {
		l.SetTimer(&sooner, time.Hour, expire(func() { ended <- "old" }))
		l.SetTimer(&sooner, time.Millisecond, expire(func() { ended <- "sooner" }))
		l.SetTimer(&later, time.Millisecond, expire(func() { ended <- "old" }))
		l.SetTimer(&later, 20*time.Millisecond, expire(func() { ended <- "later" }))
	})
	if a, b := wait(t, ended), wait(t, ended); a != "sooner" || b != "later" {
		t.Errorf("%s, then %s", a, b)
	}
}

// An alarm may stop another one that is due in the same moment, and set itself again.
func TestAlarmsActOnTimers(t *testing.T) {
	l := start(t)
	done := make(chan struct{})
	var a, b, again Timer
	n := 0
	var self expire
	self = func() {
		if n++; n == 5 {
			close(done)
			return
		}
		l.SetTimer(&again, time.Millisecond, self)
	}
	do(t, l, func() {
		l.SetTimer(&a, time.Millisecond, expire(func() { l.StopTimer(&b) }))
		l.SetTimer(&b, 2*time.Millisecond, expire(func() { t.Error("stopped by an alarm, and ended") }))
		l.SetTimer(&again, 3*time.Millisecond, self)
		time.Sleep(5 * time.Millisecond) // all three are due when the loop looks
	})
	wait(t, done)
}

// An alarm that sets itself for no time at all must leave the loop to others: what it does belongs to the next round.
func TestTimerForNoTimeLetsSocketsIn(t *testing.T) {
	l := start(t)
	a, b := pair(t)
	result := make(chan bool, 1)
	seen, rounds := false, 0
	var timer Timer
	var self expire
	self = func() {
		switch rounds++; {
		case seen || rounds == 100_000:
			result <- seen
			return
		case rounds == 10:
			_, _ = unix.Write(b, []byte("x"))
		}
		l.SetTimer(&timer, 0, self)
	}
	do(t, l, func() {
		if err := l.AddSocket(a, ready(func(ev Events) { seen = seen || ev&Readable != 0 })); err != nil {
			t.Error(err)
		}
		l.SetTimer(&timer, 0, self)
	})
	if !wait(t, result) {
		t.Error("100 000 rounds without a look at a socket")
	}
}

// Many timers, set, stopped and set again at random, against a plain list.
func TestManyTimers(t *testing.T) {
	l := start(t)
	const n = 5000
	r := rand.New(rand.NewPCG(1, 2))
	timers := make([]Timer, n)
	due := make(map[int]int64)
	done := make(chan struct{})
	last := int64(0)
	do(t, l, func() {
		set := func(i int) {
			d := time.Duration(1+r.IntN(20_000)) * time.Microsecond
			due[i] = l.Now() + int64(d)
			l.SetTimer(&timers[i], d, expire(func() {
				when, ok := due[i]
				if !ok || when > l.Now() || when < last {
					t.Errorf("timer %d: set %v for %d, ended at %d, after one for %d", i, ok, when, l.Now(), last)
				}
				last = when
				if delete(due, i); len(due) == 0 {
					close(done)
				}
			}))
		}
		for i := range n {
			set(i)
		}
		for range 3 * n {
			i := r.IntN(n)
			if r.IntN(3) > 0 {
				set(i)
				continue
			}
			l.StopTimer(&timers[i])
			delete(due, i)
		}
	})
	wait(t, done)
	do(t, l, func() {
		for i := range timers {
			if timers[i].Active() {
				t.Errorf("timer %d is still active", i)
			}
		}
	})
}
