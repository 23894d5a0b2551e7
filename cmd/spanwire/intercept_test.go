package main

import (
	"strings"
	"testing"
)

// What is wrong with the settings of the rules is told in one line with code 2, before anything is changed.
func TestInterceptUsage(t *testing.T) {
	for _, c := range []struct {
		args    string
		environ []string
		want    string
	}{
		{args: "add --redirect-port 0", want: `--redirect-port "0": want a port from 1 to 65535`},
		{args: "add --inbound-ports 80,x", want: `--inbound-ports "80,x": want ports or ranges`},
		{args: "add --backend pf", want: `--backend "pf": want auto, nft or iptables`},
		{args: "show", environ: []string{"SPANWIRE_INTERCEPT_BACKEND=x"}, want: `SPANWIRE_INTERCEPT_BACKEND "x": want auto`},
		{args: "add", environ: []string{"NETRA_INBOUND_PROBABILITY=2"}, want: `NETRA_INBOUND_PROBABILITY "2": want a number from 0 to 1`},
		{args: "add rules", want: `"rules" is no argument here`},
		{args: "remove --wait --now", want: "want one of them"},
		{args: "remove --timeout 5s", want: "beside --wait"},
		{args: "", want: "want add, remove, show or check"},
		{args: "delete", want: "want add, remove, show or check"},
		{args: "add --nonsense", want: "nonsense"},
	} {
		var stdout, stderr strings.Builder
		code := start(append([]string{"spanwire", "intercept"}, strings.Fields(c.args)...), c.environ, &stdout, &stderr)
		if got := stderr.String(); code != exitUsage || !strings.Contains(got, c.want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%q: code %d, %q", c.args, code, got)
		}
	}
}

// The dry run prints the rules for both back ends and needs no privilege; the sidecar's own ports come from its environment.
func TestInterceptDryRun(t *testing.T) {
	for backend, want := range map[string]string{"nft": "redirect to :15000", "auto": "tcp dport 7000", "iptables": "--to-ports 15000"} {
		var stdout, stderr strings.Builder
		code := start([]string{"spanwire", "intercept", "add", "--dry-run", "--redirect-port", "15000", "--backend", backend},
			[]string{"SPANWIRE_ADMIN=127.0.0.1:7000"}, &stdout, &stderr)
		if code != exitDone || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: code %d, %s%s", backend, code, &stdout, &stderr)
		}
	}
}
