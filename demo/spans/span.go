// Package spans holds spans as a collector gives them back, whatever its format, and judges them: what tree they form, and whether
// two collectors were told the same.
package spans

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/openzipkin/zipkin-go/model"
)

// The values of Span.Kind.
const (
	Server = "server"
	Client = "client"
)

// Span is one span. Times have the resolution of the format they came in.
type Span struct {
	TraceID  string // 32 lower-case hexadecimal digits
	ID       string // 16 lower-case hexadecimal digits
	ParentID string // as ID; empty = a root
	Kind     string // Server, Client, or empty
	Service  string
	Name     string
	Start    time.Time
	Duration time.Duration
	Tags     map[string]string // every value as text
}

// FromZipkin converts a span as zipkin-go decodes it.
func FromZipkin(m model.SpanModel) Span {
	s := Span{
		TraceID:  PadID(m.TraceID.String(), 32),
		ID:       PadID(m.ID.String(), 16),
		Kind:     strings.ToLower(string(m.Kind)),
		Name:     m.Name,
		Start:    m.Timestamp,
		Duration: m.Duration,
		Tags:     m.Tags,
	}
	if m.ParentID != nil {
		s.ParentID = PadID(m.ParentID.String(), 16)
	}
	if m.LocalEndpoint != nil {
		s.Service = m.LocalEndpoint.ServiceName
	}
	return s
}

// PadID fills a hexadecimal id with zeros on the left to the given number of digits.
func PadID(id string, digits int) string {
	return strings.Repeat("0", max(0, digits-len(id))) + strings.ToLower(id)
}

// Status returns the HTTP status code that the span bears, in either of the two usual tags; empty = none.
func (s Span) Status() string {
	return cmp.Or(s.Tags["http.response.status_code"], s.Tags["http.status_code"])
}

// Error returns what the span says went wrong; empty = nothing.
func (s Span) Error() string {
	if e := s.Tags["error"]; e != "" && e != "false" && e != "true" {
		return e
	}
	if e := s.Tags["error.type"]; e != "" {
		return e
	}
	if s.Tags["error"] == "true" || strings.EqualFold(s.Tags["otel.status_code"], "error") {
		return "error"
	}
	return ""
}

// ByTrace groups spans by trace, each group ordered by start, parents first among equals.
func ByTrace(all []Span) map[string][]Span {
	traces := map[string][]Span{}
	for _, s := range all {
		traces[s.TraceID] = append(traces[s.TraceID], s)
	}
	for _, trace := range traces {
		slices.SortStableFunc(trace, func(a, b Span) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(b.Duration, a.Duration), cmp.Compare(a.ID, b.ID))
		})
	}
	return traces
}
