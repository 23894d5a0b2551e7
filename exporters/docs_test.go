package exporters

import (
	"os"
	"strings"
	"testing"
)

// docs/export.md is where an operator looks up a word of the log or a label of a metric.
func TestDocumentationNamesWhatCanGoWrong(t *testing.T) {
	text, err := os.ReadFile("../docs/export.md")
	if err != nil {
		t.Fatal(err)
	}
	row := func(name string) {
		if !strings.Contains(string(text), "\n| `"+name+"` |") {
			t.Errorf("no row for %s", name)
		}
	}
	for f := FailNone + 1; f < numFails; f++ {
		row(f.String())
	}
	for r := range NumReasons {
		row(r.String())
	}
	for _, k := range Table() {
		row(k.Name)
	}
}
