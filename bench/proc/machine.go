package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Times is the time that all processors together have spent since boot.
type Times struct {
	User    time.Duration `json:"user_ns"` // nice included
	System  time.Duration `json:"system_ns"`
	SoftIRQ time.Duration `json:"softirq_ns"` // hardware interrupts included
	Idle    time.Duration `json:"idle_ns"`    // waiting for disks included
	Steal   time.Duration `json:"steal_ns"`   // taken by the host of a virtual machine
}

// Busy is all but idle and stolen time.
func (t Times) Busy() time.Duration { return t.User + t.System + t.SoftIRQ }

// Sub returns the time between the earlier reading e and t.
func (t Times) Sub(e Times) Times {
	return Times{User: t.User - e.User, System: t.System - e.System, SoftIRQ: t.SoftIRQ - e.SoftIRQ, Idle: t.Idle - e.Idle,
		Steal: t.Steal - e.Steal}
}

// ReadTimes reads the first line of /proc/stat.
func ReadTimes() (Times, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Times{}, fmt.Errorf("machine's time: %w", err)
	}
	return parseTimes(b)
}

// parseTimes reads "cpu  user nice system idle iowait irq softirq steal …" (man 5 proc).
func parseTimes(b []byte) (Times, error) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) < 9 || words[0] != "cpu" {
		return Times{}, fmt.Errorf("machine's time: unexpected line %q", line)
	}
	var n [8]time.Duration
	for i := range n {
		v, err := strconv.ParseInt(words[i+1], 10, 64)
		if err != nil {
			return Times{}, fmt.Errorf("machine's time: %w", err)
		}
		n[i] = time.Duration(v) * tick
	}
	return Times{User: n[0] + n[1], System: n[2], Idle: n[3] + n[4], SoftIRQ: n[5] + n[6], Steal: n[7]}, nil
}

// Machine describes where a measurement was made.
type Machine struct {
	Host     string `json:"host"`
	Kernel   string `json:"kernel"`
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Governor string `json:"governor"` // "unknown" where the kernel does not tell, as in most virtual machines
	Memory   int64  `json:"memory_bytes"`
	Load     string `json:"load_at_start"` // of the last 1, 5 and 15 minutes
	Arch     string `json:"arch"`
	Files    uint64 `json:"descriptor_limit"`
}

// ReadMachine reads the description; what cannot be read is "unknown" or 0.
func ReadMachine() Machine {
	m := Machine{Host: "unknown", Kernel: "unknown", CPU: "unknown", Cores: runtime.NumCPU(), Governor: "unknown", Load: "unknown",
		Arch: runtime.GOARCH}
	if host, err := os.Hostname(); err == nil {
		m.Host = host
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if files, _ := filepath.Glob("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"); len(files) == 1 {
		if b, err := os.ReadFile(files[0]); err == nil {
			m.Governor = strings.TrimSpace(string(b))
		}
	}
	m.Memory = readStatus("/proc/meminfo", "MemTotal")[0] << 10
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.Load = strings.Join(strings.Fields(string(b))[:3], " ")
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		m.Files = limit.Cur
	}
	return m
}
