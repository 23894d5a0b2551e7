package spanwire_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/operations.md says where each of its promises is tested: those tests exist.
func TestOperationsNamesTestsThatExist(t *testing.T) {
	doc, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("`([a-z0-9/]+)` ((?:Test\\w+(?:, )?)+)")
	named := row.FindAllStringSubmatch(string(doc), -1)
	if len(named) < 15 {
		t.Fatalf("%d rows name tests", len(named))
	}
	for _, m := range named {
		source := sourceOf(t, m[1])
		for _, name := range strings.Split(strings.TrimSuffix(m[2], ", "), ", ") {
			if !strings.Contains(source, "func "+name+"(t *testing.T)") {
				t.Errorf("%s has no %s", m[1], name)
			}
		}
	}
}

// sourceOf returns the tests of the package at dir, one behind the other.
func sourceOf(t *testing.T, dir string) string {
	t.Helper()
	files, err := fs.Glob(os.DirFS(dir), "*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests (%v)", dir, err)
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
