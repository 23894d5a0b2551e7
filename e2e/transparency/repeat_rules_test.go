package transparency

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/internal/proof"
)

func TestSuspects(t *testing.T) {
	pass, fail := end(passed), end(failed)
	c := comparison{
		suite: "s", list: []difference{
			{tests: map[string][]manner{"s": {{"says w", []string{"T", "U", "X"}}}}},
			{tests: map[string][]manner{"s": {{"says w", []string{"W", "Y"}}}}, sometimes: true},
		},
		direct:  results{"A": pass, "B": fail, "C": pass, "D": pass, "T": pass, "U": pass, "W": pass, "X": pass, "Y": pass, "Z": end(skipped)},
		through: results{"A": pass, "B": pass, "C": fail, "D": end(skipped), "T": differing, "U": pass, "W": pass, "X": fail, "Y": fail, "Z": end(skipped)},
	}
	if got, want := c.suspects(), []string{"B", "C", "D", "U", "X", "Y"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("suspects %q, want %q", got, want)
	}
}

// played says how a test ends each time: a letter a round, p passed, f failed, d as the list says. The last goes on without end.
type played string

func (p played) at(round int) ending {
	return map[byte]ending{'p': end(passed), 'f': {failed, "killed"}, 'd': differing, 's': {skipped, "no"}}[p[min(round, len(p)-1)]]
}

// One failure is judged by ten repetitions in both ways. The first letter is the first run.
func TestRepeat(t *testing.T) {
	for name, c := range map[string]struct {
		test            string
		direct, through played
		rounds          int
		problem         string // "" = none
		where           string // of the retry that is noted, "" = none
	}{
		"passes in both":                       {"A", "p", "p", 0, "", ""},
		"once through, and never again":        {"A", "p", "fp", 10, "", proof.Through},
		"once directly, and never again":       {"A", "fp", "p", 10, "", proof.Directly},
		"once in both, and never again":        {"A", "fp", "fp", 10, "", proof.InBothWays},
		"a race that only the sidecar has":     {"A", "p", "fpfpfp", most, "A fails through the sidecar only, 2 of 40 times alone, directly 0", ""},
		"one that it often loses":              {"A", "p", "fpfpfpfpfffp", 10, "A fails through the sidecar only, 6 of 10", ""},
		"one that shows in the tenth round":    {"A", "p", "fpppppppppfpfp", most, "A fails through the sidecar only, 2 of 40", ""},
		"once more in forty":                   {"A", "p", "fpfp", most, "", proof.Through},
		"a race that both have, seldom":        {"A", "pppppppppppppppfp", "fpfp", 15, "", proof.Through},
		"always through, never directly":       {"A", "p", "f", 10, "A fails through the sidecar only, 10 of 10", ""},
		"directly once, in the busy run alone": {"A", "fp", "f", 10, "A fails through the sidecar only, 10 of 10", ""},
		"skipped through":                      {"A", "p", "s", 10, "A fails through the sidecar only, 10 of 10", ""},
		"a race that both have":                {"A", "ppppfp", "fpfppfp", 10, "", proof.Through},
		"a race, much worse through":           {"A", "ppppfp", "ffffpfpffff", 10, "A fails through the sidecar much more often, 8 of 10 times alone, directly 1", ""},
		"always in both":                       {"A", "f", "f", certain, "", ""},
		"always directly":                      {"A", "f", "p", certain, "", ""},
		"directly by turns":                    {"A", "fpfpff", "p", 5, "", proof.Directly},
		"a listed one, at once":                {"T", "p", "d", 0, "", ""},
		"a listed one, late":                   {"T", "p", "pd", 1, "", ""},
		"a listed one, later":                  {"T", "p", "ppd", 2, "", ""},
		"a listed one, never":                  {"T", "p", "p", attempts, "take it off", ""},
		"a listed one hangs once":              {"T", "p", "fd", 10, "", proof.Through},
		"a listed one hangs again":             {"T", "p", "fdddfdfd", most, "T fails through the sidecar only, 2 of 40", ""},
		"a race of the list is lost otherwise": {"W", "p", "fpdpfdfp", most, "W fails through the sidecar only, 2 of 40", ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmp := comparison{suite: "s", direct: results{c.test: c.direct.at(0)}, through: results{c.test: c.through.at(0)}, list: []difference{
				{tests: map[string][]manner{"s": {{"says w", []string{"T"}}}}}, {tests: map[string][]manner{"s": {{"says w", []string{"W"}}}}, sometimes: true},
			}}
			cmp.list = slices.DeleteFunc(cmp.list, func(d difference) bool { return !slices.Contains(d.of("s"), c.test) })
			round := 0
			cmp.repeat(func(names []string) (direct, through results) {
				round++
				if !slices.Equal(names, []string{c.test}) {
					t.Fatalf("run again are %q", names)
				}
				return results{c.test: c.direct.at(round)}, results{c.test: c.through.at(round)}
			}, func() bool { return true })
			if round != c.rounds {
				t.Errorf("run again %d times, want %d", round, c.rounds)
			}
			_, problems := cmp.judge()
			if ok := len(problems) == 1 && strings.Contains(problems[0], c.problem); c.problem == "" && len(problems) > 0 || c.problem != "" && !ok {
				t.Errorf("problems %q, want %q", problems, c.problem)
			}
			if noted := cmp.retries(); c.problem == "" && (len(noted) > 0) != (c.where != "") || len(noted) > 0 && c.where != "" && noted[0].Where != c.where {
				t.Errorf("noted %+v, want %q", noted, c.where)
			}
		})
	}
}

// What is settled is not run any more, while the rest is; what ends in no time is no chance.
func TestRepeatOfSeveralTests(t *testing.T) {
	c := comparison{suite: "s", direct: results{"A": end(failed), "B": end(passed)}, through: results{"A": end(failed), "B": end(failed)}}
	var asked []string
	c.repeat(func(names []string) (direct, through results) {
		asked = append(asked, strings.Join(names, "+"))
		return results{"A": end(failed), "B": end(passed)}, results{"A": end(failed), "B": end(passed)}
	}, func() bool { return len(asked) < 5 })
	if want := []string{"A+B", "A+B", "A+B", "B", "B"}; !slices.Equal(asked, want) {
		t.Errorf("run again %q, want %q", asked, want)
	}
	if _, problems := c.judge(); len(problems) != 1 || !strings.Contains(problems[0], "B fails, and there was no time") {
		t.Errorf("problems %q", problems)
	}
	if got := c.failDirectly(); !slices.Equal(got, []string{"A"}) {
		t.Errorf("fail directly: %q", got)
	}
	if c.through["B"].outcome != passed {
		t.Error("B passed and counts as failed")
	}
	want := []proof.Retry{{Test: "B", Where: proof.Through, Rounds: 5}}
	if got := c.retries(); !reflect.DeepEqual(got, want) {
		t.Errorf("noted %+v, want %+v", got, want)
	}
}
