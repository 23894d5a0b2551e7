package settings

import (
	"regexp"
	"strings"
)

// placeholder is what a replacement has and an expression does not: a name in braces (those of expressions hold numbers), or a
// group.
var placeholder = regexp.MustCompile(`\{[A-Za-z_]+\}|\$[0-9{]`)

// expression is what only an expression has: classes with ranges and those with a count, groups that choose or repeat, escapes, counts, "any
// number of anything", and ends. Brackets and parentheses around a name are not among it (/users/[id]), nor is a star behind a slash.
var expression = regexp.MustCompile(`\[[^]]*([aA]-[zZfF]|[0-9]-[0-9]|[\^\\:])[^]]*\]|\][*+?{]|\([^)]*[|[\\.*+?][^)]*\)|\)[*+?{]|[\\^|]|\{[0-9]|\.[*+?]|\$$`)

// netraFold reads the list of a fork of Netramesh, semicolons between its elements: expressions alone, or each followed by its replacement. An
// element behind an expression is its replacement when it holds a placeholder ({id}, $1), or nothing that only an expression has. Where it
// has both or neither, a line says how it was read.
func netraFold() compatible {
	const name = "NETRA_HTTP_TRACING_FOLD_PATHS"
	return compatible{names: []string{name}, read: func(e *environment) ([]string, string, error) {
		var values []string
		open := false // the last value has no replacement yet
		for _, v := range splitList(e.get(name), ";") {
			if !open {
				values = append(values, v)
				open = !strings.Contains(v, "=>")
				continue
			}
			holds, matches := placeholder.MatchString(v), expression.MatchString(v)
			if matches && !holds {
				values = append(values, v)
				open = !strings.Contains(v, "=>")
				continue
			}
			last := &values[len(values)-1]
			if matches == holds {
				e.warn("%s: %q is read as the replacement of %q; SPANWIRE_FOLD_PATH, REGEXP=>REPLACEMENT;…, leaves no doubt", name, v, *last)
			}
			*last += "=>" + v
			open = false
		}
		return values, name, nil
	}}
}
