package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc/PID/stat and /proc/stat: USER_HZ is 100 on every Linux that Go runs on (man 5 proc).
const tick = 10 * time.Millisecond

// pageBytes is the unit of memory in /proc/PID/stat.
var pageBytes = int64(os.Getpagesize())

// Usage is what a process and all its descendants have used so far, or hold now.
type Usage struct {
	// CPU is user and system time together, to the nanosecond where the kernel tells it (schedstat).
	CPU time.Duration `json:"cpu_ns"`
	// User and System split CPU; the kernel counts them in ticks of 10 ms.
	User   time.Duration `json:"user_ns"`
	System time.Duration `json:"system_ns"`
	// RSS is resident memory now, PeakRSS its highest so far, bytes; sums over the processes, so shared pages count in each.
	RSS     int64 `json:"rss_bytes"`
	PeakRSS int64 `json:"peak_rss_bytes"`
	// Processes, Threads and Descriptors as they are now.
	Processes   int `json:"processes"`
	Threads     int `json:"threads"`
	Descriptors int `json:"descriptors"`
	// Wakeups counts how often a thread began to run after it had waited (voluntary context switches).
	Wakeups int64 `json:"wakeups"`
}

// Sub returns the use between the earlier reading e and u; what is held now (memory, threads, descriptors) stays.
func (u Usage) Sub(e Usage) Usage {
	u.CPU, u.User, u.System, u.Wakeups = u.CPU-e.CPU, u.User-e.User, u.System-e.System, u.Wakeups-e.Wakeups
	return u
}

// Add returns the sum of both, for several trees that do one job.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		CPU: u.CPU + v.CPU, User: u.User + v.User, System: u.System + v.System, RSS: u.RSS + v.RSS, PeakRSS: u.PeakRSS + v.PeakRSS,
		Processes: u.Processes + v.Processes, Threads: u.Threads + v.Threads, Descriptors: u.Descriptors + v.Descriptors,
		Wakeups: u.Wakeups + v.Wakeups,
	}
}

// Usage reads what the process and its descendants use.
func (p *Process) Usage() (Usage, error) {
	if err := p.Err(); err != nil {
		return Usage{}, err
	}
	return ReadTree(p.PID)
}

// ReadTree reads what pid and its descendants use.
func ReadTree(pid int) (Usage, error) {
	root, err := readOne(pid)
	if err != nil {
		return Usage{}, err
	}
	children, err := childrenOf()
	if err != nil {
		return Usage{}, err
	}
	for queue := children[pid]; len(queue) > 0; queue = queue[1:] {
		u, err := readOne(queue[0])
		if err != nil {
			continue // it ended meanwhile: its parent's account has it once it is waited for
		}
		root = root.Add(u)
		queue = append(queue, children[queue[0]]...)
	}
	return root, nil
}

// ReadAll returns the CPU time of all processes of the machine, and that of pid and its descendants as part of it. The kernel accounts
// both to the nanosecond and tells them in ticks, unlike /proc/stat, which samples what runs as the clock ticks: work that keeps time
// with the clock can escape it.
func ReadAll(pid int) (all, tree time.Duration, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0, fmt.Errorf("read processes: %w", err)
	}
	used, children := map[int]time.Duration{}, map[int][]int{}
	for _, e := range entries {
		one, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fields, err := readStat(one)
		if err != nil {
			continue // it ended meanwhile
		}
		used[one] = time.Duration(fields[statUser]+fields[statSystem]+fields[statCUser]+fields[statCSystem]) * tick
		all += used[one]
		parent := int(fields[statParent])
		children[parent] = append(children[parent], one)
	}
	if _, ok := used[pid]; !ok {
		return 0, 0, fmt.Errorf("%w: %d", ErrGone, pid)
	}
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		tree += used[queue[0]]
		queue = append(queue, children[queue[0]]...)
	}
	return all, tree, nil
}

// ReadOthers returns the CPU time of all processes of the machine, threads of the kernel among them, but that of this one: what its
// children had used by their end is in, what it uses itself to measure is not. Living threads tell it to the nanosecond; of those that
// have ended, and of children, their process knows in ticks. A process that ended and that nobody waits for is forgotten by the kernel, so
// that the difference of two readings could only be too small.
func ReadOthers() (time.Duration, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("read processes: %w", err)
	}
	total, own := time.Duration(0), os.Getpid()
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		fields, err := readStat(pid)
		if err != nil {
			continue // it ended meanwhile: its parent's account has it once it is waited for
		}
		total += time.Duration(fields[statCUser]+fields[statCSystem]) * tick
		if pid != own {
			total += finer(time.Duration(fields[statUser]+fields[statSystem])*tick, runTime(pid))
		}
	}
	return total, nil
}

// finer returns the exact time of living threads, unless the ticks, which know of those that ended too, say more than rounding of their two
// parts can make: then a thread has ended, and the ticks are nearer to the truth.
func finer(ticks, exact time.Duration) time.Duration {
	if exact > 0 && ticks-exact <= 2*tick {
		return exact
	}
	return ticks
}

// childrenOf maps each process to its children.
func childrenOf() (map[int][]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if fields, err := readStat(pid); err == nil {
			parent := int(fields[statParent])
			children[parent] = append(children[parent], pid)
		}
	}
	return children, nil
}

// Places of fields in readStat's result: their numbers in man 5 proc, less the three that are not numbers.
const (
	statParent  = 0 // field 4
	statUser    = 14 - 4
	statSystem  = 15 - 4
	statCUser   = 16 - 4 // of children that were waited for
	statCSystem = 17 - 4
	statThreads = 20 - 4
	statRSS     = 24 - 4
	statFields  = 24 - 3
)

// readStat returns the numeric fields of /proc/PID/stat from the fourth on.
func readStat(pid int) ([statFields]int64, error) {
	var fields [statFields]int64
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return fields, fmt.Errorf("%w: %d", ErrGone, pid)
	}
	end := bytes.LastIndexByte(b, ')') // the name may hold blanks and parentheses itself
	words := strings.Fields(string(b[end+1:]))
	if len(words) < statFields+1 {
		return fields, fmt.Errorf("%w: %d: short stat", ErrGone, pid)
	}
	for i := range fields {
		// Signed and unsigned fields alike fit: the last one read is in pages.
		if fields[i], err = strconv.ParseInt(words[i+1], 10, 64); err != nil {
			return fields, fmt.Errorf("stat of %d: %w", pid, err)
		}
	}
	return fields, nil
}

// readOne reads one process.
func readOne(pid int) (Usage, error) {
	fields, err := readStat(pid)
	if err != nil {
		return Usage{}, err
	}
	u := Usage{
		User:      time.Duration(fields[statUser]+fields[statCUser]) * tick,
		System:    time.Duration(fields[statSystem]+fields[statCSystem]) * tick,
		RSS:       fields[statRSS] * pageBytes,
		Processes: 1,
		Threads:   int(fields[statThreads]),
	}
	exact, wakeups := threads(pid)
	u.CPU, u.Wakeups = finer(u.User+u.System, exact), wakeups
	status := readStatus(fmt.Sprintf("/proc/%d/status", pid), "VmRSS", "VmHWM")
	if status[0] > 0 {
		u.RSS = status[0] << 10 // stat's own figure is batched per thread, hence inexact (man 5 proc)
	}
	u.PeakRSS = max(status[1]<<10, u.RSS)
	if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)); err == nil {
		u.Descriptors = len(entries)
	}
	return u, nil
}

// threads sums the run time and the voluntary context switches of the threads that live; 0 where the kernel does not tell.
func threads(pid int) (run time.Duration, wakeups int64) {
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		panic("BUG: bad pattern: " + err.Error())
	}
	for _, dir := range dirs {
		run += threadRunTime(dir)
		wakeups += readStatus(dir+"/status", "voluntary_ctxt_switches")[0]
	}
	return run, wakeups
}

// runTime sums the run time of the threads that live.
func runTime(pid int) (run time.Duration) {
	dir := fmt.Sprintf("/proc/%d/task/", pid)
	entries, _ := os.ReadDir(dir) // none when it has ended meanwhile
	for _, e := range entries {
		run += threadRunTime(dir + e.Name())
	}
	return run
}

// threadRunTime reads the run time of the thread whose directory it is; 0 where the kernel does not tell.
func threadRunTime(dir string) time.Duration {
	b, err := os.ReadFile(dir + "/schedstat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}

// readStatus returns the numbers of the named lines of a status file; 0 for what is not there.
func readStatus(file string, names ...string) []int64 {
	values := make([]int64, len(names))
	b, err := os.ReadFile(file)
	if err != nil {
		return values
	}
	for line := range strings.Lines(string(b)) {
		key, rest, _ := strings.Cut(line, ":")
		for i, name := range names {
			if words := strings.Fields(rest); key == name && len(words) > 0 {
				values[i], _ = strconv.ParseInt(words[0], 10, 64) // 0 when it is no number
			}
		}
	}
	return values
}
