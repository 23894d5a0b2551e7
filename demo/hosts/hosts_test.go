package hosts

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/netns"
)

// holder is the argument that has this binary hold a host.
const holder = "hold-a-host"

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, holder) {
		Hold()
		return
	}
	os.Exit(m.Run())
}

// TestNumberIsFreeOnceClosed: a host can be made again as soon as the one of its number was closed, although that one's namespace lives on,
// here for a process in it that has not ended, else for the time that the kernel takes.
func TestNumberIsFreeOnceClosed(t *testing.T) {
	netns.Isolated(t, time.Minute, []string{"nsenter", "setpriv"}, func() {
		if err := Open(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			h, err := New(1, holder)
			if err != nil {
				t.Fatal(err)
			}
			p, err := h.Start("a process that stays", os.Getuid(), "/bin/sh", "-c", "echo there; exec sleep 60")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			if err := p.Await(t.Context(), func(output string) bool { return strings.Contains(output, "there") }); err != nil {
				t.Fatal(err)
			}
			h.Close()
		}
	})
}

// TestSecondOfANumberFails: a host whose number is in use is refused, and the one that has it keeps its interface.
func TestSecondOfANumberFails(t *testing.T) {
	netns.Isolated(t, time.Minute, []string{"nsenter"}, func() {
		if err := Open(); err != nil {
			t.Fatal(err)
		}
		first, err := New(1, holder)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if second, err := New(1, holder); err == nil {
			second.Close()
			t.Error("made a second host of the same number")
		}
		if _, err := first.Run("ip", "link", "show", "eth0"); err != nil {
			t.Error(err)
		}
	})
}
