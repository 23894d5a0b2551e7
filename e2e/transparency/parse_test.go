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

var (
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
