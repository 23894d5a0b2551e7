package rig

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spanwire/spanwire/loadtest"
)

// checkTimeout bounds one exchange that proves or asks something.
const checkTimeout = 5 * time.Second

// get fetches a page on a connection of its own.
func get(ctx context.Context, method, address, path string) ([]byte, error) {
	body, _, err := fetch(ctx, method, address, path)
	return body, err
}

// fetch is get with the header of the answer.
func fetch(ctx context.Context, method, address, path string) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s%s: %w", method, address, path, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %s%s: %w", method, address, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s %s%s: %w: status %d", method, address, path, ErrWrong, response.StatusCode)
	}
	return body, response.Header, nil
}

// CheckAnswer proves that GET path at address is answered 200 with exactly the body.
func CheckAnswer(ctx context.Context, address, path string, body []byte) error {
	got, err := get(ctx, http.MethodGet, address, path)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, body) {
		return fmt.Errorf("GET %s%s: %w: %d bytes that differ from the %d expected", address, path, ErrWrong, len(got), len(body))
	}
	return nil
}

// CheckHashed proves that GET path at address is answered 200, with the body that the load test's server says it has sent.
func CheckHashed(ctx context.Context, address, path string) error {
	body, header, err := fetch(ctx, http.MethodGet, address, path)
	if err != nil {
		return err
	}
	if want, told := loadtest.ParseBodyHash([]byte(header.Get(loadtest.HeaderBodyHash))); told && loadtest.UpdateBodyHash(0, body) != want {
		return fmt.Errorf("GET %s%s: %w: a body of %d bytes with another hash than told", address, path, ErrWrong, len(body))
	}
	return nil
}

// CheckEcho proves that bytes sent to address come back.
func CheckEcho(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: checkTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(checkTimeout)); err != nil {
		return fmt.Errorf("echo at %s: %w", address, err)
	}
	sent := []byte("\x00is this sent back?\xff")
	got := make([]byte, len(sent))
	if _, err := conn.Write(sent); err != nil {
		return fmt.Errorf("echo at %s: %w", address, err)
	}
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("echo at %s: %w", address, err)
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("echo at %s: %w", address, ErrWrong)
	}
	return nil
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
