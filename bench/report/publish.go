package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/bench"
)

// ErrStale is wrapped when what is published differs from what the results give.
var ErrStale = errors.New("differs from the results; spanbench publish writes it again")

// Names below the project's root of what is published: the results, the page made of them, and its pictures.
const (
	publishedResults  = "docs/overhead.json"
	publishedPage     = "docs/overhead.md"
	publishedPictures = "docs/overhead"
	readme            = "README.md"
)

// The table in the README stands between these lines.
const (
	readmeBegin = "<!-- overhead: begin; written by spanbench publish -->"
	readmeEnd   = "<!-- overhead: end -->"
)

// Publish writes the results, the page with its pictures, and the table in the README, below root.
func Publish(r *bench.Result, root string) error {
	files, err := published(r, root)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(root, publishedPictures), 0o755); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for _, name := range strays(root, files) {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	return nil
}

// CheckPublished compares the published page, pictures and README with the published results. Before the first results are published
// there must be none of the others, and nothing in the README's place for the table.
func CheckPublished(root string) error {
	r, err := bench.Read(filepath.Join(root, publishedResults))
	if errors.Is(err, os.ErrNotExist) {
		return checkUnpublished(root)
	}
	if err != nil {
		return err
	}
	files, err := published(r, root)
	if err != nil {
		return err
	}
	var stale []error
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || !bytes.Equal(got, want) {
			stale = append(stale, fmt.Errorf("%s: %w", name, ErrStale))
		}
	}
	for _, name := range strays(root, files) {
		stale = append(stale, fmt.Errorf("%s: %w", name, ErrStale))
	}
	slices.SortFunc(stale, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(stale...)
}

// checkUnpublished wants nothing to be published.
func checkUnpublished(root string) error {
	for _, name := range []string{publishedPage, publishedPictures} {
		if _, err := os.Stat(filepath.Join(root, name)); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%s: %w: there is no %s", name, ErrStale, publishedResults)
		}
	}
	_, old, _, err := readmePlace(root)
	if err == nil && strings.TrimSpace(old) != "" {
		err = fmt.Errorf("%s: %w: it has a table, and there is no %s", readme, ErrStale, publishedResults)
	}
	return err
}

// strays lists the pictures below root that are not among files: an older report had them.
func strays(root string, files map[string][]byte) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(root, publishedPictures)) // none = no picture; a missing one is told elsewhere
	for _, e := range entries {
		if name := publishedPictures + "/" + e.Name(); files[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

// readmePlace cuts the README at its place for the table.
func readmePlace(root string) (before, table, after string, err error) {
	page, err := os.ReadFile(filepath.Join(root, readme))
	if err != nil {
		return "", "", "", fmt.Errorf("publish: %w", err)
	}
	before, rest, okBegin := strings.Cut(string(page), readmeBegin)
	table, after, okEnd := strings.Cut(rest, readmeEnd)
	if !okBegin || !okEnd {
		return "", "", "", fmt.Errorf("publish: %s: %w: no lines %q and %q, between which the table goes", readme, ErrStale, readmeBegin,
			readmeEnd)
	}
	return before, table, after, nil
}

// published returns the content of every file, by its name below root.
func published(r *bench.Result, root string) (map[string][]byte, error) {
	encoded, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	t, err := parse()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{publishedResults: append(encoded, '\n')}
	var pictures strings.Builder
	for _, c := range charts(r) {
		c.Alone = true
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, "picture", c); err != nil {
			return nil, fmt.Errorf("publish: %w", err)
		}
		name := c.ID + ".svg"
		files[publishedPictures+"/"+name] = append(b.Bytes(), '\n')
		fmt.Fprintf(&pictures, "![%s](overhead/%s)\n\n", c.Title, name)
	}
	head, tail, ok := strings.Cut(Markdown(r), "\n## Bounds\n")
	if !ok {
		panic("BUG: the report has no bounds")
	}
	files[publishedPage] = []byte("<!-- Written by spanbench publish from overhead.json; do not edit. -->\n" + head + "\n" + pictures.String() +
		"## Bounds\n" + tail)
	before, _, after, err := readmePlace(root)
	if err != nil {
		return nil, err
	}
	files[readme] = []byte(before + readmeBegin + "\n\n" + readmeTable(r) + "\n" + readmeEnd + after)
	return files, nil
}

// readmeTable is the README's table: what a reader asks first.
func readmeTable(r *bench.Result) string {
	var b strings.Builder
	b.WriteString("| | CPU µs/request | added p50 at 1 000/s | added p99 at 1 000/s | resident memory at rest | ready in |\n|---|---|---|---|---|---|\n")
	value := func(scenario, phase, name, quantity, unit string) string {
		if c := r.Find(scenario, phase, name); c != nil {
			if v, ok := c.Value(quantity); ok {
				return bench.Number(v) + unit
			}
		}
		return "–"
	}
	added := func(d *bench.Difference) string {
		if d == nil {
			return "–"
		}
		return bench.Number(d.Median) + " µs"
	}
	for _, name := range readmePeers {
		small := r.Find(bench.ScenarioSmall, bench.Phase1000, name)
		if small == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", title(r, name)+mark(*small, r.Method.Runs),
			value(bench.ScenarioSaturation, bench.Phase32, name, bench.QCPU, ""), added(small.AddedP50), added(small.AddedP99),
			value(bench.ScenarioRest, bench.PhaseRest, name, bench.QRSS, " MB"),
			value(bench.ScenarioRest, bench.PhaseRest, name, bench.QReady, " ms"))
	}
	fmt.Fprintf(&b, "\nMedians of %d interleaved runs, %s, commit %s, %s, %d cores: `make bench`. All of it, and how it was measured: "+
		"[docs/overhead.md](docs/overhead.md).\n", r.Method.Runs, r.Started.Format("2006-01-02"), r.Commit, r.Machine.CPU, r.Machine.Cores)
	b.WriteString(readmeProse(r))
	return b.String()
}
