package admin

import (
	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/exporters"
	"github.com/spanwire/spanwire/parsers"
)

// sides are the values of the label side, by span.Kind.
var sides = [...]string{span.Server: "inbound", span.Client: "outbound"}

// statusClasses are the values of the label status_class, by status / 100.
var statusClasses = [core.NumStatusClasses]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// metricsBytes is what a scrape takes, about; one allocation then holds it.
const metricsBytes = 20 << 10

// appendMetrics appends all metrics. Families and labels are always the same, so that rates begin at zero.
func (s *Server) appendMetrics(dst []byte) []byte {
	if dst == nil {
		dst = make([]byte, 0, metricsBytes)
	}
	e := &encoder{b: dst}
	e.family("spanwire_build_info", "gauge", "Constant 1; the labels say which build this is.")
	b := s.cfg.Build
	e.uint(1, "version", b.Version, "commit", b.Commit, "go_version", b.Go, "platform", b.Platform)
	exports := s.cfg.Exports()
	relay := s.cfg.Relay()
	appendSessions(e, &relay)
	if s.cfg.Verify {
		appendVerified(e, &relay)
	}
	appendRequests(e, &relay)
	if s.cfg.Operations != nil {
		appendOperations(e, s.cfg.Operations())
	}
	appendReasons(e, &relay)
	s.appendSampling(e)
	appendRoutes(e, &relay)
	appendExports(e, &exports)
	s.appendLogs(e)
	s.appendProcess(e)
	return e.b
}

// appendSessions appends what connections did.
func appendSessions(e *encoder, st *core.Stats) {
	e.family("spanwire_sessions", "gauge", "Open sessions.")
	for k, side := range sides {
		e.int(st.Sessions[k], "side", side)
	}
	e.family("spanwire_sessions_total", "counter", "Sessions opened.")
	for k, side := range sides {
		e.uint(st.SessionsTotal[k], "side", side)
	}
	e.family("spanwire_bytes_total", "counter", "Bytes received, by direction.")
	for d, n := range st.Bytes {
		e.uint(n, "direction", parsers.Direction(d).String())
	}
	e.family("spanwire_pending_bytes", "gauge", "Bytes held for slow receivers.")
	e.int(st.PendingBytes)
	e.family("spanwire_loop_delay_seconds", "gauge", "How long the slowest event loop took to turn to this scrape.")
	e.float(st.LoopDelay.Seconds())
	e.family("spanwire_busy_polls_total", "counter", "Waits for an answer awake, by whether something came in time.")
	e.uint(st.BusyPolls.Found, "outcome", "found")
	e.uint(st.BusyPolls.Vain, "outcome", "vain")
	e.family("spanwire_accept_backoffs_total", "counter", "Pauses for want of descriptors or ports.")
	e.uint(st.Backoffs)
	e.family("spanwire_connect_spans_total", "counter", "Spans of dials that failed before a request came.")
	e.uint(st.ConnectSpans)
}

// appendRequests appends what requests did.
func appendRequests(e *encoder, st *core.Stats) {
	e.family("spanwire_requests_total", "counter", "Finished requests.")
	for k, side := range sides {
		for c, class := range statusClasses {
			e.uint(st.Requests[k][c], "side", side, "status_class", class)
		}
	}
	e.family("spanwire_request_duration_seconds", "histogram", "Duration of finished requests.")
	for k, side := range sides {
		h := &st.Durations[k]
		e.histogram(core.DurationBuckets[:], h.Counts[:], float64(h.SumNs)/1e9, "side", side)
	}
	e.family("spanwire_request_failures_total", "counter", "Finished requests that failed, by kind.")
	for f := span.FailureNone + 1; f < span.NumFailures; f++ {
		e.uint(st.Failures[f], "kind", f.String())
	}
}

// appendReasons appends the counters that have a reason.
func appendReasons(e *encoder, st *core.Stats) {
	e.family("spanwire_opaque_total", "counter", "Sessions that became opaque.")
	for r := parsers.ReasonNone + 1; r < parsers.NumReasons; r++ {
		e.uint(st.Opaque[r], "reason", r.String())
	}
	e.family("spanwire_unedited_total", "counter", "Request heads that were left as they were.")
	for r := parsers.ReasonNone + 1; r < parsers.NumReasons; r++ {
		e.uint(st.Unedited[r], "reason", r.String())
	}
	e.family("spanwire_unedited_responses_total", "counter", "Response heads that the trace id could not be written into.")
	for r := parsers.ReasonNone + 1; r < parsers.NumReasons; r++ {
		e.uint(st.UneditedBack[r], "reason", r.String())
	}
	e.family("spanwire_refused_total", "counter", "Connections refused.")
	for r := core.RefusedSelf; r < core.NumRefusals; r++ {
		e.uint(st.Refused[r], "reason", r.String())
	}
	e.family("spanwire_ignored_total", "counter", "Requests without a span, by --ignore-path or --ignore-agent.")
	e.uint(st.Ignored)
	e.family("spanwire_other_operations_total", "counter", "Requests named {other}, all --max-operations names being in use.")
	e.uint(st.OtherNames)
	e.family("spanwire_tags_dropped_total", "counter", "Tags of headers and cookies that a span had no room for.")
	e.uint(st.TagsLost)
	e.family("spanwire_contexts_invalid_total", "counter", "Trace contexts that were skipped as invalid.")
	for f := trace.FormatW3C; f < trace.NumFormats; f++ {
		e.uint(st.BadContexts[f], "format", f.String())
	}
	e.family("spanwire_tracestates_dropped_total", "counter", "Requests whose tracestate went, the trace having restarted.")
	e.uint(st.StatesDropped)
	e.family("spanwire_request_ids_too_long_total", "counter", "Request ids too long to join by.")
	e.uint(st.IDsTooLong)
	e.family("spanwire_joins_total", "counter", "Spans by how they found their parent.")
	for j := span.JoinRoot; j < span.NumJoins; j++ {
		e.uint(st.Joins[j], "how", j.String())
	}
	e.family("spanwire_join_ids", "gauge", "Request ids that outbound requests can be joined by: in flight, or ended and not expired.")
	e.int(int64(st.JoinIDs))
	e.family("spanwire_join_ids_evicted_total", "counter", "Request ids forgotten before their time, the join table being full.")
	e.uint(st.JoinEvicted)
}

// appendExports appends the accounts: for each exporter, recorded = exported + dropped + queued whenever nothing moves.
func appendExports(e *encoder, st *exporters.Stats) {
	e.family("spanwire_spans_recorded_total", "counter", "Finished spans to export.")
	e.uint(st.Recorded)
	e.family("spanwire_spans_exported_total", "counter", "Spans that a collector took.")
	for i := range st.Exporters {
		e.uint(st.Exporters[i].Exported, "exporter", st.Exporters[i].Name)
	}
	e.family("spanwire_spans_dropped_total", "counter", "Spans lost.")
	for i := range st.Exporters {
		for r, n := range st.Exporters[i].Dropped {
			e.uint(n, "exporter", st.Exporters[i].Name, "reason", exporters.Reason(r).String())
		}
	}
	e.family("spanwire_spans_queued", "gauge", "Spans that wait for an exporter, or are being sent.")
	for i := range st.Exporters {
		e.uint(st.Exporters[i].Queued, "exporter", st.Exporters[i].Name)
	}
}
