package exporters

import (
	"io"
	"os"
	"sync"
	"time"
)

// newLog makes the exporter log: a readable line for each span.
func newLog(cfg *Config) (*Exporter, error) {
	out := cfg.Output
	if out == nil {
		out = os.Stdout
	}
	return &Exporter{Encoder: logEncoder{}, Sender: &logSender{out: out}}, nil
}

// logEncoder makes lines of key=value, values quoted as in JSON where they must be.
type logEncoder struct{}

// Begin implements Encoder.
func (logEncoder) Begin(dst []byte) []byte { return dst }

// Finish implements Encoder.
func (logEncoder) Finish(dst []byte, _ int) []byte { return dst }

// Append implements Encoder.
func (logEncoder) Append(dst []byte, v *View) []byte {
	r := v.r
	dst = append(dst, "span time="...)
	dst = time.Unix(0, r.Start).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(append(dst, " kind="...), r.Kind.String()...)
	dst = appendWord(append(dst, " name="...), v.name)
	dst = appendMillis(append(dst, " ms="...), r.Duration)
	dst = appendHex(append(dst, " trace="...), r.TraceID[:])
	dst = appendHex(append(dst, " span="...), r.SpanID[:])
	if !r.ParentID.IsZero() {
		dst = appendHex(append(dst, " parent="...), r.ParentID[:])
	}
	if v.failed {
		dst = append(append(dst, " failed="...), v.errorType...)
	}
	if v.traceState != "" {
		dst = appendWord(append(dst, " tracestate="...), v.traceState)
	}
	for i := range v.list() {
		a := &v.attrs[i]
		dst = appendWord(append(dst, ' '), a.key)
		dst = append(dst, '=')
		switch {
		case a.kind == attrString:
			dst = appendWord(dst, a.str)
		case a.kind == attrInt:
			dst = appendInt(dst, a.num)
		case a.num != 0:
			dst = append(dst, "true"...)
		default:
			dst = append(dst, "false"...)
		}
	}
	return append(dst, '\n')
}

// appendMillis appends ns as milliseconds with three digits behind the point.
func appendMillis(dst []byte, ns int64) []byte {
	us := max(ns, 0) / 1000
	dst = appendInt(dst, us/1000)
	return append(dst, '.', '0'+byte(us/100%10), '0'+byte(us/10%10), '0'+byte(us%10))
}

// appendWord appends s as it is, or quoted if it is empty or holds what would end or fake a word: white space, quotes, '=', controls.
func appendWord(dst []byte, s string) []byte {
	plain := s != ""
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, s...)
	}
	return appendJSON(dst, s)
}

// logSender writes batches of lines.
type logSender struct {
	mu  sync.Mutex
	out io.Writer
}

// Send implements Sender. What was written in part is not written again: a line twice is worse than one that is cut.
func (s *logSender) Send(payload []byte, _ int) Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(payload); err != nil {
		return Result{Outcome: Refused, Failure: FailWrite, Err: err, Reason: ReasonRejected}
	}
	return Result{Outcome: Delivered}
}

// Abort implements Sender: a write that blocks cannot be ended, so shutting down does not wait for it.
func (s *logSender) Abort() {}
