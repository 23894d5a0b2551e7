package netramesh

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`(Test[A-Za-z0-9]+)(…?)`")

// The page names a test for each row, and each of these tests is there; each of the 25 defects has one.
func TestDocumentNamesTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/netramesh.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		sources.Write(text)
	}
	exists := func(name string, whole bool) bool {
		if whole {
			name += "(t *testing.T)"
		}
		return strings.Contains(sources.String(), "func "+name)
	}
	names := testName.FindAllStringSubmatch(string(page), -1)
	if len(names) < 20 {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, m := range names {
		if !exists(m[1], m[2] == "") {
			t.Errorf("docs/netramesh.md names %s, which is not there", m[1])
		}
	}
	for i := 1; i <= 25; i++ {
		if name := fmt.Sprintf("TestDefect%02d", i); !exists(name, false) {
			t.Errorf("there is no %s", name)
		}
	}
	for _, line := range strings.Split(string(page), "\n") {
		if strings.HasPrefix(line, "| ") && strings.HasSuffix(line, "| |") {
			t.Errorf("a row without a test: %s", line)
		}
	}
}
