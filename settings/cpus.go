package settings

import (
	"bufio"
	"bytes"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDefaultLoops: one loop relays more than most services answer; a sidecar takes more only when told to.
const maxDefaultLoops = 2

// DefaultLoops returns min(2, CPU quota rounded up, CPUs of the affinity mask), at least 1. The host's cores do not count.
func DefaultLoops() int {
	n := maxDefaultLoops
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) == nil {
		n = min(n, set.Count())
	}
	if quota := cpuQuota("/proc/self/cgroup", "/proc/self/mountinfo"); quota > 0 {
		n = min(n, int(math.Ceil(quota)))
	}
	return max(n, 1)
}

// cpuQuota returns the CPUs that the cgroups of this process, or any above, allow it; 0 = no limit. It reads cgroup v2 and v1.
func cpuQuota(cgroupFile, mountFile string) float64 {
	cgroups, err := os.ReadFile(cgroupFile)
	if err != nil {
		return 0
	}
	mounts, err := os.ReadFile(mountFile)
	if err != nil {
		return 0
	}
	quota := 0.0
	lower := func(q float64) {
		if q > 0 && (quota == 0 || q < quota) {
			quota = q
		}
	}
	for _, m := range cgroupMounts(mounts) {
		for dir := range m.dirs(cgroupOf(cgroups, m.v2)) {
			if m.v2 {
				lower(quotaV2(dir))
			} else {
				lower(quotaV1(dir))
			}
		}
	}
	return quota
}

// cgroupMount is one mount of a hierarchy that may limit CPU.
type cgroupMount struct {
	root, point string
	v2          bool
}

// dirs yields the directory of group under m, and those above it up to the mount point.
func (m cgroupMount) dirs(group string) iter.Seq[string] {
	rel, err := filepath.Rel(m.root, group)
	if group == "" || err != nil || strings.HasPrefix(rel, "..") {
		rel = "." // the mount shows another part of the tree, as without a cgroup namespace: its root is what we can see
	}
	return func(yield func(string) bool) {
		for dir := filepath.Join(m.point, rel); yield(dir) && len(dir) > len(m.point); dir = filepath.Dir(dir) {
		}
	}
}

// cgroupMounts finds the mounts in /proc/self/mountinfo (man 5 proc): root and mount point are fields 4 and 5, the type and the
// super options stand behind the dash.
func cgroupMounts(mountinfo []byte) []cgroupMount {
	var mounts []cgroupMount
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		left, right, ok := strings.Cut(lines.Text(), " - ")
		before, after := strings.Fields(left), strings.Fields(right)
		if !ok || len(before) < 5 || len(after) < 3 {
			continue
		}
		v2 := after[0] == "cgroup2"
		if !v2 && (after[0] != "cgroup" || !hasElement(after[2], "cpu")) {
			continue
		}
		mounts = append(mounts, cgroupMount{root: before[3], point: before[4], v2: v2})
	}
	return mounts
}

// cgroupOf returns the path of the process within the hierarchy, from /proc/self/cgroup: "0::path" (v2) or "N:cpu,cpuacct:path".
func cgroupOf(cgroups []byte, v2 bool) string {
	for lines := bufio.NewScanner(bytes.NewReader(cgroups)); lines.Scan(); {
		f := strings.SplitN(lines.Text(), ":", 3)
		if len(f) != 3 {
			continue
		}
		if v2 && f[0] == "0" && f[1] == "" || !v2 && hasElement(f[1], "cpu") {
			return f[2]
		}
	}
	return ""
}

// hasElement reports whether the comma list has the element.
func hasElement(list, element string) bool {
	for _, v := range strings.Split(list, ",") {
		if v == element {
			return true
		}
	}
	return false
}

// quotaV2 reads cpu.max: "max 100000" or "50000 100000" (µs of every period in µs).
func quotaV2(dir string) float64 {
	data, err := os.ReadFile(filepath.Join(dir, "cpu.max"))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data))
	if len(f) != 2 {
		return 0
	}
	return ratio(f[0], f[1])
}

// quotaV1 reads cpu.cfs_quota_us (-1 = none) and cpu.cfs_period_us.
func quotaV1(dir string) float64 {
	quota, err := os.ReadFile(filepath.Join(dir, "cpu.cfs_quota_us"))
	if err != nil {
		return 0
	}
	period, err := os.ReadFile(filepath.Join(dir, "cpu.cfs_period_us"))
	if err != nil {
		return 0
	}
	return ratio(strings.TrimSpace(string(quota)), strings.TrimSpace(string(period)))
}

// ratio divides two whole numbers; 0 when there is no limit in them.
func ratio(quota, period string) float64 {
	q, errQ := strconv.ParseInt(quota, 10, 64)
	p, errP := strconv.ParseInt(period, 10, 64)
	if errQ != nil || errP != nil || q <= 0 || p <= 0 {
		return 0
	}
	return float64(q) / float64(p)
}
