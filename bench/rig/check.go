package rig

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// get fetches a page on a connection of its own.
func get(ctx context.Context, method, address, path string) ([]byte, error) {
	body, _, err := Exchange{Method: method, Path: path}.fetch(ctx, address)
	return body, err
}

// CheckAnswer proves that GET path at address is answered 200 with exactly the body.
func CheckAnswer(ctx context.Context, address, path string, body []byte) error {
	return Exchange{Method: http.MethodGet, Path: path, Answer: body}.Prove(ctx, address)
}

// Metric returns the sum of all series of a metric at a sidecar's admin address; only those with every given label, each written
// name="value".
func Metric(ctx context.Context, admin, name string, labels ...string) (float64, error) {
	body, err := get(ctx, http.MethodGet, admin, "/metrics")
	if err != nil {
		return 0, err
	}
	return sumSeries(string(body), name, labels)
}

// sumSeries adds up the series of a metric in Prometheus's text format.
func sumSeries(text, name string, labels []string) (sum float64, err error) {
	found := false
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		found = true
		if !containsAll(rest, labels) {
			continue
		}
		at := strings.LastIndexByte(rest, ' ')
		v, err := strconv.ParseFloat(rest[at+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w: %q", name, ErrOutput, line)
		}
		sum += v
	}
	if !found {
		return 0, fmt.Errorf("metric %s: %w: there is none", name, ErrOutput)
	}
	return sum, nil
}

// containsAll reports whether s contains every part.
func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// UpstreamRequests returns how many requests the upstream has counted, this question included.
func (r *Rig) UpstreamRequests(ctx context.Context) (int64, error) {
	body, err := get(ctx, http.MethodGet, r.Upstream, "/-/status")
	if err != nil {
		return 0, err
	}
	// "server accepts handled requests\n 3 3 5 \n"
	_, after, ok := strings.Cut(string(body), "requests\n")
	words := strings.Fields(after)
	if !ok || len(words) < 3 {
		return 0, fmt.Errorf("upstream's counts: %w: %q", ErrOutput, body)
	}
	n, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("upstream's counts: %w", err)
	}
	return n, nil
}
