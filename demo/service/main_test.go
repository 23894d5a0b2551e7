package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// start serves the service name until the test ends, noting what each request carried.
func start(t *testing.T, name, next string) (base string, seen func() []http.Header) {
	t.Helper()
	h, err := newHandler(name, next)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var headers []http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		headers = append(headers, r.Header.Clone())
		mu.Unlock()
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []http.Header {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(headers)
	}
}

func TestChainForwardsRequestIDAndNothingElse(t *testing.T) {
	pricing, atPricing := start(t, "pricing", "")
	cart, atCart := start(t, "cart", pricing)
	frontend, _ := start(t, "frontend", cart)

	req, err := http.NewRequest(http.MethodGet, frontend+"/checkout/7", nil)
	if err != nil {
		t.Fatal(err)
	}
	const id = "one-id"
	req.Header.Set("X-Request-Id", id)
	for _, context := range []string{"Traceparent", "B3", "X-B3-Traceid", "Uber-Trace-Id"} {
		req.Header.Set(context, "must not pass")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cart":{"apple":{"cents":50,"item":"apple"},"coupon":false,"id":"7","pear":{"cents":40,"item":"pear"}},"order":"7"}` + "\n"
	if resp.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("status %d, body %s", resp.StatusCode, body)
	}
	if n := len(atCart()); n != 1 {
		t.Errorf("cart was asked %d times, want 1", n)
	}
	if n := len(atPricing()); n != 3 {
		t.Errorf("pricing was asked %d times, want 3", n)
	}
	for _, h := range append(atCart(), atPricing()...) {
		if h.Get("X-Request-Id") != id {
			t.Errorf("request id %q, want %q", h.Get("X-Request-Id"), id)
		}
		for name := range h {
			if !slices.Contains([]string{"X-Request-Id", "Accept-Encoding", "User-Agent", "Content-Length"}, name) {
				t.Errorf("header %s was passed on", name)
			}
		}
	}
}

func TestUnknownService(t *testing.T) {
	if _, err := newHandler("billing", ""); err == nil {
		t.Error("an unknown service started")
	}
	if _, err := newHandler("cart", ""); err == nil {
		t.Error("cart started without a service to ask")
	}
}
