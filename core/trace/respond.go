package trace

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/spanwire/spanwire/core/span"
	"github.com/spanwire/spanwire/parsers"
)

// answering lists the response headers that mean something to clients and caches, so that a line of ours must not take their
// place: RFC 9110 §15 and §8, RFC 9111 §5, and those by which browsers keep origins apart.
var answering = []string{
	"accept-ranges", "age", "allow", "alt-svc", "authentication-info", "cache-control", "clear-site-data", "early-data", "etag",
	"expires", "last-modified", "link", "location", "pragma", "proxy-authentication-info", "proxy-status", "refresh", "retry-after",
	"server", "strict-transport-security", "vary", "warning", "www-authenticate",
}

// setAnswer validates the name of the header that bears the trace id in responses. It comes behind setTags, whose table it shares.
func (s *Shared) setAnswer(c *Config) error {
	name := c.TraceResponseHeader
	if name == "" {
		return nil
	}
	const setting = "trace-response-header"
	if err := checkWritable(setting, name); err != nil {
		return err
	}
	low := strings.ToLower(name)
	if slices.Contains(answering, low) || strings.HasPrefix(low, "access-control-") || strings.HasPrefix(low, "sec-") {
		return refused(setting, name, "must not be a header that means something to clients or caches")
	}
	if slices.Contains(s.ours, low) {
		return refused(setting, name, "must differ from the headers written into requests")
	}
	k := s.answers.get(low)
	if k == nil {
		k = s.answers.add(low, headTraceResponse)
	}
	k.is = headTraceResponse
	s.answerLine = name + ": "
	return nil
}

// ReadsAnswers reports whether Respond has anything to do with the settings as they are.
func (s *Shared) ReadsAnswers() bool { return s.answers.lengths != 0 }

// Respond takes the head of the final response to a's request (data is what h's ranges refer to): tagged headers and cookies become
// tags, and, where that is configured, e says how to write the trace's id into the head. It reports whether the id is to be written;
// whether the head can be edited is the caller's to judge. An unsampled span has neither: there is no trace to find. Nor has the
// answer to CONNECT, which may be the beginning of a tunnel. To be called once, between Begin and End.
func (t *Tracer) Respond(a *Active, data []byte, h *parsers.Head, e *Edit) bool {
	rec := &a.Rec
	if !rec.IsSampled() {
		return false
	}
	table := &t.s.answers
	own := parsers.Range{}
	var done uint32 // bit per rule: of several lines or cookies of one name the first counts
	for i := range h.Fields {
		f := &h.Fields[i]
		n := f.Name.Hi - f.Name.Lo
		if n > maxNameBytes || table.lengths&(1<<n) == 0 {
			continue
		}
		k := table.find(f.Name.In(data))
		if k == nil {
			continue
		}
		if k.is == headTraceResponse {
			e.Delete = append(e.Delete, f.Line)
			own = f.Value
		}
		if rec.Kind != span.Server {
			continue
		}
		if k.tag >= 0 && done&(1<<k.tag) == 0 {
			done |= 1 << k.tag
			t.answerTag(rec, &t.s.tags[k.tag], f.Value.In(data))
		}
		if k.is == headCookie {
			done |= t.setCookie(rec, f.Value.In(data), done)
		}
	}
	if t.s.answerLine == "" || string(rec.Text(span.Method)) == "CONNECT" {
		e.Delete = e.Delete[:0]
		return false
	}
	e.Insert = append(e.Insert, t.s.answerLine...)
	at := len(e.Insert)
	e.Insert = hex.AppendEncode(e.Insert, rec.TraceID[:])
	if len(e.Delete) == 1 && bytes.Equal(own.In(data), e.Insert[at:]) {
		// The next hop's sidecar has said so already: nothing to change.
		e.Delete, e.Insert = e.Delete[:0], e.Insert[:0]
		return true
	}
	e.Insert = append(e.Insert, '\r', '\n')
	return true
}

// answerTag adds a value of the response. When the request bore the header too, with another value, the tag's name gets a suffix:
// most viewers show one value a name.
func (t *Tracer) answerTag(rec *span.Record, rule *tagRule, value []byte) {
	key := rule.tag
	for i := range rec.NumTags() {
		k, v := rec.Tag(i)
		if string(k) != rule.tag {
			continue
		}
		if bytes.Equal(v, value) {
			return
		}
		key = rule.answer
	}
	t.tag(rec, key, value)
}

// setCookie adds the value of a cookie that the response sets (RFC 6265 §4.1.1), if the settings name it and its bit in done is
// not set. It returns its bit.
func (t *Tracer) setCookie(rec *span.Record, line []byte, done uint32) uint32 {
	pair, _, _ := bytes.Cut(line, semicolon)
	name, value, ok := bytes.Cut(pair, equals)
	if !ok {
		return 0
	}
	name = bytes.TrimSpace(name)
	for i := range t.s.cookies {
		if bit := uint32(1) << (span.MaxTags + i); done&bit == 0 && string(name) == t.s.cookies[i].name {
			t.answerTag(rec, &t.s.cookies[i], bytes.TrimSpace(value))
			return bit
		}
	}
	return 0
}
