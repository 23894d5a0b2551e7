//go:build e2e

package faults

import (
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/spanwire/spanwire/internal/need"
	"github.com/spanwire/spanwire/internal/netns"
	"github.com/spanwire/spanwire/internal/proof"
)

// lossRules drop three packets of a hundred, whoever sends them: retransmissions, lost FINs and ACKs on every connection.
const lossRules = `
table inet loss {
	chain in {
		type filter hook input priority 0; policy accept;
		meta l4proto tcp numgen random mod 100 < 3 counter drop
	}
}
`

// leastLost is how many packets must have been dropped for the fault to have been there; on a small busy machine it is ten times as many.
const leastLost = 100

// Packets that get lost cost time and nothing else. Where the kernel can do so, they are late, twice and out of order as well.
func TestPacketLoss(t *testing.T) {
	netns.Isolated(t, 3*time.Minute, []string{"nft", "tc"}, func() {
		m := newMesh(t, setup{})
		what := "nftables drops 3 % of all TCP packets in the namespace."
		if out, err := exec.Command(need.Tool(t, "tc"), "qdisc", "add", "dev", "lo", "root", "netem", "delay", "2ms", "2ms", "duplicate", "1%", "reorder", "5%").
			CombinedOutput(); err == nil {
			what += " netem delays, duplicates and reorders them."
		} else {
			t.Logf("without netem, which this kernel does not have: %s", out)
		}
		report := proof.Fault{Name: "Packet loss", What: what}
		defer func() { proof.Write(t, report) }()
		netns.Load(t, lossRules)
		stop := m.begin(50)
		time.Sleep(8 * time.Second) // the length of the fault
		m.goesOn(20, "conversations")
		stop()
		dropped := lost(t, netns.Run(t, "nft", "list", "table", "inet", "loss"))
		netns.Run(t, "nft", "delete", "table", "inet", "loss")
		_, report.Outcome = m.finish(stop)
		report.Outcome = append(report.Outcome, proof.Figuref("packets dropped", "%d", dropped))
		t.Logf("%d packets dropped", dropped)
		if dropped < leastLost {
			t.Errorf("%d packets dropped, want at least %d", dropped, leastLost)
		}
		m.Stop()
	})
}

// lost returns what the rule's counter has in the listing of its table.
func lost(t *testing.T, listing string) int {
	t.Helper()
	found := regexp.MustCompile(`counter packets (\d+) bytes \d+ drop`).FindStringSubmatch(listing)
	if found == nil {
		t.Fatalf("no counter in %s", listing)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
