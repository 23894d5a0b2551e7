package core

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spanwire/spanwire/core/span"
)

// An ordinary exchange through an inbound listener, however few bytes a read takes: the application sees a context, the client the answer, the
// ring one span.
func TestRequestsBecomeSpans(t *testing.T) {
	for _, most := range slices.Concat([]int32{readMax}, smallReads) {
		t.Run(strconv.Itoa(int(most)), func(t *testing.T) { requestsBecomeSpans(t, most) })
	}
}

func requestsBecomeSpans(t *testing.T, most int32) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") == "" || r.Header.Get("X-Request-Id") == "" {
			t.Errorf("no context: %v", r.Header)
		}
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "hello %s", r.URL.Path)
	}))
	defer app.Close()
	explicit := []Listen{{Addr: "127.0.0.1:0", Upstream: strings.TrimPrefix(app.URL, "http://"), Kind: span.Server}}
	e, addr := startWith(t, Config{Explicit: explicit}, func(e *Engine) { readAtMost(e, most) })
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for i := range 3 {
		res, err := client.Get(fmt.Sprintf("http://%s/items/%d?x=1", addr, i))
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
