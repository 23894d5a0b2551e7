package settings

import (
	"fmt"
	"strings"
)

// configHelp describes --config, which is no setting itself.
const configHelp = "file of settings (YAML), keys as the flags without dashes; also SPANWIRE_CONFIG"

// Help returns the text of `spanwire run --help` about the settings.
func Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  --config FILE\n        %s\n", configHelp)
	var section Section
	for _, s := range Table() {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n%s:\n", section)
		}
		fmt.Fprintf(&b, "  %s\n", s.Usage())
		fmt.Fprintf(&b, "        %s", s.Help)
		if s.Repeatable() {
			b.WriteString("; repeatable")
		}
		fmt.Fprintf(&b, " (default: %s)\n", strings.ReplaceAll(s.DefaultText(), "`", ""))
		if names := s.CompatibleVariables(); len(names) > 0 {
			fmt.Fprintf(&b, "        also %s\n", strings.Join(names, ", "))
		}
	}
	return b.String()
}

// Markdown returns the tables of docs/settings.md, one for each section.
func Markdown() string {
	var b strings.Builder
	var section Section
	for _, s := range Table() {
		if s.Section != section {
			section = s.Section
			fmt.Fprintf(&b, "\n## %s\n\n| flag | meaning | default | compatible variables |\n|---|---|---|---|\n", section)
		}
		help := s.Help
		if s.Repeatable() {
			help += "; repeatable"
			if s.form == repeatedSemicolon {
				help += ", semicolons between them in a variable"
			}
		}
		def := s.DefaultText()
		if !strings.Contains(def, " ") && def != "none" && def != "false" && !strings.Contains(def, "`") {
			def = "`" + def + "`"
		}
		var names []string
		for _, n := range s.CompatibleVariables() {
			names = append(names, "`"+n+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", escapePipes(s.Usage()), escapePipes(help), escapePipes(def), strings.Join(names,
			", "))
	}
	return b.String()
}

// escapePipes keeps a cell one cell.
func escapePipes(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
