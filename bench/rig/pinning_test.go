package rig

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/bench/fake"
	"github.com/spanwire/spanwire/bench/peer"
	"github.com/spanwire/spanwire/bench/proc"
)

func TestMain(m *testing.M) {
	fake.Main()
	os.Exit(m.Run())
}

// TestProxyRunsWhereItIsTo: the proxy is on its processors, and what helps to measure it on the others.
func TestProxyRunsWhereItIsTo(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for cpu := range 1024 {
		if all.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	if len(cpus) < 2 {
		t.Skip("a single processor")
	}
	own, _ := fake.Install(t, fake.Honest, "")
	pinning := Pinning{Proxy: cpus[len(cpus)-1:], Others: cpus[:1]}
	r, err := New(t.TempDir(), peer.Tools{Own: own}, pinning)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	collector, err := r.StartSink(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.ByName(peer.SpanwireOTLP)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := r.StartPeer(context.Background(), p, Setup{Routes: []peer.Route{{Upstream: "127.0.0.1:1"}},
		Check: func(_ context.Context, address string) error {
			conn, err := net.Dial("tcp", address)
			if err == nil {
				err = conn.Close()
			}
			return err
		}})
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[*proc.Process]int{proxy.Process: pinning.Proxy[0], collector: pinning.Others[0]} {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(string(status), "Cpus_allowed_list:")
		if got, _, _ := strings.Cut(strings.TrimSpace(list), "\n"); got != fmt.Sprint(want) {
			t.Errorf("%s may run on %s, is to run on %d", p.Name, got, want)
		}
	}
}
