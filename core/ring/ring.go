// Package ring is the queue between a loop and the exporters: bounded, lock-free, one producer and one consumer. A full ring takes
// nothing more and counts what it refused; it never blocks and never overwrites.
//
// The producer fills slots in place (Reserve, Commit), the consumer reads them in place (Peek, Release), so an element is written once
// and never copied by the ring. Each side keeps its own counters on its own cache lines and a private copy of the other side's
// counter, which it refreshes only when that copy says full (or empty): in steady state a side touches the other's line once a lap,
// not once an element.
package ring

import "sync/atomic"

// lineBytes separates what two cores write. x86 prefetches lines in pairs, arm64 has lines of 128 bytes on some cores.
const lineBytes = 128

// rewindEvery is how many slots the producer uses before it looks whether the ring has run empty, to start at the first slot again.
// A quiet loop thereby writes to the same few slots for ever: they stay in its cache, and the rest of the ring is never touched.
const rewindEvery = 32

// maxSlots bounds a ring; it keeps the arithmetic far from overflow.
const maxSlots = 1 << 24

// Ring is a bounded queue of T. Reserve and Commit belong to one goroutine, the producer; Peek and Release to one, the consumer;
// Len, Pushed, Dropped and Cap to any.
type Ring[T any] struct {
	slots []T
	mask  uint64 // len(slots) − 1
	mark  uint64 // fill at which the consumer is woken
	wake  atomic.Pointer[chan<- struct{}]
	_     [lineBytes]byte

	// Written by the producer.
	head     atomic.Uint64 // elements committed so far
	dropped  atomic.Uint64 // elements refused so far
	tailSeen uint64        // a past value of tail: at least that many slots are free again
	checkAt  uint64        // value of head at which to look at the fill again
	// base is the value of head at which slot 0 was last used: element i is in slot (i − base) & mask.
	// Invariant: it changes only while head == tail, before the head that the consumer will see next is stored. So a consumer that
	// has seen tail < head reads the base that its element was written with, and there is no race.
	base uint64
	_    [lineBytes]byte

	// Written by the consumer.
	tail     atomic.Uint64 // elements released so far
	headSeen uint64        // a past value of head
	_        [lineBytes]byte
}

// New returns a ring of at least slots slots (rounded up to a power of two, at least 2). The slots are one allocation, whose pages the
// kernel provides when they are first used. T should hold no pointer: a released slot keeps its value until it is used again.
func New[T any](slots int) *Ring[T] {
	if slots > maxSlots {
		panic("BUG: ring: too many slots")
	}
	n := 2
	for n < slots {
		n *= 2
	}
	r := &Ring[T]{slots: make([]T, n), mask: uint64(n - 1), mark: uint64(max(n/4, 1))}
	r.checkAt = r.mark
	return r
}

// WakeOn makes the producer send to c, without blocking, each time it finds the ring filled by another quarter; nil: never. c should
// have a capacity of one; several rings may share it.
func (r *Ring[T]) WakeOn(c chan<- struct{}) {
	if c == nil {
		r.wake.Store(nil)
		return
	}
	r.wake.Store(&c)
}

// Reserve returns the slot to fill next, nil when the ring is full, which counts as one element dropped. The slot holds what its
// last user left there. It becomes visible with Commit; without one the next Reserve returns the same slot. Producer only.
func (r *Ring[T]) Reserve() *T {
	h := r.head.Load()
	used := h - r.base
	if used%rewindEvery == 0 || h-r.tailSeen > r.mask {
		r.tailSeen = r.tail.Load()
		switch {
		case h-r.tailSeen > r.mask:
			r.dropped.Store(r.dropped.Load() + 1) // one writer: no read-modify-write needed
			return nil
		case h == r.tailSeen:
			r.base, used = h, 0
		}
	}
	return &r.slots[used&r.mask]
}

// Commit hands the slot that Reserve returned to the consumer. It reports whether the ring is filled by another quarter and the consumer
// was woken: a producer that shares its processor with the consumer should let it run. Producer only, once after a Reserve
// that did not return nil.
func (r *Ring[T]) Commit() (woke bool) {
	h := r.head.Load() + 1
	r.head.Store(h)
	return h == r.checkAt && r.checkFill(h)
}

// checkFill wakes the consumer if the ring is filled to the mark, and sets when to look again. It runs at most once in `mark` elements.
func (r *Ring[T]) checkFill(h uint64) (woke bool) {
	r.tailSeen = r.tail.Load()
	if h-r.tailSeen < r.mark {
		r.checkAt = r.tailSeen + r.mark
		return false
	}
	r.checkAt = h + r.mark
	if c := r.wake.Load(); c != nil {
		select {
		case *c <- struct{}{}:
		default:
		}
	}
	return true
}

// Peek returns the oldest element, nil when there is none. It stays valid until Release. Consumer only.
func (r *Ring[T]) Peek() *T {
	t := r.tail.Load()
	if t == r.headSeen {
		r.headSeen = r.head.Load()
		if t == r.headSeen {
			return nil
		}
	}
	return &r.slots[(t-r.base)&r.mask]
}

// Release gives the slot of the element that Peek returned back to the producer. Consumer only, once after a Peek that did not
// return nil.
func (r *Ring[T]) Release() { r.tail.Store(r.tail.Load() + 1) }

// Len returns how many elements are in the ring: exact when neither side moves, else a value of the recent past.
func (r *Ring[T]) Len() int {
	t := r.tail.Load() // first: tail ≤ head whatever happens in between
	return int(r.head.Load() - t)
}

// Cap returns the number of slots.
func (r *Ring[T]) Cap() int { return len(r.slots) }

// Pushed returns how many elements were committed so far.
func (r *Ring[T]) Pushed() uint64 { return r.head.Load() }

// Dropped returns how many elements were refused so far because the ring was full.
func (r *Ring[T]) Dropped() uint64 { return r.dropped.Load() }
