package verify

import (
	"bytes"
	"strings"
)

// Names are the header names of the settings, in any case; "" = none.
type Names struct {
	// RequestID may be inserted into requests, and deleted where it is empty.
	RequestID string
	// TraceResponse may be inserted into responses and deleted there.
	TraceResponse string
	// XSource may be inserted into outbound requests and deleted there, Route only inserted.
	XSource, Route string
}

// contextNames are the headers of the trace context: they may be inserted into requests and deleted there. The list is written down here
// a second time on purpose: one that the editor shares would vouch for itself. tracestate is never written.
var contextNames = []string{"traceparent", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "uber-trace-id"}

// Rules say which header lines may be inserted and deleted. They are not changed after NewRules, so loops share them.
type Rules struct {
	inbound, outbound, response allowed
}

// allowed are lower-case names.
type allowed struct {
	insert, remove []string
	empty          string // may be deleted where its value is empty
}

// NewRules makes the rules that follow from the settings. nil: no edit is allowed, as where nothing is parsed.
func NewRules(n *Names) *Rules {
	if n == nil {
		return &Rules{}
	}
	low := func(names ...string) (all []string) {
		for _, name := range names {
			if name != "" {
				all = append(all, strings.ToLower(name))
			}
		}
		return all
	}
	into, from := append(low(n.RequestID), contextNames...), append(low("tracestate"), contextNames...)
	id := strings.ToLower(n.RequestID)
	return &Rules{
		inbound:  allowed{insert: into, remove: from, empty: id},
		outbound: allowed{insert: append(low(n.XSource, n.Route), into...), remove: append(low(n.XSource), from...), empty: id},
		response: allowed{insert: low(n.TraceResponse), remove: low(n.TraceResponse)},
	}
}

// of returns the rules of a direction.
func (r *Rules) of(d int, outbound bool) *allowed {
	switch {
	case d == serverToClient:
		return &r.response
	case outbound:
		return &r.outbound
	}
	return &r.inbound
}

// inserts reports whether text is one or more whole header lines of names that may be inserted.
func (a *allowed) inserts(text []byte) bool {
	if len(text) == 0 {
		return false
	}
	for len(text) > 0 {
		line, rest, ok := bytes.Cut(text, crlf)
		if !ok || !plain(line) || !among(nameOf(line), a.insert) {
			return false
		}
		text = rest
	}
	return true
}

// removes reports whether line, with its CRLF, is one header line that may be deleted.
func (a *allowed) removes(line []byte) bool {
	line, ok := bytes.CutSuffix(line, crlf)
	if !ok || !plain(line) {
		return false
	}
	name := nameOf(line)
	if among(name, a.remove) {
		return true
	}
	return a.empty != "" && equalFold(name, a.empty) && len(bytes.Trim(line[len(name)+1:], " \t")) == 0
}

var (
	crlf      = []byte("\r\n")
	http1     = []byte("HTTP/1.")
	emptyLine = []byte("\r\n\r\n")
)

// isHead reports whether b, which ends where lines are to be inserted, is the begin of an HTTP/1 head of the direction d: a start line and
// whole header lines (RFC 9112 §2.1), none of them empty or folded.
func isHead(d int, b []byte) bool {
	line, rest, ok := bytes.Cut(b, crlf)
	if !ok {
		return false
	}
	if d == serverToClient {
		if !bytes.HasPrefix(line, http1) {
			return false
		}
	} else if i := bytes.LastIndexByte(line, ' '); i <= 0 || !bytes.HasPrefix(line[i+1:], http1) || len(line) != i+1+len("HTTP/1.1") {
		return false
	}
	for len(rest) > 0 {
		if line, rest, ok = bytes.Cut(rest, crlf); !ok || len(nameOf(line)) == 0 {
			return false
		}
	}
	return true
}

// nameOf returns what stands before the colon of a header line; nothing when it is no name (RFC 9110 §5.1).
func nameOf(line []byte) []byte {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return nil
	}
	for _, c := range line[:i] {
		if c <= ' ' || c >= 0x7f {
			return nil
		}
	}
	return line[:i]
}

// plain reports whether a line has no control character but the tab, so that every reader sees one line.
func plain(line []byte) bool {
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// among reports whether name is one of the lower-case names, in any case.
func among(name []byte, names []string) bool {
	for _, n := range names {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}

// equalFold reports whether name is low but for the case of its ASCII letters.
func equalFold(name []byte, low string) bool {
	if len(name) != len(low) || len(name) == 0 {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != low[i] {
			return false
		}
	}
	return true
}
