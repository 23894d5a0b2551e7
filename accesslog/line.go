package accesslog

import (
	"encoding/hex"
	"net/netip"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spanwire/spanwire/core/span"
)

// timeFormat is RFC 3339 with microseconds.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// line appends fields to one line, which is made in place. What comes from the network is escaped, so that it can neither end the line nor look like
// another field.
type line struct {
	dst  []byte
	json bool
	any  bool // a field was appended
}

// appendLine appends r as one line with its line feed. It allocates nothing when dst fits.
func appendLine(dst []byte, r *span.Record, json bool) []byte {
	l := line{dst: dst, json: json}
	if json {
		l.dst = append(l.dst, '{')
	}
	l.start("time")
	l.quoteJSON()
	l.dst = time.Unix(0, r.Start).UTC().AppendFormat(l.dst, timeFormat)
	l.quoteJSON()
	l.word("side", side(r.Kind))
	l.hex("trace_id", r.TraceID[:])
	l.hex("span_id", r.SpanID[:])
	l.bool("sampled", r.IsSampled())
	l.text("method", r.Text(span.Method))
	l.text("host", r.Text(span.Host))
	l.path(r.Text(span.Path), r.Text(span.Query))
	l.int("status", int64(r.Status))
	l.int("request_bytes", r.RequestBytes)
	l.int("response_bytes", r.ResponseBytes)
	l.millis("duration_ms", r.Duration)
	l.endpoint("peer", peer(r))
	l.text("request_id", r.Text(span.RequestID))
	l.text("user_agent", r.Text(span.UserAgent))
	if r.Failure != span.FailureNone {
		l.word("failure", r.Failure.String())
	}
	if json {
		l.dst = append(l.dst, '}')
	}
	return append(l.dst, '\n')
}

func side(k span.Kind) string {
	if k == span.Client {
		return "outbound"
	}
	return "inbound"
}

// peer is who is on the other side of the network: who called, or who was called.
func peer(r *span.Record) span.Endpoint {
	if r.Kind == span.Client {
		return r.Server
	}
	return r.Client
}

// start appends what stands before the value of key.
func (l *line) start(key string) {
	if l.any {
		if l.json {
			l.dst = append(l.dst, ',')
		} else {
			l.dst = append(l.dst, ' ')
		}
	}
	l.any = true
	l.quoteJSON()
	l.dst = append(l.dst, key...)
	l.quoteJSON()
	if l.json {
		l.dst = append(l.dst, ':')
	} else {
		l.dst = append(l.dst, '=')
	}
}

// quoteJSON appends a quote where strings have them always.
func (l *line) quoteJSON() {
	if l.json {
		l.dst = append(l.dst, '"')
	}
}

// word appends one of our own words, which needs no escapes.
func (l *line) word(key, word string) {
	l.start(key)
	l.quoteJSON()
	l.dst = append(l.dst, word...)
	l.quoteJSON()
}

func (l *line) hex(key string, id []byte) {
	l.start(key)
	l.quoteJSON()
	l.dst = hex.AppendEncode(l.dst, id)
	l.quoteJSON()
}

func (l *line) bool(key string, v bool) {
	l.start(key)
	l.dst = strconv.AppendBool(l.dst, v)
}

func (l *line) int(key string, v int64) {
	l.start(key)
	l.dst = strconv.AppendInt(l.dst, v, 10)
}

// millis appends ns as milliseconds with three digits behind the point.
func (l *line) millis(key string, ns int64) {
	us := max(ns, 0) / 1000
	l.int(key, us/1000)
	l.dst = append(l.dst, '.', '0'+byte(us/100%10), '0'+byte(us/10%10), '0'+byte(us%10))
}

// endpoint appends an address with its port; nothing where it is unknown.
func (l *line) endpoint(key string, e span.Endpoint) {
	if e.V == 0 {
		return
	}
	l.start(key)
	l.quoteJSON()
	addr := netip.AddrFrom16(e.Addr)
	if e.V == 4 {
		addr = netip.AddrFrom4([4]byte(e.Addr[:4]))
	}
	l.dst = netip.AddrPortFrom(addr, e.Port).AppendTo(l.dst)
	l.quoteJSON()
}

// text appends bytes from the network; nothing where there are none.
func (l *line) text(key string, v []byte) {
	if len(v) == 0 {
		return
	}
	l.start(key)
	if !l.json && isWord(v) {
		l.dst = append(l.dst, v...)
		return
	}
	l.dst = append(appendEscaped(append(l.dst, '"'), v), '"')
}

// path appends path and query as one value.
func (l *line) path(path, query []byte) {
	if len(query) == 0 {
		l.text("path", path)
		return
	}
	l.start("path")
	if !l.json && isWord(path) && isWord(query) {
		l.dst = append(append(append(l.dst, path...), '?'), query...)
		return
	}
	l.dst = appendEscaped(append(l.dst, '"'), path)
	l.dst = append(appendEscaped(append(l.dst, '?'), query), '"')
}

// isWord reports whether v needs no quotes: visible ASCII that neither ends a value nor opens one. An "=" may stand within a value; a reader
// splits at the first.
func isWord(v []byte) bool {
	for _, c := range v {
		if c <= ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return false
		}
	}
	return len(v) > 0
}

const hexDigits = "0123456789abcdef"

// appendEscaped appends v as it stands within the quotes of a JSON string (RFC 8259 §7). Beyond what JSON asks for, all that a terminal or a viewer
// would not show as a character is escaped: controls, line and paragraph separators, marks that turn the direction of writing. A byte that is
// not UTF-8 becomes U+FFFD.
func appendEscaped(dst, v []byte) []byte {
	for len(v) > 0 {
		c := v[0]
		if ' ' <= c && c < 0x7f && c != '"' && c != '\\' {
			dst = append(dst, c)
			v = v[1:]
			continue
		}
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
			v = v[1:]
			continue
		}
		r, n := utf8.DecodeRune(v) // U+FFFD and 1 for a bad byte
		v = v[n:]
		switch {
		case unicode.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r > 0xffff:
			r -= 0x10000 // a surrogate pair, as JSON has it
			dst = appendUnit(appendUnit(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			dst = appendUnit(dst, r)
		}
	}
	return dst
}

// appendUnit appends \uXXXX.
func appendUnit(dst []byte, r rune) []byte {
	return append(dst, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
