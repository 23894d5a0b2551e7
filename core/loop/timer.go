package loop

import (
	"time"

	"golang.org/x/sys/unix"
)

// Expirer is told when its timer ends.
type Expirer interface {
	Expire()
}

// Timer is one alarm of a loop, to be embedded in what it wakes. The zero Timer is stopped.
type Timer struct {
	when int64 // monotonic ns
	pos  int32 // position in the heap plus one; 0 = stopped
	e    Expirer
}

// Active reports whether the timer is running.
func (t *Timer) Active() bool { return t.pos != 0 }

// timers is a binary heap of alarms behind one timerfd (man 2 timerfd_create). The descriptor is armed for an alarm at or before the earliest:
// stopping an alarm leaves it, and a wake-up with nothing due re-arms it.
type timers struct {
	loop  *Loop
	fd    int
	heap  []*Timer
	armed int64 // what the descriptor is armed for; 0 = not armed
}

// open makes the timerfd.
func (ts *timers) open() error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	ts.fd = fd
	return err
}

// SetTimer has e.Expire called after d, and replaces what t was set to before. What an alarm sets comes in a later round, even for no
// time at all: sockets get their turn in between.
func (l *Loop) SetTimer(t *Timer, d time.Duration, e Expirer) {
	l.StopTimer(t)
	t.when, t.e = l.Now()+max(int64(d), 1), e
	ts := &l.timers
	ts.heap = append(ts.heap, t)
	t.pos = int32(len(ts.heap))
	ts.up(len(ts.heap) - 1)
	ts.arm()
}

// StopTimer stops t; a stopped timer stays so.
func (l *Loop) StopTimer(t *Timer) {
	if t.pos != 0 {
		l.timers.remove(int(t.pos - 1))
	}
}

// Ready runs the alarms that are due.
func (ts *timers) Ready(Events) {
	var expirations [8]byte
	_, _ = unix.Read(ts.fd, expirations[:]) // EAGAIN when re-armed since: nothing to clear
	ts.armed = 0
	for len(ts.heap) > 0 && ts.heap[0].when <= ts.loop.Now() {
		t := ts.heap[0]
		ts.remove(0)
		t.e.Expire()
	}
	ts.arm()
}

// arm sets the descriptor for the earliest alarm, unless it will fire before that anyway.
func (ts *timers) arm() {
	if len(ts.heap) == 0 {
		return
	}
	first := ts.heap[0].when
	if ts.armed != 0 && ts.armed <= first {
		return
	}
	ts.armed = first
	left := max(first-ts.loop.Now(), 1) // zero would disarm
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(left)}
	if err := unix.TimerfdSettime(ts.fd, 0, &spec, nil); err != nil {
		panic("BUG: timerfd_settime: " + err.Error())
	}
}

// remove takes the alarm at heap position i out.
func (ts *timers) remove(i int) {
	last := len(ts.heap) - 1
	ts.heap[i].pos = 0
	if i != last {
		ts.heap[i] = ts.heap[last]
		ts.heap[i].pos = int32(i + 1)
	}
	ts.heap[last] = nil
	ts.heap = ts.heap[:last]
	if i < last {
		ts.down(i)
		ts.up(i)
	}
}

func (ts *timers) swap(i, j int) {
	h := ts.heap
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = int32(i+1), int32(j+1)
}

func (ts *timers) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if ts.heap[parent].when <= ts.heap[i].when {
			return
		}
		ts.swap(i, parent)
		i = parent
	}
}

func (ts *timers) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(ts.heap) {
			return
		}
		if child+1 < len(ts.heap) && ts.heap[child+1].when < ts.heap[child].when {
			child++
		}
		if ts.heap[i].when <= ts.heap[child].when {
			return
		}
		ts.swap(i, child)
		i = child
	}
}
