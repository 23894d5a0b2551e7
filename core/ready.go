package core

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Ready returns nil when the engine accepts connections, else why it does not: it is starting or draining, or one of its loops has not answered for
// a second, so that what comes to it waits. Any goroutine but the loops' may call it, as often as it likes.
func (e *Engine) Ready() error {
	switch e.state.Load() {
	case stateRunning:
		return e.answering()
	case stateNew:
		return errors.New("starting")
	}
	return ErrDraining
}

// answering asks all loops at once, and returns an error that names the first that does not answer within statsTimeout.
func (e *Engine) answering() error {
	answers := make([]<-chan struct{}, len(e.workers))
	for i, w := range e.workers {
		answers[i] = w.pulse.ask(w)
	}
	timeout := time.NewTimer(statsTimeout)
	defer timeout.Stop()
	for i, w := range e.workers {
		select {
		case <-answers[i]:
		case <-w.done: // the engine is closing, or has failed and says so itself
		case <-timeout.C:
			return fmt.Errorf("event loop %d of %d does not answer", i+1, len(e.workers))
		}
	}
	return nil
}

// pulse asks a loop whether it still turns. However many ask a loop that does not, one question waits for it.
type pulse struct {
	mu      sync.Mutex
	pending chan struct{} // closed by the loop; nil when none is asked
}

// ask returns a channel that is closed once the loop has turned.
func (p *pulse) ask(w *worker) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending != nil {
		return p.pending
	}
	asked := make(chan struct{})
	if w.loop.Post(p.answer) == nil {
		p.pending = asked
	}
	return asked // of an ended loop nobody answers; worker.done is closed then
}

// answer is posted to the loop.
func (p *pulse) answer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.pending)
	p.pending = nil
}
