package transparency

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// parseGo says how the one test ended that a test binary was told to run with -test.v. A process that fails after its test has passed
// (goroutines left behind, a panic in one) is a failure of the test.
func parseGo(test, output string, exitedWith0 bool) ending {
	e := ending{outcome: failed, output: tail(output)}
	if !exitedWith0 {
		return e
	}
	for line := range strings.Lines(output) {
		switch {
		case strings.HasPrefix(line, "--- PASS: "+test+" "):
			return ending{outcome: passed}
		case strings.HasPrefix(line, "--- SKIP: "+test+" "):
			return ending{outcome: skipped}
		}
	}
	return e
}

// parseVerbose says how the tests ended that a test binary ran with -test.v: those at the top, and where a package has its tests as methods
// of a suite, below a test that is called Test, the methods in place of that. One that began and has no end failed.
func parseVerbose(output string) results {
	r := results{}
	for line := range strings.Lines(output) {
		m := verboseLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		name := m[2]
		if sub, ok := strings.CutPrefix(name, "Test/"); name == "Test" || strings.Contains(sub, "/") || !ok && strings.Contains(name, "/") {
			continue
		}
		e := ending{outcome: map[string]outcome{"--- PASS: ": passed, "--- SKIP: ": skipped}[m[1]]}
		if e.outcome == 0 {
			e = ending{failed, around(output, name)}
		}
		r[name] = e
	}
	return r
}

// around returns what a test binary wrote of a test: from its beginning, or from its end up to the next.
func around(output, name string) string {
	for _, mark := range []string{"--- FAIL: " + name + " ", "=== RUN   " + name + "\n"} {
		if at := strings.Index(output, mark); at >= 0 {
			const most = 3000 // bytes: a failure and its stack
			return tail(output[max(0, at-most/2):min(len(output), at+most/2)])
		}
	}
	return tail(output)
}

var (
	verboseLine = regexp.MustCompile(`^ *(=== RUN +|--- (?:PASS|FAIL|SKIP): )(\S+)`)

	testFunc     = regexp.MustCompile(`(?m)^func (\w+)\(`)
	wantInternet = regexp.MustCompile(`[mM]ustHaveExternalNetwork\(`)
)

// needInternet returns the tests in a source file that say they need the Internet.
func needInternet(source string) (tests []string) {
	funcs := testFunc.FindAllStringSubmatchIndex(source, -1)
	for i, f := range funcs {
		end := len(source)
		if i+1 < len(funcs) {
			end = funcs[i+1][0]
		}
		if name := source[f[2]:f[3]]; strings.HasPrefix(name, "Test") && wantInternet.MatchString(source[f[0]:end]) {
			tests = append(tests, name)
		}
	}
	return tests
}

// parsePython reads what the runner prints. A test that is there twice (a base class's in two suites) fails if one of them does.
func parsePython(lines []byte) (results, error) {
	r := results{}
	for line := range bytes.Lines(lines) {
		var fields [3]string
		if err := json.Unmarshal(line, &fields); err != nil {
			return r, fmt.Errorf("%q: %w", line, err)
		}
		o := map[string]outcome{"passed": passed, "failed": failed, "skipped": skipped}[fields[1]]
		if o == 0 {
			return r, fmt.Errorf("%q is no outcome", fields[1])
		}
		name := strings.TrimPrefix(fields[0], "test.")
		if r[name].outcome != failed {
			r[name] = ending{outcome: o, output: tail(fields[2])}
		}
	}
	return r, nil
}
