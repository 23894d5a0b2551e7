package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core"
)

const (
	// lookEvery is how often memory is looked at; a look takes some microseconds.
	lookEvery = 5 * time.Second
	// atRest is the share of a processor below which the process is at rest: collecting for a few milliseconds then delays nobody much.
	atRest = 0.1
	// worthReleasing is how much more memory than after the start has it collected: what ordinary traffic at low rates needs is less.
	worthReleasing = 2 << 20
	// rarely is the pause between collections that bring nothing, because the memory is in use. The runtime collects as often by itself.
	rarely = 2 * time.Minute
)

// memoryReader tells what the process has.
type memoryReader struct {
	held    func() int64         // memory taken from the kernel and not given back, bytes
	used    func() time.Duration // processor time so far
	expire  func()               // lets go of ids that have expired
	release func()               // gives back what is not in use
}

// releaser gives memory back to the kernel after a burst. The Go runtime does so with its next collection; but a relay that is at rest again
// allocates nothing, so that comes after two minutes, and what it gives back then after some more.
type releaser struct {
	memoryReader
	least int64         // the least that was held after a release
	at    time.Duration // processor time at the last look
	pause time.Duration // to the next release, if the last one brought nothing; 0 = none
	next  time.Duration // time of the clock before which none is due
}

// look is called every lookEvery; now is a monotonic time. Whatever moves besides is not looked at: the process is.
func (r *releaser) look(now time.Duration) {
	used := r.used()
	busy := used-r.at > time.Duration(atRest*float64(lookEvery))
	r.at = used
	if busy {
		r.pause, r.next = 0, 0
		return
	}
	r.expire()
	before := r.held()
	if before < r.least+worthReleasing || now < r.next {
		return
	}
	r.release()
	after := r.held()
	r.least = min(r.least, after)
	if before-after >= worthReleasing {
		r.pause, r.next = 0, 0
		return
	}
	r.pause = min(max(2*r.pause, lookEvery), rarely)
	r.next = now + r.pause
}

// keepReleasing looks after the memory until stop is closed. It is the goroutine of a releaser.
func keepReleasing(e *core.Engine, stop <-chan struct{}) {
	r := releaser{memoryReader: memoryReader{held: heldMemory(), used: processorTime, expire: e.ReleaseIDs, release: func() {
		e.ReleaseSpare()
		debug.FreeOSMemory()
	}}}
	r.least, r.at = r.held(), r.used()
	began := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			r.look(time.Since(began))
		}
	}
}

// heldMemory returns a function that tells how much memory the runtime has from the kernel.
func heldMemory() func() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	return func() int64 {
		metrics.Read(samples)
		return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64())
	}
}

// processorTime returns the processor time that the process has used; 0 when the kernel does not tell.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
