//go:build e2e

package faults

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// sink is a collector that keeps which requests it was told of.
type sink struct {
	url string

	mu       sync.Mutex
	spans    map[uint64]struct{} // ids
	requests map[request]uint64  // the span of each request
	twice    []request           // requests with two spans
	strange  []string            // spans of requests that no script has
	batches  int
	repeated int // spans that came again, after an answer was lost
}

// request names a request of a script, on one side of the sidecar.
type request struct {
	token    uint32
	i        uint8
	outbound bool
}

// newSink starts a sink.
func newSink(t *testing.T) *sink {
	k := &sink{spans: map[uint64]struct{}{}, requests: map[request]uint64{}}
	s := httptest.NewServer(k)
	t.Cleanup(s.Close)
	k.url = strings.TrimPrefix(s.URL, "http://")
	return k
}

// ServeHTTP takes a batch.
func (k *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = z
	}
	b, err := io.ReadAll(body)
	var batch otlp.TracesData // the same on the wire as the request, whose package brings gRPC
	if err == nil {
		err = proto.Unmarshal(b, &batch)
	}
	if err != nil { // a batch that was cut off on its way
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if k.take(&batch)%4 != 0 {
		w.Header().Set("Connection", "close") // or few connections would last, and few faults could strike
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK)
}

// take keeps a batch and returns how many came before.
func (k *sink) take(batch *otlp.TracesData) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, rs := range batch.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				k.takeSpan(s)
			}
		}
	}
	k.batches++
	return k.batches - 1
}

func (k *sink) takeSpan(s *otlp.Span) {
	id := binary.BigEndian.Uint64(s.SpanId)
	if _, again := k.spans[id]; again {
		k.repeated++
		return
	}
	k.spans[id] = struct{}{}
	path := ""
	for _, a := range s.Attributes {
		if a.Key == "url.path" {
			path = a.Value.GetStringValue()
		}
		if a.Key == "url.full" { // of outbound requests
			_, path, _ = strings.Cut(a.Value.GetStringValue(), ".test")
			path, _, _ = strings.Cut(path, "?")
		}
	}
	token, known := tokenIn([]byte(path))
	_, number, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	i, err := strconv.ParseUint(number, 10, 8)
	q := request{token, uint8(i), s.Kind == otlp.Span_SPAN_KIND_CLIENT}
	if script := newScript(token); !known || err != nil || script.kind != kindHTTP || int(i) >= script.n {
		k.strange = append(k.strange, s.Name+" "+path)
		return
	}
	if _, two := k.requests[q]; two {
		k.twice = append(k.twice, q)
		return
	}
	k.requests[q] = id
}
