//go:build e2e

package transparency

import (
	"strings"
	"testing"
)

func TestCompareLists(t *testing.T) {
	for name, c := range map[string]struct {
		directly string // lists by slashes, lines by blanks
		got      string
		want     string
	}{
		"nothing yet":              {"", "a", ""},
		"the same":                 {"a b b", "b a b", ""},
		"one of two":               {"a b/a c", "a c", ""},
		"a line more":              {"a b", "a b b", "+1 b"},
		"a line less":              {"a b", "a", "-1 b"},
		"other than either of two": {"a b/a c", "a d", "-1 c\n+1 d"},
	} {
		var directly [][]string
		for list := range strings.SplitSeq(c.directly, "/") {
			if list != "" {
				directly = append(directly, strings.Fields(list))
			}
		}
		e := compareLists(directly, strings.Fields(c.got))
		if e.output != c.want || (e.outcome == failed) != (c.want != "") {
			t.Errorf("%s: %v %q, want %q", name, e.outcome, e.output, c.want)
		}
	}
}
