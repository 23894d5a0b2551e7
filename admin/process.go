package admin

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"syscall"
)

// appendProcess appends what every process shows, under the names that dashboards know.
func (s *Server) appendProcess(e *encoder) {
	e.family("process_resident_memory_bytes", "gauge", "Resident memory.")
	e.int(residentBytes())
	e.family("process_cpu_seconds_total", "counter", "User and system time.")
	e.float(cpuSeconds())
	e.family("process_open_fds", "gauge", "Open descriptors.")
	e.int(openDescriptors())
	e.family("process_max_fds", "gauge", "Descriptors that may be open.")
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) // cannot fail for one's own
	e.uint(limit.Cur)
	e.family("process_start_time_seconds", "gauge", "Start of the process since the Unix epoch.")
	e.float(float64(s.started.UnixMilli()) / 1e3)
	e.family("go_goroutines", "gauge", "Goroutines.")
	e.int(int64(runtime.NumGoroutine()))
	e.family("go_threads", "gauge", "Operating system threads that were made.")
	e.int(int64(pprof.Lookup("threadcreate").Count()))
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	e.family("go_memstats_alloc_bytes", "gauge", "Heap in use.")
	if sample[0].Value.Kind() == metrics.KindUint64 {
		e.uint(sample[0].Value.Uint64())
	}
}

// residentBytes reads the second field of /proc/self/statm, pages (man 5 proc); 0 when it cannot.
func residentBytes() int64 {
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return 0
	}
	defer f.Close()
	var buf [128]byte // seven numbers
	n, _ := f.Read(buf[:])
	fields := bytes.Fields(buf[:n])
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// cpuSeconds returns user and system time.
func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// openDescriptors counts the entries of /proc/self/fd, but the one that it opens for that. Since Linux 6.2 the size of the
// directory says it at once.
func openDescriptors() int64 {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0
	}
	defer d.Close()
	if info, err := d.Stat(); err == nil && info.Size() > 0 {
		return info.Size() - 1
	}
	total := int64(-1)
	for {
		names, err := d.Readdirnames(1024)
		if total += int64(len(names)); err == io.EOF || err != nil {
			return max(total, 0)
		}
	}
}
