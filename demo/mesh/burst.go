package mesh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// concurrency is how many clients send at once, and sequential the share of requests (one in so many) that one client sends alone
// first, all over one connection.
const (
	concurrency = 6
	sequential  = 4
)

// ownID makes every second request bring a request id of its own, closing every eighth end its connection: a sidecar must manage
// with and without both.
const (
	ownID   = 2
	closing = 8
)

// firstOrder is the number of the first order; orders count up from it.
const firstOrder = 1001

// clientTransport is the transport of the burst's clients, with keep-alive.
type clientTransport struct{ http.Transport }

// newTransport returns a transport that keeps a connection for each client.
func newTransport() *clientTransport {
	return &clientTransport{http.Transport{MaxIdleConnsPerHost: concurrency}}
}

// Burst sends n requests to the frontend's sidecar and returns their paths. An answer other than the expected is an error; it does
// not stop the burst.
func (m *Mesh) Burst(ctx context.Context, n int) (paths []string, err error) {
	client := &http.Client{Transport: m.transport, Timeout: 20 * time.Second}
	paths = make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("/checkout/%d", firstOrder+i)
	}
	problems := make([]error, n)
	alone := n / sequential
	for i := range alone {
		problems[i] = m.send(ctx, client, i, paths[i])
	}
	work := make(chan int)
	var clients sync.WaitGroup
	for range concurrency {
		clients.Go(func() {
			for i := range work {
				problems[i] = m.send(ctx, client, i, paths[i])
			}
		})
	}
	for i := alone; i < n; i++ {
		work <- i
	}
	close(work)
	clients.Wait()
	return paths, firstOf(problems)
}

// send sends request i and checks the answer.
func (m *Mesh) send(ctx context.Context, client *http.Client, i int, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.frontend+path, nil)
	if err != nil {
		return err
	}
	if i%ownID == 0 {
		req.Header.Set("X-Request-Id", fmt.Sprintf("demo-%d", firstOrder+i))
	}
	req.Close = i%closing == closing-1
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if want := fmt.Sprintf(`"order":"%d"`, firstOrder+i); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
		return fmt.Errorf("%s: status %d, body %q", path, resp.StatusCode, body)
	}
	return nil
}

// firstOf returns the first error, with the number of them all.
func firstOf(problems []error) error {
	var first error
	n := 0
	for _, p := range problems {
		if p == nil {
			continue
		}
		if n++; first == nil {
			first = p
		}
	}
	if n > 1 {
		return fmt.Errorf("%d of %d requests failed; the first: %w", n, len(problems), first)
	}
	return first
}
