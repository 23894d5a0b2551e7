package core

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// An ordinary exchange through an inbound listener: the application sees a context, the client the answer, the ring one span.
func TestRequestsBecomeSpans(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") == "" || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("no context: %v", r.Header)
		}
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "hello %s", r.URL.Path)
	}))
	defer app.Close()
	e, addr := inboundTo(t, strings.TrimPrefix(app.URL, "http://"), Config{})
	for i := range 3 {
		res, err := http.Get(fmt.Sprintf("http://%s/items/%d?x=1", addr, i))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if want := fmt.Sprintf("hello /items/%d", i); res.StatusCode != http.StatusTeapot || string(body) != want {
			t.Fatalf("got %d %q, want 418 %q", res.StatusCode, body, want)
		}
	}
	for _, s := range spans(t, e, 3) {
		if s.Kind != span.Server || s.Status != 418 || s.Failure != span.FailureNone || s.Duration <= 0 || s.RequestBytes < 50 || s.ResponseBody != 14 {
			t.Errorf("span %+v", s)
		}
	}
}
