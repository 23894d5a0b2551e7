package loadtest

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable writes a result for people.
func (r *Result) WriteTable(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, %s loop, %d connections", strings.ToUpper(r.Protocol), r.Target, r.Loop, r.Settings.Connections)
	if r.Settings.Pipeline > 1 {
		fmt.Fprintf(&b, ", %d requests in flight on each", r.Settings.Pipeline)
	}
	if !r.Settings.Keepalive {
		b.WriteString(", one request on each")
	}
	fmt.Fprintf(&b, "\nmeasured %.6gs after %.6gs of warm-up\n\n", r.Seconds, r.Settings.Warmup)
	r.writeCounts(&b)
	r.writeLatencies(&b)
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	if n := r.Unexpected(); n > 0 {
		fmt.Fprintf(&b, "UNEXPECTED ANSWERS: %d (%s); first: %s\n", n, joinCounts(r.Errors), r.FirstError)
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(&b, "INVALID RESULT: %s\n", reason)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeCounts writes rates and counts.
func (r *Result) writeCounts(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if r.Loop == "open" {
		fmt.Fprintf(t, "rate\t%.1f/s of %.6g/s asked (%s)\n", r.Rate, r.AskedRate, r.Settings.Arrivals)
	} else {
		fmt.Fprintf(t, "rate\t%.1f/s\n", r.Rate)
	}
	fmt.Fprintf(t, "requests\t%d right, %d wrong, %d never sent; warm-up: %d\n", r.Requests.OK, r.Requests.Failed, r.Requests.Unsent,
		r.Requests.WarmupSent)
	if len(r.Statuses) > 0 {
		fmt.Fprintf(t, "statuses\t%s\n", joinCounts(r.Statuses))
	}
	fmt.Fprintf(t, "bytes\t%d sent, %d received\n", r.Bytes.Sent, r.Bytes.Received)
	fmt.Fprintf(t, "connections\t%d opened, %d failed\n", r.Sockets.Opened, r.Sockets.Failed)
	fmt.Fprintf(t, "own CPU\t%.2fs user, %.2fs system\n\n", r.CPU.User, r.CPU.System)
	_ = t.Flush() // a strings.Builder does not fail
}

// writeLatencies writes one line for each histogram there is.
func (r *Result) writeLatencies(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tmin\tp50\tp90\tp99\tp99.9\tmax\tmean\tsamples\t")
	for _, row := range []struct {
		name string
		l    *Latency
	}{{"latency", &r.Latency}, {"connect", r.Connect}, {"event delay", r.EventLatency}, {"own delay", r.OwnLag}} {
		if l := row.l; l != nil {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", row.name, human(l.Min), human(l.P50), human(l.P90), human(l.P99),
				human(l.P999), human(l.Max), human(int64(l.Mean)), l.Count)
		}
	}
	_ = t.Flush() // a strings.Builder does not fail
	b.WriteByte('\n')
}

// human writes nanoseconds with four significant digits at most.
func human(ns int64) string {
	switch d := time.Duration(ns); {
	case d < time.Millisecond:
		return fmt.Sprintf("%.1fµs", float64(ns)/1e3)
	case d < 10*time.Second:
		return fmt.Sprintf("%.2fms", float64(ns)/1e6)
	default:
		return fmt.Sprintf("%.2fs", d.Seconds())
	}
}

// joinCounts writes counts by name, in the order of names.
func joinCounts(counts map[string]int64) string {
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	return strings.Join(names, ", ")
}

// String returns the progress in one line without its end.
func (p Progress) String() string {
	latencies := "no answer"
	if p.P99 > 0 {
		latencies = "p50 " + human(int64(p.P50)) + "  p99 " + human(int64(p.P99))
	}
	left := max(0, p.Total-p.Elapsed).Round(time.Second)
	return fmt.Sprintf("%.0f/s  %s  errors %d  in flight %d  %v left", p.Rate, latencies, p.Errors, p.InFlight, left)
}
