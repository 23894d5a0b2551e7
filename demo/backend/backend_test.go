package backend

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/spanwire/spanwire/demo/spans"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"

	jaegerTrace = `{"data":[{"traceID":"` + traceID + `","spans":[
		{"traceID":"` + traceID + `","spanID":"b7ad6b7169203331","operationName":"GET /a","references":[],"startTime":1700000000000001,"duration":1500,
		 "tags":[{"key":"span.kind","type":"string","value":"server"},{"key":"http.response.status_code","type":"int64","value":200}],"processID":"p1"},
		{"traceID":"` + traceID + `","spanID":"7ad6b7169203332","operationName":"GET /b","startTime":1700000000000002,"duration":0,
		 "references":[{"refType":"CHILD_OF","traceID":"` + traceID + `","spanID":"b7ad6b7169203331"}],
		 "tags":[{"key":"span.kind","type":"string","value":"client"},{"key":"error","type":"bool","value":true}],"processID":"p2"}],
		"processes":{"p1":{"serviceName":"cart"},"p2":{"serviceName":"pricing"}}}]}`

	zipkinTrace = `[{"traceId":"` + traceID + `","id":"b7ad6b7169203331","kind":"SERVER","name":"get /a","timestamp":1700000000000001,
		"duration":1500,"localEndpoint":{"serviceName":"cart"},"tags":{"http.response.status_code":"200"}},
		{"traceId":"` + traceID + `","parentId":"b7ad6b7169203331","id":"07ad6b7169203332","kind":"CLIENT","name":"get /b",
		"timestamp":1700000000000002,"localEndpoint":{"serviceName":"pricing"},"tags":{"error":"true"}}]`
)

// want is what both traces above say.
var want = []spans.Span{
	{TraceID: traceID, ID: "b7ad6b7169203331", Kind: spans.Server, Service: "cart", Name: "GET /a", Start: time.UnixMicro(1700000000000001),
		Duration: 1500 * time.Microsecond, Tags: map[string]string{"http.response.status_code": "200"}},
	{TraceID: traceID, ID: "07ad6b7169203332", ParentID: "b7ad6b7169203331", Kind: spans.Client, Service: "pricing", Name: "GET /b",
		Start: time.UnixMicro(1700000000000002), Tags: map[string]string{"error": "true"}},
}

func TestTraceIsReadBack(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		decode func([]byte) ([]spans.Span, error)
	}{
		"Jaeger": {jaegerTrace, decodeJaeger},
		"Zipkin": {zipkinTrace, decodeZipkin},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked < 3 || r.URL.Path != "/trace/"+traceID {
					http.NotFound(w, r) // a server that has not stored it yet
					return
				}
				_, _ = w.Write([]byte(c.answer))
			}))
			defer web.Close()
			s := Server{Name: name, base: web.URL, apiPath: "/trace/", decode: c.decode}
			if _, err := s.Trace(t.Context(), traceID); !errors.Is(err, ErrNotFound) {
				t.Errorf("Trace = %v, want %v", err, ErrNotFound)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			got, err := s.Traces(ctx, Wanted(want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := spans.Diff(want, got); len(diff) > 0 {
				t.Error(strings.Join(diff, "\n"))
			}
		})
	}
}

func TestTracesSaysWhatIsMissing(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	s := Server{Name: "Jaeger", base: web.URL, apiPath: "/trace/", decode: decodeJaeger}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := s.Traces(ctx, map[string]int{traceID: 2})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Traces = %v", err)
	}
}

func TestFreeAddressesAreDistinct(t *testing.T) {
	addrs, err := freeAddresses(jaegerPorts)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range addrs {
		seen[a] = true
	}
	if len(seen) != jaegerPorts || strings.Count(jaegerConfig, "%s") != jaegerPorts {
		t.Errorf("addresses %v, %d in the configuration", addrs, strings.Count(jaegerConfig, "%s"))
	}
}
