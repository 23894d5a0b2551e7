package mesh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/spans"
)

// burst builds the spans of n requests as they must be, from Outline itself.
func burst(t *testing.T, n int) (all []spans.Span, paths []string) {
	t.Helper()
	for r := range n {
		path := "/checkout/" + string(rune('a'+r))
		paths = append(paths, path)
		var above []string // ids of the spans above, by level
		for i, line := range strings.Split(strings.TrimSuffix(Outline, "\n"), "\n") {
			text := strings.TrimLeft(line, " ")
			level := (len(line) - len(text)) / 2
			words := strings.Fields(text)
			id := string(rune('a'+r)) + string(rune('0'+i))
			s := spans.Span{TraceID: string(rune('a' + r)), ID: id, Kind: words[0], Service: words[1], Name: words[2] + " " + words[3],
				Tags: map[string]string{"http.response.status_code": words[4], "url.path": path}}
			if len(words) == 6 {
				s.Tags["error"] = words[4]
			}
			if level > 0 {
				s.ParentID = above[level-1]
			}
			above = append(above[:level], id)
			all = append(all, s)
		}
	}
	if len(all) != n*SpansPerRequest {
		t.Fatalf("Outline has %d spans, SpansPerRequest says %d", len(all)/n, SpansPerRequest)
	}
	return all, paths
}

func TestVerifyAcceptsTheBurst(t *testing.T) {
	if err := Verify(burst(t, 3)); err != nil {
		t.Error(err)
	}
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	for name, change := range map[string]func(all []spans.Span) []spans.Span{
		"a span is missing":            func(all []spans.Span) []spans.Span { return all[:len(all)-1] },
		"a span comes twice":           func(all []spans.Span) []spans.Span { return append(all, all[0]) },
		"a parent is another's":        func(all []spans.Span) []spans.Span { all[4].ParentID = all[5].ID; return all },
		"a parent is of another trace": func(all []spans.Span) []spans.Span { all[4].ParentID = all[4+SpansPerRequest].ID; return all },
		"a kind is wrong":              func(all []spans.Span) []spans.Span { all[4].Kind = spans.Client; return all },
		"a status is wrong":            func(all []spans.Span) []spans.Span { all[4].Tags["http.response.status_code"] = "404"; return all },
		"an error is not marked":       func(all []spans.Span) []spans.Span { delete(all[8].Tags, "error"); return all },
		"a trace is of another path":   func(all []spans.Span) []spans.Span { all[0].Tags["url.path"] = "/checkout/x"; return all },
		"a request has no trace":       func(all []spans.Span) []spans.Span { return all[SpansPerRequest:] },
		"two requests share a trace": func(all []spans.Span) []spans.Span {
			for i := range all {
				all[i].TraceID = "a"
			}
			return all
		},
		"nothing came": func([]spans.Span) []spans.Span { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			all, paths := burst(t, 3)
			if err := Verify(change(all), paths); !errors.Is(err, ErrWrongTrace) {
				t.Errorf("Verify = %v, want %v", err, ErrWrongTrace)
			}
		})
	}
}

// start runs a shell script as a process until the test ends.
func start(t *testing.T, script string) *Process {
	t.Helper()
	p, err := StartProcess("script", "/bin/sh", []string{"-c", script}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// deadline returns a context that ends with the test, and before a hanging test would.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestProcessStopsInOrder(t *testing.T) {
	p := start(t, `trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.02; done`)
	err := p.Await(deadline(t), func(out string) bool { return strings.Contains(out, "ready") })
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	if p.Alive() || !strings.Contains(p.Output(), "bye") {
		t.Errorf("alive %v, output %q", p.Alive(), p.Output())
	}
}

func TestProcessThatDoesNotStopIsKilled(t *testing.T) {
	p := start(t, `trap '' TERM; echo ready; while :; do sleep 0.02; done`)
	err := p.Await(deadline(t), func(out string) bool { return strings.Contains(out, "ready") })
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(50 * time.Millisecond); err == nil {
		t.Error("Stop found nothing wrong")
	}
	if p.Alive() {
		t.Error("the process lives on")
	}
}

func TestProcessThatEndsByItself(t *testing.T) {
	p := start(t, `echo cause; exit 3`)
	err := p.Await(deadline(t), func(string) bool { return false })
	if !errors.Is(err, ErrExited) || !strings.Contains(err.Error(), "cause") {
		t.Errorf("Await = %v", err)
	}
}

func TestListenersAreReadFromWholeLines(t *testing.T) {
	const line = `time=2026-01-02T03:04:05Z level=INFO msg="spanwire started" service=cart inbound="127.0.0.1:4711 -> 127.0.0.1:80" ` +
		`outbound="127.0.0.1:4712 -> 127.0.0.1:81" admin=off`
	if in, out := listeners(line); in != "" || out != "" {
		t.Errorf("from a line without its end: %q %q", in, out)
	}
	if in, out := listeners("level=WARN msg=other\n" + line + "\nafter"); in != "127.0.0.1:4711" || out != "127.0.0.1:4712" {
		t.Errorf("got %q %q", in, out)
	}
}
