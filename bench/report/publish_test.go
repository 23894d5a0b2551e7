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

// TestNothingPublishedYet: before the first report the check holds, unless parts of one are there.
func TestNothingPublishedYet(t *testing.T) {
	text := "# Title\n\n" + readmeBegin + "\n" + readmeEnd + "\n"
	root := project(t, text)
	if err := CheckPublished(root); err != nil {
		t.Errorf("nothing published: %v", err)
	}
	if err := CheckPublished(project(t, strings.Replace(text, readmeEnd, "| 1 µs |\n"+readmeEnd, 1))); !errors.Is(err, ErrStale) {
		t.Errorf("a table without results: %v", err)
	}
	if err := Publish(sample(), root); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, publishedResults)); err != nil {
		t.Fatal(err)
	}
	if err := CheckPublished(root); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), publishedPage) {
		t.Errorf("a page without results: %v", err)
	}
}

// TestPicturesOfOlderReports: a picture that the results do not give is stale, and publishing removes it.
func TestPicturesOfOlderReports(t *testing.T) {
	root := project(t, readmeBegin+"\n"+readmeEnd+"\n")
	stray := filepath.Join(root, publishedPictures, "older.svg")
	for range 2 {
		if err := Publish(sample(), root); err != nil {
			t.Fatal(err)
		}
		if err := CheckPublished(root); err != nil {
			t.Fatalf("just published: %v", err)
		}
		if err := os.WriteFile(stray, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := CheckPublished(root); !errors.Is(err, ErrStale) || !strings.Contains(err.Error(), "older.svg") {
			t.Errorf("a picture of an older report: %v", err)
		}
	}
}

func TestPublishNeedsItsPlace(t *testing.T) {
	if err := Publish(sample(), project(t, "# Title\n")); err == nil || !strings.Contains(err.Error(), readmeBegin) {
		t.Errorf("a README without a place for the table: %v", err)
	}
}
