package trace

import (
	"bufio"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// TestFoldsTheCorpus is what a person wants to read for paths as they occur: testdata/paths.txt says it, line by line.
func TestFoldsTheCorpus(t *testing.T) {
	f, err := os.Open("testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s := newShared(t, Config{})
	n := 0
	for lines, at := bufio.NewScanner(f), 1; lines.Scan(); at++ {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		path, want, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("line %d: want a path and its name", at)
		}
		n++
		if got := string(s.appendFolded(nil, []byte(path))); got != want {
			t.Errorf("line %d: %s: got %s, want %s", at, path, got, want)
		}
	}
	if n < 200 {
		t.Errorf("%d paths, want 200 at least", n)
	}
}

// The alphabets of identifiers.
const (
	hexDigits = "0123456789abcdef"
	base62    = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	base64url = base62 + "-_"
	base36    = "0123456789abcdefghijklmnopqrstuvwxyz"
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	base32    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// TestFewIdentifiersEscape: of 10 000 identifiers of each kind few make a name of their own. What each kind may leave is a little
// above what it does, so that a rule that gets worse is seen.
func TestFewIdentifiersEscape(t *testing.T) {
	s := newShared(t, Config{})
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same texts each time
	for _, c := range []struct {
		kind, before, alphabet string
		n                      int
		permille               int
	}{
		{"short git hash", "", hexDigits, 7, 60}, {"hash", "", hexDigits, 8, 2}, {"ObjectID", "", hexDigits, 24, 0},
		{"ULID", "01", crockford, 24, 2}, {"KSUID", "", base62, 27, 10}, {"nanoid", "", base64url, 21, 35},
		{"128 bits in base64url", "", base64url, 22, 30}, {"256 bits in base64url", "", base64url, 43, 12},
		{"CUID", "c", base36, 24, 3}, {"base36", "", base36, 20, 6}, {"base32", "", base32, 26, 10}, {"base62", "", base62, 16, 50},
		{"Stripe", "cus_", base62, 14, 40}, {"Stripe, long", "pi_", base62, 24, 15}, {"file", "avatar-", base62, 16, 60},
	} {
		names := map[string]bool{}
		for range 10000 {
			id := make([]byte, c.n)
			for i := range id {
				id[i] = c.alphabet[r.IntN(len(c.alphabet))]
			}
			names[string(s.appendFolded(nil, append([]byte("/a/"+c.before), id...)))] = true
		}
		t.Logf("%s: %d names", c.kind, len(names))
		if most := 10*c.permille + 5; len(names) > most {
			t.Errorf("%s: 10000 identifiers make %d names, want at most %d", c.kind, len(names), most)
		}
	}
}
