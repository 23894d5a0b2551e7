package core

import (
	"time"

	"golang.org/x/sys/unix"
)

// ReleaseIDs lets go of the memory that the join table needed for ids that have expired. Any goroutine but the loops' may call it.
func (e *Engine) ReleaseIDs() {
	if !e.cfg.Disabled {
		e.cfg.Trace.Sweep(int64(time.Since(e.base)))
	}
}

// ReleaseSpare has the loops let go of what they keep for reuse: buffers, exchanges, sessions. What they need again they make again. It
// returns when they have, or one is too busy. Any goroutine but the loops' may call it.
func (e *Engine) ReleaseSpare() {
	for _, w := range e.workers {
		e.ask(w, w.releaseSpare)
	}
}

// releaseSpare drops what waits for reuse. Loop goroutine only.
func (w *worker) releaseSpare() {
	w.buffers = nil
	w.exchanges, w.nFree = nil, 0
	w.closed, w.nClosed = nil, 0
	if len(w.again.list) == 0 {
		w.again.list = nil
	}
	// What is read is gone when the loop comes to this; the kernel gives the pages back as zeros when they are needed (man 2 madvise). It takes
	// whole pages only, which an allocation of this size is made of.
	_ = unix.Madvise(w.scratch, unix.MADV_DONTNEED)
}
