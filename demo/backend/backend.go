// Package backend runs a real Zipkin or a real Jaeger for the demo and its tests, and reads traces back through their query APIs.
package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spanwire/spanwire/demo/mesh"
	"github.com/spanwire/spanwire/demo/spans"
)

// ErrNotFound says that the server does not know the trace (yet).
var ErrNotFound = errors.New("trace not found")

// startPatience bounds the start of a server: a Java virtual machine on a busy machine may take most of a minute. stopPatience bounds its end.
const (
	startPatience = 90 * time.Second
	stopPatience  = 45 * time.Second
)

// pollInterval is how often a server is asked for a trace that it does not have yet.
const pollInterval = 50 * time.Millisecond

// maxAnswer bounds an answer of the query API in bytes.
const maxAnswer = 64 << 20

// Server is a running trace server.
type Server struct {
	Name    string
	process *mesh.Process
	base    string // of the query API and the UI, without a slash at the end
	uiPath  string // of a trace; the trace id is appended
	apiPath string // of a trace's spans; the trace id is appended
	decode  func(answer []byte) ([]spans.Span, error)
	cleanup func()
}

// UI returns the address of a trace in the server's own user interface.
func (s *Server) UI(traceID string) string { return s.base + s.uiPath + traceID }

// PID returns the server's process id.
func (s *Server) PID() int { return s.process.PID() }

// Stop ends the server. These servers' exit codes on SIGTERM say nothing, so only one that has to be killed is an error.
func (s *Server) Stop() error {
	err := s.process.Stop(stopPatience)
	s.cleanup()
	if code := s.process.ExitCode(); code == exitOnSIGTERM || code == 0 {
		return nil
	}
	return err
}

// exitOnSIGTERM is what a Java virtual machine exits with when SIGTERM ended it: 128 + 15.
const exitOnSIGTERM = 143

// Kill ends the server at once.
func (s *Server) Kill() {
	s.process.Kill()
	s.cleanup()
}

// Trace asks for the spans of a trace once; ErrNotFound when there are none.
func (s *Server) Trace(ctx context.Context, traceID string) ([]spans.Span, error) {
	url := s.base + s.apiPath + traceID
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", url, err)
	case resp.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", url, ErrNotFound)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: status %d: %.200s", url, resp.StatusCode, answer)
	}
	list, err := s.decode(answer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return list, nil
}

// Traces asks for traces until each has at least as many spans as want says, by trace id, or ctx ends. It returns what came, and
// the reason why it is less than wanted.
func (s *Server) Traces(ctx context.Context, want map[string]int) ([]spans.Span, error) {
	var all []spans.Span
	for id, n := range want {
		list, err := s.whole(ctx, id, n)
		all = append(all, list...)
		if err != nil {
			return all, fmt.Errorf("%s: trace %s: %w", s.Name, id, err)
		}
	}
	return all, nil
}

// whole asks for a trace until it has n spans.
func (s *Server) whole(ctx context.Context, id string, n int) ([]spans.Span, error) {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		list, err := s.Trace(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) || len(list) >= n {
			return list, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return list, fmt.Errorf("%d of %d spans: %w", len(list), n, ctx.Err())
		}
	}
}

// Wanted counts spans by trace, as Traces wants it.
func Wanted(sent []spans.Span) map[string]int {
	want := map[string]int{}
	for _, s := range sent {
		want[s.TraceID]++
	}
	return want
}

// decodeJSON decodes answer into v.
func decodeJSON(answer []byte, v any) error {
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	return nil
}
