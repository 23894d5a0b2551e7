package waterfall

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/spans"
)

// trace returns a small tree: a root of 10 ms, two children, a failed grandchild.
func trace(t *testing.T) *spans.Node {
	t.Helper()
	at := time.Unix(1_700_000_000, 0)
	span := func(id, parent, kind, service, name, status string, offset, duration time.Duration) spans.Span {
		return spans.Span{ID: id, ParentID: parent, Kind: kind, Service: service, Name: name, Start: at.Add(offset), Duration: duration,
			Tags: map[string]string{"http.status_code": status}}
	}
	failed := span("4", "2", spans.Client, "cart", "post /c\x1b[2J", "503", 8*time.Millisecond, 10*time.Microsecond)
	failed.Tags["error"] = "503"
	root, err := spans.Tree([]spans.Span{
		span("1", "", spans.Server, "front", "get /", "200", 0, 10*time.Millisecond),
		span("2", "1", spans.Server, "cart", "get /cart", "200", time.Millisecond, 8*time.Millisecond),
		span("3", "2", spans.Client, "cart", "get /price", "200", 2*time.Millisecond, 4*time.Millisecond),
		failed,
		span("5", "1", spans.Client, "front", "get /end", "200", 9*time.Millisecond, time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// draw returns the drawing without trailing spaces.
func draw(t *testing.T, style Style) string {
	t.Helper()
	var b strings.Builder
	if err := Write(&b, trace(t), style); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrite(t *testing.T) {
	const unicode = `
SERVICE  KIND    OPERATION           OFFSET  DURATION  STATUS  ERROR
front    server  get /              0.00 ms  10.00 ms  200            ████████████████████
cart     server  ├─ get /cart       1.00 ms   8.00 ms  200              ████████████████
cart     client  │  ├─ get /price   2.00 ms   4.00 ms  200                ████████
cart     client  │  └─ post /c?[2J  8.00 ms   0.01 ms  503     503                    ▏
front    client  └─ get /end        9.00 ms   1.00 ms  200                              ██
`
	// 70 columns of text and 20 of bars.
	if got := draw(t, Style{Width: 90}); got != unicode[1:] {
		t.Errorf("got\n%s\nwant\n%s", got, unicode[1:])
	}
	ascii := strings.NewReplacer("├─", "|-", "└─", "`-", "│", "|", "█", "#", "▏", "|").Replace(unicode[1:])
	if got := draw(t, Style{Width: 90, ASCII: true}); got != ascii {
		t.Errorf("got\n%s\nwant\n%s", got, ascii)
	}
}

func TestColourChangesNoText(t *testing.T) {
	colored := draw(t, Style{Width: 90, Color: true})
	if !strings.Contains(colored, bold+red+"503") {
		t.Errorf("the failed span is not marked:\n%q", colored)
	}
	stripped := strings.NewReplacer(reset, "", bold, "", dim, "", red, "")
	plain := stripped.Replace(colored)
	for _, c := range palette {
		plain = strings.ReplaceAll(plain, c, "")
	}
	if want := draw(t, Style{Width: 90}); plain != want {
		t.Errorf("got\n%s\nwant\n%s", plain, want)
	}
}

func TestStyleForAFileHasNoColour(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if s := StyleFor(f); s.Color || s.ASCII || s.Width != 0 {
		t.Errorf("StyleFor(file) = %+v", s)
	}
}

func TestLocale(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"LANG": "en_US.UTF-8"}, true},
		{map[string]string{"LANG": "C.utf8"}, true},
		{map[string]string{"LANG": "C"}, false},
		{map[string]string{}, false},
		{map[string]string{"LANG": "en_US.UTF-8", "LC_ALL": "C"}, false},
	} {
		if got := isUTF8(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%v: %v, want %v", c.env, got, c.want)
		}
	}
}
