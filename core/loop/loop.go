// Package loop is an event loop on gnet's poller: edge-triggered sockets, timers on one timerfd, and posted functions.
//
// One goroutine, the one in Run, owns a Loop. Everything but Post and Stop may be called by that goroutine only (and before Run
// by the one that made the Loop). Code that runs on a loop never blocks.
//
// gnet's engine itself cannot carry a transparent proxy: it closes both directions on an end of stream and cannot stop reading one peer while
// the other is slow. Its poller can.
package loop

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2/pkg/netpoll"
	"golang.org/x/sys/unix"
)

// ErrStopped is returned by Post after the loop has ended.
var ErrStopped = errors.New("loop: stopped")

// Events is the set of epoll events that a descriptor was woken with (man 2 epoll_ctl). Events are hints: the number of a closed
// descriptor may have been given to a new one within a batch, so a handler believes only what a system call returns.
type Events = uint32

// The events that handlers look at.
const (
	Readable Events = unix.EPOLLIN | unix.EPOLLPRI
	Writable Events = unix.EPOLLOUT
	// PeerClosed: the peer sent FIN (RDHUP), or both directions are shut (HUP). Data and FIN can share one edge.
	PeerClosed Events = unix.EPOLLRDHUP | unix.EPOLLHUP
	Failed     Events = unix.EPOLLERR
)

// Handler is woken when something happened on its descriptor.
type Handler interface {
	Ready(ev Events)
}

// Loop is one event loop.
type Loop struct {
	poller   *netpoll.Poller
	waiter   waiter
	handlers []Handler // by descriptor
	timers   timers
	posts    posts
	now      int64 // monotonic ns; read at most once for each wake-up of a handler
	stale    bool  // now is of an earlier wake-up
	base     time.Time
	stopped  atomic.Bool
}

// New makes a loop; it holds four descriptors until Run ends. base is where its clock starts, the same for all loops of a process. busyPoll is
// how long it goes on looking for an answer that is due before it sleeps; 0 = not at all.
func New(base time.Time, busyPoll time.Duration) (*Loop, error) {
	p, err := netpoll.OpenPoller()
	if err != nil {
		return nil, fmt.Errorf("open poller: %w", err)
	}
	l := &Loop{poller: p, base: base}
	l.waiter.epoll, l.waiter.spinner.limit = descriptorOf(p), busyPoll
	l.timers.loop, l.posts.loop = l, l
	if err := l.timers.open(); err != nil {
		_ = p.Close()
		return nil, fmt.Errorf("open timer: %w", err)
	}
	if err := l.posts.open(); err != nil {
		_, _ = unix.Close(l.timers.fd), p.Close()
		return nil, fmt.Errorf("open eventfd: %w", err)
	}
	if err := errors.Join(l.addOwn(l.timers.fd, &l.timers), l.addOwn(l.posts.fd, &l.posts)); err != nil {
		l.closeOwn()
		return nil, fmt.Errorf("watch timer and eventfd: %w", err)
	}
	l.tick()
	return l, nil
}

// addOwn watches a descriptor of the loop itself.
func (l *Loop) addOwn(fd int, h Handler) error {
	l.put(fd, h)
	return l.poller.AddRead(&netpoll.PollAttachment{FD: fd}, true)
}

// closeOwn closes the descriptors of the loop itself.
func (l *Loop) closeOwn() {
	l.posts.close()
	_, _ = unix.Close(l.timers.fd), l.poller.Close()
}

// Now is the monotonic time in ns since the base. It is read when the running handler, timer or posted function first asks, and
// the same for the rest of its turn.
func (l *Loop) Now() int64 {
	if l.stale {
		l.now, l.stale = int64(time.Since(l.base)), false
	}
	return l.now
}

// tick begins a turn.
func (l *Loop) tick() { l.stale = true }

// ExpectAnswer says that something was sent on which an answer may come soon: the loop may wait for it awake.
func (l *Loop) ExpectAnswer() { l.waiter.spinner.due = true }

// BusyPolls returns how often the loop has waited for an answer awake.
func (l *Loop) BusyPolls() BusyPolls { return l.waiter.spinner.polls }

// AddSocket watches fd for reading and writing, edge-triggered, once and for all: pausing a reader is not reading.
func (l *Loop) AddSocket(fd int, h Handler) error {
	l.put(fd, h)
	if err := l.poller.AddReadWrite(&netpoll.PollAttachment{FD: fd}, true); err != nil {
		l.handlers[fd] = nil
		return err
	}
	return nil
}

// AddListener watches fd for connections, level-triggered: what one turn does not accept wakes the next.
func (l *Loop) AddListener(fd int, h Handler) error {
	l.put(fd, h)
	if err := l.poller.AddRead(&netpoll.PollAttachment{FD: fd}, false); err != nil {
		l.handlers[fd] = nil
		return err
	}
	return nil
}

// Pause stops watching fd; AddListener starts it again.
func (l *Loop) Pause(fd int) error {
	l.handlers[fd] = nil
	return l.poller.Delete(fd)
}

// Forget drops the handler, if there is one, of a descriptor that is about to be closed; closing takes it out of epoll.
func (l *Loop) Forget(fd int) {
	if fd < len(l.handlers) {
		l.handlers[fd] = nil
	}
}

// Post has fn run on the loop, soon. It may be called by any goroutine, the loop's own included; what a posted function posts comes in
// the next round. One that is posted while the loop ends may not run.
func (l *Loop) Post(fn func()) error {
	if l.stopped.Load() || !l.posts.add(fn) {
		return ErrStopped
	}
	return nil
}

// Stop has Run return. Any goroutine may call it; the second call does nothing.
func (l *Loop) Stop() error {
	return l.Post(func() { l.stopped.Store(true) })
}

// Run handles events until Stop, then closes the loop's own descriptors.
func (l *Loop) Run() error {
	err := l.poll()
	l.stopped.Store(true)
	l.closeOwn()
	return err
}

// poll waits and dispatches until the loop is stopped.
func (l *Loop) poll() error {
	for !l.stopped.Load() {
		events, err := l.waiter.wait()
		if err != nil {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for i := range events {
			l.dispatch(int(events[i].Fd), events[i].Events)
		}
	}
	return nil
}

// dispatch wakes the handler of fd.
func (l *Loop) dispatch(fd int, ev Events) {
	if uint(fd) < uint(len(l.handlers)) {
		if h := l.handlers[fd]; h != nil {
			l.tick()
			h.Ready(ev)
		}
	}
}

// put stores the handler of fd.
func (l *Loop) put(fd int, h Handler) {
	if fd >= len(l.handlers) {
		grown := make([]Handler, max(2*len(l.handlers), fd+64))
		copy(grown, l.handlers)
		l.handlers = grown
	}
	l.handlers[fd] = h
}
