package settings

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

const docsFile = "../docs/settings.md"

// docsHead stands before the tables.
const docsHead = `# Settings of ` + "`spanwire run`" + `

This page is made from the table in package settings: ` + "`go test ./settings -update`" + `.

Each setting comes from the first of: the flag, the variable ` + "`SPANWIRE_<FLAG_NAME>`" + `, the file that ` + "`--config`" + ` or
` + "`SPANWIRE_CONFIG`" + ` names (YAML, keys as the flags without dashes), the compatible variables in the order listed, the default. A
repeatable flag is a comma list in a variable, and may be a list in the file. An empty variable counts as unset.

A flag, a file entry, or a ` + "`SPANWIRE_*`, `NETRA_*` or `JAEGER_*`" + ` variable that does not parse ends the start with code 2 and a line
that names it, its value and what is allowed. ` + "`OTEL_*`" + ` values that are not understood are warned about and skipped. A ` + "`*_PORT`" + `
variable that Kubernetes made for a Service (` + "`tcp://…`" + `) is ignored with a line.
`

func TestDocumentationHasTheTable(t *testing.T) {
	want := docsHead + Markdown()
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s differs from the table of settings; run go test ./settings -update", docsFile)
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	help := Help()
	for _, s := range Table() {
		if !strings.Contains(help, "\n  "+s.Usage()+"\n") || !strings.Contains(help, s.Help) {
			t.Errorf("%s is not in the help text", s.Name)
		}
		for _, v := range s.CompatibleVariables() {
			if !strings.Contains(help, v) {
				t.Errorf("%s is not in the help text", v)
			}
		}
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Table() {
		if seen[s.Name] || s.Name == "config" {
			t.Errorf("%s stands there twice", s.Name)
		}
		seen[s.Name] = true
		if s.Help == "" || s.Allowed == "" || s.Section == "" || s.set == nil || strings.HasSuffix(s.Help, ".") || (s.Value == "") != (s.form == boolean) {
			t.Errorf("%s: incomplete row", s.Name)
		}
		if s.computed != nil && s.defaultNote == "" {
			t.Errorf("%s: a computed default needs words", s.Name)
		}
	}
}
