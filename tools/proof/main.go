// Command proof makes docs/transparency.md from what the tests behind it wrote, and holds a run against it.
//
//	proof write RESULTS   takes the results in the directory RESULTS into docs/transparency.json and makes the page anew; soaks that RESULTS
//	                      does not have stay, since the kept one takes an hour
//	proof add RESULTS     the same, and all stays that RESULTS does not have: for a long soak, or one suite run again
//	proof check RESULTS   says what in RESULTS is no proof, what the page tells of that RESULTS does not have, and where accepted differences and
//	                      counts that must not differ do
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/internal/proof"
)

// The page and what it is made from, in the directory of documents.
const (
	dataFile = "transparency.json"
	pageFile = "transparency.md"
)

func main() {
	if err := run("docs", os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

// run carries out the command args with the documents in docs.
func run(docs string, args []string) error {
	if len(args) != 2 || !slices.Contains([]string{"write", "add", "check"}, args[0]) {
		return errors.New("usage: proof write|add|check RESULTS")
	}
	found, err := proof.Read(args[1])
	if err != nil {
		return err
	}
	data := filepath.Join(docs, dataFile)
	kept, err := proof.ReadReport(data)
	if err != nil && (args[0] == "check" || !errors.Is(err, os.ErrNotExist)) {
		return err
	}
	if args[0] == "check" {
		return check(found, kept)
	}
	if args[0] == "add" {
		found = found.Over(kept)
	} else {
		found = found.Over(proof.Report{Soaks: kept.Soaks})
	}
	if problems := append(found.Problems(), found.Unstamped()...); len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	encoded, err := found.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(data, encoded, 0o644); err != nil { //nolint:gosec // a document
		return err
	}
	return os.WriteFile(filepath.Join(docs, pageFile), []byte(found.Markdown()), 0o644) //nolint:gosec // a document
}

// check holds the results of a run against the page's.
func check(found, kept proof.Report) error {
	kept.Soaks = nil // a stage of its own
	problems := found.Problems()
	for _, missing := range found.Missing(kept) {
		problems = append(problems, missing+": in docs/"+pageFile+", but not in this run")
	}
	for _, missing := range kept.Missing(found) {
		if !strings.HasPrefix(missing, string(proof.KindSoak)) {
			problems = append(problems, missing+": in this run, but not in docs/"+pageFile+"; run make transparency")
		}
	}
	problems = append(problems, found.Against(kept)...)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	fmt.Printf("%d suites, %d attacks, %d faults: all held, as docs/%s says\n", len(found.Suites), len(found.Attacks), len(found.Faults), pageFile)
	return nil
}
