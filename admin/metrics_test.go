package admin

import (
	"fmt"
	"math"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/core"
	"github.com/spanwire/spanwire/core/loop"
	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/core/trace"
	"github.com/spanwire/spanwire/core/verify"
	"github.com/spanwire/spanwire/exporters"
	"github.com/spanwire/spanwire/parsers"
)

// sample is one line of the text format.
type sample struct {
	family, name string
	labels       map[string]string
	value        float64
}

// parsed is a whole answer.
type parsed struct {
	samples []sample
	types   map[string]string
}

var (
	commentLine = regexp.MustCompile(`^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$`)
	sampleLine  = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$`)
	labelPair   = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)`)
)

// parse is a strict reader of Prometheus' text format 0.0.4: HELP and TYPE before the samples, each family once and in one piece,
// no series twice, histograms cumulative and with their +Inf bucket.
func parse(text string) (*parsed, error) {
	p := &parsed{types: map[string]string{}}
	if !strings.HasSuffix(text, "\n") {
		return nil, fmt.Errorf("no line feed at the end")
	}
	family, help, seen := "", "", map[string]bool{}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if m := commentLine.FindStringSubmatch(line); m != nil {
			if m[1] == "HELP" {
				help = m[2]
				continue
			}
			if m[2] != help || p.types[m[2]] != "" || !slices.Contains([]string{"counter", "gauge", "histogram"}, m[3]) {
				return nil, fmt.Errorf("line %d: %s", n+1, line)
			}
			family, p.types[m[2]] = m[2], m[3]
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("line %d is no sample: %s", n+1, line)
		}
		s := sample{family: family, name: m[1], labels: map[string]string{}}
		own := s.name == family
		if p.types[family] == "histogram" {
			own = slices.Contains([]string{"_bucket", "_sum", "_count"}, strings.TrimPrefix(s.name, family))
		}
		if !own || p.types[family] == "counter" && !strings.HasSuffix(family, "_total") {
			return nil, fmt.Errorf("line %d does not belong to %s: %s", n+1, family, line)
		}
		for rest := m[2]; rest != ""; {
			l := labelPair.FindStringSubmatch(rest)
			if l == nil {
				return nil, fmt.Errorf("line %d: labels %s", n+1, rest)
			}
			if _, twice := s.labels[l[1]]; twice {
				return nil, fmt.Errorf("line %d: label %s twice", n+1, l[1])
			}
			s.labels[l[1]] = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(l[2])
			if rest = rest[len(l[0]):]; l[3] == "," && rest == "" {
				return nil, fmt.Errorf("line %d: comma at the end", n+1)
			}
		}
		var err error
		if s.value, err = strconv.ParseFloat(m[3], 64); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		key := s.name + fmt.Sprint(s.labels)
		if seen[key] {
			return nil, fmt.Errorf("line %d: series twice", n+1)
		}
		seen[key] = true
		p.samples = append(p.samples, s)
	}
	return p, nil
}

// get returns the value of a series; labels are names and values in turn.
func (p *parsed) get(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	for _, s := range p.samples {
		ok := s.name == name && len(s.labels) == len(labels)/2
		for i := 0; i+1 < len(labels); i += 2 {
			ok = ok && s.labels[labels[i]] == labels[i+1]
		}
		if ok {
			return s.value
		}
	}
	t.Errorf("no series %s %q", name, labels)
	return math.NaN()
}

// sum adds all series of a name that have the labels.
func (p *parsed) sum(name string, labels ...string) (total float64) {
	for _, s := range p.samples {
		ok := s.name == name
		for i := 0; i+1 < len(labels); i += 2 {
			ok = ok && s.labels[labels[i]] == labels[i+1]
		}
		if ok {
			total += s.value
		}
	}
	return total
}

// fakeRelay has another number in every counter.
func fakeRelay() core.Stats {
	st := core.Stats{Sessions: [2]int64{3, 4}, SessionsTotal: [2]uint64{13, 14}, Bytes: [2]uint64{1 << 40, 7}, Backoffs: 5,
		ConnectSpans: 6, PendingBytes: 8,
		Verified: [2]verify.Counts{{Verified: 901, Altered: 902, Undelivered: 903}, {Verified: 904, Altered: 905, Undelivered: 906}}}
	st.Requests[span.Server] = [core.NumStatusClasses]uint64{1, 0, 20, 3, 4, 5}
	st.Requests[span.Client][2] = 9
	st.Durations[span.Server].Counts[0] = 10
	st.Durations[span.Server].Counts[3] = 20
	st.Durations[span.Server].Counts[len(core.DurationBuckets)] = 3
	st.Durations[span.Server].SumNs = 2_500_000_000
	for i := range st.Opaque {
		st.Opaque[i], st.Unedited[i], st.UneditedBack[i] = uint64(100+i), uint64(200+i), uint64(600+i)
	}
	for i := range st.BadContexts {
		st.BadContexts[i] = uint64(700 + i)
	}
	st.Ignored, st.OtherNames, st.StatesDropped, st.IDsTooLong, st.TagsLost = 801, 802, 803, 804, 805
	st.JoinIDs, st.JoinEvicted = 806, 807
	st.BusyPolls = loop.BusyPolls{Found: 808, Vain: 809}
	for i := range st.Refused {
		st.Refused[i] = uint64(300 + i)
	}
	for i := range st.Joins {
		st.Joins[i] = uint64(400 + i)
	}
	for i := range st.Failures {
		st.Failures[i] = uint64(500 + i)
	}
	return st
}

// fakeOperations has so many operations on each side, the outbound ones with a peer.
func fakeOperations(n int) []core.OperationStats {
	list := make([]core.OperationStats, 0, 2*n)
	for _, side := range []span.Kind{span.Server, span.Client} {
		for i := range n {
			o := core.OperationStats{Side: side, Operation: fmt.Sprintf("GET /operation/%d/\"{id}", i)}
			if side == span.Client {
				o.Peer = "cart.example"
			}
			o.Requests[2], o.RequestBytes, o.ResponseBytes = uint64(i+1), 300, 4000
			o.Durations.Counts[3], o.Durations.SumNs = uint64(i+1), 5_000_000
			o.Dropped[trace.DropAlone] = uint64(i)
			list = append(list, o)
		}
	}
	return list
}

func fakeExports() exporters.Stats {
	st := exporters.Stats{Recorded: 100, Exporters: []exporters.ExporterStats{
		{Name: "zipkin", Exported: 60, Queued: 10}, {Name: "otlp", Exported: 100}}}
	st.Exporters[0].Dropped[exporters.ReasonRingFull] = 5
	st.Exporters[0].Dropped[exporters.ReasonQueueFull] = 25
	return st
}

// metricsOf returns what a server with these counters answers.
func metricsOf(t *testing.T, b Build) *parsed {
	t.Helper()
	s := &Server{cfg: Config{Build: b, Verify: true, Relay: fakeRelay, Exports: fakeExports}}
	p, err := parse(string(s.appendMetrics(nil)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMetricsHaveEveryNameOfTheContract(t *testing.T) {
	p := metricsOf(t, Build{Version: "1", Commit: "c", Go: "go", Platform: "p"})
	for family, kind := range map[string]string{
		"spanwire_sessions": "gauge", "spanwire_sessions_total": "counter", "spanwire_requests_total": "counter",
		"spanwire_request_duration_seconds": "histogram", "spanwire_bytes_total": "counter", "spanwire_opaque_total": "counter",
		"spanwire_unedited_total": "counter", "spanwire_spans_recorded_total": "counter", "spanwire_spans_exported_total": "counter",
		"spanwire_spans_dropped_total": "counter", "spanwire_spans_queued": "gauge", "spanwire_joins_total": "counter",
		"spanwire_refused_total": "counter", "spanwire_build_info": "gauge", "process_resident_memory_bytes": "gauge",
		"process_cpu_seconds_total": "counter", "process_open_fds": "gauge", "go_goroutines": "gauge", "go_threads": "gauge",
	} {
		if p.types[family] != kind {
			t.Errorf("%s is %q, want a %s", family, p.types[family], kind)
		}
	}
}

func TestMetricsSayWhatTheCountersSay(t *testing.T) {
	p := metricsOf(t, Build{Version: `a"b\c` + "\n", Commit: "c", Go: "go", Platform: "p"})
	st := fakeRelay()
	check := func(want float64, name string, labels ...string) {
		t.Helper()
		if got := p.get(t, name, labels...); got != want {
			t.Errorf("%s %q = %v, want %v", name, labels, got, want)
		}
	}
	check(1, "spanwire_build_info", "version", `a"b\c`+"\n", "commit", "c", "go_version", "go", "platform", "p")
	check(3, "spanwire_sessions", "side", "inbound")
	check(14, "spanwire_sessions_total", "side", "outbound")
	check(1<<40, "spanwire_bytes_total", "direction", "client_to_server")
	check(7, "spanwire_bytes_total", "direction", "server_to_client")
	check(8, "spanwire_pending_bytes")
	check(808, "spanwire_busy_polls_total", "outcome", "found")
	check(809, "spanwire_busy_polls_total", "outcome", "vain")
	for i, direction := range []string{"client_to_server", "server_to_client"} {
		check(float64(901+3*i), "spanwire_verified_bytes_total", "direction", direction)
		check(float64(902+3*i), "spanwire_altered_bytes_total", "direction", direction)
		check(float64(903+3*i), "spanwire_undelivered_bytes_total", "direction", direction)
	}
	for c, class := range []string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		check(float64(st.Requests[span.Server][c]), "spanwire_requests_total", "side", "inbound", "status_class", class)
	}
	check(9, "spanwire_requests_total", "side", "outbound", "status_class", "2xx")
	for r := parsers.ReasonNone + 1; r < parsers.NumReasons; r++ {
		check(float64(st.Opaque[r]), "spanwire_opaque_total", "reason", r.String())
		check(float64(st.Unedited[r]), "spanwire_unedited_total", "reason", r.String())
		check(float64(st.UneditedBack[r]), "spanwire_unedited_responses_total", "reason", r.String())
	}
	for f, name := range []string{"tracecontext", "b3", "b3multi", "jaeger"} {
		check(float64(st.BadContexts[f]), "spanwire_contexts_invalid_total", "format", name)
	}
	check(801, "spanwire_ignored_total")
	check(802, "spanwire_other_operations_total")
	check(803, "spanwire_tracestates_dropped_total")
	check(804, "spanwire_request_ids_too_long_total")
	check(806, "spanwire_join_ids")
	check(807, "spanwire_join_ids_evicted_total")
	check(805, "spanwire_tags_dropped_total")
	for r := core.RefusedSelf; r < core.NumRefusals; r++ {
		check(float64(st.Refused[r]), "spanwire_refused_total", "reason", r.String())
	}
	for j := span.JoinRoot; j < span.NumJoins; j++ {
		check(float64(st.Joins[j]), "spanwire_joins_total", "how", j.String())
	}
	for f := span.FailureNone + 1; f < span.NumFailures; f++ {
		check(float64(st.Failures[f]), "spanwire_request_failures_total", "kind", f.String())
	}
	const h = "spanwire_request_duration_seconds"
	check(10, h+"_bucket", "side", "inbound", "le", "0.0005")
	check(10, h+"_bucket", "side", "inbound", "le", "0.0025")
	check(30, h+"_bucket", "side", "inbound", "le", "0.005")
	check(30, h+"_bucket", "side", "inbound", "le", "30")
	check(33, h+"_bucket", "side", "inbound", "le", "+Inf")
	check(33, h+"_count", "side", "inbound")
	check(2.5, h+"_sum", "side", "inbound")
	check(0, h+"_bucket", "side", "outbound", "le", "+Inf")
}

func TestExportAccountsBalance(t *testing.T) {
	p := metricsOf(t, Build{})
	recorded := p.get(t, "spanwire_spans_recorded_total")
	if recorded != 100 {
		t.Errorf("recorded %v", recorded)
	}
	for _, exporter := range []string{"zipkin", "otlp"} {
		got := p.get(t, "spanwire_spans_exported_total", "exporter", exporter) + p.sum("spanwire_spans_dropped_total", "exporter",
			exporter) +
			p.get(t, "spanwire_spans_queued", "exporter", exporter)
		if got != recorded {
			t.Errorf("%s: exported + dropped + queued = %v, recorded = %v", exporter, got, recorded)
		}
	}
	if got := p.get(t, "spanwire_spans_dropped_total", "exporter", "zipkin", "reason", "queue_full"); got != 25 {
		t.Errorf("dropped %v", got)
	}
}

func TestOperationsHaveFamiliesOfTheirOwn(t *testing.T) {
	s := &Server{cfg: Config{Relay: fakeRelay, Exports: fakeExports, Operations: func() []core.OperationStats { return fakeOperations(3) }}}
	p, err := parse(string(s.appendMetrics(nil)))
	if err != nil {
		t.Fatal(err)
	}
	in := []string{"side", "inbound", "operation", `GET /operation/2/"{id}`}
	out := []string{"side", "outbound", "operation", `GET /operation/2/"{id}`, "peer", "cart.example"}
	for _, labels := range [][]string{in, out} {
		for name, want := range map[string]float64{"spanwire_operation_request_duration_seconds_count": 3,
			"spanwire_operation_request_duration_seconds_sum": 0.005, "spanwire_operation_request_bytes_total": 300,
			"spanwire_operation_response_bytes_total": 4000} {
			if got := p.get(t, name, labels...); got != want {
				t.Errorf("%s %q: %v, want %v", name, labels, got, want)
			}
		}
		if got := p.get(t, "spanwire_operation_requests_total", slices.Concat(labels, []string{"status_class", "2xx"})...); got != 3 {
			t.Errorf("requests %q: %v", labels, got)
		}
	}
	if got := p.get(t, "spanwire_operation_ids_dropped_total", slices.Concat(in, []string{"evidence", "alone"})...); got != 2 {
		t.Errorf("dropped ids: %v", got)
	}
	if got := p.sum("spanwire_operation_ids_dropped_total", "side", "outbound"); got != 0 {
		t.Errorf("dropped ids of outbound requests: %v", got)
	}
	series := 0
	for _, x := range p.samples {
		if strings.HasPrefix(x.name, "spanwire_operation_") {
			series++
		}
	}
	// SeriesPerOperation is what --max-series reckons with.
	if most := 6 * core.SeriesPerOperation; series > most || series < most-2*3 {
		t.Errorf("%d series, want at most %d", series, most)
	}
}

// tenThousandSeries is a server that has as many series by operation as the default bound allows.
func tenThousandSeries() *Server {
	list := fakeOperations(10000 / core.SeriesPerOperation / 2)
	return &Server{cfg: Config{Relay: fakeRelay, Exports: fakeExports, Operations: func() []core.OperationStats { return list }}}
}

// TestScrapeOfTenThousandSeriesIsQuick allows twenty times what the benchmark shows, since the race detector takes its share. What counts is
// the processor's time: that of the wall holds what other processes on a busy machine do.
func TestScrapeOfTenThousandSeriesIsQuick(t *testing.T) {
	s := tenThousandSeries()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fastest := time.Hour
	for range 5 {
		start := threadTime(t)
		s.appendMetrics(nil)
		fastest = min(fastest, threadTime(t)-start)
	}
	if fastest > 50*time.Millisecond {
		t.Errorf("a scrape takes %v, want at most 50 ms", fastest)
	}
}

// threadTime returns the processor time that the calling thread has used (man 2 getrusage).
func threadTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkScrapeOfTenThousandSeries(b *testing.B) {
	s := tenThousandSeries()
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(s.appendMetrics(nil))))
	}
}

func TestProcessFigures(t *testing.T) {
	p := metricsOf(t, Build{})
	for name, low := range map[string]float64{"process_resident_memory_bytes": 1 << 20, "process_cpu_seconds_total": 0,
		"process_open_fds": 3,
		"process_max_fds":  3, "go_goroutines": 1, "go_threads": 1, "go_memstats_alloc_bytes": 1} {
		if got := p.get(t, name); !(got >= low) {
			t.Errorf("%s = %v, want at least %v", name, got, low)
		}
	}
}

// TestParserIsStrict holds the parser of these tests to account.
func TestParserIsStrict(t *testing.T) {
	const head = "# HELP a x\n# TYPE a gauge\n"
	if _, err := parse(head + "a{b=\"c\\\\\",d=\"\"} 1\n"); err != nil {
		t.Errorf("good text: %v", err)
	}
	for _, text := range []string{"", "a 1\n", head + "a 1", head + "b 1\n", head + "a 1\na 1\n", head + "a{b=\"c\"d} 1\n", head +
		"a{b=\"c\",} 1\n", head + "a x\n", head + "a  1\n",
		head + "\n", head + head, "# TYPE a gauge\na 1\n", head + "a{b=\"c\"\"} 1\n", "# HELP a x\n# TYPE a counter\na 1\n"} {
		if _, err := parse(text); err == nil {
			t.Errorf("bad text is accepted: %q", text)
		}
	}
}

func TestScrapesAllocateLittle(t *testing.T) {
	s := &Server{cfg: Config{Relay: fakeRelay, Exports: fakeExports}}
	dst := s.appendMetrics(nil)
	if len(dst) > metricsBytes {
		t.Errorf("a scrape takes %d bytes, more than the %d of metricsBytes", len(dst), metricsBytes)
	}
}
