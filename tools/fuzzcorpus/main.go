// Command fuzzcorpus keeps what fuzzing found: of the inputs in Go's fuzz cache it copies to testdata/fuzz/<Target> those that reach code
// which neither the target's seeds nor a smaller input reach, the smallest first. They are run by every go test from then on. Inputs there
// whose names are words are cases of faults that were mended, and stay.
//
// Where no input reaches more than the seeds do, a few are kept all the same, of all sizes: to Go they differed in how often code was reached.
//
// Arguments are regular expressions of target names; none = all. -tried bounds how many inputs of a target are looked at, evenly spread over their sizes,
// each in a process of its own. It is run by hand, after a long run of tools/fuzz.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	// maxInputs and maxBytes bound what is kept of a target, maxBytes one file: the tree is to stay small, and tests fast.
	maxInputs = 40
	maxBytes  = 4 << 10
	// fewInputs is how many are kept of a target whose seeds reach all that its inputs do.
	fewInputs = 3
)

// foundName is how go test names an input.
var foundName = regexp.MustCompile(`\A[0-9a-f]{16}\z`)

func main() {
	tried := flag.Int("tried", 400, "how many inputs of a target are looked at")
	flag.Parse()
	if err := run(flag.Args(), *tried); err != nil {
		fmt.Fprintln(os.Stderr, "fuzzcorpus:", err)
		os.Exit(1)
	}
}

// run goes through all targets.
func run(args []string, tried int) error {
	only, err := regexp.Compile(strings.Join(args, "|"))
	if err != nil {
		return err
	}
	cache, err := goTool("env", "GOCACHE")
	if err != nil {
		return err
	}
	module, err := goTool("list", "-m")
	if err != nil {
		return err
	}
	targets, err := findTargets()
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "fuzzcorpus")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	for _, t := range targets {
		if !only.MatchString(t.name) {
			continue
		}
		t.cache = filepath.Join(cache, "fuzz", module, t.dir, t.name)
		t.binary = filepath.Join(work, strings.ReplaceAll(t.dir, "/", "-")+".test")
		t.profile = filepath.Join(work, "profile")
		if err := t.keep(module, tried); err != nil {
			return fmt.Errorf("%s in %s: %w", t.name, t.dir, err)
		}
	}
	return nil
}

// target is a fuzz target.
type target struct {
	name, dir, cache string
	binary, profile  string
}

// findTargets looks through the test files for targets.
func findTargets() (found []*target, err error) {
	files, err := exec.Command("git", "ls-files", "-co", "--exclude-standard", "*_test.go").Output()
	if err != nil {
		return nil, fmt.Errorf("git: %w", err)
	}
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	for file := range strings.FieldsSeq(string(files)) {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range declared.FindAllSubmatch(text, -1) {
			found = append(found, &target{name: string(m[1]), dir: filepath.Dir(file)})
		}
	}
	return found, nil
}

// keep copies the inputs of one target that are worth it, and drops others that were kept before.
func (t *target) keep(module string, tried int) error {
	corpus := filepath.Join(t.dir, "testdata", "fuzz", t.name)
	inputs, err := t.inputs(corpus)
	inputs = spread(inputs, tried)
	if err != nil || len(inputs) == 0 {
		return err
	}
	if _, err := os.Stat(t.binary); err != nil {
		if _, err := goTool("test", "-c", "-cover", "-coverpkg", module+"/...", "-o", t.binary, "./"+t.dir); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(corpus, 0o755); err != nil {
		return err
	}
	reached := map[string]bool{}
	if _, err := t.covers("seed#.*", reached); err != nil {
		return err
	}
	kept := 0
	for _, in := range inputs {
		file := filepath.Join(corpus, in.name)
		if err := os.WriteFile(file, in.data, 0o644); err != nil {
			return err
		}
		added := 0
		if kept < maxInputs {
			if added, err = t.covers(in.name, reached); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		if added > 0 {
			kept++
		} else if err := os.Remove(file); err != nil {
			return err
		}
	}
	if kept == 0 {
		few := spread(inputs, fewInputs)
		for _, in := range few {
			if err := os.WriteFile(filepath.Join(corpus, in.name), in.data, 0o644); err != nil {
				return err
			}
		}
		kept = len(few)
	}
	fmt.Printf("%s: %d of %d inputs kept in %s\n", t.name, kept, len(inputs), corpus)
	return nil
}

// spread returns n of the inputs, or all if there are no more, at even distances, the first and the last among them.
func spread(all []input, n int) []input {
	if len(all) <= n {
		return all
	}
	some := make([]input, 0, n)
	for i := range n {
		some = append(some, all[i*(len(all)-1)/max(n-1, 1)])
	}
	return some
}

// input is one file of a corpus.
type input struct {
	name string
	data []byte
}

// inputs returns those of the cache and of the tree that are small enough, without cases, the smallest first.
func (t *target) inputs(corpus string) (all []input, err error) {
	seen := map[string]bool{}
	for _, dir := range []string{corpus, t.cache} {
		files, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if seen[f.Name()] || !foundName.MatchString(f.Name()) {
				continue
			}
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				return nil, err
			}
			seen[f.Name()] = true
			if len(data) <= maxBytes {
				all = append(all, input{f.Name(), data})
			}
		}
	}
	slices.SortFunc(all, func(a, b input) int { return len(a.data) - len(b.data) })
	return all, nil
}

// covers runs one input, or the seeds, and returns how many blocks of code it adds to reached.
func (t *target) covers(input string, reached map[string]bool) (added int, err error) {
	run := exec.Command(t.binary, "-test.run", "^"+t.name+"$/^"+input+"$", "-test.coverprofile", t.profile)
	run.Dir = t.dir
	if out, err := run.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	text, err := os.ReadFile(t.profile)
	if err != nil {
		return 0, err
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		block, count, ok := strings.Cut(lines.Text(), " ") // file:from,to statements count
		if ok && !strings.HasSuffix(count, " 0") && !reached[block] {
			reached[block] = true
			added++
		}
	}
	return added, nil
}

// goTool runs the go command and returns what it prints.
func goTool(args ...string) (string, error) {
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
