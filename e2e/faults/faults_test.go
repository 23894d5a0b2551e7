//go:build e2e

// Package faults shows that traffic is never broken by the sidecar, whatever befalls it: it stands between clients and servers that know every
// byte they must get, with relays on all its connections that do harm on purpose, and under shortages and disturbances of its own.
package faults

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/spanwire/spanwire/e2e/faults/relay"
	"github.com/spanwire/spanwire/internal/proof"
)

// faultsTime is how long the fault relays work, unless SPANWIRE_FAULTS_TIME says otherwise (a Go duration); SPANWIRE_FAULTS_SEED chooses what
// they do.
const faultsTime = 60 * time.Second

// clients is how many conversations each side of the sidecar has at once.
const clients = 40

// duration returns how long the relays work.
func duration(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("SPANWIRE_FAULTS_TIME")
	if v == "" {
		return faultsTime
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// seed returns what the relays' plans are drawn from.
func seed(t *testing.T) uint64 {
	t.Helper()
	v := os.Getenv("SPANWIRE_FAULTS_SEED")
	if v == "" {
		return uint64(time.Now().UnixNano())
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Relays that delay, split, drip, stall, cut and reset stand on every connection of the sidecar: between client and sidecar, sidecar and application,
// application and sidecar, sidecar and upstream, sidecar and collector. What they do not cut off arrives, whole and unchanged, and of what they
// do a beginning; a reset crosses as a reset; afterwards nothing is left, and the accounts of spans balance.
func TestFaultsBetweenAllParties(t *testing.T) {
	lasts, seed := duration(t), seed(t)
	t.Logf("%v, SPANWIRE_FAULTS_SEED=%d", lasts, seed)
	m := newMesh(t, setup{seed: seed, plans: relay.Mixed})
	report := proof.Fault{Name: "Fault relays between all parties", What: fmt.Sprintf("For %v relays on all five kinds of connections delay, split, drip, stall, "+
		"half-close and reset at random, under %d conversations at once: HTTP/1 with bodies of all sizes and framings, pipelining, raw TCP.", lasts, 2*clients)}
	defer func() { proof.Write(t, report) }()
	stop := m.begin(clients)
	time.Sleep(lasts)
	stop()
	sum := m.judged()
	m.settle()
	report.Outcome = m.balance(sum)
	for _, name := range m.names {
		r := m.relays[name]
		struck := r.Struck()
		for f := relay.Delay; f < relay.Flip; f++ {
			if struck[f] == 0 && lasts >= 20*time.Second && name != "sidecar and collector" {
				t.Errorf("between %s: %s has not struck", name, f)
			}
		}
		report.Outcome = append(report.Outcome, proof.Figure{Name: "between " + name, Value: r.String()})
	}
	for _, f := range report.Outcome {
		t.Logf("%s: %s", f.Name, f.Value)
	}
	if sum.whole == 0 || sum.cut == 0 {
		t.Errorf("%+v: too tame", sum)
	}
	m.Stop()
}
