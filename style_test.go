package spanwire_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxFileLines is the longest a source file may be: a file is one step of the path or one protocol.
const maxFileLines = 500

// vagueNames are directories that would collect whatever has no place.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared"}

func TestFilesAreShortAndDirectoriesSayWhatTheyAre(t *testing.T) {
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); name != "." && (base[0] == '.' || base == "build" || base == "testdata") {
				return filepath.SkipDir
			}
			for _, vague := range vagueNames {
				if entry.Name() == vague {
					t.Errorf("%s: name the directory after what it holds", name)
				}
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if lines := bytes.Count(source, []byte("\n")); lines > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", name, lines, maxFileLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
