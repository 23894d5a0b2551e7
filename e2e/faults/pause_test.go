//go:build e2e

package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/proof"
)

// A sidecar that is stopped for three seconds, as by a debugger, a frozen cgroup or a machine that is moved, loses nothing: when it goes on, so
// do all sessions.
func TestStoppedAndContinued(t *testing.T) {
	m := newMesh(t, setup{})
	report := proof.Fault{Name: "SIGSTOP for 3 s, then SIGCONT", What: "The whole process is stopped under load and continued."}
	defer func() { proof.Write(t, report) }()
	stop := m.begin(20)
	m.goesOn(60, "conversations")
	m.Signal(syscall.SIGSTOP)
	before := m.load.whole()
	time.Sleep(3 * time.Second) // the length of the fault
	// What was in the kernel's buffers behind the sidecar may still arrive.
	if n := m.load.whole() - before; n > 100 {
		t.Errorf("%d conversations while the sidecar was stopped: it was not", n)
	}
	m.Signal(syscall.SIGCONT)
	m.goesOn(60, "conversations to go on")
	_, report.Outcome = m.finish(stop)
	m.Stop()
}
