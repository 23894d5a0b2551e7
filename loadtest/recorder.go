package loadtest

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Geometry of the histograms, nanoseconds: three significant digits (0.1 %) from 1 µs to an hour; 0.25 MB each.
const (
	lowestLatency  = 100
	highestLatency = int64(time.Hour)
	latencyDigits  = 3
)

// newHistogram returns an empty histogram of latencies in nanoseconds.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestLatency, highestLatency, latencyDigits)
}

// recorder keeps the accounts of a run. Loop goroutine only.
//
// Invariant: every request counted by sent is counted by answer exactly once.
type recorder struct {
	windowStart, windowEnd int64 // the measured window, by intended start

	latency  *hdrhistogram.Histogram // requests of the window: right answers, and timeouts as a lower bound
	recent   *hdrhistogram.Histogram // the same of the time since the last progress; nil without progress
	ownLag   *hdrhistogram.Histogram // how late this program sent, when a connection was free
	connect  *hdrhistogram.Histogram // from connect(2) to established
	delivery *hdrhistogram.Histogram // from the sending of an event to its arrival; nil until one came

	sentTotal, doneTotal int64           // all requests
	sentWindow           int64           // those due in the window
	late                 int64           // those due in the window and sent after its end
	inWindow             int64           // right answers that came within the window, whenever their request was due
	kinds                [NumKinds]int64 // window
	warmKinds            [NumKinds]int64 // warm-up
	statuses             [600]int64
	firstError           error
	firstKind            Kind
	lastAnswer           int64

	connects, connectFailures           int64
	bytesSent, bytesReceived, bodyBytes int64

	recentDone, recentErrors int64
}

// newRecorder returns a recorder; progress says whether Progress values will be asked for.
func newRecorder(progress bool) *recorder {
	r := &recorder{latency: newHistogram(), ownLag: newHistogram(), connect: newHistogram()}
	if progress {
		r.recent = newHistogram()
	}
	return r
}

// window sets the measured window; requests due outside count as warm-up.
func (r *recorder) window(start, end int64) { r.windowStart, r.windowEnd = start, end }

// measured tells whether a time is in the window.
func (r *recorder) measured(t int64) bool { return t >= r.windowStart && t < r.windowEnd }

// sent counts a request handed to a connection.
func (r *recorder) sent(intended, now int64) {
	r.sentTotal++
	if r.measured(intended) {
		r.sentWindow++
		if now >= r.windowEnd {
			r.late++
		}
	}
}

// lag records how late this program itself was with a request.
func (r *recorder) lag(lag, intended int64) {
	if r.measured(intended) {
		_ = r.ownLag.RecordValue(max(lag, 0))
	}
}

// status counts the status code of an answer.
func (r *recorder) status(code int) { r.statuses[code]++ }

// answer records the end of a request. Latency counts from the intended start. A wrong answer has none: a refusal that comes
// at once would flatter the percentiles. A timeout has, as a lower bound: leaving it out would flatter them too.
func (r *recorder) answer(f flight, kind Kind, err error, now int64) {
	r.doneTotal++
	r.lastAnswer = now
	if kind == OK || kind == ErrTimeout {
		latency := min(now-f.intended, highestLatency)
		if r.measured(f.intended) {
			_ = r.latency.RecordValue(latency)
		}
		if r.recent != nil {
			_ = r.recent.RecordValue(latency)
		}
	}
	if kind == OK && r.measured(now) {
		r.inWindow++
	}
	r.recentDone++
	if kind != OK {
		r.noteError(kind, err)
	}
	if r.measured(f.intended) {
		r.kinds[kind]++
	} else {
		r.warmKinds[kind]++
	}
}

// noteError keeps the first error, for the human who asks why.
func (r *recorder) noteError(kind Kind, err error) {
	r.recentErrors++
	if r.firstError == nil {
		r.firstError, r.firstKind = err, kind
	}
}

// unsolicited counts bytes that no request asked for.
func (r *recorder) unsolicited(err error) {
	r.noteError(ErrUnsolicited, err)
	r.kinds[ErrUnsolicited]++
}

// recordEvents records the delay of the events that just came.
func (r *recorder) recordEvents(s *eventScanner) {
	if len(s.stamps) == 0 {
		return
	}
	if r.delivery == nil {
		r.delivery = newHistogram()
	}
	now := time.Now().UnixNano()
	for _, stamp := range s.stamps {
		_ = r.delivery.RecordValue(min(max(now-stamp, 0), highestLatency))
	}
	s.stamps = s.stamps[:0]
}

// Progress is the state of a run that goes on.
type Progress struct {
	Elapsed, Total time.Duration // warm-up included
	Rate           float64       // answers a second since the last Progress
	P50, P99       time.Duration // of those answers; 0 when there was none
	Errors         int64         // unexpected answers since the start
	InFlight       int64
}

// progress sums up the time since the last call, which was interval ns ago.
func (r *recorder) progress(interval, elapsed, total int64) Progress {
	p := Progress{
		Elapsed: time.Duration(elapsed), Total: time.Duration(total),
		Rate:   float64(r.recentDone) / time.Duration(interval).Seconds(),
		P50:    time.Duration(r.recent.ValueAtQuantile(50)),
		P99:    time.Duration(r.recent.ValueAtQuantile(99)),
		Errors: r.recentErrors, InFlight: r.sentTotal - r.doneTotal,
	}
	r.recent.Reset()
	r.recentDone = 0
	return p
}
