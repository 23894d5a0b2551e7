package report

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/bench"
	"github.com/spanwire/spanwire/internal/need"
)

// browser finds a headless Chromium under one of its names.
func browser(t *testing.T) string {
	for _, name := range []string{"chromium-headless-shell", "chromium", "google-chrome"} {
		if path := need.Find(name); path != "" {
			return path
		}
	}
	return need.Tool(t, "chromium-headless-shell")
}

// probe is added to a copy of a page, which itself runs no script: its title then says which pictures there are, and what is wrong with them.
const probe = `<script>
let bad = [];
for (const svg of document.querySelectorAll("svg")) {
  const frame = svg.getBoundingClientRect();
  if (frame.width < 300 || frame.height < 50) bad.push(svg.id + " is " + frame.width + " by " + frame.height);
  for (const mark of svg.querySelectorAll("rect, circle, text")) {
    const box = mark.getBoundingClientRect();
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
      bad.push(svg.id + ": a mark leaves the picture: " + mark.outerHTML);
  }
}
document.title = "pictures: " + [...document.querySelectorAll("svg")].map(svg => svg.id).join(" ") + "; bad: " + bad.join("; ");
</script>`

// TestPageInBrowser opens reports in a real browser, one of samples and the published one: they render, all pictures are there and have an
// extent, the console is silent.
func TestPageInBrowser(t *testing.T) {
	path := browser(t)
	published, err := bench.Read(filepath.Join("..", "..", publishedResults))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*bench.Result{"sample": sample(), publishedResults: published} {
		t.Run(name, func(t *testing.T) { inBrowser(t, path, r) })
	}
}

// inBrowser opens one report.
func inBrowser(t *testing.T, path string, r *bench.Result) {
	var page bytes.Buffer
	if err := WriteHTML(&page, r); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range charts(r) {
		want = append(want, c.ID)
	}
	if len(want) < 5 {
		t.Errorf("the report has the pictures %v only", want)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	text := strings.Replace(page.String(), "</body>", probe+"</body>", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
		"--user-data-dir="+t.TempDir(), "--window-size=1200,2000", "--dump-dom", "file://"+file)
	var out, diagnostics bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &diagnostics
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, diagnostics.String())
	}
	_, title, _ := strings.Cut(out.String(), "<title>pictures: ")
	title, _, _ = strings.Cut(title, "</title>")
	if shown, bad, _ := strings.Cut(title, "; bad: "); shown != strings.Join(want, " ") || bad != "" {
		t.Errorf("pictures: %s, want %v; %s\n%.2000s", shown, want, bad, out.String())
	}
	for line := range strings.Lines(diagnostics.String()) {
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("console: %s", line)
		}
	}
}
