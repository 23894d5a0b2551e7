package spans

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// formatTags are tags in which the formats express other parts of a span, or their own bookkeeping: the kind, the error mark, the
// scope, the trace state and flags. Kind and error are compared by themselves.
var formatTags = []string{
	"span.kind", "error", "otel.status_code", "otel.status_description", "otel.scope.name", "otel.scope.version", "w3c.tracestate",
	"internal.span.format", "sampler.type", "sampler.param",
}

// resolution is how far times may differ between formats: Zipkin and Jaeger keep microseconds, OTLP nanoseconds.
const resolution = time.Microsecond

// Diff compares span by span what was sent with what a collector gave back, over ids, parents, kinds, services, operations, times,
// errors and tags; it returns a line for each difference, nothing when they agree. Service and operation are compared without case,
// since Zipkin keeps lower case.
func Diff(sent, got []Span) []string {
	type key struct{ trace, id string }
	index := make(map[key]Span, len(got))
	var lines []string
	for _, s := range got {
		k := key{s.TraceID, s.ID}
		if _, twice := index[k]; twice {
			lines = append(lines, fmt.Sprintf("span %s/%s came back twice", s.TraceID, s.ID))
		}
		index[k] = s
	}
	for _, s := range sent {
		k := key{s.TraceID, s.ID}
		g, ok := index[k]
		if !ok {
			lines = append(lines, fmt.Sprintf("span %s/%s (%s %s %s) is missing", s.TraceID, s.ID, s.Kind, s.Service, s.Name))
			continue
		}
		delete(index, k)
		for _, d := range diffSpan(s, g) {
			lines = append(lines, fmt.Sprintf("span %s/%s (%s %s %s): %s", s.TraceID, s.ID, s.Kind, s.Service, s.Name, d))
		}
	}
	for _, g := range index {
		lines = append(lines, fmt.Sprintf("span %s/%s (%s %s %s) was never sent", g.TraceID, g.ID, g.Kind, g.Service, g.Name))
	}
	slices.Sort(lines)
	return lines
}

// diffSpan compares two spans of one id.
func diffSpan(sent, got Span) []string {
	var lines []string
	note := func(what string, a, b any) { lines = append(lines, fmt.Sprintf("%s: sent %v, got %v", what, a, b)) }
	if sent.ParentID != got.ParentID {
		note("parent", sent.ParentID, got.ParentID)
	}
	if sent.Kind != got.Kind {
		note("kind", sent.Kind, got.Kind)
	}
	if !strings.EqualFold(sent.Service, got.Service) {
		note("service", sent.Service, got.Service)
	}
	if !strings.EqualFold(sent.Name, got.Name) {
		note("operation", sent.Name, got.Name)
	}
	if d := sent.Start.Sub(got.Start).Abs(); d > resolution {
		note("start", sent.Start.UnixNano(), got.Start.UnixNano())
	}
	if d := (sent.Duration - got.Duration).Abs(); d > resolution {
		note("duration", sent.Duration, got.Duration)
	}
	if (sent.Error() == "") != (got.Error() == "") {
		note("error", sent.Error(), got.Error())
	}
	return append(lines, diffTags(sent.Tags, got.Tags)...)
}

// diffTags compares tags other than formatTags.
func diffTags(sent, got map[string]string) []string {
	names := map[string]bool{}
	for _, tags := range []map[string]string{sent, got} {
		for name := range tags {
			names[name] = !slices.Contains(formatTags, name)
		}
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !names[name] {
			continue
		}
		a, inSent := sent[name]
		b, inGot := got[name]
		switch {
		case !inSent:
			lines = append(lines, fmt.Sprintf("tag %s=%q was never sent", name, b))
		case !inGot:
			lines = append(lines, fmt.Sprintf("tag %s=%q is missing", name, a))
		case a != b:
			lines = append(lines, fmt.Sprintf("tag %s: sent %q, got %q", name, a, b))
		}
	}
	return lines
}
