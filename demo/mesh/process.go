package mesh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxOutput bounds what is kept of a process's output, in bytes; the oldest goes first.
const maxOutput = 64 << 10

// ErrExited says that a process ended before it was asked to.
var ErrExited = errors.New("ended by itself")

// Process is a child process whose output is kept.
type Process struct {
	Name string

	cmd    *exec.Cmd
	output output
	ended  chan struct{} // closed when the process has ended and err is set
	err    error
}

// StartProcess starts path with args; files become its descriptors from 3 on. The child leads a process group of its own, so that a
// Ctrl-C reaches the caller alone, who then stops its children in order; and it is killed by the kernel when the thread that started
// it ends (PR_SET_PDEATHSIG), so that it cannot outlive a caller that was killed.
func StartProcess(name, path string, args, env []string, files ...*os.File) (*Process, error) {
	p := &Process{Name: name, ended: make(chan struct{})}
	p.output.changed = make(chan struct{})
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.ExtraFiles = files
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.wait()
	return p, nil
}

// wait collects the process's end.
func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output returns what the process wrote, its last maxOutput bytes.
func (p *Process) Output() string { return p.output.text() }

// Await returns once found, which is shown the output so far whenever there is more of it, returns true.
func (p *Process) Await(ctx context.Context, found func(output string) bool) error {
	for {
		text, changed := p.output.snapshot()
		if found(text) {
			return nil
		}
		select {
		case <-changed:
		case <-p.ended:
			if found(p.output.text()) {
				return nil
			}
			return fmt.Errorf("%s %w (%s); it wrote:\n%s", p.Name, ErrExited, p.cmd.ProcessState, p.Output())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; it wrote:\n%s", p.Name, ctx.Err(), p.Output())
		}
	}
}

// Alive reports whether the process has not ended yet.
func (p *Process) Alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// ExitCode returns the code that the process ended with; -1 while it runs, or when a signal ended it.
func (p *Process) ExitCode() int {
	if p.Alive() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stop sends SIGTERM and returns nil once the process has ended with code 0. After patience its group is killed, which is an error.
// A second Stop returns the same.
func (p *Process) Stop(patience time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // has ended already: nothing to do
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("%s did not end within %v of SIGTERM; it wrote:\n%s", p.Name, patience, p.Output())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w; it wrote:\n%s", p.Name, p.err, p.Output())
	}
	return nil
}

// Kill kills the process and its group and returns when it has ended.
func (p *Process) Kill() {
	if p.Alive() {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // it may end just now
	}
	<-p.ended
}

// output keeps the last bytes written to it and tells when there are more.
type output struct {
	mu      sync.Mutex
	kept    []byte
	changed chan struct{} // closed and replaced by each Write
}

// Write implements io.Writer; it never fails.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b...)
	if over := len(o.kept) - maxOutput; over > 0 {
		o.kept = append(o.kept[:0], o.kept[over:]...)
	}
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

// snapshot returns the text so far and a channel that is closed when there is more.
func (o *output) snapshot() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.kept), o.changed
}

// text returns the text so far, without white space at its end.
func (o *output) text() string {
	text, _ := o.snapshot()
	return strings.TrimRight(text, " \n")
}
