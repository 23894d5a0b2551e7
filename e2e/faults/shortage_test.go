//go:build e2e

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/e2e/faults/relay"
	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/proof"
	"github.com/spanwire/spanwire/internal/sidecar"
)

// limitDescriptors sets how many descriptors the sidecar may have open.
func (m *mesh) limitDescriptors(n uint64) {
	m.t.Helper()
	var l unix.Rlimit
	err := unix.Prlimit(m.Cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &l)
	if l.Cur = min(n, l.Max); err == nil {
		err = unix.Prlimit(m.Cmd.Process.Pid, unix.RLIMIT_NOFILE, &l, nil)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// Without descriptors new connections wait in the kernel's queue and are taken as others end: none is reset, those that stand go on, and the
// shortage is counted. With descriptors again all is as it was.
func TestOutOfDescriptors(t *testing.T) {
	m := newMesh(t, setup{})
	report := proof.Fault{Name: "Out of descriptors", What: "The sidecar may open 45 descriptors more; 120 clients come, of two descriptors each."}
	defer func() { proof.Write(t, report) }()
	stop := m.begin(60)
	m.goesOn(40, "conversations")
	// The table of descriptors has gaps: the limit is of their numbers (man 2 getrlimit).
	m.limitDescriptors(uint64(m.files + 45))
	m.goesOn(60, "conversations with few descriptors")
	m.limitDescriptors(4096)
	m.goesOn(40, "conversations with many descriptors again")
	_, report.Outcome = m.finish(stop)
	refused, pauses := m.Metric(`spanwire_refused_total{reason="descriptors"}`), m.Metric("spanwire_accept_backoffs_total")
	report.Outcome = append(report.Outcome, proof.Figuref("times that there was no descriptor, pauses of accept", "%v, %v", refused, pauses))
	if refused == 0 || pauses == 0 {
		t.Errorf("no descriptor %v times, %v pauses", refused, pauses)
	}
	m.Stop()
}

// memoryGroup makes a cgroup that bounds memory, of version 1 or 2, for the sidecar, and returns what reads how often the kernel killed in it.
func memoryGroup(t *testing.T, pid int, limit int) (kills func() int) {
	t.Helper()
	for _, v := range []struct{ root, max, events string }{
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.oom_control"},
		{"/sys/fs/cgroup", "memory.max", "memory.events"},
	} {
		dir := filepath.Join(v.root, fmt.Sprintf("spanwire-test-%d", pid))
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, v.max), []byte(strconv.Itoa(limit)), 0o644) != nil ||
			os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644) != nil {
			continue
		}
		return func() int {
			b, err := os.ReadFile(filepath.Join(dir, v.events))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); len(f) == 2 && f[0] == "oom_kill" {
					n, err := strconv.Atoi(f[1])
					if err != nil {
						t.Fatal(err)
					}
					return n
				}
			}
			t.Fatalf("%s says nothing of oom_kill", dir)
			return 0
		}
	}
	need.Missing(t, "a cgroup that bounds memory", "mount the memory controller at /sys/fs/cgroup, version 1 or 2")
	return nil
}

// groupLimit is a quarter of what `spanwire inject` sets.
const groupLimit = 64 << 20

// With little memory, slow receivers everywhere and a collector that is away, traffic goes on: bytes for slow receivers, spans for the collector and
// the Go heap have bounds, and what spans find no room is counted.
func TestLittleMemory(t *testing.T) {
	for _, c := range []struct {
		name, what string
		env        []string
		group      bool
	}{
		{"GOMEMLIMIT of 16 MiB", "The Go runtime is told to stay below 16 MiB, and collects garbage without end.", []string{"GOMEMLIMIT=16MiB"}, false},
		{"cgroup of 64 MiB", "The kernel kills what takes more than a quarter of the memory that `spanwire inject` allows.", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.group {
				need.Root(t)
			}
			m := newMesh(t, setup{plans: relay.Lossless, env: c.env, args: []string{"--export-queue", "500"}})
			report := proof.Fault{Name: "Memory: " + c.name, What: c.what + " Receivers are slow, the collector is away, 80 conversations at once."}
			defer func() { proof.Write(t, report) }()
			kills := func() int { return 0 }
			if c.group {
				limit := groupLimit
				if sidecar.Race(t, "the memory that the sidecar needs") {
					limit *= 20
				}
				kills = memoryGroup(t, m.Cmd.Process.Pid, limit)
			}
			m.relays["sidecar and collector"].Follow(func(uint64) relay.Plan { return relay.Plan{Fault: relay.Refuse} })
			stop := m.begin(40)
			peak := 0
			for deadline := time.Now().Add(4 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				peak = max(peak, m.Status("VmRSS"))
			}
			m.relays["sidecar and collector"].Follow(relay.Calm)
			m.goesOn(20, "conversations")
			_, report.Outcome = m.finish(stop)
			dropped := m.Sum("spanwire_spans_dropped_total")
			report.Outcome = append(report.Outcome, proof.Figuref("most resident memory", "%d MiB", peak>>10))
			t.Logf("at most %d MiB resident, %v spans dropped", peak>>10, dropped)
			if dropped == 0 || kills() > 0 {
				t.Errorf("%v spans dropped, %d killed", dropped, kills())
			}
			m.Stop()
		})
	}
}

// A full disk costs lines of the access log, which are counted, and nothing else; with room again lines are written again, whole ones.
func TestDiskFullForTheAccessLog(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	report := proof.Fault{Name: "Disk full for the access log", What: "The access log is on a file system of 64 KiB."}
	defer func() { proof.Write(t, report) }()
	// The file system is in a mount namespace of the sidecar's own, and ends with it.
	m := newMesh(t, setup{
		wrap: []string{need.Tool(t, "unshare"), "--mount", "sh", "-c", `mount -t tmpfs -o size=64k spanwire-test "$0" && exec "$@"`, dir},
		args: []string{"--access-log", filepath.Join(dir, "access.log")},
	})
	file := filepath.Join("/proc", strconv.Itoa(m.Cmd.Process.Pid), "root", dir, "access.log")
	const full = `spanwire_access_log_dropped_total{reason="write"}`
	stop := m.begin(20)
	m.AwaitMetric(full, 100)
	m.goesOn(20, "conversations with a full disk")
	written := m.Metric("spanwire_access_log_lines_total")
	if info, err := os.Stat(file); err != nil || info.Size() < 60<<10 || info.Size() > 64<<10 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := os.Truncate(file, 0); err != nil {
		t.Fatal(err)
	}
	m.AwaitMetric("spanwire_access_log_lines_total", written+20)
	_, report.Outcome = m.finish(stop)
	lines, lost := m.Metric("spanwire_access_log_lines_total"), m.Sum("spanwire_access_log_dropped_total")
	if requests := m.Sum("spanwire_requests_total"); lines+lost != requests {
		t.Errorf("%v requests; %v lines, %v lost", requests, lines, lost)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if !strings.HasPrefix(line, "time=") && i > 0 {
			t.Errorf("line %d is torn: %q", i, line)
			break
		}
	}
	report.Outcome = append(report.Outcome, proof.Figuref("requests = lines + lines lost", "%v + %v", lines, lost))
	m.Stop()
}
