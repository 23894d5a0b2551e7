package proof

import (
	"os"
	"strings"
	"testing"
)

// The page and what it is made from.
const (
	pageFile = "../../docs/transparency.md"
	dataFile = "../../docs/transparency.json"
)

func TestThePageIsMadeFromTheData(t *testing.T) {
	r, err := ReadReport(dataFile)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	if r.Markdown() != string(page) {
		t.Errorf("%s is not what %s gives; run make transparency", pageFile, dataFile)
	}
	if p := append(r.Problems(), r.Unstamped()...); len(p) > 0 {
		t.Errorf("the page tells of what is no proof: %q", p)
	}
	again, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(dataFile); err != nil || string(data) != string(again) {
		t.Errorf("%s was edited by hand (%v)", dataFile, err)
	}
}

func TestMarkdownTellsAll(t *testing.T) {
	r := held()
	r.Attacks[0].Outcome = append(r.Attacks[0].Outcome, Figure{Name: "a|b", Value: "two\nlines"})
	page := r.Markdown()
	for _, want := range []string{
		"| Go net/http | go1.26 | 3 passed, 1 failed | 2 passed, 2 failed, 1 skipped | 9 | 7 | 99 B | 0 |", "- Go net/http: as it is.",
		"2 tests differ, for 2 reasons.", "(in some runs): TestLate", "| It compares the whole head. | Go net/http: TestDump |", "- Go net/http: TestDNS\n", "- Go net/http: TestSlow, directly; alone 10 times in each way it failed 3 times directly, 1 through\n",
		"In all: directly 3 passed, 1 failed; through 2 passed, 2 failed, 1 skipped; 9 connections, 7 spans, 99 B verified, 0 bytes altered.",
		"| Slowloris | Heads that never end. | p99: 3 ms<br>a\\|b: two lines | held |", "| Disk full | No room for the access log. |  | held |",
		"| 60 minutes | Mixed traffic. |", "## Hostile input\n\nAttacks that wear", "its median must be at most 3, where p99 is above 1 ms",
		"TestStalledLoop", "- on 2026-01-02, of commit abc: suites 1, attacks 1, faults 1\n- on 2026-01-03, of commit def: soaks 1\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}

// What the page says is tested elsewhere is.
func TestElsewhereIsThere(t *testing.T) {
	const file = "core/disturbed_test.go"
	source, err := os.ReadFile("../../" + file)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []string{"TestStalledLoop", "TestSteppedClock"} {
		if !strings.Contains(elsewhere, test) || !strings.Contains(elsewhere, file) || !strings.Contains(string(source), "\nfunc "+test+"(t *testing.T) {\n") {
			t.Errorf("%s is not in %s, or the page does not say so", test, file)
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 7551952076: "7.0 GiB", 1 << 60: "1048576.0 TiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
