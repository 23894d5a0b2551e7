package report

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// project makes a root with a README.
func project(t *testing.T, text string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, readme), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestPublish(t *testing.T) {
	root := project(t, "# Title\n\n"+readmeBegin+"\nold\n"+readmeEnd+"\n\nAfter.\n")
	if err := Publish(sample(), root); err != nil {
		t.Fatal(err)
	}
	if err := CheckPublished(root); err != nil {
		t.Fatalf("just published: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(root, readme))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if !strings.HasPrefix(text, "# Title\n\n"+readmeBegin+"\n\n| |") || !strings.HasSuffix(text, readmeEnd+"\n\nAfter.\n") || strings.Contains(text, "old") {
		t.Errorf("README:\n%s", text)
	}
	if !strings.Contains(text, "| Spanwire, 100 % as OTLP |") {
		t.Errorf("README lacks the sidecar:\n%s", text)
	}
	for _, name := range []string{publishedPage, publishedPictures + "/cpu.svg", readme} {
		file := filepath.Join(root, name)
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		edited := strings.Replace(string(before), "100", "1", 1)
		if edited == string(before) {
			t.Fatalf("%s: nothing to edit", name)
		}
		if err := os.WriteFile(file, []byte(edited), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := CheckPublished(root); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s edited by hand: %v", name, err)
		}
		if err := os.WriteFile(file, before, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPublishNeedsItsPlace(t *testing.T) {
	if err := Publish(sample(), project(t, "# Title\n")); err == nil || !strings.Contains(err.Error(), readmeBegin) {
		t.Errorf("a README without a place for the table: %v", err)
	}
}
