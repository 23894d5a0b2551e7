package trace

import (
	"bufio"
	"bytes"
	"os"
	"strings"
	"testing"
)

// FuzzFold: any bytes have a name, the same one wherever it is made, of bounded length and in the same segments.
func FuzzFold(f *testing.F) {
	corpus, err := os.Open("testdata/paths.txt")
	if err != nil {
		f.Fatal(err)
	}
	for lines := bufio.NewScanner(corpus); lines.Scan(); {
		path, _, _ := strings.Cut(lines.Text(), " ")
		f.Add([]byte(path))
	}
	_ = corpus.Close()
	c := Config{FoldPaths: []string{"^/shops/([a-z]+)+/=>/shops/{shop}/", "(x+x+)+y"}}
	a, b := newShared(f, Config{}), newShared(f, Config{})
	rules := newShared(f, c)
	f.Fuzz(func(t *testing.T, path []byte) {
		path = path[:min(len(path), maxFoldBytes)]
		got := a.appendFolded(nil, path)
		if again := b.appendFolded(nil, path); !bytes.Equal(got, again) {
			t.Errorf("%q: %q here, %q there", path, got, again)
		}
		if bytes.Count(got, []byte("/")) != bytes.Count(path, []byte("/")) {
			t.Errorf("%q: %q has other segments", path, got)
		}
		// The longest name for what is short: {id} for one digit between parentheses.
		if len(got) > 4*len(path)+len("{token}") {
			t.Errorf("%d bytes become %d: %q", len(path), len(got), got)
		}
		rules.appendFolded(nil, path)
	})
}
