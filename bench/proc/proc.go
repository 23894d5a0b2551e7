// Package proc starts the processes of a measurement on the processors they are to have, reads what they use, and ends them by
// their ids: none outlives the measurement, whatever fails.
package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The package's errors; each is wrapped with the name of the process.
var (
	// ErrEnded: a process ended before it was told to.
	ErrEnded = errors.New("process ended early")
	// ErrGone: the process is not there (any more) to be read.
	ErrGone = errors.New("no such process")
)

// stopGrace is how long a process may take to end after SIGTERM before it is killed: a sidecar flushes its spans meanwhile.
const stopGrace = 10 * time.Second

// tailBytes is how much of a log is quoted when a process ends early.
const tailBytes = 2048

// Spec says what to start.
type Spec struct {
	// Name tells it from the others of the run; its log is Name.log.
	Name string
	// Path and Args are what is executed, without a shell. Env is added to the environment.
	Path string
	Args []string
	Env  []string
	// CPUs are the processors it may use; empty = all.
	CPUs []int
}

// Process is a running process. Its methods may be called by any goroutine.
type Process struct {
	Name string
	PID  int

	log    string
	cmd    *exec.Cmd
	ended  chan struct{} // closed once it has been waited for
	result error
}

// Group starts processes and ends them all. The zero value is not usable; see NewGroup.
type Group struct {
	logs string

	mu      sync.Mutex
	running []*Process
	started int
}

// NewGroup returns a group that writes the logs of its processes into dir.
func NewGroup(dir string) *Group { return &Group{logs: dir} }

// Start starts a process. Its standard output and error go to its log. When this program dies, however it does, the kernel ends
// the process (PR_SET_PDEATHSIG).
func (g *Group) Start(s Spec) (*Process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.started++
	name := filepath.Join(g.logs, s.Name+".log")
	log, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), s.Env...)
	// A group of its own: Ctrl-C reaches this program alone, which then ends the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	_, _ = fmt.Fprintf(log, "$ %s %s\n", s.Path, strings.Join(s.Args, " "))
	if err := startPinned(cmd, s.CPUs); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	p := &Process{Name: s.Name, PID: cmd.Process.Pid, log: name, cmd: cmd, ended: make(chan struct{})}
	go p.wait()
	g.running = append(g.running, p)
	return p, nil
}

// startPinned starts cmd on the given processors: a child inherits the affinity of the thread that forks it.
func startPinned(cmd *exec.Cmd, cpus []int) error {
	if len(cpus) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, wanted unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("read affinity: %w", err)
	}
	for _, cpu := range cpus {
		wanted.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &wanted); err != nil {
		return fmt.Errorf("pin to processors %v: %w", cpus, err)
	}
	err := cmd.Start()
	if restored := unix.SchedSetaffinity(0, &before); restored != nil {
		err = errors.Join(err, fmt.Errorf("restore affinity: %w", restored))
	}
	return err
}

// wait is the goroutine that reaps a process.
func (p *Process) wait() {
	p.result = p.cmd.Wait()
	close(p.ended)
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err says that the process has ended, how, and what it said last; nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s: %w (%v):\n%s", p.Name, ErrEnded, p.cmd.ProcessState, p.Tail())
	default:
		return nil
	}
}

// Tail returns the end of the log.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-tailBytes):])
}

// Signal sends a signal, unless the process has ended.
func (p *Process) Signal(s os.Signal) error {
	if err := p.Err(); err != nil {
		return err
	}
	return p.cmd.Process.Signal(s)
}

// Wait waits for the process to end by itself and returns its outcome, or stops it when ctx ends first.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.ended:
		return p.result
	case <-ctx.Done():
		p.stop()
		return ctx.Err()
	}
}

// stop ends the process: SIGTERM, and SIGKILL if that does not do within stopGrace. A process held by SIGSTOP is let go first.
func (p *Process) stop() {
	select {
	case <-p.ended:
		return
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-p.ended:
	case <-grace.C:
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// Stop ends a process of the group and waits until it is gone. Stopping an ended process does nothing.
func (g *Group) Stop(p *Process) {
	p.stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running = slices.DeleteFunc(g.running, func(q *Process) bool { return q == p })
}

// Close ends all processes of the group, the last started first.
func (g *Group) Close() {
	for {
		g.mu.Lock()
		if len(g.running) == 0 {
			g.mu.Unlock()
			return
		}
		p := g.running[len(g.running)-1]
		g.mu.Unlock()
		g.Stop(p)
	}
}

// Running returns the ids of the processes that have not been stopped.
func (g *Group) Running() (pids []int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.running {
		pids = append(pids, p.PID)
	}
	return pids
}

// RaiseFileLimit raises this process's soft limit of descriptors, and with it that of the processes it starts, to the hard one;
// it returns that.
func RaiseFileLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("descriptor limit: %w", err)
	}
	limit.Cur = limit.Max
	// Said explicitly: the runtime gives children the soft limit that it found at its start unless the program sets one.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("descriptor limit: %w", err)
	}
	return limit.Cur, nil
}
