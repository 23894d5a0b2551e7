package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spanwire/spanwire/internal/proof"
)

// report is a run as it is kept: soak.json, of which soak.md is made.
type report struct {
	Version     string                    `json:"version"` // of the sidecar
	Commit      string                    `json:"commit"`
	Go          string                    `json:"go"` // what the sidecar was built with
	Kernel      string                    `json:"kernel"`
	CPUs        int                       `json:"cpus"`
	Ended       string                    `json:"ended"` // UTC
	Seconds     float64                   `json:"seconds"`
	WarmUp      float64                   `json:"warm_up_seconds"`
	Rate        float64                   `json:"rate"`
	Seed        uint64                    `json:"seed"`
	Cycle       float64                   `json:"collector_cycle_seconds"`
	Queue       int                       `json:"export_queue,omitempty"`
	Verify      bool                      `json:"verify"`
	Race        bool                      `json:"race,omitempty"`
	Interrupted bool                      `json:"interrupted,omitempty"`
	Kinds       map[string]kindCount      `json:"kinds"`
	Collectors  [len(exporterNames)]taken `json:"collectors"`
	Unexpected  []string                  `json:"unexpected"`
	Verdicts    []verdict                 `json:"verdicts"`
	Minutes     []sample                  `json:"minutes"`
}

// reportOf makes the report of a run.
func (r *runner) reportOf(o *observed) *report {
	rep := &report{
		CPUs: runtime.NumCPU(), Ended: time.Now().UTC().Format(time.RFC3339), Seconds: o.length.Round(time.Second).Seconds(),
		WarmUp: o.warm.Seconds(), Rate: r.rate, Seed: r.seed, Cycle: cycleOf(r.length).Seconds(), Queue: r.queue, Verify: o.verify, Race: o.race,
		Interrupted: o.interrupted, Kinds: o.counts.kinds, Collectors: o.taken, Unexpected: o.counts.unexpected, Verdicts: judge(o),
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		rep.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	for s := range o.metrics {
		if labels, ok := strings.CutPrefix(s, "spanwire_build_info{"); ok {
			rep.Version, rep.Commit, rep.Go = label(labels, "version"), label(labels, "commit"), label(labels, "go_version")
		}
	}
	step := max(o.length/10, time.Second)
	if o.length >= 10*time.Minute {
		step = time.Minute
	}
	for next, i := step.Seconds(), 0; i < len(o.samples); i++ {
		if o.samples[i].At >= next {
			rep.Minutes = append(rep.Minutes, o.samples[i])
			next += step.Seconds()
		}
	}
	if o.metrics != nil {
		rep.Minutes = append(rep.Minutes, o.after)
	}
	return rep
}

// summarize writes the run to where docs/transparency.md is made from, if the environment says where.
func (rep *report) summarize() error {
	dir := os.Getenv(proof.Variable)
	if dir == "" {
		return nil
	}
	s := proof.Soak{
		Name: fmt.Sprintf("Mixed traffic for %s", time.Duration(rep.Seconds)*time.Second), Verdict: proof.Held,
		What: "Keep-alive, a connection for each request, calls, WebSocket, TLS, HTTP/2, gRPC's streams, bodies of up to 4 MiB, resets and refusals, on both sides, " +
			"while collectors end, start and answer slowly.",
		Outcome: []proof.Figure{proof.Figuref("rate", "%.0f requests/s", rep.Rate)},
		Stamp:   proof.Stamp{Date: rep.Ended[:len(time.DateOnly)], Commit: rep.Commit},
	}
	if !rep.passed() {
		s.Verdict = proof.Broken
	}
	for _, v := range rep.Verdicts {
		s.Outcome = append(s.Outcome, proof.Figuref(v.Name, "%s: %s", passedWord(v.Passed), v.Said))
	}
	return proof.Save(dir, s)
}

// label returns the value of a label in a list of them; "" = it is not there.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(labels, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// passed reports whether all verdicts passed.
func (rep *report) passed() bool {
	return !slices.ContainsFunc(rep.Verdicts, func(v verdict) bool { return !v.Passed })
}

// summary is the verdicts as text.
func (rep *report) summary() string {
	var b strings.Builder
	for _, v := range rep.Verdicts {
		fmt.Fprintf(&b, "%s  %s: %s\n", passedWord(v.Passed), v.Name, v.Said)
	}
	for _, u := range rep.Unexpected {
		fmt.Fprintf(&b, "      %s\n", u)
	}
	return b.String()
}

func passedWord(passed bool) string {
	if passed {
		return "pass"
	}
	return "FAIL"
}

// markdown is the report for readers.
func (rep *report) markdown() string {
	var b strings.Builder
	length := time.Duration(rep.Seconds * float64(time.Second))
	fmt.Fprintf(&b, "# Soak\n\nWritten by `make soak` from soak.json; do not edit. ")
	fmt.Fprintf(&b, "One sidecar (%s, commit %s, %s) stood in front of an application and towards an upstream for %s, ending %s, on %d CPUs under Linux %s. ",
		rep.Version, rep.Commit, rep.Go, length, rep.Ended, rep.CPUs, rep.Kernel)
	fmt.Fprintf(&b, "%.0f requests a second of all kinds below came in over both sides, every one traced", rep.Rate)
	if rep.Verify {
		b.WriteString(", with `--verify`")
	}
	fmt.Fprintf(&b, ". Spans went to two collectors, OTLP and Zipkin, which were ended, started again and made slow in turns of %.0f s; in every fifth turn they stayed away for three quarters of it.",
		rep.Cycle)
	if rep.Queue > 0 {
		fmt.Fprintf(&b, " In a run this short their queues would not fill, so `--export-queue` was %d.", rep.Queue)
	}
	if rep.Race {
		b.WriteString(" The sidecar was built with the race detector, so its memory is not judged.")
	}
	if rep.Interrupted {
		b.WriteString(" The run was interrupted; this is what it had shown by then.")
	}
	fmt.Fprintf(&b, "\n\n## Verdicts\n\nThe first %.0f s are a warm-up; trends are judged after it.\n\n| | verdict | |\n|---|---|---|\n", rep.WarmUp)
	for _, v := range rep.Verdicts {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", v.Name, passedWord(v.Passed), strings.ReplaceAll(v.Said, "|", `\|`))
	}
	for _, u := range rep.Unexpected {
		fmt.Fprintf(&b, "\n- %s", u)
	}
	b.WriteString("\n## Traffic\n\n| kind | requests | unexpected | too late to send | bytes compared |\n|---|---:|---:|---:|---:|\n")
	for _, k := range kinds {
		c := rep.Kinds[k.name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", k.name, c.Requests, c.Unexpected, c.Skipped, c.Bytes)
	}
	fmt.Fprintf(&b, "\n## By the minute\n\nOf exporters and their spans: %s. The last line is after the traffic.\n\n```text\n%s\n", strings.Join(exporterNames[:], "/"), columns)
	for i := range rep.Minutes {
		b.WriteString(rep.Minutes[i].line() + "\n")
	}
	b.WriteString("```\n")
	return b.String()
}

// write writes both files into dir.
func (rep *report) write(dir string) error {
	data, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // for everyone to read
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "soak.json"), append(data, '\n'), 0o644); err != nil { //nolint:gosec // the same
		return err
	}
	return os.WriteFile(filepath.Join(dir, "soak.md"), []byte(rep.markdown()), 0o644) //nolint:gosec // the same
}

// readReport reads a soak.json; a field that a report does not have is an error.
func readReport(file string) (*report, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	rep := &report{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(rep); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return rep, nil
}
