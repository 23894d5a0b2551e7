package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCPUQuota builds the files that a kernel shows.
func TestCPUQuota(t *testing.T) {
	for _, c := range []struct {
		name   string
		cgroup string
		mounts string // DIR is the directory that files are in
		files  map[string]string
		want   float64
	}{
		{"v2, own namespace", "0::/\n", "30 20 0:26 / DIR ro - cgroup2 cgroup rw\n", map[string]string{"cpu.max": "50000 100000\n"},
			0.5},
		{"v2, no limit", "0::/\n", "30 20 0:26 / DIR ro - cgroup2 cgroup rw\n", map[string]string{"cpu.max": "max 100000\n"}, 0},
		{"v2, the tighter limit is above", "0::/pod/app\n", "30 20 0:26 / DIR ro - cgroup2 cgroup rw\n",
			map[string]string{"pod/cpu.max": "150000 100000", "pod/app/cpu.max": "400000 100000"}, 1.5},
		{"v2, the host's path under a container's mount", "0::/../../pod\n", "30 20 0:26 / DIR ro - cgroup2 cgroup rw\n",
			map[string]string{"cpu.max": "200000 100000"},
			2},
		{"v1", "4:cpu,cpuacct:/pod\n0::/\n", "31 20 0:27 / DIR ro shared:1 - cgroup cgroup rw,cpu,cpuacct\n",
			map[string]string{"pod/cpu.cfs_quota_us": "25000\n", "pod/cpu.cfs_period_us": "100000\n"}, 0.25},
		{"v1, root of the mount is the container", "4:cpu:/docker/x\n", "31 20 0:27 /docker/x DIR ro - cgroup cgroup rw,cpu\n",
			map[string]string{"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"}, 3},
		{"v1, no limit", "4:cpu:/\n", "31 20 0:27 / DIR ro - cgroup cgroup rw,cpu\n", map[string]string{"cpu.cfs_quota_us": "-1",
			"cpu.cfs_period_us": "100000"},
			0},
		{"cpuset is another hierarchy", "4:cpuset:/\n", "31 20 0:27 / DIR ro - cgroup cgroup rw,cpuset\n",
			map[string]string{"cpu.cfs_quota_us": "1", "cpu.cfs_period_us": "100000"},
			0},
		{"garbage", "x\n", "y - z\n31 20 0:27 / DIR ro - cgroup2 cgroup rw\n", map[string]string{"cpu.max": "a b c"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, proc := t.TempDir(), t.TempDir()
			for name, text := range c.files {
				write(t, filepath.Join(dir, name), text)
			}
			write(t, filepath.Join(proc, "cgroup"), c.cgroup)
			write(t, filepath.Join(proc, "mountinfo"), strings.ReplaceAll(c.mounts, "DIR", dir))
			if got := cpuQuota(filepath.Join(proc, "cgroup"), filepath.Join(proc, "mountinfo")); got != c.want {
				t.Errorf("quota %v, want %v", got, c.want)
			}
		})
	}
	if n := DefaultLoops(); n < 1 || n > maxDefaultLoops {
		t.Errorf("default loops %d", n)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
