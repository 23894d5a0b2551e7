package loadtest

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Schema names the version of Result's JSON. Fields are added under the same version; one that goes or changes its meaning
// makes a new one. docs/loadtest.md describes it.
const Schema = "spanload/1"

// Thresholds of the verdict on a run.
const (
	// missedShare and behindShare: an open loop has missed its rate when, as its window ends, more than missedShare of the
	// requests due in it are unsent and it has been behind for more than behindShare of the window. Both: a server that pauses
	// as the window ends leaves requests unsent too, but has not been behind for long.
	missedShare = 0.01
	behindShare = 0.25
	// lateShare: from this share of the p99 on, the p99 of this program's own lateness is worth a warning, if it is above
	// lateFloor.
	lateShare = 0.2
	lateFloor = time.Millisecond
)

// Result is the outcome of a run; its JSON has Schema.
type Result struct {
	Schema   string    `json:"schema"`
	Target   string    `json:"target"`
	Protocol string    `json:"protocol"` // http or tcp
	Loop     string    `json:"loop"`     // open or closed
	Started  time.Time `json:"started"`
	Settings Settings  `json:"settings"`

	// Valid is false when the numbers do not say what they seem to: Reasons has why. Wrong answers do not make a run invalid.
	Valid    bool     `json:"valid"`
	Reasons  []string `json:"invalid_reasons"`
	Warnings []string `json:"warnings"`

	// Seconds is the length of the measured window as it was.
	Seconds float64 `json:"seconds"`
	// AskedRate is 0 in a closed loop. Rate is right answers a second within the window.
	AskedRate float64 `json:"asked_rate"`
	Rate      float64 `json:"rate"`

	Requests Requests `json:"requests"`
	// Errors counts unexpected answers by kind, warm-up included; kinds that did not occur are left out.
	Errors map[string]int64 `json:"errors"`
	// FirstError says more of the first of them.
	FirstError string `json:"first_error,omitempty"`
	// Statuses counts answers by status code, warm-up included.
	Statuses map[string]int64 `json:"statuses"`
	Bytes    Bytes            `json:"bytes"`
	Sockets  Sockets          `json:"sockets"`
	CPU      CPU              `json:"cpu"`

	Latency      Latency  `json:"latency"`
	OwnLag       *Latency `json:"own_lag,omitempty"`       // open loop
	Connect      *Latency `json:"connect,omitempty"`       // when a connection was opened
	EventLatency *Latency `json:"event_latency,omitempty"` // with --events
}

// Settings are the settings that bear on the numbers.
type Settings struct {
	Arrivals        string  `json:"arrivals,omitempty"`
	Connections     int     `json:"connections"`
	IdleConnections int     `json:"idle_connections"`
	Warmup          float64 `json:"warmup_seconds"`
	Duration        float64 `json:"duration_seconds"`
	Timeout         float64 `json:"timeout_seconds"`
	Method          string  `json:"method,omitempty"`
	RequestBytes    int     `json:"request_bytes"` // head and body, or TCP message
	Pipeline        int     `json:"pipeline"`
	Keepalive       bool    `json:"keepalive"`
	Seed            uint64  `json:"seed"`
}

// Requests are the accounts: Sent = OK + Failed + WarmupSent, and Due = Sent − WarmupSent + Unsent in an open loop.
type Requests struct {
	Sent         int64 `json:"sent"` // all, warm-up included: what a trace collector should see
	WarmupSent   int64 `json:"warmup_sent"`
	WarmupFailed int64 `json:"warmup_failed"`
	OK           int64 `json:"ok"`
	Failed       int64 `json:"failed"`
	Unsent       int64 `json:"unsent"` // due in the window, and no connection was free for them until the end
}

// Bytes counts what crossed the sockets, warm-up included.
type Bytes struct {
	Sent     int64 `json:"sent"`
	Received int64 `json:"received"`
	Bodies   int64 `json:"bodies"` // received, transfer coding removed
}

// Sockets counts connections.
type Sockets struct {
	Opened int64 `json:"opened"`
	Failed int64 `json:"failed"`
	// IdleLost is how many of the idle connections the server had closed by the end.
	IdleLost int64 `json:"idle_lost"`
}

// CPU is this process's own, in seconds, from the first request to the last answer.
type CPU struct {
	User   float64 `json:"user_seconds"`
	System float64 `json:"system_seconds"`
}

// Latency sums up a histogram; nanoseconds.
type Latency struct {
	Count  int64   `json:"count"`
	Min    int64   `json:"min_ns"`
	Mean   float64 `json:"mean_ns"`
	StdDev float64 `json:"stddev_ns"`
	P50    int64   `json:"p50_ns"`
	P75    int64   `json:"p75_ns"`
	P90    int64   `json:"p90_ns"`
	P95    int64   `json:"p95_ns"`
	P99    int64   `json:"p99_ns"`
	P999   int64   `json:"p99_9_ns"`
	P9999  int64   `json:"p99_99_ns"`
	Max    int64   `json:"max_ns"`
	// Histogram is the whole distribution in HdrHistogram's V2 compressed encoding, base64.
	Histogram string `json:"hdr_v2"`

	histogram *hdrhistogram.Histogram
}

// Hist returns the histogram behind the numbers: of this process's run, or decoded from Histogram.
func (l *Latency) Hist() (*hdrhistogram.Histogram, error) {
	if l.histogram != nil {
		return l.histogram, nil
	}
	h, err := hdrhistogram.Decode([]byte(l.Histogram))
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	return h, nil
}

// summarise fills a Latency from a histogram, all zero when that is empty.
func summarise(h *hdrhistogram.Histogram) Latency {
	l := Latency{histogram: h}
	if encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		l.Histogram = string(encoded)
	}
	if l.Count = h.TotalCount(); l.Count == 0 {
		return l
	}
	l.Min, l.Max, l.Mean, l.StdDev = h.Min(), h.Max(), h.Mean(), h.StdDev()
	l.P50, l.P75, l.P90, l.P95 = h.ValueAtQuantile(50), h.ValueAtQuantile(75), h.ValueAtQuantile(90), h.ValueAtQuantile(95)
	l.P99, l.P999, l.P9999 = h.ValueAtQuantile(99), h.ValueAtQuantile(99.9), h.ValueAtQuantile(99.99)
	return l
}

// Unexpected is the number of unexpected answers, warm-up included.
func (r *Result) Unexpected() int64 {
	sum := int64(0)
	for _, n := range r.Errors {
		sum += n
	}
	return sum
}

// result closes the accounts.
func (l *loop) result(started time.Time, cpu CPU, interrupted bool) *Result {
	r := &Result{
		Schema: Schema, Target: l.cfg.URL, Protocol: "http", Loop: "open", Started: started.UTC(),
		Settings: l.settings(), AskedRate: l.cfg.Rate, Reasons: []string{}, Warnings: []string{},
		Errors: map[string]int64{}, Statuses: map[string]int64{}, CPU: cpu,
		Bytes:   Bytes{Sent: l.rec.bytesSent, Received: l.rec.bytesReceived, Bodies: l.rec.bodyBytes},
		Sockets: Sockets{Opened: l.rec.connects, Failed: l.rec.connectFailures},
	}
	if l.cfg.TCP {
		r.Protocol = "tcp"
	}
	if l.cfg.Closed {
		r.Loop = "closed"
	}
	l.account(r)
	if !l.cfg.Closed && !interrupted {
		r.Requests.Unsent = l.recordUnsent()
	}
	end := l.end
	if l.exhausted() {
		end = min(end, l.rec.lastAnswer)
	}
	if r.Seconds = time.Duration(end - l.warm).Seconds(); r.Seconds > 0 {
		r.Rate = float64(l.rec.inWindow) / r.Seconds
	} else {
		r.Seconds = 0
	}
	r.Latency = summarise(l.rec.latency)
	r.OwnLag, r.Connect, r.EventLatency = optional(l.rec.ownLag), optional(l.rec.connect), optional(l.rec.delivery)
	l.judge(r, interrupted)
	return r
}

// optional is summarise for what need not have occurred.
func optional(h *hdrhistogram.Histogram) *Latency {
	if h == nil || h.TotalCount() == 0 {
		return nil
	}
	s := summarise(h)
	return &s
}

// settings copies the settings that bear on the numbers.
func (l *loop) settings() Settings {
	c := l.cfg
	s := Settings{
		Connections: c.Connections, IdleConnections: c.IdleConnections, Warmup: c.Warmup.Seconds(), Duration: c.Duration.Seconds(),
		Timeout: c.Timeout.Seconds(), RequestBytes: l.traffic.unit, Pipeline: c.Pipeline, Keepalive: !c.NoKeepalive, Seed: c.Seed,
	}
	if !c.TCP {
		s.Method = c.Method
	}
	if !c.Closed {
		s.Arrivals = c.Arrivals.String()
	}
	return s
}

// account copies the counts.
func (l *loop) account(r *Result) {
	rec := l.rec
	r.Requests.Sent, r.Requests.WarmupSent = rec.sentTotal, rec.sentTotal-rec.sentWindow
	r.Requests.OK = rec.kinds[OK]
	for kind := OK + 1; kind < NumKinds; kind++ {
		if n := rec.kinds[kind] + rec.warmKinds[kind]; n > 0 {
			r.Errors[kind.String()] = n
		}
		if kind != ErrUnsolicited {
			r.Requests.Failed += rec.kinds[kind]
			r.Requests.WarmupFailed += rec.warmKinds[kind]
		}
	}
	for code, n := range rec.statuses {
		if n > 0 {
			r.Statuses[fmt.Sprint(code)] = n
		}
	}
	if rec.firstError != nil {
		r.FirstError = fmt.Sprintf("%s: %v", rec.firstKind, rec.firstError)
	}
	for i := range l.conns {
		if c := &l.conns[i]; c.idle && c.state != open {
			r.Sockets.IdleLost++
		}
	}
}

// recordUnsent counts the requests that were due in the window and never sent, and records how long they had waited by now.
func (l *loop) recordUnsent() (unsent int64) {
	if l.exhausted() {
		return 0
	}
	span := max(int64(l.cfg.Duration)/1000, 1) // their latencies are told apart by a thousandth of the window
	l.schedule.takeUntil(l.end-l.start, span, func(count, first int64) {
		if intended := l.start + first; l.rec.measured(intended) {
			unsent += count
			_ = l.rec.latency.RecordValues(min(l.now-intended, highestLatency), count)
		}
	})
	return unsent
}

// judge says whether the numbers mean what they seem to.
func (l *loop) judge(r *Result, interrupted bool) {
	invalid := func(format string, args ...any) { r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...)) }
	if interrupted {
		invalid("interrupted: %.1f s of %.1f s measured", r.Seconds, l.cfg.Duration.Seconds())
	}
	if r.Loop == "open" && !interrupted {
		due := l.rec.sentWindow + r.Requests.Unsent
		behind := float64(l.end-l.caughtUp) / float64(l.end-l.start)
		if late := l.rec.late + r.Requests.Unsent; float64(late) > missedShare*float64(due) && behind > behindShare {
			invalid("rate not reached: of %d requests due in the window, %d (%.1f %%) were unsent at its end; asked %.6g/s, answered %.6g/s",
				due, late, 100*float64(late)/float64(due), l.cfg.Rate, r.Rate)
		} else if r.Requests.Unsent > 0 {
			invalid("%d requests due in the window were never sent: no connection was free for them", r.Requests.Unsent)
		}
		if lag := r.OwnLag; lag != nil && time.Duration(lag.P99) > lateFloor && float64(lag.P99) > lateShare*float64(r.Latency.P99) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("spanload itself was late: the p99 of its own delay is %v, which is part of the "+
				"latencies; give it a core of its own or lower the rate", time.Duration(lag.P99).Round(time.Microsecond)))
		}
	}
	if r.Latency.Count == 0 && !interrupted {
		invalid("no request of the window was answered")
	}
	if n := r.Latency.Count; n > 0 && n < 10_000 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("p99 and above come from only %d samples", n))
	}
	if r.Sockets.IdleLost > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d idle connections were lost", r.Sockets.IdleLost))
	}
	r.Valid = len(r.Reasons) == 0
	r.Rate = math.Round(r.Rate*1000) / 1000
}

// cpuTime returns what this process has used so far.
func cpuTime() CPU {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return CPU{}
	}
	return CPU{User: time.Duration(u.Utime.Nano()).Seconds(), System: time.Duration(u.Stime.Nano()).Seconds()}
}

// sub returns c − d.
func (c CPU) sub(d CPU) CPU { return CPU{User: c.User - d.User, System: c.System - d.System} }
