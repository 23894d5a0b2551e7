package smuggling

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// all returns the vectors.
func all(t *testing.T) []Vector {
	t.Helper()
	vs, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return vs
}

func TestVectorsAreCompleteAndDistinct(t *testing.T) {
	names := map[string]bool{}
	vs := all(t)
	for i := range vs {
		v := &vs[i]
		if names[v.String()] {
			t.Errorf("%s occurs twice", v)
		}
		names[v.String()] = true
		if !v.Marked() {
			t.Errorf("%s: %d heads are marked, %d are said to be edited", v, len(v.Inserts), cap(v.Inserts))
		}
		if len(v.Refused) > 0 && len(v.Inserts) == 0 {
			t.Errorf("%s: %v refuse an edited head, and none is edited", v, v.Refused)
		}
		for _, at := range v.Inserts {
			if !bytes.HasPrefix(v.Client[at:], []byte("\r\n")) || v.Client[at-1] != '\n' {
				t.Errorf("%s: byte %d is not before an empty line", v, at)
			}
		}
	}
	if len(vs) < 80 {
		t.Errorf("%d vectors", len(vs))
	}
}

// docs/security.md says of each reason what it is, and how many vectors there are.
func TestDocumentationTellsEveryReason(t *testing.T) {
	b, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n## Ambiguous requests\n")
	text, _, _ = strings.Cut(text, "\n## ")
	vs := all(t)
	if want := fmt.Sprintf("\n%d published vectors", len(vs)); !strings.Contains(text, want) {
		t.Errorf("docs/security.md does not say %q", want)
	}
	told := map[string]bool{"": true}
	for i := range vs {
		if r := vs[i].Opaque; !told[r] && !strings.Contains(text, "`"+r+"`") {
			t.Errorf("docs/security.md does not tell of %s (%s)", r, &vs[i])
			told[r] = true
		}
	}
}

func TestArrivedFindsWhatIsNotOurs(t *testing.T) {
	vs, err := parse("1_x.txt", strings.Join([]string{"# x", "## y", "source: s", "why: w", "expect: edited 1, spans 2", "refused: a, b c", "> GET / HTTP/1.1",
		"- traceparent: 0", "^", ">", "> GET / HTTP/1.2", ">"}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := &vs[0]
	if want := []string{"a", "b c"}; !slices.Equal(v.Refused, want) {
		t.Errorf("refused by %q, want %q", v.Refused, want)
	}
	const second = "GET / HTTP/1.2\r\n\r\n"
	for _, c := range []struct {
		got    string
		sent   int
		edited bool
		bad    bool
	}{
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\r\n\r\n" + second, sent: len(v.Client), edited: true},
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\r\nX-Request-Id: 2\r\n\r\n" + second, sent: len(v.Client), edited: true},
		{got: "GET / HTTP/1.1\r\ntraceparent: 0\r\n\r\n" + second, sent: len(v.Client)},
		{got: "GET / HTTP/1.1\r\n\r\n" + second, bad: true},
		{got: "GET / HTTP/1.1\r\ntrace", sent: 16},
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\r\nX-Forged: 2\r\n\r\n" + second, bad: true},
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\n\r\n" + second, bad: true},
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\r\n\r\n" + "GET / HTTP/1.2\r\ntraceparent: 1\r\n\r\n", bad: true},
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\r\n\r\n" + second + "x", bad: true},
		{got: "GET / HTTP/1.1\r\ntraceparent: 1\r\n\r\n" + second[:5], sent: len(v.Client) - len(second) + 5, edited: true},
	} {
		a, err := v.Arrived([]byte(c.got))
		if (err != nil) != c.bad {
			t.Errorf("%q: %v", c.got, err)
			continue
		}
		if c.bad {
			continue
		}
		if edited := len(a.Edited) == 1 && a.Edited[0]; a.Sent != c.sent || edited != c.edited {
			t.Errorf("%q: %d bytes sent, edited %v; want %d, %v", c.got, a.Sent, a.Edited, c.sent, c.edited)
		}
	}
}
