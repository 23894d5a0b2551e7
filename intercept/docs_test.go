package intercept

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of options in docs/intercept.md anew")

const (
	docsFile  = "../docs/intercept.md"
	docsBegin = "<!-- options: made from the table in package intercept, go test ./intercept -update -->\n"
	docsEnd   = "<!-- end of options -->\n"
)

func TestDocumentationHasTheOptions(t *testing.T) {
	b, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), docsBegin)
	_, after, ok2 := strings.Cut(rest, docsEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the options", docsFile)
	}
	var table strings.Builder
	table.WriteString("\n| flag | meaning | default | compatible variables |\n|---|---|---|---|\n")
	for _, o := range Options() {
		var variables []string
		for _, v := range o.Compatible {
			variables = append(variables, "`"+v+"`")
		}
		d := "none"
		if o.Default() != "" {
			d = "`" + o.Default() + "`"
		}
		fmt.Fprintf(&table, "| `--%s` | %s | %s | %s |\n", strings.TrimSpace(o.Name+" "+o.Value), o.Help, d, strings.Join(variables, ", "))
	}
	table.WriteString("\n")
	want := before + docsBegin + table.String() + docsEnd + after
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(b) != want {
		t.Errorf("%s differs from the table of options; run go test ./intercept -update", docsFile)
	}
}
