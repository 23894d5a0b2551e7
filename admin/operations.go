package admin

import (
	"slices"

	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
)

// labelPairs is how many labels a sample by operation has at most, names and values: side, operation, peer and one more.
const labelPairs = 4 * 2

// operationBytes is what the samples of one operation take, about.
const operationBytes = core.SeriesPerOperation * 130

// appendOperations appends what is counted by operation. These are families of their own, so that nobody who sums up spanwire_requests_total counts a
// request twice. Outbound ones bear the peer where peers are told apart.
func appendOperations(e *encoder, list []core.OperationStats) {
	e.b = slices.Grow(e.b, len(list)*operationBytes)
	labels := make([]string, 0, labelPairs)
	each := func(visit func(o *core.OperationStats, labels []string)) {
		for i := range list {
			o := &list[i]
			labels = append(labels[:0], "side", sides[o.Side], "operation", o.Operation)
			if o.Peer != "" {
				labels = append(labels, "peer", o.Peer)
			}
			visit(o, labels)
		}
	}
	e.family("spanwire_operation_requests_total", "counter", "Finished requests, by operation.")
	each(func(o *core.OperationStats, labels []string) {
		for c, class := range statusClasses {
			e.uint(o.Requests[c], append(labels, "status_class", class)...)
		}
	})
	e.family("spanwire_operation_request_duration_seconds", "histogram", "Duration of finished requests, by operation.")
	each(func(o *core.OperationStats, labels []string) {
		e.histogram(core.DurationBuckets[:], o.Durations.Counts[:], float64(o.Durations.SumNs)/1e9, labels...)
	})
	e.family("spanwire_operation_request_bytes_total", "counter", "Bytes of finished requests, heads included, by operation.")
	each(func(o *core.OperationStats, labels []string) { e.uint(o.RequestBytes, labels...) })
	e.family("spanwire_operation_response_bytes_total", "counter", "Bytes of their responses, heads included, by operation.")
	each(func(o *core.OperationStats, labels []string) { e.uint(o.ResponseBytes, labels...) })
	e.family("spanwire_operation_ids_dropped_total", "counter",
		"Inbound requests whose id came back on no call, while a call without id or context left: alone in flight, or beside others.")
	each(func(o *core.OperationStats, labels []string) {
		if o.Side != span.Server {
			return
		}
		for d := trace.DropAlone; d < trace.NumDrops; d++ {
			e.uint(o.Dropped[d], append(labels, "evidence", d.String())...)
		}
	})
}

// appendLogs appends the accounts of what else is told about requests.
func (s *Server) appendLogs(e *encoder) {
	if s.cfg.AccessLog != nil {
		st := s.cfg.AccessLog()
		e.family("spanwire_access_log_lines_total", "counter", "Lines of the access log written.")
		e.uint(st.Lines)
		e.family("spanwire_access_log_dropped_total", "counter", "Lines of the access log lost.")
		appendByReason(e, st.Dropped)
	}
	if s.cfg.Statsd != nil {
		st := s.cfg.Statsd()
		e.family("spanwire_statsd_datagrams_total", "counter", "Datagrams handed to the kernel for statsd.")
		e.uint(st.Datagrams)
		e.family("spanwire_statsd_errors_total", "counter", "Datagrams to statsd that could not be sent.")
		appendByReason(e, st.Errors)
	}
}

// appendByReason appends a sample for each reason.
func appendByReason(e *encoder, counters []ReasonCounter) {
	for _, r := range counters {
		e.uint(r.N, "reason", r.Reason)
	}
}
