package loop

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// creditMax is how many credits a spinner has at most. A spin that is cut short by an event earns one, one in vain costs creditVain: below three
	// of four that find something, spinning is not worth its CPU.
	creditMax  = 12
	creditVain = 3
	// retryAfter is how many times a spinner without credit passes a chance by before it tries again.
	retryAfter = 64
	// quietBelow is how many events there are in a window at most for a loop to spin. With more it hardly sleeps, and where it does CPU is
	// what counts.
	quietBelow = 3000
)

// spinner has a loop look again and again for a short while before it sleeps, when an answer may be due: the wake-up of a processor that has gone
// to sleep costs an answer that comes at once more time than all the rest of its way. That is bought with CPU, so it is for who asks for it. It learns from what its spins find, so that where
// answers take longer it hardly spins; then one in retryAfter is its cost. As with adaptive mutexes, and the kernel's halt_poll_ns.
type spinner struct {
	limit time.Duration // the longest spin; 0 = none
	due   bool          // an answer may come soon
	// credit is what spins have earned; with none left, passed counts the chances passed by.
	credit, passed int
	polls          BusyPolls
}

// BusyPolls counts the times that a loop waited for an answer awake.
type BusyPolls struct {
	Found uint64 // an event came in time
	Vain  uint64 // none did
}

// begins reports whether to spin now, rather than sleep at once. The answer is due no more.
func (s *spinner) begins(busy bool) bool {
	due := s.due
	s.due = false
	if !due || busy || s.limit == 0 {
		return false
	}
	if s.credit > 0 {
		return true
	}
	s.passed++
	if s.passed < retryAfter {
		return false
	}
	s.passed = 0
	return true
}

// learn takes in that a spin found an event in time, or none.
func (s *spinner) learn(found bool) {
	if found {
		s.polls.Found++
		s.credit = min(s.credit+1, creditMax)
	} else {
		s.polls.Vain++
		s.credit = max(s.credit-creditVain, 0)
	}
}

// spin looks until there is an event, but no longer than the spinner allows. Between two looks others that wait for this processor may have it:
// the one that is to answer may be among them.
func (w *waiter) spin(now time.Time) (int, error) {
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // always succeeds (man 2 sched_yield)
		n, err := w.look(0)
		late := time.Since(now) > w.spinner.limit
		if n > 0 || err != nil || late {
			w.spinner.learn(n > 0 && !late)
			return n, err
		}
	}
}
