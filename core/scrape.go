package core

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/spanwire/spanwire/core/span"
)

// still reports whether no loop is running, so that what is theirs may be read.
func (e *Engine) still() bool {
	s := e.state.Load()
	return s == stateNew || s == stateClosed
}

// ask has fn run on w's loop and waits for it; false when the loop does not answer within statsTimeout. fn may still run after that, so it must not
// touch what anybody uses again.
func (e *Engine) ask(w *worker, fn func()) bool {
	if e.still() {
		fn()
		return true
	}
	done := make(chan struct{})
	if w.loop.Post(func() { fn(); close(done) }) != nil {
		return false
	}
	timeout := time.NewTimer(statsTimeout)
	defer timeout.Stop()
	select {
	case <-done:
		return true
	case <-w.done:
		return false
	case <-timeout.C:
		return false
	}
}

// scrapeRows is how many rows a loop copies at once for a scrape: 14 KB, a few µs, so that no request waits for the whole table.
const scrapeRows = 64

// Operations sums the loops' counters by operation, ordered by side, operation and peer. Each loop is asked for a few rows at a time; for one that does not
// answer within a second what it said last counts, as in Stats. Nil unless Config.MaxSeries is set. Any goroutine but the loops' may call it.
func (e *Engine) Operations() []OperationStats {
	if e.operations == nil {
		return nil
	}
	for i, w := range e.workers {
		if rows, ok := e.rowsOf(w); ok {
			e.last.Lock()
			e.last.operations[i] = rows
			e.last.Unlock()
		}
	}
	sums := make(map[operationKey]*OperationCounts)
	e.last.Lock()
	defer e.last.Unlock()
	for _, rows := range e.last.operations {
		for i := range rows {
			sum := sums[rows[i].key]
			if sum == nil {
				sum = new(OperationCounts)
				sums[rows[i].key] = sum
			}
			sum.add(&rows[i].OperationCounts)
		}
	}
	return e.named(sums)
}

// rowsOf copies the rows of a loop; false when it does not answer.
func (e *Engine) rowsOf(w *worker) (rows []operationRow, ok bool) {
	for {
		part, from := make([]operationRow, 0, scrapeRows), len(rows)
		if !e.ask(w, func() {
			part = w.operations.appendRows(part, from)
		}) {
			return nil, false
		}
		rows = append(rows, part...)
		if len(part) < scrapeRows {
			return rows, true
		}
	}
}

// appendRows appends the next rows from the given one on, scrapeRows at most: what a loop does for a scrape before it turns to its requests again.
func (t *operationTable) appendRows(dst []operationRow, from int) []operationRow {
	return append(dst, t.rows[from:min(from+scrapeRows, len(t.rows))]...) // rows only become more
}

// named gives keys their names, as labels must have them: valid UTF-8. Names that become the same are one.
func (e *Engine) named(sums map[operationKey]*OperationCounts) []OperationStats {
	operations, peers := e.cfg.Trace.OperationNames(), e.cfg.Trace.PeerNames()
	list := make([]OperationStats, 0, len(sums))
	for key, counts := range sums {
		list = append(list, OperationStats{Side: key.kind(), Operation: label(operations[key.operation()]), Peer: label(peers[key.peer()]),
			OperationCounts: *counts})
	}
	slices.SortFunc(list, compareOperations)
	merged := list[:0]
	for i := range list {
		if n := len(merged); n > 0 && compareOperations(merged[n-1], list[i]) == 0 {
			merged[n-1].add(&list[i].OperationCounts)
			continue
		}
		merged = append(merged, list[i])
	}
	return merged
}

// compareOperations orders by side, operation and peer.
func compareOperations(a, b OperationStats) int {
	return cmp.Or(cmp.Compare(a.Side, b.Side), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Peer, b.Peer))
}

// add adds o to c.
func (c *OperationCounts) add(o *OperationCounts) {
	addTo(c.Requests[:], o.Requests[:])
	addTo(c.Durations.Counts[:], o.Durations.Counts[:])
	c.Durations.SumNs += o.Durations.SumNs
	c.RequestBytes += o.RequestBytes
	c.ResponseBytes += o.ResponseBytes
	addTo(c.Dropped[:], o.Dropped[:])
}

// MaxStatus bounds the statuses that are counted one by one: HTTP's end at 599 (RFC 9110 §15).
const MaxStatus = 600

// StatusCounts are finished inbound requests by status; index 0 is unused, requests without a status are not counted.
type StatusCounts [MaxStatus]uint64

// observe counts r, if it is a request to the local application that was answered.
func (c *StatusCounts) observe(r *span.Record) {
	if r.Kind == span.Server && r.Status > 0 && r.Status < MaxStatus {
		c[r.Status]++
	}
}

// Statuses adds up the loops' counts by status. It reports false when a loop did not answer, for then the sum would be too low; and unless
// Config.CountStatuses is set. Any goroutine but the loops' may call it.
func (e *Engine) Statuses() (sum StatusCounts, ok bool) {
	for _, w := range e.workers {
		if w.statuses == nil {
			return sum, false
		}
		part := new(StatusCounts)
		if !e.ask(w, func() { *part = *w.statuses }) {
			return sum, false
		}
		addTo(sum[:], part[:])
	}
	return sum, true
}

// label returns s as valid UTF-8.
func label(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
