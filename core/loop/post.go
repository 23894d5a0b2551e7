package loop

import (
	"sync"

	"golang.org/x/sys/unix"
)

// posts are the functions that other goroutines want run, behind an eventfd (man 2 eventfd) that wakes the loop.
type posts struct {
	loop *Loop
	fd   int

	mu     sync.Mutex
	list   []func()
	closed bool
}

// open makes the eventfd.
func (p *posts) open() error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	p.fd = fd
	return err
}

// add appends fn and wakes the loop; false once the loop has ended. Any goroutine.
func (p *posts) add(fn func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.list = append(p.list, fn)
	if len(p.list) == 1 {
		one := [8]byte{0: 1}            // a native integer: both architectures are little-endian
		_, _ = unix.Write(p.fd, one[:]) // EAGAIN: the counter is full, so the loop is being woken as it is
	}
	return true
}

// Ready runs what was posted so far; what that posts comes with the next round.
func (p *posts) Ready(Events) {
	var count [8]byte
	_, _ = unix.Read(p.fd, count[:])
	p.mu.Lock()
	list := p.list
	p.list = nil
	p.mu.Unlock()
	for _, fn := range list {
		p.loop.tick()
		fn()
		if p.loop.stopped.Load() {
			return
		}
	}
}

// close refuses what is posted from now on and gives the descriptor up.
func (p *posts) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.list = true, nil
	_ = unix.Close(p.fd)
}
