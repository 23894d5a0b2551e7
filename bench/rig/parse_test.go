package rig

import (
	"errors"
	"testing"
)

func TestParseWrk(t *testing.T) {
	const head = "$ /usr/bin/wrk -t1\nRunning 2s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n"
	for _, c := range []struct {
		name, out        string
		requests, errors int64
		seconds          float64
		bad              bool
	}{
		{name: "clean", out: head + "  123456 requests in 2.10s, 40.00MB read\nRequests/sec:  61000.1\n", requests: 123456, seconds: 2.1},
		{name: "minutes", out: head + "  600 requests in 1.00m, 40.00MB read\n", requests: 600, seconds: 60},
		{name: "socket errors", out: head + "  5 requests in 2.00s, 1KB read\n  Socket errors: connect 1, read 2, write 3, timeout 4\n",
			requests: 5, seconds: 2, errors: 10},
		{name: "statuses", out: head + "  5 requests in 2.00s, 1KB read\n  Non-2xx or 3xx responses: 5\n", requests: 5, seconds: 2, errors: 5},
		{name: "nothing answered", out: head + "  0 requests in 2.00s, 0B read\n", bad: true},
		{name: "no output", out: "unable to connect to 127.0.0.1:1 Connection refused\n", bad: true},
	} {
		got, err := parseWrk(c.out)
		if (err != nil) != c.bad {
			t.Errorf("%s: error %v", c.name, err)
		}
		if !c.bad && (got.Requests != c.requests || got.Errors != c.errors || got.Seconds != c.seconds) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestSumSeries(t *testing.T) {
	const text = `# HELP spanwire_spans_dropped_total Spans dropped.
# TYPE spanwire_spans_dropped_total counter
spanwire_spans_dropped_total{exporter="otlp",reason="queue_full"} 40
spanwire_spans_dropped_total{exporter="otlp",reason="ring_full"} 2
spanwire_spans_dropped_total{exporter="log",reason="ring_full"} 5
spanwire_spans_dropped_total_other 1000
spanwire_up 1
`
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{name: "spanwire_spans_dropped_total", want: 47},
		{name: "spanwire_spans_dropped_total", labels: []string{`exporter="otlp"`}, want: 42},
		{name: "spanwire_spans_dropped_total", labels: []string{`exporter="otlp"`, `reason="ring_full"`}, want: 2},
		{name: "spanwire_spans_dropped_total", labels: []string{`reason="none"`}, want: 0},
		{name: "spanwire_up", want: 1},
	} {
		if got, err := sumSeries(text, c.name, c.labels); err != nil || got != c.want {
			t.Errorf("%s %v = %v, %v; want %v", c.name, c.labels, got, err, c.want)
		}
	}
	if _, err := sumSeries(text, "spanwire_spans", nil); !errors.Is(err, ErrOutput) {
		t.Errorf("a metric that is not there: %v", err)
	}
}

func TestDefaultPinning(t *testing.T) {
	for _, c := range []struct{ cores, workers, proxy, others int }{
		{1, 1, 0, 0}, {2, 1, 1, 1}, {4, 1, 1, 3}, {8, 3, 3, 5}, {4, 4, 0, 0}, {4, 3, 3, 1},
	} {
		p := PinningFor(c.cores, c.workers)
		if len(p.Proxy) != c.proxy || len(p.Others) != c.others || c.proxy > 0 && p.Proxy[c.proxy-1] != c.cores-1 {
			t.Errorf("%d cores, %d workers: %+v", c.cores, c.workers, p)
		}
		for _, cpu := range p.Others {
			if len(p.Proxy) > 0 && cpu == p.Proxy[0] {
				t.Errorf("%d cores: %+v overlap", c.cores, p)
			}
		}
	}
}
