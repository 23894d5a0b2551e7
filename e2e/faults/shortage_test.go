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

const (
	// groupLimit is a quarter of what `spanwire inject` sets.
	groupLimit = 64 << 20
	// runtimeLimit is a memory limit of the Go runtime above what it holds at once under this load. It counts what the runtime has from the kernel; the
	// program's file is not among that, so what is compared is anonymous resident memory. The limit is soft: bytes for slow receivers may be
	// above it for a moment, hence runtimeBound.
	runtimeLimit = 16 << 10 // KiB
	runtimeBound = runtimeLimit + 8<<10
	// runtimeUnlimited is what the same load takes without the limit and without the collector, which is not needed to stay below it.
	runtimeUnlimited = runtimeBound + 8<<10
)

// noCollector turns the collector of the Go runtime off, but for its memory limit: what keeps the memory small is that limit alone.
const noCollector = "GOGC=off"

// short is a mesh with slow receivers everywhere and a collector that is away.
func short(t *testing.T, env ...string) *mesh {
	t.Helper()
	m := newMesh(t, setup{plans: relay.Lossless, env: env, args: []string{"--export-queue", "500"}})
	m.relays["sidecar and collector"].Follow(func(uint64) relay.Plan { return relay.Plan{Fault: relay.Refuse} })
	return m
}

// unlimited returns how many conversations take a sidecar without a memory limit to runtimeUnlimited.
func unlimited(t *testing.T) int {
	t.Helper()
	m := short(t, noCollector)
	stop := m.begin(40)
	for deadline := time.Now().Add(time.Minute); m.Status("RssAnon") < runtimeUnlimited; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("without GOMEMLIMIT %d KiB after %d conversations: the load needs no limit", m.Status("RssAnon"), m.load.whole())
		}
	}
	n := m.load.whole()
	m.finish(stop)
	m.Stop()
	return n
}

// With little memory, slow receivers everywhere and a collector that is away, traffic goes on: bytes for slow receivers, spans for the collector and
// the Go heap have bounds, and what spans find no room is counted. GOMEMLIMIT is kept: a load that goes beyond it without it stays below.
func TestLittleMemory(t *testing.T) {
	for _, c := range []struct {
		name, what string
		env        []string
		group      bool
	}{
		{"GOMEMLIMIT of 16 MiB", "The Go runtime is told to stay below 16 MiB, and does not collect garbage for any other reason (`GOGC=off`).",
			[]string{noCollector, fmt.Sprintf("GOMEMLIMIT=%dKiB", runtimeLimit)}, false},
		{"cgroup of 64 MiB", "The kernel kills what takes more than a quarter of the memory that `spanwire inject` allows.", nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.group {
				need.Root(t)
			}
			report := proof.Fault{Name: "Memory: " + c.name, What: c.what + " Receivers are slow, the collector is away, 80 conversations at once."}
			defer func() { proof.Write(t, report) }()
			judged := !c.group && !sidecar.Race(t, "the memory of the Go runtime")
			least := 0
			if judged {
				least = unlimited(t)
			}
			m := short(t, c.env...)
			kills := func() int { return 0 }
			if c.group {
				limit := groupLimit
				if sidecar.Race(t, "the memory that the sidecar needs") {
					limit *= 20
				}
				kills = memoryGroup(t, m.Cmd.Process.Pid, limit)
			}
			stop := m.begin(40)
			p := m.peaks(least)
			m.relays["sidecar and collector"].Follow(relay.Calm)
			m.goesOn(20, "conversations")
			_, report.Outcome = m.finish(stop)
			report.Outcome = append(report.Outcome, proof.Figuref("most resident memory", "%d MiB", p.resident>>10))
			if judged {
				report.Outcome = append(report.Outcome, p.judge(t, least))
			}
			dropped := m.Sum("spanwire_spans_dropped_total")
			t.Logf("%+v; %v spans dropped", p, dropped)
			if dropped == 0 || kills() > 0 {
				t.Errorf("%v spans dropped, %d killed", dropped, kills())
			}
			m.Stop()
		})
	}
}

// peaks is the most memory of a sidecar under load, and how many conversations it carried meanwhile.
type peaks struct{ resident, anonymous, carried int } // KiB, KiB, number

// peaks looks at the memory for some seconds, and until there have been so many conversations; not without end.
func (m *mesh) peaks(conversations int) (p peaks) {
	m.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		p = peaks{max(p.resident, m.Status("VmRSS")), max(p.anonymous, m.Status("RssAnon")), m.load.whole()}
		if lasted := time.Since(began); lasted > 4*time.Second && p.carried >= conversations || lasted > time.Minute {
			return p
		}
	}
}

// judge holds p to the limit of the Go runtime, under a load of at least so many conversations.
func (p peaks) judge(t *testing.T, conversations int) proof.Figure {
	t.Helper()
	if p.anonymous > runtimeBound || p.carried < conversations {
		t.Errorf("%d KiB of anonymous memory, bound %d KiB; %d conversations, want %d", p.anonymous, runtimeBound, p.carried, conversations)
	}
	return proof.Figuref("most anonymous resident memory, bound, the same load without GOMEMLIMIT", "%d MiB, %d MiB, over %d MiB", p.anonymous>>10,
		runtimeBound>>10, runtimeUnlimited>>10)
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
